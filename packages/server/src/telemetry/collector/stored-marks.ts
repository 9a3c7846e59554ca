/**
 * What the log says was stored of each producer before this daemon began: read backwards once, when the first
 * producer comes that may have spoken to the daemon before.
 */
import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { linesBackward } from '../../audit/lines.ts'
import { parseRecord } from '../../audit/record.ts'
import { listSegments } from '../../audit/segment.ts'
import { isRecord } from './envelope.ts'
import { Sequence } from './sequence.ts'

/** A producer resends only what was not acknowledged, so what is older than this needs no looking at. */
const MAX_BYTES = 128 * 1_048_576
const MAX_NUMBERS = 400_000

export type StoredMarks = ReadonlyMap<string, Sequence>

/** Where the log ended at some moment: the file, whatever it is called by now, and how long it was. */
export interface LogEnd {
  readonly inode: number
  readonly bytes: number
}

/** @returns undefined when there is no file yet. */
export function logEnd(dir: string): LogEnd | undefined {
  const active = listSegments(dir).at(-1)
  const found = active && statSync(active.path, { throwIfNoEntry: false })
  return found && { inode: found.ino, bytes: found.size }
}

/**
 * @param dir Of the log.
 * @param before Records from this one on are ours already.
 * @param end Where the log ended when this daemon began: what we have written since then says nothing, and there may
 *   be more of it than is read.
 * @returns Sequences by the key of their producer. What cannot be read is left out: an event may then be stored
 *   twice, and none is lost.
 */
export async function readStoredMarks(
  dir: string,
  before: number,
  end: LogEnd | undefined,
  maxBytes = MAX_BYTES,
): Promise<StoredMarks> {
  const numbers = new Map<string, number[]>()
  let bytes = 0
  let count = 0
  let reached = false
  for (const segment of listSegments(dir).toReversed()) {
    if (bytes > maxBytes || count > MAX_NUMBERS) break
    const handle = await open(segment.path, 'r').catch(() => undefined)
    if (handle === undefined) continue // just now renamed, or pruned
    try {
      const { ino, size } = await handle.stat()
      const here = ino === end?.inode
      if (end !== undefined && !reached && !here) continue // begun after us
      reached = true
      for await (const batch of linesBackward(handle, here ? Math.min(size, end.bytes) : size)) {
        for (const { text, length } of batch) {
          bytes += length
          const found = text === undefined ? undefined : numberIn(text, before)
          if (found === undefined) continue
          count += 1
          const known = numbers.get(found.key)
          if (known === undefined) numbers.set(found.key, [found.seq])
          else known.push(found.seq)
        }
        if (bytes > maxBytes || count > MAX_NUMBERS) break
      }
    } finally {
      await handle.close()
    }
  }
  return new Map([...numbers].map(([key, seen]) => [key, sequenceOf(seen)]))
}

function numberIn(text: string, before: number): { key: string; seq: number } | undefined {
  if (!text.startsWith('{"action":"agent_event"')) return undefined
  const record = parseRecord(text)
  if (record === undefined || record.seq >= before) return undefined
  const { envpod, producer } = record.event ?? {}
  if (!isRecord(envpod) || !isRecord(producer)) return undefined
  const { pid, start_time } = envpod
  const { id, seq } = producer
  if (typeof start_time !== 'string' || typeof seq !== 'number') return undefined
  return { key: `${String(pid)} ${start_time} ${String(id)}`, seq }
}

/** Older numbers than were found have been acknowledged. */
function sequenceOf(seen: number[]): Sequence {
  seen.sort((a, b) => a - b)
  const sequence = new Sequence(seen[0] ?? 1)
  for (const seq of seen) sequence.take(seq)
  return sequence
}
