/**
 * Audit records of one id → the tree of what happened: who, by which token, decided how, with which lease, to what
 * end.
 */
import type { AuditRecord } from '../audit/record.ts'
import { TotalsCount, type TraceTotals } from './trace-totals.ts'

export interface TraceNode {
  readonly request_id: string | null
  readonly span_id: string | null
  readonly parent_span_id: string | null
  readonly at: string
  readonly actor: string
  readonly action: string
  readonly detail: string
  readonly decision: Readonly<Record<string, unknown>> | null
  readonly lease: unknown
  readonly data: Readonly<Record<string, unknown>>
  readonly outcome: Readonly<Record<string, unknown>> | null
  readonly seqs: readonly number[]
  /** Names that were resolved for it. */
  readonly lookups?: readonly TraceLookup[]
  readonly children: readonly TraceNode[]
}

export interface TraceLookup {
  readonly at: string
  readonly detail: string
  readonly data: Readonly<Record<string, unknown>>
  readonly seq: number
}

export interface TraceTree {
  readonly actors: readonly string[]
  readonly txns: readonly string[]
  readonly trace_ids: readonly string[]
  readonly started_at: string | null
  readonly duration_ms: number
  readonly totals: TraceTotals
  readonly spans: readonly TraceNode[]
}

export function traceTree(records: readonly AuditRecord[]): TraceTree {
  const byRequest = new Map<string, AuditRecord[]>()
  const lookups = lookupsIn(records)
  for (const record of records) {
    if (lookups.has(record)) continue
    const key = record.request_id ?? `#${record.seq}`
    const group = byRequest.get(key)
    if (group === undefined) byRequest.set(key, [record])
    else group.push(record)
  }
  const lookupsBy = Map.groupBy(lookups, ({ span }) => span?.span_id ?? '')
  const nodes = [...byRequest.values()].map((group) => {
    const node = nodeOf(group)
    const own = node.span_id === null ? undefined : lookupsBy.get(node.span_id)
    return own === undefined ? node : { ...node, lookups: own.map(lookupOf) }
  })
  const bySpan = new Map(
    nodes.flatMap((node) => (node.span_id === null ? [] : [[node.span_id, node] as const])),
  )
  const childrenOf = new Map<string, typeof nodes>()
  const roots: typeof nodes = []
  for (const node of nodes) {
    const parent = node.parent_span_id
    if (parent === null || parent === node.span_id || !bySpan.has(parent)) roots.push(node)
    else childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), node])
  }
  const { tops, callsOf } = byToken(roots)
  const grown = (node: (typeof nodes)[number]): TraceNode => ({
    ...node,
    children: [
      ...(node.span_id === null ? [] : (childrenOf.get(node.span_id) ?? [])),
      ...(callsOf.get(node) ?? []),
    ].map(grown),
  })
  const totals = new TotalsCount()
  for (const record of records) totals.add(record)
  const first = records[0]
  const last = records.at(-1)
  return {
    actors: unique(records.map(({ actor }) => actor)),
    txns: unique(records.map(({ txn }) => txn)),
    trace_ids: unique(records.map(({ span }) => span?.trace_id)),
    started_at: first?.timestamp ?? null,
    duration_ms:
      first === undefined || last === undefined
        ? 0
        : Date.parse(last.timestamp) - Date.parse(first.timestamp),
    totals: totals.value,
    spans: tops.map(grown),
  }
}

/** Lookups within a call that is told, too: they are lines of it, and no calls of their own. */
function lookupsIn(records: readonly AuditRecord[]): Set<AuditRecord> {
  const called = new Set(
    records.flatMap(({ action, span }) =>
      action === 'dns_query' || span === undefined ? [] : [span.span_id],
    ),
  )
  return new Set(
    records.filter(({ action, span }) => action === 'dns_query' && called.has(span?.span_id ?? '')),
  )
}

function lookupOf({ timestamp, detail, data, seq }: AuditRecord): TraceLookup {
  return { at: timestamp, detail, data: data ?? {}, seq }
}

/** What was done with a token hangs below the making of the token, unless a span says better. */
function byToken<N extends Omit<TraceNode, 'children'>>(
  roots: readonly N[],
): { tops: N[]; callsOf: Map<N, N[]> } {
  const minted = new Map(
    roots
      .filter(({ action }) => action === 'token.mint')
      .map((node) => [node.data['token'] ?? node.outcome?.['token'], node]),
  )
  const callsOf = new Map<N, N[]>()
  const tops: N[] = []
  for (const node of roots) {
    const mint = node.action === 'token.mint' ? undefined : minted.get(node.data['token'])
    if (mint === undefined || node.data['token'] === undefined) tops.push(node)
    else callsOf.set(mint, [...(callsOf.get(mint) ?? []), node])
  }
  return { tops, callsOf }
}

/** One request's records: its intent or refusal, and what came of it. */
function nodeOf(group: readonly AuditRecord[]): Omit<TraceNode, 'children'> {
  const [head] = group as [AuditRecord, ...AuditRecord[]]
  const decided = group.find(({ decision }) => decision !== undefined)
  const ended = group.find(({ outcome, phase }) => outcome !== undefined && phase !== 'intent')
  const data = Object.assign({}, ...group.map((record) => record.data ?? {})) as Record<
    string,
    unknown
  >
  return {
    request_id: head.request_id ?? null,
    span_id: head.span?.span_id ?? null,
    parent_span_id:
      head.span === undefined || head.span.parent_span_id === '' ? null : head.span.parent_span_id,
    at: head.timestamp,
    actor: head.actor,
    action: head.action,
    detail: head.detail,
    decision: decided?.decision === undefined ? null : { ...decided.decision },
    lease: data['lease'] ?? null,
    data,
    outcome: ended?.outcome === undefined ? null : { ...ended.outcome },
    seqs: group.map(({ seq }) => seq),
  }
}

function unique(values: readonly (string | undefined)[]): string[] {
  return [...new Set(values.filter((value) => value !== undefined))]
}
