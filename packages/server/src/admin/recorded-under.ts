/**
 * Everything that was recorded under one id, whatever kind of id it is: found by the index where that knows it,
 * else by looking through the newest records of the gateway.
 */
import type { AuditIndex } from '../audit/audit-index.ts'
import type { AuditFilter } from '../audit/filter.ts'
import type { AuditLog } from '../audit/log.ts'
import type { Stored } from '../audit/query.ts'
import type { AuditRecord } from '../audit/record.ts'
import { TotalsCount, type TraceTotals } from './trace-totals.ts'

/** What one answer holds at most. */
export const TRACE_RECORDS = 2_000
/** Events of agents that one answer is made of: they are small. */
export const TRACE_EVENTS = 10_000
/** Records of one kind that are read for an id the index does not know. */
const LOOK_THROUGH = 20_000
/** So many requests are completed, and the making of so many tokens is shown. */
const MAX_REQUESTS = 64
const PAGE = 1_000
/** Records that are counted for the totals of one transaction. */
const MAX_COUNTED = 200_000

type Index = Pick<AuditIndex, 'find'>

interface Recorded {
  readonly vault: { readonly stations: { readonly audit: Pick<AuditLog, 'flush'> } }
  readonly auditIndex: Pick<AuditIndex, 'find' | 'catchUp'>
}

/** Oldest first; calls with a gateway token come with the making of the token. */
export async function recordedUnder(
  { vault, auditIndex }: Recorded,
  id: string,
  signal: AbortSignal,
): Promise<AuditRecord[]> {
  await vault.stations.audit.flush()
  await auditIndex.catchUp()
  const found = await under(auditIndex, id, signal)
  const events = await eventsOf(auditIndex, id, found, signal)
  // What an agent did through us is in the traces of its events, also where the id is only known there.
  const calls = id.startsWith('dec_') ? [] : await callsIn(auditIndex, events, signal)
  const all = inOrder([...found, ...calls, ...events])
  return inOrder([...(await mintsOf(auditIndex, all, signal)), ...all])
}

/** Events of agents in the traces of these records, and those that name the id themselves. */
async function eventsOf(
  index: Index,
  id: string,
  found: readonly AuditRecord[],
  signal: AbortSignal,
): Promise<AuditRecord[]> {
  const events: AuditRecord[] = []
  if (isIdOfAgent(id)) {
    const named = await pages(index, { source: 'coat' }, signal, (record) => isNamedBy(record, id))
    events.push(...named)
  }
  for (const traceId of tracesOf([...found, ...events], id)) {
    if (events.length >= TRACE_EVENTS) break
    events.push(...records(await index.find({ traceId, source: 'coat' }, TRACE_EVENTS)))
    signal.throwIfAborted()
  }
  return events
}

/** What Vestry recorded in the traces of these events. */
async function callsIn(
  index: Index,
  events: readonly AuditRecord[],
  signal: AbortSignal,
): Promise<AuditRecord[]> {
  const calls: AuditRecord[] = []
  for (const traceId of new Set(tracesOf(events, '').map((id) => id.replace(/^tr_/, '')))) {
    if (calls.length >= TRACE_RECORDS) break
    calls.push(...records(await index.find({ traceId }, TRACE_RECORDS)))
    signal.throwIfAborted()
  }
  return calls
}

/** Ids of traces as agents write them. */
function tracesOf(found: readonly AuditRecord[], id: string): string[] {
  const ids = found.map(({ span }) => span?.trace_id ?? '').filter((trace) => trace !== '')
  const own = id.startsWith('tr_') || /^[0-9a-f]{32}$/.test(id) ? [id] : []
  const all = [...own, ...ids].map((trace) => (trace.startsWith('tr_') ? trace : `tr_${trace}`))
  return [...new Set(all)].slice(0, MAX_REQUESTS)
}

/** Kinds of ids that stand in events of agents, and in no index. */
function isIdOfAgent(id: string): boolean {
  return /^(?:sp|run|jti|sess)_/.test(id) || /^[0-9a-f]{16}$/.test(id)
}

function isNamedBy({ event, span }: AuditRecord, id: string): boolean {
  const { ids, envpod } = (event ?? {}) as Record<string, Record<string, unknown> | undefined>
  if (span?.span_id === id || span?.span_id === `sp_${id}`) return true
  return [ids?.['run_id'], ids?.['session_id'], envpod?.['agent_claim_id']].includes(id)
}

/** Those among the newest that match a filter for which `accept` holds. */
async function pages(
  index: Index,
  filter: AuditFilter,
  signal: AbortSignal,
  accept: (record: AuditRecord) => boolean,
): Promise<AuditRecord[]> {
  const found: AuditRecord[] = []
  let below: number | undefined
  for (let seen = 0; seen < LOOK_THROUGH && found.length < TRACE_RECORDS; seen += PAGE) {
    const page = records(await index.find(filter, PAGE, below))
    signal.throwIfAborted()
    found.push(...page.filter(accept))
    below = page.at(-1)?.seq
    if (page.length < PAGE) break
  }
  return found
}

/** What all calls of a transaction come to, also of those that no answer has room for. */
export async function totalsUnder(
  { auditIndex }: Recorded,
  txn: string,
  signal: AbortSignal,
): Promise<TraceTotals> {
  const count = new TotalsCount()
  let below: number | undefined
  for (let seen = 0; seen < MAX_COUNTED; seen += PAGE) {
    const page = records(await auditIndex.find({ txn }, PAGE, below))
    signal.throwIfAborted()
    for (const record of page) count.add(record)
    below = page.at(-1)?.seq
    if (page.length < PAGE) break
  }
  return count.value
}

