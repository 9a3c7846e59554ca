/** Deletes old segments, leaving a signed tombstone that says so. Never touches a segment in part. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Signer, signTombstone } from './chain.ts'
import type { AuditEntry } from './record.ts'
import { firstRecord } from './recovery.ts'
import { listSegments, type Segment, syncDirectory } from './segment.ts'

export interface Pruned {
  /** Names of the deleted segments, oldest first. */
  files: string[]
  /** Last record that is gone; undefined when none is. */
  throughSeq: number | undefined
}

interface PruneOptions {
  dir: string
  beforeMs: number
  /** Lowest `seq` that must stay, 0 for no such bound. */
  keepFrom: number
  chain: string
  timestamp: string
  signer: Signer
  append: (entry: AuditEntry) => Promise<number>
}

/** The end of a segment, as the first record of its successor tells it. */
interface Ended {
  segment: Segment
  lastSeq: number
  lastHash: string
}

export async function pruneSegments(options: PruneOptions): Promise<Pruned> {
  const ended = await endedBefore(options)
  const last = ended.at(-1)
  if (last === undefined) return { files: [], throughSeq: undefined }
  const { chain, timestamp, signer, dir } = options
  const claim = { chain, seq: last.lastSeq, hash: last.lastHash, timestamp }
  const files = ended.map(({ segment }) => segment.name)
  // First the tombstone, then the deed: a crash in between leaves segments that a later prune takes,
  // and each of their ends is listed, so the log verifies from wherever it now begins.
  await options.append({
    action: 'audit_tombstone',
    phase: 'single',
    detail: `records up to ${last.lastSeq} deleted`,
    success: true,
    actor: 'system',
    source: 'collector',
    data: {
      ...signTombstone(signer, claim),
      segments: ended.map(({ segment, lastSeq, lastHash }) => ({
        file: segment.name,
        last_seq: lastSeq,
        last_hash: lastHash,
      })),
    },
  })
  for (const file of files) rmSync(join(dir, file), { force: true })
  syncDirectory(dir)
  return { files, throughSeq: last.lastSeq }
}

async function endedBefore({ dir, beforeMs, keepFrom }: PruneOptions): Promise<Ended[]> {
  const segments = listSegments(dir)
  const out: Ended[] = []
  for (const [index, segment] of segments.slice(0, -1).entries()) {
    const next = segments[index + 1]
    const opening = next === undefined ? undefined : await firstRecord(next.path)
    if (opening === undefined || Date.parse(opening.timestamp) > beforeMs) break
    const lastSeq = opening.seq - 1
    if (keepFrom !== 0 && lastSeq >= keepFrom) break
    out.push({ segment, lastSeq, lastHash: opening.prev })
  }
  return out
}
