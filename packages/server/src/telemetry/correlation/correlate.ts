/**
 * A part of the log as traces of agents: their spans as trees, with what they caused below them, and what cannot be
 * put down to any of them. Pure but for the pauses of {@link correlateInSteps}.
 */
import { setImmediate as immediate } from 'node:timers/promises'
import type { AuditRecord } from '../../audit/record.ts'
import {
  type CallerFacts,
  type CoatEvent,
  coatEvent,
  type EventFacts,
  processKey,
} from './coat-event.ts'
import { type Effect, effectOf, isEffect } from './effect.ts'
import { type Losses, lossesOf, ProducerCount, type ProducerReport } from './producers.ts'
import { type Attribution, type ProcessTree, SpanIndex, tellsOfProcess } from './span-index.ts'

/** One record of the log, cut down to what is needed of it. */
export interface Fact {
  readonly seq: number
  readonly event?: CoatEvent
  readonly effect?: Effect
  /** Kept for what it says of processes, and for nothing else. */
  readonly process?: AuditRecord
  readonly losses?: Losses
}

export interface Correlation {
  readonly traces: readonly TraceGroup[]
  readonly unattributed: readonly EffectView[]
  readonly producers: readonly ProducerReport[]
}

export interface TraceGroup {
  readonly trace_id: string
  readonly callers: readonly CallerView[]
  readonly run_ids: readonly string[]
  readonly session_ids: readonly string[]
  readonly started_at: string
  /** From the first to the last that is known of it. */
  readonly duration_ms: number
  /** Some span of it has not ended. */
  readonly open: boolean
  readonly span_count: number
  /** Ties, and what spans caused. */
  readonly event_count: number
  readonly spans: readonly SpanView[]
  /** What happened in the trace outside of every span. */
  readonly events: readonly EventView[]
}

export type CallerView =
  | {
      readonly claim_kind: 'claimed'
      readonly agent: string | null
      readonly role: string | null
      readonly claim_id: string | null
      readonly pid: number | null
    }
  | {
      readonly claim_kind: 'anonymous'
      readonly fingerprint: string | null
      readonly pid: number | null
    }

export interface SpanView {
  readonly span_id: string
  readonly parent_span_id: string
  readonly op: string
  readonly name: string
  readonly at: string
  /** Since the trace began. */
  readonly offset_ms: number
  /** null while it is open, or where its end is not known. */
  readonly duration_ms: number | null
  /** As the agent said it, or `open`. */
  readonly status: string
  /** Its beginning was lost, or stands before what was read. */
  readonly without_start?: true
  readonly error?: string
  readonly facts: Readonly<Record<string, unknown>>
  /** Who reported it: a place among the callers of the trace. */
  readonly caller: number
  readonly seqs: readonly number[]
  readonly events: readonly EventView[]
  readonly spans: readonly SpanView[]
}

export type EventView = TieView | EffectView

export interface TieView {
  readonly type: 'tie'
  readonly name: string
  readonly at: string
  readonly offset_ms: number
  readonly data?: string
  /** Who said it, where that is not who reported the span. */
  readonly caller?: number
  readonly seqs: readonly number[]
}

/** What was done: the records of one request together. */
export interface EffectView {
  readonly type: 'effect'
  readonly action: string
  readonly source: string
  readonly detail: string
  readonly actor: string
  readonly at: string
  /** null where it belongs to no trace. */
  readonly offset_ms: number | null
  readonly success: boolean
  readonly code?: string
  readonly allow?: boolean
  readonly decision_id?: string
  readonly duration_ms?: number
  readonly tokens?: number
  readonly cost_micros?: number
  readonly pid?: number
  readonly request_id?: string
  readonly seqs: readonly number[]
  readonly attribution: Attribution
}

export interface CorrelateOptions {
  /** The first record of the log is among them. */
  isWhole?: boolean | undefined
  /** Records before this one are known for what they began, and are not told by themselves. */
  fromSeq?: number | undefined
  processTree?: ProcessTree | undefined
}

/** @param records Oldest first. */
export function correlate(
  records: Iterable<AuditRecord>,
  options: CorrelateOptions = {},
): Correlation {
  const facts: Fact[] = []
  for (const record of records) {
    const fact = factOf(record)
    if (fact !== undefined) facts.push(fact)
  }
  return correlateFacts(facts, options)
}

