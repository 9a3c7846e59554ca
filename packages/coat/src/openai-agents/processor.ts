/** A tracing processor for the OpenAI Agents SDK: its traces and spans, told as events with its own times. */

import { rounded } from '../adapters/clock.ts'
import type { Framework } from '../adapters/framework.ts'
import { OpenRuns } from '../adapters/open-runs.ts'
import { type AdapterOptions, type CaptureChoice, captureChoice } from '../adapters/options.ts'
import { isAbort, toolError } from '../adapters/outcome.ts'
import { quietly } from '../adapters/quietly.ts'
import { RecentIds } from '../adapters/recent-ids.ts'
import { epochMs, type Fields, fields, list, present, text } from '../adapters/shapes.ts'
import { Totals, usageOf } from '../adapters/usage.ts'
import type { Ids, Status } from '../aot.ts'
import { type Span, type SpanEnd, type SpanStart, startSpan } from '../span.ts'
import { runEnded } from './approvals.ts'
import { agentsFramework } from './framework.ts'
import type { SpanLike, TraceLike, TracingProcessorLike } from './shapes.ts'
import { begun, ended, usage as usageIn } from './span-data.ts'

/** A trace, or the part of an interrupted one that a later run resumes. */
interface Run {
  readonly span: Span
  readonly totals: Totals
  /** The task that stands for the run where no trace began it. */
  readonly taskId: string | undefined
  agentName: string | undefined
  tools: string[] | undefined
  failed: Failure | undefined
  /** What the SDK itself counted, task by task. */
  counted: Totals | undefined
}

/** One span of the SDK. Tasks and root agents make no event: they only lend their place. */
interface Node {
  readonly span: Span | undefined
  readonly ids: Ids
  readonly run: Run
  /** Where an agent stands that this one hands over to. */
  readonly container: Ids
  /** Whether an agent may still count as the root of its run. */
  readonly top: boolean
}

interface Failure {
  readonly status: Status
  readonly error: Error
}

/** An agent that was handed to, from the handing over until it ends. */
interface Handoff {
  readonly span: Span
  readonly traceId: string
}

export class CoatTracingProcessor implements TracingProcessorLike {
  readonly #capture: CaptureChoice
  readonly #framework: Framework
  /** By trace id. */
  readonly #runs = new OpenRuns<Run>((run) => run.span.end({ status: 'abandoned' }))
  /** By span id. */
  readonly #nodes = new OpenRuns<Node>((node) => node.span?.end({ status: 'abandoned' }))
  /** By trace id and name of the agent that was handed to. */
  readonly #handoffs = new OpenRuns<Handoff>((handoff) => handoff.span.end({ status: 'abandoned' }))
  /** Spans whose end was told before their start, as a slow processor beside this one may bring about. */
  readonly #closed = new RecentIds()
  readonly #counted = new RecentIds()
  /** Group ids of traces, for the runs that resume them. */
  readonly #groups = new OpenRuns<string>(() => {})

  constructor(options: AdapterOptions = {}) {
    this.#capture = captureChoice(options)
    this.#framework = agentsFramework()
  }

  start(): void {}

