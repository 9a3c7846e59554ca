/** LangChain's callbacks, told as events: parents come from LangChain's own run ids. */

import { clock, rounded } from '../adapters/clock.ts'
import type { Framework } from '../adapters/framework.ts'
import { OpenRuns } from '../adapters/open-runs.ts'
import { type AdapterOptions, type CaptureChoice, captureChoice } from '../adapters/options.ts'
import { failure, toolError } from '../adapters/outcome.ts'
import { quietly } from '../adapters/quietly.ts'
import { RecentIds } from '../adapters/recent-ids.ts'
import { fields, firstText, list, ownData, parsed, present, text } from '../adapters/shapes.ts'
import { Totals } from '../adapters/usage.ts'
import type { Ids, Status } from '../aot.ts'
import { emitPoint, type Span, type SpanEnd, type SpanStart, startSpan } from '../span.ts'
import { HandlerBase, langchain } from './core.ts'
import {
  answerFor,
  conversationId,
  graphPlace,
  interruptsOf,
  isControlFlow,
  isHidden,
  outcomeOf,
  resumeOf,
} from './graph.ts'
import { chatMessage, chatMessages, reply, request } from './model-call.ts'

/** The name by which a configure hook recognises that a run has the handler already. */
export const HANDLER_NAME = 'coat_callback_handler'

/** Of a state's messages; the capturer shows no more either. */
const MAX_MESSAGES = 32

interface Run {
  /** None for what is hidden. */
  readonly span: Span | undefined
  /** The nearest span at or above this run. */
  readonly ids: Ids | undefined
  readonly root: Root
  readonly isRoot: boolean
  readonly beganMs: number
  readonly tool?: Record<string, unknown>
  tokens: number
  firstTokenMs: number | undefined
}

interface Root {
  readonly totals: Totals
  readonly conversation: string | undefined
  interrupted: boolean
}

/** Somebody was asked and has not answered. */
interface Question {
  readonly span: Span
  readonly conversation: string | undefined
  readonly beganMs: number
}

export class CoatCallbackHandler extends HandlerBase {
  readonly name: string = HANDLER_NAME
  /** Background handlers would stamp events late and lose the active context. */
  awaitHandlers = true
  raiseError = false
  readonly #capture: CaptureChoice
  readonly #framework: Framework
  readonly #runs = new OpenRuns<Run>((run) => run.span?.end({ status: 'abandoned' }))
  /** By the id of the interrupt. They outlive their run: the answer comes with another one. */
  readonly #questions = new OpenRuns<Question>((asked) => asked.span.end({ status: 'abandoned' }))
  readonly #counted = new RecentIds()

  constructor(options: AdapterOptions = {}) {
    super()
    this.#capture = captureChoice(options)
    this.#framework = langchain()
  }

  /** LangChain copies handlers in places; open runs have one owner. */
  copy(): this {
    return this
  }