/** @returns undefined for what says nothing of agents. */
export function factOf(record: AuditRecord): Fact | undefined {
  const { seq } = record
  const event = coatEvent(record)
  if (event !== undefined) return { seq, event }
  const losses = lossesOf(record)
  if (losses !== undefined) return { seq, losses }
  const process = tellsOfProcess(record) ? { process: processFacts(record) } : {}
  if (isEffect(record)) return { seq, effect: effectOf(record), ...process }
  return 'process' in process ? { seq, ...process } : undefined
}

function processFacts({ data, ...record }: AuditRecord): AuditRecord {
  const { ancestors, ppid, start_time } = data ?? {}
  return {
    ...record,
    decision: undefined,
    outcome: undefined,
    data: { ancestors, ppid, start_time },
  }
}

/** @param facts Oldest first. */
export function correlateFacts(
  facts: readonly Fact[],
  options: CorrelateOptions = {},
): Correlation {
  const steps = correlating(facts, options)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** The same for a daemon that others wait for: they get their turn in between. */
export async function correlateInSteps(
  facts: readonly Fact[],
  options: CorrelateOptions & { signal: AbortSignal },
): Promise<Correlation> {
  const steps = correlating(facts, options)
  let sinceMs = performance.now()
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    if (performance.now() - sinceMs < AT_A_TIME_MS) continue
    await immediate()
    options.signal.throwIfAborted()
    sinceMs = performance.now()
  }
}

const AT_A_TIME_MS = 10
/** Facts between two looks at the clock. */
const STEP = 64

function* correlating(
  facts: readonly Fact[],
  { processTree, isWhole = false, fromSeq = 0 }: CorrelateOptions,
): Generator<void, Correlation> {
  const index = new SpanIndex({
    maxSpans: Number.POSITIVE_INFINITY, // as many as were read
    processTree,
  })
  const producers = new ProducerCount(isWhole)
  const traces = new Map<string, Growing>()
  for (const [at, { seq, event, effect, process, losses }] of facts.entries()) {
    if (at % STEP === 0) yield
    const isTold = seq >= fromSeq
    if (process !== undefined) index.observe(process)
    if (effect !== undefined) index.observeEffect(effect)
    if (losses !== undefined) {
      if (isTold) producers.lost(losses)
      index.observeLosses(losses)
    }
    if (event === undefined) continue
    index.observeEvent(event)
    if (isTold) producers.add(event)
    grow(traces, event, isTold)
  }
  const unattributed: EffectView[] = []
  for (const [at, group] of requestsOf(facts).entries()) {
    if (at % STEP === 0) yield
    const [first] = group as [Effect, ...Effect[]]
    const { attribution, span: cause } = index.causeOf(first)
    const trace = cause === undefined ? undefined : traces.get(cause.traceId)
    const view = effectView(group, attribution, trace?.startMs)
    const span = cause && trace?.spans.get(spanKeyOf(cause.spanId, cause.process))
    if (trace === undefined || span === undefined) unattributed.push(view)
    else {
      span.events.push(view)
      trace.isTold = true
    }
  }
  const told: TraceGroup[] = []
  const inTime = [...traces.values()].sort((one, other) => one.startMs - other.startMs)
  for (const [at, trace] of inTime.entries()) {
    if (at % STEP === 0) yield
    if (trace.isTold) told.push(finished(trace, index))
  }
  return { traces: told, unattributed, producers: producers.reports }
}

