/** What a query of the Claude Agent SDK does, put together from its messages and from its hooks. */

import { clock, rounded } from '../adapters/clock.ts'
import { type Framework, framework } from '../adapters/framework.ts'
import { OpenRuns } from '../adapters/open-runs.ts'
import { type AdapterOptions, type CaptureChoice, captureChoice } from '../adapters/options.ts'
import { failure, toolError } from '../adapters/outcome.ts'
import { RecentIds } from '../adapters/recent-ids.ts'
import {
  type Fields,
  fields,
  figure,
  firstText,
  list,
  parsed,
  present,
  text,
} from '../adapters/shapes.ts'
import { Totals } from '../adapters/usage.ts'
import type { Ids, Status } from '../aot.ts'
import { recogniseUsage } from '../recognise/index.ts'
import { type Span, type SpanEnd, type SpanStart, startSpan } from '../span.ts'
import { ModelTurn, mcpTool, resultText } from './model-turn.ts'

export const claudeAgent = (): Framework =>
  framework('claude-agent-sdk', ['@anthropic-ai/claude-agent-sdk', '@anthropic-ai/claude-code'])

/** Tools that hand work to another agent. */
const DELEGATING = new Set(['Task', 'Agent'])

/** Native sessions told of already, in this process. */
const sessions = new RecentIds()

/** Queries whose end the process might cut off. */
const open = new Set<Tracker>()
let watchesExit = false

interface Tool {
  readonly span: Span
  readonly told: Record<string, unknown>
  /** A delegating call: what the other agent does is inside. */
  readonly subagent: boolean
  /** It answers at once and works on. */
  readonly background: boolean
}

/** A line of talk: the query's own, or that of a subagent. */
interface Lane {
  turn: { readonly model: ModelTurn; readonly span: Span } | undefined
  /** When the model last got something to answer. */
  inputMs: number
}

interface Question {
  readonly span: Span
  readonly beganMs: number
}

export class Tracker {
  readonly #capture: CaptureChoice
  readonly #framework: Framework
  #run: Span | undefined
  #session: { readonly span: Span; readonly id: string } | undefined
  #step: Span | undefined
  #compaction: Span | undefined
  #begun = false
  #ended = false
  #sessionId: string | undefined
  /** Whether prompts are told by hooks; else there are no turns to tell. */
  #turns = 0
  readonly #totals = new Totals()
  /** By tool-use id. */
  readonly #tools = new OpenRuns<Tool>((tool) => tool.span.end({ status: 'abandoned' }))
  readonly #finished = new RecentIds()
  /** By the SDK's id of the agent; of those that hooks told of, and no call. */
  readonly #subagents = new OpenRuns<Span>((span) => span.end({ status: 'abandoned' }))
  /** Agent ids of delegating calls. */
  readonly #agentCalls = new OpenRuns<string>(() => {})
  readonly #questions = new OpenRuns<Question>((asked) => asked.span.end({ status: 'abandoned' }))
  readonly #lanes = new OpenRuns<Lane>((lane) => lane.turn?.span.end({ status: 'abandoned' }))

  constructor(options: AdapterOptions) {
    this.#capture = captureChoice(options)
    this.#framework = claudeAgent()
  }