  handleChainStart(
    chain: unknown,
    inputs: unknown,
    runId: string,
    parentRunId?: string,
    tags?: string[],
    metadata?: Record<string, unknown>,
    _runType?: string,
    runName?: string,
  ): void {
    quietly(() => {
      if (isHidden(tags)) {
        this.#pass(runId, parentRunId, metadata)
        return
      }
      const parent = this.#parent(parentRunId)
      const fn = runName ?? nameOf(chain)
      if (parent?.ids === undefined) this.#answer(inputs, metadata)
      const graph = graphPlace(metadata)
      const payload =
        parent?.ids === undefined
          ? { conversation_id: conversationId(metadata), framework_run_id: runId }
          : {
              step_kind: graph !== undefined && graph['node'] === fn ? 'node' : undefined,
              graph,
              framework_run_id: runId,
            }
      this.#begin(runId, parent, metadata, {
        op: parent?.ids === undefined ? 'run' : 'chain',
        fn,
        payload: present(payload),
        captured: { preview: { args: [plain(inputs)] } },
      })
    })
  }

  handleChainEnd(outputs: unknown, runId: string): void {
    quietly(() => {
      const run = this.#runs.take(runId)
      if (run === undefined) return
      this.#end(run, { status: 'ok', captured: { preview: { result: plain(outputs) } } })
    })
  }

  handleChainError(error: unknown, runId: string): void {
    quietly(() => {
      const run = this.#runs.take(runId)
      if (run === undefined) return
      if (!isControlFlow(error)) {
        this.#end(run, { status: failure(error), error })
        return
      }
      for (const { id, value } of interruptsOf(error)) this.#ask(id, value, run)
      this.#end(run, {
        status: 'ok',
        payload: interruptsOf(error).length > 0 ? { interrupted: true } : {},
      })
    })
  }

  handleChatModelStart(
    llm: unknown,
    messages: unknown,
    runId: string,
    parentRunId?: string,
    extraParams?: Record<string, unknown>,
    _tags?: string[],
    metadata?: Record<string, unknown>,
    runName?: string,
  ): void {
    quietly(() => {
      const said = chatMessages(messages)
      this.#begin(runId, this.#parent(parentRunId), metadata, {
        op: 'llm',
        fn: runName ?? nameOf(llm),
        payload: { ...request(llm, said, extraParams, metadata), framework_run_id: runId },
        captured: { preview: { args: [said] } },
      }).root.totals.llm += 1
    })
  }

  handleLLMStart(
    llm: unknown,
    prompts: unknown,
    runId: string,
    parentRunId?: string,
    extraParams?: Record<string, unknown>,
    _tags?: string[],
    metadata?: Record<string, unknown>,
    runName?: string,
  ): void {
    quietly(() => {
      const payload = request(llm, [], extraParams, { ls_model_type: 'llm', ...metadata })
      this.#begin(runId, this.#parent(parentRunId), metadata, {
        op: 'llm',
        fn: runName ?? nameOf(llm),
        payload: { ...payload, framework_run_id: runId },
        captured: { preview: { args: [prompts] } },
      }).root.totals.llm += 1
    })
  }

  handleLLMNewToken(_token: string, _place: unknown, runId: string): void {
    const run = this.#runs.get(runId)
    if (run === undefined) return
    run.tokens += 1
    run.firstTokenMs ??= clock.monotonicMs()
  }

  handleLLMEnd(output: unknown, runId: string): void {
    quietly(() => {
      const run = this.#runs.take(runId)
      if (run === undefined) return
      const said = reply(output)
      // A cache gives the same message again, with the tokens of the call that it saved.
      const fresh = said.messageId === undefined || this.#counted.add(said.messageId)
      const usage = fresh ? said.usage : undefined
      run.root.totals.add(usage)
      this.#end(run, {
        status: 'ok',
        payload: present({ ...said.payload, usage, ...streamed(run) }),
        captured: { preview: { result: said.content } },
      })
    })
  }

  handleLLMError(error: unknown, runId: string): void {
    quietly(() => {
      const run = this.#runs.take(runId)
      if (run === undefined) return
      this.#end(run, { status: failure(error), error, payload: present(streamed(run)) })
    })
  }

  handleToolStart(
    tool: unknown,
    input: unknown,
    runId: string,
    parentRunId?: string,
    _tags?: string[],
    metadata?: Record<string, unknown>,
    runName?: string,
    toolCallId?: string,
  ): void {
    quietly(() => {
      const name = firstText(runName, fields(tool)?.['name']) ?? nameOf(tool)
      const told = present({ name, type: 'function', call_id: text(toolCallId) })
      const run = this.#begin(
        runId,
        this.#parent(parentRunId),
        metadata,
        {
          op: 'tool',
          fn: name,
          payload: { tool: told, framework_run_id: runId },
          captured: { preview: { args: [parsed(input)] } },
        },
        present({ name, call_id: text(toolCallId) }),
      )
      run.root.totals.tools += 1
    })
  }

  handleToolEnd(output: unknown, runId: string): void {
    quietly(() => {
      const run = this.#runs.take(runId)
      if (run === undefined) return
      const said = fields(output)
      const failed = said?.['status'] === 'error'
      const content = said === undefined || !('content' in said) ? output : said['content']
      const callId = text(said?.['tool_call_id'])
      this.#end(run, {
        status: failed ? 'error' : 'ok',
        ...(failed && { error: toolError(typeof content === 'string' ? content : '') }),
        payload: present({
          tool: callId === undefined ? run.tool : { ...run.tool, call_id: callId },
          is_error: failed ? true : undefined,
        }),
        captured: { preview: { result: content } },
      })
    })
  }

  handleToolError(error: unknown, runId: string): void {
    quietly(() => {
      const run = this.#runs.take(runId)
      if (run === undefined) return
      const steered = isControlFlow(error)
      if (steered) for (const { id, value } of interruptsOf(error)) this.#ask(id, value, run)
      const status: Status = steered ? 'ok' : failure(error)
      this.#end(run, {
        status,
        ...(!steered && { error }),
        payload: present({ tool: run.tool, interrupted: steered ? true : undefined }),
      })
    })
  }

  handleRetrieverStart(
    retriever: unknown,
    query: unknown,
    runId: string,
    parentRunId?: string,
    _tags?: string[],
    metadata?: Record<string, unknown>,
    name?: string,
  ): void {
    quietly(() => {
      const store = text(fields(metadata)?.['ls_vector_store_provider'])
      this.#begin(runId, this.#parent(parentRunId), metadata, {
        op: 'retriever',
        fn: name ?? nameOf(retriever),
        payload: present({ source: 'retriever', store, framework_run_id: runId }),
        captured: { query },
      })
    })
  }

  handleRetrieverEnd(documents: unknown, runId: string): void {
    quietly(() => {
      const run = this.#runs.take(runId)
      if (run === undefined) return
      const found = list(documents).map(fields)
      const ids = found.flatMap((each) => {
        const id = firstText(each?.['id'], fields(each?.['metadata'])?.['id'])
        return id === undefined ? [] : [id]
      })
      const scores = found.flatMap((each) => {
        const about = fields(each?.['metadata'])
        const score = about?.['score'] ?? about?.['relevanceScore'] ?? about?.['relevance_score']
        return typeof score === 'number' ? [score] : []
      })
      this.#end(run, {
        status: 'ok',
        payload: present({
          count: found.length,
          ids: ids.length > 0 ? ids : undefined,
          scores: scores.length > 0 ? scores : undefined,
        }),
        captured: { preview: { result: found.map((each) => each?.['pageContent']) } },
      })
    })
  }

  handleRetrieverError(error: unknown, runId: string): void {
    quietly(() => {
      const run = this.#runs.take(runId)
      if (run !== undefined) this.#end(run, { status: failure(error), error })
    })
  }

  handleAgentAction(action: unknown, runId: string): void {
    this.#tie('agent_action', action, runId)
  }

  handleAgentEnd(finish: unknown, runId: string): void {
    this.#tie('agent_end', finish, runId)
  }

  handleCustomEvent(eventName: string, data: unknown, runId: string): void {
    this.#tie(eventName, data, runId)
  }

  #tie(name: string, data: unknown, runId: string): void {
    quietly(() =>
      emitPoint({
        kind: 'x.coat.tie',
        payload: { name: String(name).slice(0, 64) },
        captured: { data },
        parent: this.#runs.get(runId)?.ids,
        framework: this.#framework,
        capture: this.#capture,
      }),
    )
  }

  #parent(runId: string | undefined): Run | undefined {
    return runId === undefined ? undefined : this.#runs.get(runId)
  }

  /** A run without an event: what runs below it belongs to what is above it. */
  #pass(runId: string, parentRunId: string | undefined, metadata: unknown): void {
    const parent = this.#parent(parentRunId)
    this.#runs.set(runId, {
      span: undefined,
      ids: parent?.ids,
      root: parent?.root ?? newRoot(metadata),
      isRoot: false,
      beganMs: clock.monotonicMs(),
      tokens: 0,
      firstTokenMs: undefined,
    })
  }

  #begin(
    runId: string,
    parent: Run | undefined,
    metadata: unknown,
    start: SpanStart,
    tool?: Record<string, unknown>,
  ): Run {
    const span = startSpan({
      ...start,
      parent: parent?.ids,
      framework: this.#framework,
      capture: this.#capture,
    })
    const run: Run = {
      span,
      ids: span.ids,
      root: parent?.root ?? newRoot(metadata),
      isRoot: start.op === 'run',
      beganMs: clock.monotonicMs(),
      ...(tool !== undefined && { tool }),
      tokens: 0,
      firstTokenMs: undefined,
    }
    this.#runs.set(runId, run)
    return run
  }

  #end(run: Run, end: SpanEnd): void {
    const ofRun = run.isRoot
      ? { totals: run.root.totals.payload(), ...(run.root.interrupted && { interrupted: true }) }
      : {}
    run.span?.end({ ...end, payload: { ...end.payload, ...ofRun } })
  }

  /** The same interrupt reaches every graph around its node; it asks once. */
  #ask(id: string, value: unknown, run: Run): void {
    run.root.interrupted = true
    if (this.#questions.has(id)) return
    const span = startSpan({
      op: 'human',
      fn: 'interrupt',
      payload: { request: requestOf(value), framework_run_id: id },
      captured: { prompt: value },
      parent: run.ids,
      framework: this.#framework,
      capture: this.#capture,
    })
    const conversation = run.root.conversation
    this.#questions.set(id, { span, conversation, beganMs: clock.monotonicMs() })
  }

  #answer(inputs: unknown, metadata: unknown): void {
    const resumed = resumeOf(inputs)
    if (resumed === undefined) return
    const conversation = conversationId(metadata)
    for (const id of this.#questions.ids()) {
      if (this.#questions.get(id)?.conversation !== conversation) continue
      const answer = answerFor(resumed.value, id)
      if (answer === undefined) continue
      const asked = this.#questions.take(id)
      asked?.span.end({
        status: 'ok',
        payload: {
          request: 'input',
          outcome: outcomeOf(answer.value),
          waited_ms: rounded(clock.monotonicMs() - asked.beganMs),
        },
        captured: { answer: answer.value },
      })
    }
  }
}

