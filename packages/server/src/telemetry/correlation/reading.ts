/** Reads the part of the log that correlation needs, cut down record by record, never more than it may hold. */
import type { AdminDeps } from '../../admin/deps.ts'
import type { AuditFilter } from '../../audit/filter.ts'
import type { AuditRecord } from '../../audit/record.ts'
import { type Fact, factOf } from './correlate.ts'

const PAGE = 1_000

/** Spans of others that began before, and may still run. */
const BEFORE_MS = 60_000
/** What was announced, and what was late. */
const AFTER_MS = 3_000

export interface Part {
  /** Oldest first. */
  readonly facts: Fact[]
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
  return { facts: facts.reverse(), truncated, isWhole: below === 1 }
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