  /** At the first step of the query, or at the first hook where only hooks are there. */
  begin(asked?: { prompt?: unknown; options?: unknown }): void {
    if (this.#begun || this.#ended) return
    this.#begin(asked)
  }

  /** A query that is fed with a stream of prompts goes on after a result: the next answer is another run. */
  #goOn(): void {
    if (this.#begun && this.#run === undefined && !this.#ended) this.#begin()
  }

  #begin(asked?: { prompt?: unknown; options?: unknown }): void {
    this.#begun = true
    const options = fields(asked?.options)
    this.#run = this.#start({
      op: 'run',
      fn: 'query',
      payload: present({
        conversation_id: firstText(options?.['resume'], options?.['sessionId']),
        model: text(options?.['model']),
      }),
      captured: {
        preview: { args: [typeof asked?.prompt === 'string' ? asked.prompt : '<stream>'] },
      },
    })
    this.#lane('').inputMs = clock.wallMs()
    open.add(this)
    watchExit()
  }

  /** Runs what the query itself does inside its run. */
  inRun<T>(fn: () => T): T {
    return this.#run === undefined ? fn() : this.#run.run(fn)
  }

  message(value: unknown): void {
    const message = fields(value)
    if (message === undefined) return
    this.#sessionId = text(message['session_id']) ?? this.#sessionId
    switch (message['type']) {
      case 'system':
        this.#system(message)
        break
      case 'assistant':
        this.#goOn()
        this.#assistant(message)
        break
      case 'stream_event':
        this.#goOn()
        this.#piece(message)
        break
      case 'user':
        this.#goOn()
        this.#user(message)
        break
      case 'result':
        this.#result(message)
        break
      default:
    }
  }

  #system(message: Fields): void {
    if (message['subtype'] === 'init') this.#init(message)
    if (message['subtype'] === 'compact_boundary') {
      const about = fields(message['compact_metadata'])
      this.compactionBegan(about?.['trigger'])
      this.#compaction?.end({
        status: 'ok',
        payload: present({
          operation: 'compact',
          count: 1,
          pre_tokens: figure(about?.['pre_tokens']),
        }),
      })
      this.#compaction = undefined
    }
  }

  #init(message: Fields): void {
    const id = text(message['session_id'])
    if (id === undefined || !sessions.add(id)) return
    const servers = list(message['mcp_servers']).flatMap((each) => {
      const name = text(fields(each)?.['name'])
      return name === undefined ? [] : [name]
    })
    const span = this.#start({
      op: 'session',
      fn: 'session',
      payload: present({
        conversation_id: id,
        model: text(message['model']),
        tools: list(message['tools']).length,
        permission_mode: text(message['permissionMode']),
        mcp_servers: servers,
        versions: present({ node: process.versions.node, sdk: this.#framework.version }),
      }),
      parent: this.#run?.ids,
    })
    this.#session = { span, id }
  }

  #assistant(message: Fields): void {
    const said = fields(message['message'])
    if (said === undefined) return
    const laneId = text(message['parent_tool_use_id']) ?? ''
    const model = this.#turn(laneId, text(said['id']) ?? text(message['uuid']) ?? 'message', said)
    model.message(said, clock.wallMs())
    for (const block of list(said['content'])) {
      const told = fields(block)
      if (told?.['type'] !== 'tool_use') continue
      const name = text(told['name'])
      const id = text(told['id'])
      if (name !== undefined && id !== undefined) {
        this.toolBegan(id, name, told['input'], this.#place(laneId))
      }
    }
    const failed = text(message['error'])
    if (failed !== undefined) {
      const error = new Error(failed)
      error.name = failed
      this.#closeTurn(laneId, { status: 'error', error })
    }
  }

  #piece(message: Fields): void {
    const event = fields(message['event'])
    if (event === undefined) return
    const laneId = text(message['parent_tool_use_id']) ?? ''
    const lane = this.#lane(laneId)
    if (event['type'] === 'message_start') {
      const said = fields(event['message'])
      this.#turn(laneId, text(said?.['id']) ?? 'message', said)
    }
    lane.turn?.model.piece(event, clock.wallMs())
  }

  #user(message: Fields): void {
    const laneId = text(message['parent_tool_use_id']) ?? ''
    this.#closeTurn(laneId, { status: 'ok' })
    for (const block of list(fields(message['message'])?.['content'])) {
      const told = fields(block)
      const id = text(told?.['tool_use_id'])
      if (told?.['type'] !== 'tool_result' || id === undefined) continue
      if (this.#tools.get(id)?.background === true && told['is_error'] !== true) continue
      if (told['is_error'] === true) this.toolFailed(id, resultText(told['content']))
      else this.toolEnded(id, told['content'])
    }
    this.#lane(laneId).inputMs = clock.wallMs()
  }

  /** The answer with this id, begun where the last input ended. */
  #turn(laneId: string, id: string, said: Fields | undefined): ModelTurn {
    const lane = this.#lane(laneId)
    if (lane.turn?.model.id === id) return lane.turn.model
    this.#closeTurn(laneId, { status: 'ok' })
    const model = new ModelTurn(id, lane.inputMs)
    this.#totals.llm += 1
    const span = this.#start({
      op: 'llm',
      fn: 'messages',
      payload: present({
        operation: 'chat',
        provider: 'anthropic',
        model: text(said?.['model']),
        inferred: true,
      }),
      captured: { preview: { args: [] } },
      parent: this.#place(laneId),
      tsMs: lane.inputMs,
    })
    lane.turn = { model, span }
    return model
  }

  #closeTurn(laneId: string, end: SpanEnd): void {
    const lane = this.#lanes.get(laneId)
    const turn = lane?.turn
    if (lane === undefined || turn === undefined) return
    lane.turn = undefined
    const { model } = turn
    this.#totals.add(model.usage)
    lane.inputMs = model.endedMs
    turn.span.end({
      ...end,
      payload: model.payload(),
      captured: { preview: { result: model.content } },
      tsMs: model.endedMs,
      durationMs: Math.max(0, model.endedMs - model.beganMs),
    })
  }

  toolBegan(id: string, name: string, input: unknown, parent?: Ids): void {
    if (this.#tools.has(id) || this.#finished.has(id)) return
    const asked = fields(parsed(input))
    const within = parent ?? this.#place('')
    if (DELEGATING.has(name)) {
      // Its description is the model's own words, so it is no name.
      const agent = text(asked?.['subagent_type']) ?? name
      const span = this.#start({
        op: 'subagent',
        fn: agent,
        payload: present({
          name: agent,
          agent_type: text(asked?.['subagent_type']),
          via: 'in-process',
          framework_run_id: id,
        }),
        captured: { task: asked?.['prompt'] },
        parent: within,
      })
      const background = asked?.['run_in_background'] === true
      this.#tools.set(id, { span, told: { name: agent }, subagent: true, background })
      this.#lane(id).inputMs = clock.wallMs()
      return
    }
    const mcp = mcpTool(name)
    this.#totals.tools += 1
    const span = this.#start({
      op: 'tool',
      fn: name,
      payload: present({
        tool: { name, type: mcp === undefined ? 'function' : 'mcp', call_id: id },
        mcp: mcp === undefined ? undefined : { method: 'tools/call', server: mcp.server },
      }),
      captured: { preview: { args: [input] } },
      parent: within,
    })
    const told = { tool: { name, call_id: id } }
    this.#tools.set(id, { span, told, subagent: false, background: false })
  }

  toolEnded(id: string, result: unknown): void {
    this.#closeTool(id, { status: 'ok', captured: { preview: { result } } })
  }

  toolFailed(id: string, message: string, interrupted = false): void {
    const tool = this.#tools.get(id)
    this.#closeTool(id, {
      status: interrupted ? 'cancelled' : 'error',
      error: toolError(message),
      payload: tool?.subagent === true ? {} : { is_error: true },
    })
  }

  #closeTool(id: string, end: SpanEnd): void {
    const tool = this.#tools.take(id)
    if (tool === undefined) return
    this.#finished.add(id)
    this.#closeTurn(id, { status: end.status === 'cancelled' ? 'cancelled' : 'ok' })
    this.#lanes.take(id)
    // A tool that ran was allowed to; one that did not was refused, if somebody was asked.
    this.answered(id, end.status === 'ok' ? 'approved' : 'denied', undefined)
    tool.span.end({ ...end, payload: { ...tool.told, ...end.payload } })
  }

  /** Hooks know no tool-use id of a subagent in every version; a call that waits for one is taken. */
  subagentBegan(agentId: string, type: string | undefined, toolUseId: string | undefined): void {
    const call =
      toolUseId !== undefined && this.#tools.has(toolUseId) ? toolUseId : this.#waiting(type)
    if (call !== undefined) {
      this.#agentCalls.set(agentId, call)
      return
    }
    const name = type ?? 'agent'
    this.#subagents.set(
      agentId,
      this.#start({
        op: 'subagent',
        fn: name,
        payload: present({
          name,
          agent_type: type,
          via: 'in-process',
          framework_run_id: agentId,
        }),
        parent: this.#place(''),
      }),
    )
  }

  #waiting(type: string | undefined): string | undefined {
    const taken = new Set(this.#agentCalls.ids().map((id) => this.#agentCalls.get(id)))
    return this.#tools.ids().find((id) => {
      const tool = this.#tools.get(id)
      if (tool?.subagent !== true || taken.has(id)) return false
      return type === undefined || tool.told['name'] === type
    })
  }

  subagentEnded(agentId: string, lastMessage: unknown): void {
    const call = this.#agentCalls.take(agentId)
    if (call !== undefined) {
      if (this.#tools.get(call)?.background === true) this.toolEnded(call, lastMessage)
      return
    }
    const span = this.#subagents.take(agentId)
    span?.end({ status: 'ok', captured: { preview: { result: lastMessage } } })
  }

  /** Where a hook's event belongs: to the subagent that it names, else to the query. */
  placeOf(agentId: string | undefined): Ids | undefined {
    if (agentId === undefined) return this.#place('')
    const call = this.#agentCalls.get(agentId)
    return call === undefined
      ? (this.#subagents.get(agentId)?.ids ?? this.#place(''))
      : this.#place(call)
  }

  promptSubmitted(prompt: unknown): void {
    this.#goOn()
    this.turnEnded('ok')
    this.#turns += 1
    this.#step = this.#start({
      op: 'step',
      fn: `turn ${this.#turns}`,
      payload: { step_kind: 'turn' },
      captured: { preview: { args: [prompt] } },
      parent: this.#run?.ids,
    })
    this.#lane('').inputMs = clock.wallMs()
  }

  turnEnded(status: Status): void {
    const step = this.#step
    if (step === undefined) return
    this.#closeTurn('', { status: 'ok' })
    this.#step = undefined
    step.end({ status })
  }

  asked(id: string, toolName: string, input: unknown, place: Ids | undefined): void {
    if (this.#questions.has(id)) return
    const span = this.#start({
      op: 'human',
      fn: toolName,
      payload: { request: 'approval', tool: { name: toolName, call_id: id } },
      captured: { prompt: input },
      parent: place,
    })
    this.#questions.set(id, { span, beganMs: clock.monotonicMs() })
  }

  answered(id: string, outcome: string, answer: unknown, error?: unknown): void {
    const asked = this.#questions.take(id)
    asked?.span.end({
      status: error === undefined ? 'ok' : failure(error),
      ...(error !== undefined && { error }),
      payload: {
        request: 'approval',
        outcome,
        waited_ms: rounded(clock.monotonicMs() - asked.beganMs),
      },
      captured: { answer },
    })
  }

  compactionBegan(trigger: unknown): void {
    this.#compaction ??= this.#start({
      op: 'memory.write',
      fn: 'compact',
      payload: present({ operation: 'compact', trigger: text(trigger) }),
      parent: this.#place(''),
    })
  }

  #result(message: Fields): void {
    const subtype = text(message['subtype'])
    const failed = message['is_error'] === true || (subtype ?? 'success') !== 'success'
    const usage = recogniseUsage(message['usage'])
    const cost = figure(message['total_cost_usd'])
    const errors = list(message['errors']).filter((each) => typeof each === 'string')
    const error = new Error(firstText(errors[0], message['result']) ?? subtype ?? 'failed')
    error.name = subtype === undefined || subtype === 'success' ? 'error_result' : subtype
    this.#close(failed ? 'error' : 'ok', {
      ...(failed && { error }),
      payload: present({
        turns: figure(message['num_turns']),
        totals: present({
          ...this.#totals.payload(),
          input_tokens: usage?.input ?? this.#totals.inputTokens,
          output_tokens: usage?.output ?? this.#totals.outputTokens,
          cost_usd: cost,
        }),
        usage,
        subtype,
        conversation_id: this.#sessionId,
        permission_denials: list(message['permission_denials']).length,
      }),
      captured: { preview: { result: message['result'] ?? message['structured_output'] } },
    })
  }

  sessionEnded(reason: unknown): void {
    const session = this.#session
    this.#session = undefined
    session?.span.end({
      status: 'ok',
      payload: present({ conversation_id: session.id, reason: text(reason) }),
    })
  }

  /** The query is over: ends all that is open. */
  finish(status: Status, error?: unknown): void {
    if (this.#ended) return
    this.#close(status, error === undefined ? {} : { error })
    this.#ended = true
    this.sessionEnded('query_end')
    open.delete(this)
  }

  #close(status: Status, end: Omit<SpanEnd, 'status'>): void {
    const inner: Status = status === 'ok' ? 'ok' : 'cancelled'
    for (const id of this.#lanes.ids()) this.#closeTurn(id, { status: inner })
    for (const id of this.#tools.ids()) this.#closeTool(id, { status: 'cancelled' })
    for (const span of this.#subagents.drain()) span.end({ status: 'cancelled' })
    for (const id of this.#questions.ids()) this.answered(id, 'cancelled', undefined)
    this.#compaction?.end({ status: 'cancelled', payload: { operation: 'compact' } })
    this.#compaction = undefined
    this.turnEnded(status === 'error' ? 'error' : inner)
    this.#run?.end({ status, ...end })
    this.#run = undefined
    this.#lanes.drain()
  }

  #lane(id: string): Lane {
    const known = this.#lanes.get(id)
    if (known !== undefined) return known
    const lane: Lane = { turn: undefined, inputMs: clock.wallMs() }
    this.#lanes.set(id, lane)
    return lane
  }

  /** The span that a lane of talk belongs to. */
  #place(laneId: string): Ids | undefined {
    const tool = laneId === '' ? undefined : this.#tools.get(laneId)
    return tool?.span.ids ?? this.#step?.ids ?? this.#run?.ids
  }

  #start(start: SpanStart): Span {
    return startSpan({ ...start, framework: this.#framework, capture: this.#capture })
  }
}

/** In front of the listeners that send what is left. */
function watchExit(): void {
  if (watchesExit) return
  watchesExit = true
  process.prependListener('exit', () => {
    for (const tracker of open) {
      try {
        tracker.finish('cancelled')
      } catch {
        // The process ends; there is nobody left to tell.
      }
    }
  })
}
