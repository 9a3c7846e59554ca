/**
 * Finds where a log ends after the last run: its last good record, bytes a crash left behind it, and
 * intents without outcome. Reads backwards from the end and only as far as these questions need.
 */
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { type Head, linkHash } from './chain.ts'
import { type Line, linesBackward } from './lines.ts'
import { OpenIntentsBackward } from './open-intents.ts'
import { type AuditRecord, canonicalOf, parseRecord } from './record.ts'
import { ACTIVE, type Segment } from './segment.ts'

/**
 * A crash of the machine can lose any part of what was not synced, not only the end of it. Records
 * younger than this before the last one are therefore read again; the sync interval is 100 ms.
 */
const RECHECK_MS = 2_000
const RECHECK_BYTES = 32 * 1_048_576

export interface Tail {
  /** The last good record and the segment that holds it: a finished one when the active one holds none. */
  last: AuditRecord | undefined
  holder: Segment | undefined
  /** Where the last good line of the active segment ends, in bytes. */
  end: number
  /** Bytes of the active segment after `end`: torn by a crash, or altered. */
  excess: number
  /** The last record is `audit_close`. */
  clean: boolean
  /** Intents without outcome, oldest first. */
  open: AuditRecord[]
  /** Hash found at `watch.seq`, when the scan came by it. */
  watched: string | undefined
}

/**
 * @param segments Oldest first.
 * @param watch A head to compare with on the way.
 */
export async function readTail(segments: readonly Segment[], watch?: Head): Promise<Tail> {
  const scan = new Scan(watch)
  for (const segment of segments.toReversed()) {
    const handle = await open(segment.path, 'r')
    try {
      if (await scan.through(handle, segment)) break
    } finally {
      await handle.close()
    }
  }
  return scan
}

class Scan implements Tail {
  last: AuditRecord | undefined
  holder: Segment | undefined
  end = 0
  excess = 0
  clean = false
  watched: string | undefined
  readonly #watch: Head | undefined
  #intents = new OpenIntentsBackward()
  #below: AuditRecord | undefined
  #scanned = 0
  /** No intent below this `seq` is open; undefined until a record said so. */
  #low: number | undefined

  constructor(watch: Head | undefined) {
    this.#watch = watch
  }

  get open(): AuditRecord[] {
    return this.#intents.open
  }

  /** @returns true when nothing older needs to be read. */
  async through(handle: FileHandle, segment: Segment): Promise<boolean> {
    const { size } = await handle.stat()
    const active = segment.name === ACTIVE
    if (active) this.excess = size
    for await (const batch of linesBackward(handle, size)) {
      for (const line of batch) if (this.#see(line, segment, active ? size : undefined)) return true
    }
    return false
  }

  /** @param size Of the active segment, while its lines are seen. */
  #see(line: Line, segment: Segment, size: number | undefined): boolean {
    const record = goodRecord(line)
    const fits =
      record !== undefined &&
      (this.#below === undefined ||
        (this.#below.seq === record.seq + 1 && this.#below.prev === record.hash))
    if (!fits && size !== undefined) {
      // Neither this line nor anything after it can be trusted: start again below it, or with it
      // when it is good by itself and only what follows does not fit.
      this.#restart(size)
      if (record === undefined) return false
    } else if (!fits) return true // an older segment is not ours to repair
    if (this.last === undefined) {
      this.last = record
      this.holder = segment
      if (size !== undefined) {
        this.end = line.offset + line.length + 1
        this.excess = size - this.end
      }
      this.clean = record.action === 'audit_close'
    }
    if (this.#watch?.seq === record.seq) this.watched = record.hash
    this.#intents.see(record)
    this.#below = record
    this.#scanned += line.length
    this.#low ??= openFrom(record)
    return this.#low !== undefined && record.seq <= this.#low && this.#rechecked(record)
  }

  #rechecked(record: AuditRecord): boolean {
    if (this.clean || this.#scanned > RECHECK_BYTES) return true
    const last = Date.parse(this.last?.timestamp ?? '')
    return !(last - Date.parse(record.timestamp) < RECHECK_MS)
  }

  #restart(size: number): void {
    this.last = undefined
    this.holder = undefined
    this.end = 0
    this.excess = size
    this.clean = false
    this.watched = undefined
    this.#intents = new OpenIntentsBackward()
    this.#below = undefined
    this.#low = undefined
  }
}

/**
 * Checkpoints, opens and closes carry `open_from`: the lowest open intent at that point. @returns the
 * `seq` down to which a scan must go, undefined when the record does not tell.
 */
function openFrom(record: AuditRecord): number | undefined {
  if (record.source !== 'collector') return undefined
  const from = record.data?.['open_from']
  if (typeof from !== 'number') return undefined
  return from === 0 ? record.seq : from
}

/** The record of a line that is whole, canonical and carries its own right hash. */
export function goodRecord(line: Line): AuditRecord | undefined {
  if (line.text === undefined) return undefined
  const record = parseRecord(line.text)
  if (record === undefined) return undefined
  try {
    const form = canonicalOf(record, line.text)
    if (form === undefined) return undefined
    return linkHash(record.prev, form.head, form.rest) === record.hash ? record : undefined
  } catch {
    return undefined // e.g. a number that overflows, or nesting deeper than the stack
  }
}
