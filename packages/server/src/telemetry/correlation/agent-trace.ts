/**
 * What was recorded under one id as a tree: spans of agents, below them what they made Vestry do, each call with its
 * decision, its lease and its outcome.
 */
import { type TraceNode, type TraceTree, traceTree } from '../../admin/trace.ts'
import type { AuditRecord } from '../../audit/record.ts'
import {
  type CallerView,
  correlateInSteps,
  type EffectView,
  type EventView,
  type Fact,
  factOf,
  type SpanView,
  type TraceGroup,
} from './correlate.ts'
import { type Attribution, isGuess } from './span-index.ts'

/** A call as the tree of calls has it, and what made it. */
export type CallItem = TraceNode & { readonly attribution?: Attribution }

export interface SpanItem extends Omit<SpanView, 'spans'> {
  readonly type: 'span'
  readonly trace_id: string
  readonly children: readonly TraceItem[]
}

export type TraceItem = CallItem | SpanItem

export interface AgentTotals {
  readonly spans: number
  /** Of these, not ended. */
  readonly open: number
  /** Measured by Vestry where it made the call, else as the agent says. */
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cost_micros: number
}

export interface AgentTrace extends Omit<TraceTree, 'spans'> {
  readonly callers: readonly CallerView[]
  readonly run_ids: readonly string[]
  readonly session_ids: readonly string[]
  readonly agents: AgentTotals
  readonly spans: readonly TraceItem[]
  /** What happened outside of every span. */
  readonly events: readonly EventView[]
}

/** Records that stand around in time: what else may have caused or been caused. */
export interface Surroundings {
  readonly facts: readonly Fact[]
  readonly effects: ReadonlyMap<number, AuditRecord>
}

export function hasAgentEvents(records: readonly AuditRecord[]): boolean {
  return records.some(({ source }) => source === 'coat')
}

/** @param records Under the id, oldest first. */
export async function agentTrace(
  records: readonly AuditRecord[],
  { facts, effects }: Surroundings,
  signal: AbortSignal,
): Promise<AgentTrace> {
  const bySeq = new Map<number, AuditRecord>(effects)
  for (const record of records) bySeq.set(record.seq, record)
  const wanted = new Set(
    records.flatMap(({ source, span }) =>
      source === 'coat' && span !== undefined ? [span.trace_id] : [],
    ),
  )
  const { traces } = await correlateInSteps(merged(facts, records), { signal })
  const groups = traces.filter(({ trace_id }) => wanted.has(trace_id))
  const causes = causesIn(groups)
  const called = new Map<number, AuditRecord>()
  for (const record of records) if (record.source !== 'coat') called.set(record.seq, record)
  for (const seq of causes.keys()) {
    const record = bySeq.get(seq)
    if (record !== undefined) called.set(seq, record)
  }
  // A lookup that an agent made itself is a line below its span.
  const calls = [...called.values()]
    .filter(
      ({ action, span, seq }) => action !== 'dns_query' || span !== undefined || !causes.has(seq),
    )
    .sort((one, other) => one.seq - other.seq)
  return assembled(traceTree(calls), groups, causes)
}

/** Facts of both, in the order of the log, each once. */
function merged(facts: readonly Fact[], records: readonly AuditRecord[]): Fact[] {
  const all = new Map(facts.map((fact) => [fact.seq, fact]))
  for (const record of records) {
    const fact = factOf(record)
    if (fact !== undefined) all.set(record.seq, fact)
  }
  return [...all].sort(([one], [other]) => one - other).map(([, fact]) => fact)
}

interface Cause {
  readonly span: SpanView
  readonly effect: EffectView
}

/** Record → the span it hangs below. */
function causesIn(groups: readonly TraceGroup[]): Map<number, Cause> {
  const causes = new Map<number, Cause>()
  const walk = (spans: readonly SpanView[]): void => {
    for (const span of spans) {
      for (const event of span.events) {
        if (event.type !== 'effect') continue
        for (const seq of event.seqs) causes.set(seq, { span, effect: event })
      }
      walk(span.spans)
    }
  }
  for (const { spans } of groups) walk(spans)
  return causes
}

function assembled(
  tree: TraceTree,
  groups: readonly TraceGroup[],
  causes: ReadonlyMap<number, Cause>,
): AgentTrace {
  const callsOf = new Map<SpanView, CallItem[]>()
  const shown = new Set<number>()
  const tops: TraceItem[] = []
  for (const node of tree.spans) {
    for (const seq of node.seqs) shown.add(seq)
    const cause = node.seqs.map((seq) => causes.get(seq)).find((one) => one !== undefined)
    if (cause === undefined) {
      tops.push(node)
      continue
    }
    const call = { ...node, attribution: cause.effect.attribution }
    const calls = callsOf.get(cause.span)
    if (calls === undefined) callsOf.set(cause.span, [call])
    else calls.push(call)
  }
  walkCalls(tree.spans, ({ seqs, lookups }) => {
    for (const seq of [...seqs, ...(lookups ?? []).map((lookup) => lookup.seq)]) shown.add(seq)
  })
  const callers = new CallerList()
  const item = (trace: TraceGroup, view: SpanView, place: (caller: number) => number): SpanItem => {
    const { spans, events, caller, ...span } = view
    return {
      type: 'span',
      trace_id: trace.trace_id,
      ...span,
      caller: place(caller),
      // What is a call below it is not a line as well.
      events: placed(events, place).filter(
        (event) => event.type === 'tie' || !event.seqs.some((seq) => shown.has(seq)),
      ),
      children: inTime([
        ...spans.map((child) => item(trace, child, place)),
        ...(callsOf.get(view) ?? []),
      ]),
    }
  }
  const items: SpanItem[] = []
  const events: EventView[] = []
  for (const trace of groups) {
    const place = callers.add(trace.callers)
    items.push(...trace.spans.map((span) => item(trace, span, place)))
    events.push(...placed(trace.events, place))
  }
  const spans = inTime([...tops, ...items])
  return {
    ...tree,
    callers: callers.all,
    run_ids: unique(groups.flatMap(({ run_ids }) => run_ids)),
    session_ids: unique(groups.flatMap(({ session_ids }) => session_ids)),
    trace_ids: unique([...groups.map(({ trace_id }) => trace_id), ...tree.trace_ids]),
    ...extent(tree, groups),
    agents: totalsOf(spans),
    spans,
    events,
  }
}