/** Whether a record is about the decision, request or job that people know by this id. */
export function namesCall({ decision, request_id, data, outcome }: AuditRecord, id: string) {
  if (decision?.id === id || request_id === id) return true
  const { correlation_id, job, execution, claim_id } = data ?? {}
  return [correlation_id, job, execution, claim_id, outcome?.['job']].includes(id)
}

function names(record: AuditRecord, id: string): boolean {
  const { data, outcome } = record
  return (
    namesCall(record, id) || [data?.['token'], outcome?.['token'], outcome?.['txn']].includes(id)
  )
}

async function under(index: Index, id: string, signal: AbortSignal): Promise<AuditRecord[]> {
  const filter = filterForId(id)
  const known = filter === undefined ? [] : records(await index.find(filter, TRACE_RECORDS))
  signal.throwIfAborted()
  if (known.length === 0 && !/^(?:tr|sp)_/.test(id)) {
    const run = await ofRun(index, id, signal)
    if (run.length > 0) return run
    return wholeRequests(index, await lookThrough(index, id, signal), signal)
  }
  // A decision is one record; what came of it shares its request.
  return id.startsWith('dec_') ? wholeRequests(index, known, signal) : known
}

/** A run is the transaction of what happens in it; operators registered and closed it in transactions of their own. */
async function ofRun(index: Index, id: string, signal: AbortSignal): Promise<AuditRecord[]> {
  const own = records(await index.find({ txn: id }, TRACE_RECORDS))
  signal.throwIfAborted()
  const about: AuditRecord[] = []
  for (const action of ['run.register', 'run.close']) {
    const page = records(await index.find({ source: 'admin', action }, PAGE))
    signal.throwIfAborted()
    about.push(...page.filter(({ outcome }) => outcome?.['run_txn'] === id))
  }
  return [...(await wholeRequests(index, about, signal)), ...own]
}

/** Ids name their kind; all others are looked for. */
function filterForId(id: string): AuditFilter | undefined {
  if (id.startsWith('dec_')) return { decisionId: id }
  if (id.startsWith('txn_')) return { txn: id }
  if (id.startsWith('r-')) return { requestId: id }
  // Agents may write shorter ones, which are known under no other name.
  if (id.startsWith('tr_') && !/^tr_[0-9a-f]{32}$/.test(id)) return { traceId: id }
  const traceId = id.replace(/^tr_/, '')
  return /^[0-9a-f]{32}$/.test(traceId) ? { traceId } : undefined
}

/** Correlation ids are the clients' own, and ids of tokens and jobs stand among the facts: no index has them. */
async function lookThrough(index: Index, id: string, signal: AbortSignal): Promise<AuditRecord[]> {
  const found: AuditRecord[] = []
  const sources = id.startsWith('jti_')
    ? [{ source: 'identity' }]
    : [{ source: 'gateway' }, OPERATORS_MINTS]
  for (const filter of sources)
    found.push(...(await pages(index, filter, signal, (record) => names(record, id))))
  return found
}

/** Not every record of a request names the id. */
async function wholeRequests(
  index: Index,
  some: readonly AuditRecord[],
  signal: AbortSignal,
): Promise<AuditRecord[]> {
  const all = [...some]
  const requests = new Set(some.map(({ request_id }) => request_id))
  for (const requestId of [...requests].slice(0, MAX_REQUESTS)) {
    if (requestId === undefined) continue
    all.push(...records(await index.find({ requestId }, TRACE_RECORDS)))
    signal.throwIfAborted()
  }
  return all
}

/** An operator makes a token within a session of its own; the token is among what came of it. */
const OPERATORS_MINTS = { source: 'admin', action: 'token.mint' } as const

/** How the tokens came about that these calls showed. */
async function mintsOf(
  index: Index,
  calls: readonly AuditRecord[],
  signal: AbortSignal,
): Promise<AuditRecord[]> {
  const shown = new Map<unknown, string | undefined>(
    calls
      .filter(({ data }) => typeof data?.['token'] === 'string')
      .map(({ data, txn }) => [data?.['token'], txn]),
  )
  for (const { action, data } of calls) if (action === 'token.mint') shown.delete(data?.['token'])
  const minted: AuditRecord[] = []
  for (const [token, txn] of [...shown].slice(0, MAX_REQUESTS)) {
    if (txn === undefined) continue
    const own = records(await index.find({ txn, action: 'token.mint' }, 1))
    signal.throwIfAborted()
    if (own.length > 0) shown.delete(token)
    minted.push(...own)
  }
  if (shown.size === 0) return minted
  const byOperators = records(await index.find(OPERATORS_MINTS, PAGE))
  const made = byOperators.filter(({ outcome }) => shown.has(outcome?.['token']))
  const requests = new Set(made.map(({ request_id }) => request_id))
  return [...minted, ...byOperators.filter(({ request_id }) => requests.has(request_id))]
}

function inOrder(all: readonly AuditRecord[]): AuditRecord[] {
  const once = new Map(all.map((record) => [record.seq, record]))
  return [...once.values()].sort((one, other) => one.seq - other.seq)
}

function records(stored: readonly Stored[]): AuditRecord[] {
  return stored.map(({ record }) => record)
}
