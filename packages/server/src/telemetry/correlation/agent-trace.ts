/**
 * What was recorded under one id as a tree: spans of agents, below them what they made Vestry do, each call with its
 * decision, its lease and its outcome. Pure.
 */
import { type TraceNode, type TraceTree, traceTree } from '../../admin/trace.ts'
import type { AuditRecord } from '../../audit/record.ts'
import {
  type CallerView,
  correlateFacts,
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
export function agentTrace(records: readonly AuditRecord[], around: Surroundings): AgentTrace {
  const bySeq = new Map<number, AuditRecord>(around.effects)
  for (const record of records) bySeq.set(record.seq, record)
  const wanted = new Set(
    records.flatMap(({ source, span }) =>
      source === 'coat' && span !== undefined ? [span.trace_id] : [],
    ),
  )
  const groups = correlateFacts(merged(around.facts, records)).traces.filter(({ trace_id }) =>
    wanted.has(trace_id),
  )
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
  const tree = traceTree(calls)
  return assembled(tree, groups, causes)
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
  readonly traceId: string
  readonly spanId: string
  readonly effect: EffectView
}

/** Record → the span it hangs below. */
function causesIn(groups: readonly TraceGroup[]): Map<number, Cause> {
  const causes = new Map<number, Cause>()
  const walk = (traceId: string, spans: readonly SpanView[]): void => {
    for (const span of spans) {
      for (const event of span.events) {
        if (event.type !== 'effect') continue
        for (const seq of event.seqs)
          causes.set(seq, { traceId, spanId: span.span_id, effect: event })
      }
      walk(traceId, span.spans)
    }
  }
  for (const { trace_id, spans } of groups) walk(trace_id, spans)
  return causes
}

function assembled(
  tree: TraceTree,
  groups: readonly TraceGroup[],
  causes: ReadonlyMap<number, Cause>,
): AgentTrace {
  const callsOf = new Map<string, CallItem[]>()
  const shown = new Set<number>()
  const tops: TraceItem[] = []
  for (const node of tree.spans) {
    for (const seq of node.seqs) shown.add(seq)
    const cause = node.seqs.map((seq) => causes.get(seq)).find((one) => one !== undefined)
    if (cause === undefined) {
      tops.push(node)
      continue
    }
    const key = `${cause.traceId}\n${cause.spanId}`
    callsOf.set(key, [
      ...(callsOf.get(key) ?? []),
      { ...node, attribution: cause.effect.attribution },
    ])
  }
  walkCalls(tree.spans, ({ seqs, lookups }) => {
    for (const seq of [...seqs, ...(lookups ?? []).map((lookup) => lookup.seq)]) shown.add(seq)
  })
  const item = (trace: TraceGroup, { spans, events, ...span }: SpanView): SpanItem => ({
    type: 'span',
    trace_id: trace.trace_id,
    ...span,
    // What is a call below it is not a line as well.
    events: events.filter(
      (event) => event.type === 'tie' || !event.seqs.some((seq) => shown.has(seq)),
    ),
    children: inTime([
      ...spans.map((child) => item(trace, child)),
      ...(callsOf.get(`${trace.trace_id}\n${span.span_id}`) ?? []),
    ]),
  })
  const items = groups.flatMap((trace) => trace.spans.map((span) => item(trace, span)))
  const callers = new Map(
    groups.flatMap((trace) => trace.callers).map((one) => [JSON.stringify(one), one]),
  )
  const spans = inTime([...tops, ...items])
  const { startMs, endMs } = extent(tree, groups)
  return {
    ...tree,
    callers: [...callers.values()],
    run_ids: unique(groups.flatMap(({ run_ids }) => run_ids)),
    session_ids: unique(groups.flatMap(({ session_ids }) => session_ids)),
    trace_ids: unique([...groups.map(({ trace_id }) => trace_id), ...tree.trace_ids]),
    started_at: new Date(startMs).toISOString(),
    duration_ms: endMs - startMs,
    agents: totalsOf(items),
    spans,
    events: groups.flatMap(({ events }) => events),
  }
}

function totalsOf(items: readonly TraceItem[]): AgentTotals {
  const total = { spans: 0, open: 0, input_tokens: 0, output_tokens: 0, cost_micros: 0 }
  const walk = (all: readonly TraceItem[]): void => {
    for (const item of all) {
      if (!isSpan(item)) {
        measure(item)
        continue
      }
      total.spans += 1
      if (item.status === 'open') total.open += 1
      if (item.op === 'llm' && !item.children.some(isMeasured)) {
        const { input_tokens, output_tokens, cost_usd } = item.facts
        total.input_tokens += amount(input_tokens)
        total.output_tokens += amount(output_tokens)
        total.cost_micros += Math.round(amount(cost_usd) * 1_000_000)
      }
      walk(item.children)
    }
  }
  const measure = ({ outcome, children }: TraceNode): void => {
    const { prompt, completion } = (outcome?.['usage'] ?? {}) as Record<string, unknown>
    total.input_tokens += amount(prompt)
    total.output_tokens += amount(completion)
    total.cost_micros += amount(outcome?.['cost_micros'])
    for (const child of children) measure(child)
  }
  walk(items)
  return total
}

/** A call whose use of a model was counted. A guess may belong to another span: what that one said still counts. */
function isMeasured(item: TraceItem): boolean {
  if (isSpan(item) || item.outcome?.['usage'] === undefined) return false
  return item.attribution === undefined || !isGuess(item.attribution)
}

export function isSpan(item: TraceItem): item is SpanItem {
  return 'type' in item && item.type === 'span'
}

function extent(
  tree: TraceTree,
  groups: readonly TraceGroup[],
): { startMs: number; endMs: number } {
  const treeStart = tree.started_at === null ? [] : [Date.parse(tree.started_at)]
  const starts = [...treeStart, ...groups.map(({ started_at }) => Date.parse(started_at))]
  const ends = [
    ...treeStart.map((ms) => ms + tree.duration_ms),
    ...groups.map(({ started_at, duration_ms }) => Date.parse(started_at) + duration_ms),
  ]
  return { startMs: Math.min(...starts), endMs: Math.max(...ends) }
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
