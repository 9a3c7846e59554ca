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
/** Records of the gateway that are read for an id the index does not know. */
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
  return inOrder([...(await mintsOf(auditIndex, found, signal)), ...found])
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
  const { correlation_id, job, execution } = data ?? {}
  return [correlation_id, job, execution, outcome?.['job']].includes(id)
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
  if (known.length === 0) {
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
  const traceId = id.replace(/^tr_/, '')
  return /^[0-9a-f]{32}$/.test(traceId) ? { traceId } : undefined
}

/** Correlation ids are the clients' own, and ids of tokens and jobs stand among the facts: no index has them. */
async function lookThrough(index: Index, id: string, signal: AbortSignal): Promise<AuditRecord[]> {
  const found: AuditRecord[] = []
  for (const filter of [{ source: 'gateway' }, OPERATORS_MINTS]) {
    let below: number | undefined
    for (let seen = 0; seen < LOOK_THROUGH && found.length < TRACE_RECORDS; seen += PAGE) {
      const page = records(await index.find(filter, PAGE, below))
      signal.throwIfAborted()
      found.push(...page.filter((record) => names(record, id)))
      below = page.at(-1)?.seq
      if (page.length < PAGE) break
    }
  }
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