  async onTraceStart(trace: TraceLike): Promise<void> {
    quietly(() => {
      const group = text(trace.groupId)
      if (group !== undefined) this.#groups.set(trace.traceId, group)
      if (!this.#runs.has(trace.traceId)) this.#beginRun(trace.traceId, trace.name)
    })
  }

  async onTraceEnd(trace: TraceLike): Promise<void> {
    quietly(() => this.#endRun(trace.traceId))
  }

  async onSpanStart(span: SpanLike): Promise<void> {
    quietly(() => {
      if (this.#closed.has(span.spanId) || this.#nodes.has(span.spanId)) return
      this.#begin(span)
    })
  }

  async onSpanEnd(span: SpanLike): Promise<void> {
    quietly(() => {
      if (!this.#nodes.has(span.spanId)) this.#begin(span)
      this.#closed.add(span.spanId)
      const node = this.#nodes.take(span.spanId)
      if (node !== undefined) this.#end(span, node)
    })
  }

  /** Ends what is open; the SDK calls it when the process shuts down. */
  async shutdown(): Promise<void> {
    quietly(() => {
      for (const node of this.#nodes.drain()) node.span?.end({ status: 'cancelled' })
      for (const handoff of this.#handoffs.drain()) handoff.span.end({ status: 'cancelled' })
      for (const run of this.#runs.drain()) run.span.end({ status: 'cancelled' })
    })
  }

  /** Nothing waits here: events leave through the transport of the process. */
  async forceFlush(): Promise<void> {}

  #beginRun(traceId: string, name: string, taskId?: string, tsMs?: number): Run {
    const span = this.#start({
      op: 'run',
      fn: name,
      payload: present({
        conversation_id: this.#groups.get(traceId),
        framework_run_id: traceId,
        resumed: taskId === undefined ? undefined : true,
      }),
      captured: { preview: { args: [] } },
      tsMs,
    })
    const run: Run = {
      span,
      totals: new Totals(),
      taskId,
      agentName: undefined,
      tools: undefined,
      failed: undefined,
      counted: undefined,
    }
    this.#runs.set(traceId, run)
    return run
  }

  #endRun(traceId: string, tsMs?: number): void {
    const run = this.#runs.take(traceId)
    if (run === undefined) return
    for (const key of this.#handoffs.ids()) {
      if (this.#handoffs.get(key)?.traceId !== traceId) continue
      this.#handoffs.take(key)?.span.end({ status: 'ok', tsMs })
    }
    run.span.end({
      status: run.failed?.status ?? 'ok',
      ...(run.failed !== undefined && { error: run.failed.error }),
      payload: present({
        agent_name: run.agentName,
        tools: run.tools,
        totals: totalsOf(run),
      }),
      tsMs,
    })
    runEnded(traceId, run.span.ids)
  }

  #begin(span: SpanLike): void {
    const data = fields(span.spanData)
    if (data === undefined) return
    const parent = span.parentId === null ? undefined : this.#nodes.get(span.parentId)
    const tsMs = epochMs(span.startedAt)
    if (data['type'] === 'task') {
      this.#beginTask(span, parent, data, tsMs)
      return
    }
    const run = parent?.run ?? this.#runs.get(span.traceId) ?? this.#adopt(span, tsMs)
    if (data['type'] === 'agent') {
      this.#beginAgent(span, parent, run, data, tsMs)
      return
    }
    const around = parent?.ids ?? run.span.ids
    const container = parent?.container ?? run.span.ids
    if (data['type'] === 'handoff') {
      // Whom it goes to is known at its end; until then it only keeps its place.
      this.#nodes.set(span.spanId, { span: undefined, ids: around, run, container, top: false })
      return
    }
    const start = begun(data)
    if (start.op === 'llm') run.totals.llm += 1
    if (start.op === 'tool') run.totals.tools += 1
    const own = this.#start({
      ...start,
      payload: { ...start.payload, framework_run_id: span.spanId },
      parent: around,
      tsMs,
    })
    // An agent that runs inside a tool serves the tool; one inside a span of the application's is still the root.
    const top = start.op !== 'tool' && (parent?.top ?? true)
    this.#nodes.set(span.spanId, { span: own, ids: own.ids, run, container, top })
  }

  /** The run of a runner. Under a trace it adds nothing; when it resumes an ended trace it is the run itself. */
  #beginTask(
    span: SpanLike,
    parent: Node | undefined,
    data: Fields,
    tsMs: number | undefined,
  ): void {
    const run =
      parent?.run ??
      this.#runs.get(span.traceId) ??
      this.#beginRun(span.traceId, text(data['name']) ?? 'task', span.spanId, tsMs)
    const ids = parent?.ids ?? run.span.ids
    const top = parent?.top ?? true
    this.#nodes.set(span.spanId, { span: undefined, ids, run, container: ids, top })
  }

