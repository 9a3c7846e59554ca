/** Reads the part of the log that correlation needs, cut down record by record, never more than it may hold. */
import type { AdminDeps } from '../../admin/deps.ts'
import type { AuditFilter } from '../../audit/filter.ts'
import type { AuditRecord } from '../../audit/record.ts'
import { processKey } from './coat-event.ts'
import { type Fact, factOf } from './correlate.ts'

const PAGE = 1_000

/** Spans of others that began before, and may still run. */
const BEFORE_MS = 60_000
/** What was announced, and what was late. */
const AFTER_MS = 3_000

/** Earlier events that are looked through for what had begun before a part, and may still run. */
const MAX_LEAD = 20_000

export interface Part {
  /** Oldest first, with earlier events of the processes in it before them. */
  readonly facts: Fact[]
  /** The first record of the part itself. */
  readonly fromSeq: number
  /** Older records match, and were left out. */
  readonly truncated: boolean
  /** The oldest record of the log is among them. */
  readonly isWhole: boolean
}

export interface ReadPart {
  readonly filter: AuditFilter
  /** Records read at most, the newest. */
  readonly limit: number
  readonly signal: AbortSignal
  /** Called for each record before it is cut down. */
  readonly onRecord?: (record: AuditRecord) => void
}

export async function readPart(
  { vault, auditIndex }: Pick<AdminDeps, 'vault' | 'auditIndex'>,
  { filter, limit, signal, onRecord }: ReadPart,
): Promise<Part> {
  await vault.stations.audit.flush()
  await auditIndex.catchUp()
  const facts: Fact[] = []
  let below: number | undefined
  let read = 0
  let truncated = false
  for (;;) {
    // One more than may be read, to know whether there is more.
    const wanted = Math.min(PAGE, limit - read + 1)
    const page = await auditIndex.find(filter, wanted, below)
    signal.throwIfAborted()
    for (const { record } of page) {
      if (read === limit) {
        truncated = true
        break
      }
      read += 1
      onRecord?.(record)
      const fact = factOf(record)
      if (fact !== undefined) facts.push(fact)
      below = record.seq
    }
    if (truncated || page.length < wanted) break
  }
  facts.reverse()
  const lead =
    below === undefined || below === 1 ? [] : await leadIn(auditIndex, facts, below, signal)
  return { facts: [...lead, ...facts], fromSeq: below ?? 0, truncated, isWhole: below === 1 }
}

/** Earlier events of the processes in a part, back to the first one of each producer. */
async function leadIn(
  auditIndex: Pick<AdminDeps['auditIndex'], 'find'>,
  facts: readonly Fact[],
  fromSeq: number,
  signal: AbortSignal,
): Promise<Fact[]> {
  const processes = new Set<string>()
  const wanted = new Set<string>()
  const seen = new Set<string>()
  for (const { event } of facts) {
    if (event?.producer === undefined) continue
    const process = processKey(event.caller)
    const producer = `${event.producer.id}:${process}`
    processes.add(process)
    if (!seen.has(producer) && event.producer.seq > 1) wanted.add(producer)
    seen.add(producer)
  }
  const lead: Fact[] = []
  let below = fromSeq
  for (let read = 0; read < MAX_LEAD && wanted.size > 0; read += PAGE) {
    const page = await auditIndex.find({ source: 'coat' }, PAGE, below)
    signal.throwIfAborted()
    for (const { record } of page) {
      below = record.seq
      const fact = factOf(record)
      if (fact?.event === undefined || !processes.has(processKey(fact.event.caller))) continue
      lead.push(fact)
      const { producer, caller } = fact.event
      if (producer?.seq === 1) wanted.delete(`${producer.id}:${processKey(caller)}`)
    }
    if (page.length < PAGE) break
  }
  return lead.reverse()
}

/** The time around some records, within which others may have to do with them. */
export function timeAround(records: readonly AuditRecord[]): AuditFilter {
  const times = records.map(({ timestamp }) => Date.parse(timestamp))
  return {
    sinceMs:
      times.reduce((one, other) => Math.min(one, other), Number.MAX_SAFE_INTEGER) - BEFORE_MS,
    untilMs: times.reduce((one, other) => Math.max(one, other), 0) + AFTER_MS,
  }
}