/** Callers of several traces, each once. */
class CallerList {
  readonly all: CallerView[] = []
  readonly #places = new Map<string, number>()

  /** @returns Where each of these is in the whole list. */
  add(callers: readonly CallerView[]): (caller: number) => number {
    const places = callers.map((one) => {
      const key = JSON.stringify(one)
      const known = this.#places.get(key)
      if (known !== undefined) return known
      this.#places.set(key, this.all.length)
      return this.all.push(one) - 1
    })
    return (caller) => places[caller] ?? 0
  }
}

/** Events with their callers where those are in the whole list. */
function placed(events: readonly EventView[], place: (caller: number) => number): EventView[] {
  return events.map((event) =>
    event.type === 'tie' && event.caller !== undefined
      ? { ...event, caller: place(event.caller) }
      : event,
  )
}

interface Used {
  input: number
  output: number
  costMicros: number
}

/**
 * What models used. Several may tell of one call: Vestry that made it, the adapter of the client, a function around
 * that. The innermost that tells of it counts, and of the others only what is told nowhere below them.
 */
function totalsOf(items: readonly TraceItem[]): AgentTotals {
  let spans = 0
  let open = 0
  const walk = (all: readonly TraceItem[]): { used: Used; sure: Used } => {
    const used = { input: 0, output: 0, costMicros: 0 }
    /** Without calls that may belong elsewhere: what their span said still counts. */
    const sure = { ...used }
    for (const item of all) {
      const below = isSpan(item) ? walk(item.children) : measured(item)
      if (isSpan(item)) {
        spans += 1
        if (item.status === 'open') open += 1
        if (item.op === 'llm') addUntold(below, item.facts)
      }
      addTo(used, below.used)
      addTo(sure, below.sure)
    }
    return { used, sure }
  }
  const { used } = walk(items)
  return {
    spans,
    open,
    input_tokens: used.input,
    output_tokens: used.output,
    cost_micros: used.costMicros,
  }
}

/** What a span says of itself, where nothing below it says it for sure. */
function addUntold(
  { used, sure }: { used: Used; sure: Used },
  { input_tokens, output_tokens, cost_usd }: SpanItem['facts'],
): void {
  const isTold = sure.input + sure.output > 0
  const told = {
    input: isTold ? 0 : amount(input_tokens),
    output: isTold ? 0 : amount(output_tokens),
    costMicros: sure.costMicros > 0 ? 0 : Math.round(amount(cost_usd) * 1_000_000),
  }
  addTo(used, told)
  addTo(sure, told)
}

function measured(call: CallItem): { used: Used; sure: Used } {
  const used = { input: 0, output: 0, costMicros: 0 }
  const measure = ({ outcome, data, action, children }: TraceNode): void => {
    const { prompt, completion } = (outcome?.['usage'] ?? {}) as Record<string, unknown>
    const isPaidTool =
      action === 'tool.call' && outcome?.['code'] === 'OK' && outcome['cached'] !== true
    addTo(used, {
      input: amount(prompt),
      output: amount(completion),
      costMicros: amount(outcome?.['cost_micros']) + (isPaidTool ? amount(data['cost_micros']) : 0),
    })
    for (const child of children) measure(child)
  }
  measure(call)
  const isSure = call.attribution === undefined || !isGuess(call.attribution)
  return { used, sure: isSure ? used : { input: 0, output: 0, costMicros: 0 } }
}

function addTo(sum: Used, more: Used): void {
  sum.input += more.input
  sum.output += more.output
  sum.costMicros += more.costMicros
}

export function isSpan(item: TraceItem): item is SpanItem {
  return 'type' in item && item.type === 'span'
}

function extent(
  tree: TraceTree,
  groups: readonly TraceGroup[],
): Pick<TraceTree, 'started_at' | 'duration_ms'> {
  const treeStart = tree.started_at === null ? [] : [Date.parse(tree.started_at)]
  const starts = [...treeStart, ...groups.map(({ started_at }) => Date.parse(started_at))]
  // Events that belong to no trace have no extent.
  if (starts.length === 0) return { started_at: null, duration_ms: 0 }
  const startMs = Math.min(...starts)
  const ends = [
    ...treeStart.map((ms) => ms + tree.duration_ms),
    ...groups.map(({ started_at, duration_ms }) => Date.parse(started_at) + duration_ms),
  ]
  return {
    started_at: new Date(startMs).toISOString(),
    duration_ms: Math.max(...ends) - startMs,
  }
}

function walkCalls(nodes: readonly TraceNode[], visit: (node: TraceNode) => void): void {
  for (const node of nodes) {
    visit(node)
    walkCalls(node.children, visit)
  }
}

function inTime(items: readonly TraceItem[]): TraceItem[] {
  return [...items].sort((one, other) => Date.parse(one.at) - Date.parse(other.at))
}

function amount(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)]
}