/** Records of one request about one action belong together; the first of them says when it was asked for. */
function requestsOf(facts: readonly Fact[]): Effect[][] {
  const groups = new Map<string, Effect[]>()
  for (const { effect } of facts) {
    if (effect === undefined) continue
    const isPart = effect.requestId !== undefined && effect.action !== 'dns_query'
    const key = isPart ? `${effect.requestId}\n${effect.action}` : `#${effect.seq}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [effect])
    else group.push(effect)
  }
  return [...groups.values()]
}

function effectView(
  group: readonly Effect[],
  attribution: Attribution,
  startMs: number | undefined,
): EffectView {
  const [first] = group as [Effect, ...Effect[]]
  const last = group.at(-1) ?? first
  const all = {
    code: last.code,
    allow: group.find(({ allow }) => allow !== undefined)?.allow,
    decision_id: group.find(({ decisionId }) => decisionId !== undefined)?.decisionId,
    duration_ms: last.durationMs,
    tokens: last.tokens,
    cost_micros: last.costMicros,
    pid: first.pid,
    request_id: first.requestId,
  }
  return {
    type: 'effect',
    action: first.action,
    source: first.source,
    detail: first.detail,
    actor: first.actor,
    at: new Date(first.beganMs).toISOString(),
    offset_ms: startMs === undefined ? null : first.beganMs - startMs,
    success: last.success,
    ...Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)),
    seqs: group.map(({ seq }) => seq),
    attribution,
  }
}

/** Deeper trees are told in several pieces. */
const MAX_DEPTH = 100

interface GrowingSpan {
  readonly spanId: string
  readonly parentSpanId: string
  readonly process: string
  readonly who: CallerFacts
  op: string
  startMs: number
  endMs: number | undefined
  hasStart: boolean
  facts: EventFacts
  readonly caller: number
  readonly seqs: number[]
  readonly events: EventView[]
}

interface Growing {
  readonly traceId: string
  startMs: number
  lastMs: number
  readonly callers: Map<string, { index: number; view: CallerView }>
  readonly runs: Set<string>
  readonly sessions: Set<string>
  /** By id and process: what somebody else says under the same id is a span of their own. */
  readonly spans: Map<string, GrowingSpan>
  readonly events: EventView[]
  /** Points that came before their span, or never had one. */
  readonly loose: CoatEvent[]
  isTold: boolean
}

/** A process that is not known is one, too. */
function spanKeyOf(
  spanId: string,
  process: Partial<Pick<CallerFacts, 'pid' | 'startTime'>> | undefined,
): string {
  return `${spanId}\n${processKey({ pid: process?.pid, startTime: process?.startTime ?? '' })}`
}

function grow(traces: Map<string, Growing>, event: CoatEvent, isTold: boolean): void {
  const { traceId, atMs, facts } = event
  if (traceId === '') return
  let trace = traces.get(traceId)
  if (trace === undefined) {
    trace = {
      traceId,
      startMs: atMs,
      lastMs: atMs,
      callers: new Map(),
      runs: new Set(),
      sessions: new Set(),
      spans: new Map(),
      events: [],
      loose: [],
      isTold,
    }
    traces.set(traceId, trace)
  }
  trace.isTold ||= isTold
  const key = spanKeyOf(event.spanId, event.caller)
  const beganMs =
    event.part === 'end' && !trace.spans.has(key) ? atMs - (facts.durationMs ?? 0) : atMs
  trace.startMs = Math.min(trace.startMs, beganMs)
  trace.lastMs = Math.max(trace.lastMs, atMs)
  if (event.runId !== '') trace.runs.add(event.runId)
  if (event.sessionId !== '') trace.sessions.add(event.sessionId)
  const caller = callerIndex(trace, event.caller)
  if (event.part === 'point') {
    if (event.kind === 'x.coat.tie') trace.loose.push(event)
    return
  }
  const span = trace.spans.get(key) ?? {
    spanId: event.spanId,
    parentSpanId: event.parentSpanId,
    process: processKey(event.caller),
    who: event.caller,
    op: event.op,
    startMs: beganMs,
    endMs: undefined,
    hasStart: false,
    facts: {},
    caller,
    seqs: [],
    events: [],
  }
  trace.spans.set(key, span)
  span.seqs.push(event.seq)
  span.facts = { ...span.facts, ...facts }
  if (event.part === 'start') {
    span.hasStart = true
    span.startMs = Math.min(span.startMs, atMs)
  } else span.endMs = atMs
}

function callerIndex({ callers }: Growing, facts: CallerFacts): number {
  const { kind, agent, role, claimId, fingerprint, pid, startTime } = facts
  const key = [kind, claimId ?? agent ?? fingerprint ?? '', pid, startTime].join('\n')
  const known = callers.get(key)
  if (known !== undefined) return known.index
  const view: CallerView =
    kind === 'claimed'
      ? {
          claim_kind: kind,
          agent: agent ?? null,
          role: role ?? null,
          claim_id: claimId ?? null,
          pid: pid ?? null,
        }
      : { claim_kind: kind, fingerprint: fingerprint ?? null, pid: pid ?? null }
  callers.set(key, { index: callers.size, view })
  return callers.size - 1
}

function finished(trace: Growing, index: SpanIndex): TraceGroup {
  for (const span of trace.spans.values()) {
    // Nobody will tell its end any more.
    const exitedMs = span.endMs === undefined ? index.exitOf(span.who) : undefined
    if (exitedMs === undefined) continue
    span.endMs = Math.max(span.startMs, exitedMs)
    span.facts = { ...span.facts, status: 'abandoned' }
    trace.lastMs = Math.max(trace.lastMs, span.endMs)
  }
  const spans = [...trace.spans.values()].sort((one, other) => one.startMs - other.startMs)
  const byId = Map.groupBy(spans, ({ spanId }) => spanId)
  /** The one with this id of the same process, else of who spoke of it first. */
  const named = (spanId: string, process: string): GrowingSpan | undefined => {
    const all = byId.get(spanId)
    return all?.find((span) => span.process === process) ?? all?.reduce(firstStored)
  }
  for (const tie of trace.loose) {
    const process = processKey(tie.caller)
    const span = named(tie.spanId, process) ?? named(tie.parentSpanId, process)
    const view = tieView(tie, trace.startMs)
    const caller = span?.process === process ? {} : { caller: callerIndex(trace, tie.caller) }
    const events = span?.events ?? trace.events
    events.push({ ...view, ...caller })
  }
  const parents = new Map(spans.map((span) => [span, named(span.parentSpanId, span.process)]))
  const childrenOf = Map.groupBy(spans, (span) => parents.get(span))
  const placed = new Set<GrowingSpan>()
  const view = (span: GrowingSpan, depth: number): SpanView => {
    placed.add(span)
    const below = depth < MAX_DEPTH ? (childrenOf.get(span) ?? []) : []
    // A span that names itself, or one below it, as its parent is shown once.
    const children = below.flatMap((child) => (placed.has(child) ? [] : [view(child, depth + 1)]))
    return spanView(trace, span, children)
  }
  const isRoot = (span: GrowingSpan): boolean =>
    parents.get(span) === span || parents.get(span) === undefined
  const tops = spans.filter(isRoot).map((span) => view(span, 0))
  // What only hangs below itself, or too deep to be drawn.
  for (const span of spans) if (!placed.has(span)) tops.push(view(span, 0))
  tops.sort((one, other) => one.offset_ms - other.offset_ms)
  const events = spans.reduce((sum, span) => sum + span.events.length, trace.events.length)
  return {
    trace_id: trace.traceId,
    callers: [...trace.callers.values()].map((caller) => caller.view),
    run_ids: [...trace.runs],
    session_ids: [...trace.sessions],
    started_at: new Date(trace.startMs).toISOString(),
    duration_ms: trace.lastMs - trace.startMs,
    open: spans.some(({ endMs }) => endMs === undefined),
    span_count: spans.length,
    event_count: events,
    spans: tops,
    events: inTime(trace.events),
  }
}

function firstStored(one: GrowingSpan, other: GrowingSpan): GrowingSpan {
  return (other.seqs[0] ?? 0) < (one.seqs[0] ?? 0) ? other : one
}

function spanView(trace: Growing, span: GrowingSpan, children: SpanView[]): SpanView {
  const { facts, startMs, endMs } = span
  const durationMs = facts.durationMs ?? (endMs === undefined ? undefined : endMs - startMs)
  const shown = {
    model: facts.model,
    provider: facts.provider,
    tool: facts.tool,
    input_tokens: facts.inputTokens,
    output_tokens: facts.outputTokens,
    cost_usd: facts.costUsd,
    queue_id: facts.queueId,
    outcome: facts.outcome,
  }
  return {
    span_id: span.spanId,
    parent_span_id: span.parentSpanId,
    op: span.op,
    name: facts.name ?? facts.tool ?? '',
    at: new Date(startMs).toISOString(),
    offset_ms: startMs - trace.startMs,
    duration_ms: endMs === undefined ? null : (durationMs ?? null),
    status: endMs === undefined ? 'open' : (facts.status ?? 'ok'),
    ...(!span.hasStart && { without_start: true as const }),
    ...(facts.error !== undefined && { error: facts.error }),
    facts: Object.fromEntries(Object.entries(shown).filter(([, value]) => value !== undefined)),
    caller: span.caller,
    seqs: span.seqs,
    events: inTime(span.events),
    spans: children,
  }
}

function tieView({ facts, atMs, seq }: CoatEvent, startMs: number): TieView {
  return {
    type: 'tie',
    name: facts.name ?? '',
    at: new Date(atMs).toISOString(),
    offset_ms: atMs - startMs,
    ...(facts.data !== undefined && { data: facts.data }),
    seqs: [seq],
  }
}

function inTime(events: readonly EventView[]): EventView[] {
  return [...events].sort((one, other) => Date.parse(one.at) - Date.parse(other.at))
}