function newRoot(metadata: unknown): Root {
  return { totals: new Totals(), conversation: conversationId(metadata), interrupted: false }
}

/** A review asks for decisions about actions; anything else asks for an answer. */
function requestOf(value: unknown): 'approval' | 'input' {
  const told = fields(Array.isArray(value) ? value[0] : value)
  const asks = told?.['actionRequests'] ?? told?.['action_requests'] ?? told?.['action_request']
  return asks === undefined ? 'input' : 'approval'
}

function streamed(run: Run): Record<string, unknown> {
  if (run.firstTokenMs === undefined) return {}
  return { chunks: run.tokens, ttft_ms: rounded(run.firstTokenMs - run.beganMs) }
}

function nameOf(serialized: unknown): string {
  const told = fields(serialized)
  const path = list(told?.['id'])
  return firstText(told?.['name'], path[path.length - 1]) ?? 'anonymous'
}

/** Messages as role and content; LangChain's instances carry much that nobody said. */
function plain(value: unknown): unknown {
  const told = fields(value)
  if (told === undefined) return value
  if (typeof told['_getType'] === 'function') return chatMessage(value)
  const messages = told['messages']
  if (Array.isArray(messages)) {
    return { ...ownData(told), messages: messages.slice(0, MAX_MESSAGES).map(plain) }
  }
  const only = Object.keys(told)
  return only.length === 1 && only[0] === 'input' ? told['input'] : value
}