  #beginAgent(
    span: SpanLike,
    parent: Node | undefined,
    run: Run,
    data: Fields,
    tsMs: number | undefined,
  ): void {
    const name = text(data['name']) ?? 'agent'
    const around = parent?.ids ?? run.span.ids
    const root = (parent?.top ?? true) && run.agentName === undefined
    if (root) {
      run.agentName = name
      run.tools = names(data['tools'])
      this.#nodes.set(span.spanId, {
        span: undefined,
        ids: around,
        run,
        container: around,
        top: false,
      })
      return
    }
    const handed = this.#handoffs.take(handoffKey(span.traceId, name))
    const own =
      handed?.span ??
      this.#start({
        op: 'subagent',
        fn: name,
        payload: { name, via: 'in-process', framework_run_id: span.spanId },
        captured: { task: undefined },
        parent: around,
        tsMs,
      })
    this.#nodes.set(span.spanId, { span: own, ids: own.ids, run, container: around, top: false })
  }

  /** Spans without a trace or task: the application made them itself, in a trace that began before us. */
  #adopt(span: SpanLike, tsMs: number | undefined): Run {
    return this.#beginRun(span.traceId, 'trace', span.spanId, tsMs)
  }

  #end(span: SpanLike, node: Node): void {
    const data = fields(span.spanData)
    const type = data?.['type']
    const tsMs = epochMs(span.endedAt)
    const failed = failureOf(span, type)
    const { run } = node
    if (data !== undefined && type === 'handoff') this.#hand(span, node, data, tsMs)
    else if (type === 'task' && node.top) this.#countTask(run, data)
    else if (data !== undefined && type === 'agent') {
      if (node.span === undefined) run.tools = names(data['tools']) ?? run.tools
    }
    if (span.parentId === null && failed !== undefined) run.failed ??= failed
    if (node.span !== undefined && data !== undefined) {
      const told = type === 'agent' ? { payload: {} } : ended(data)
      const fresh = told.responseId === undefined || this.#counted.add(told.responseId)
      const usage = fresh ? told.usage : undefined
      run.totals.add(usage)
      const end: SpanEnd = {
        status: failed?.status ?? 'ok',
        ...(failed !== undefined && { error: failed.error }),
        payload: present({
          ...told.payload,
          usage,
          ...(type === 'agent' && { name: text(data['name']) ?? 'agent' }),
        }),
        captured: told.captured,
        ...times(span, tsMs),
      }
      node.span.end(end)
    }
    // The SDK does not end a trace whose work threw.
    const over = span.parentId === null && failed !== undefined
    if (over || run.taskId === span.spanId) this.#endRun(span.traceId, tsMs)
  }

  #hand(span: SpanLike, node: Node, data: Fields, tsMs: number | undefined): void {
    const to = text(data['to_agent'])
    const failed = failureOf(span, 'handoff')
    const own = this.#start({
      op: 'subagent',
      fn: to ?? 'handoff',
      payload: present({
        name: to ?? 'handoff',
        via: 'handoff',
        from: text(data['from_agent']),
        framework_run_id: span.spanId,
      }),
      captured: { task: undefined },
      parent: node.container,
      tsMs: epochMs(span.startedAt),
    })
    if (to === undefined || failed !== undefined) {
      own.end({
        status: failed?.status ?? 'ok',
        ...(failed !== undefined && { error: failed.error }),
        payload: { name: to ?? 'handoff' },
        tsMs,
      })
      return
    }
    this.#handoffs.set(handoffKey(span.traceId, to), { span: own, traceId: span.traceId })
  }

  /** The runner's own count: complete even where a model makes no span, and with what its tools ran. */
  #countTask(run: Run, data: Fields | undefined): void {
    const usage = usageIn(data?.['usage'])
    if (usage === undefined) return
    run.counted ??= new Totals()
    run.counted.add(usageOf(usage))
  }

  #start(start: SpanStart): Span {
    return startSpan({ ...start, framework: this.#framework, capture: this.#capture })
  }
}

/** Tokens as the runner counted them, else as the spans did. */
function totalsOf(run: Run): Record<string, number> {
  const counted = run.counted ?? run.totals
  return {
    ...run.totals.payload(),
    input_tokens: counted.inputTokens,
    output_tokens: counted.outputTokens,
  }
}

function handoffKey(traceId: string, agent: string): string {
  return `${traceId} ${agent}`
}

function names(value: unknown): string[] | undefined {
  const told = list(value).flatMap((each) => (typeof each === 'string' ? [each] : []))
  return told.length > 0 ? told : undefined
}

function times(span: SpanLike, endedMs: number | undefined): Pick<SpanEnd, 'tsMs' | 'durationMs'> {
  const begunMs = epochMs(span.startedAt)
  if (begunMs === undefined || endedMs === undefined) return {}
  return { tsMs: endedMs, durationMs: rounded(Math.max(0, endedMs - begunMs)) }
}

const NAMED = /^([A-Z][A-Za-z0-9]{0,60}(?:Error|Exception)): ?([\s\S]*)$/
const ABORTED = /^(?:(?:the|this) )?(?:user |operation |request )?(?:was )?aborted\b/i

/** The SDK keeps errors as texts; the name in front of one is its type. */
function failureOf(span: SpanLike, type: unknown): Failure | undefined {
  const told = span.error
  if (told === null || told === undefined) return undefined
  const detail = told.data?.['error']
  const spoken = typeof detail === 'string' ? detail : told.message
  const named = NAMED.exec(spoken)
  const error =
    type === 'function' && named === null ? toolError(spoken) : new Error(named?.[2] ?? spoken)
  if (named?.[1] !== undefined) error.name = named[1]
  const aborted = isAbort(error) || ABORTED.test(error.message)
  return { status: aborted ? 'cancelled' : 'error', error }
}
