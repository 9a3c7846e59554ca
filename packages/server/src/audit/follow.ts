/** Follows the log as it grows, over rotations, resuming by byte offset and `seq`. */
import { existsSync, statSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { linesForward } from './lines.ts'
import {
  accept,
  openIfThere,
  type ReadOptions,
  readTailFirst,
  type Stored,
  segmentsFrom,
} from './query.ts'
import { parseRecord } from './record.ts'
import { firstRecordOf } from './recovery.ts'
import { ACTIVE, listSegments, type Segment } from './segment.ts'

export interface FollowOptions extends ReadOptions {
  /** Begin after this record; at the present end when absent. */
  afterSeq?: number | undefined
  signal: AbortSignal
  /** Milliseconds between looks at the file. Default 100. */
  pollMs?: number | undefined
}

/** Ends when `signal` aborts; does not throw for it. Filtered like {@link ReadOptions}. */
export async function* followLog(
  dir: string,
  options: FollowOptions,
): AsyncGenerator<Stored, void> {
  const { signal, pollMs = 100 } = options
  const position = new Position(dir, options.afterSeq)
  try {
    while (!signal.aborted) {
      for await (const stored of position.more(options)) {
        if (signal.aborted) return
        yield stored
      }
      if (await position.moveOn()) continue
      await sleep(pollMs, undefined, { signal }).catch(() => {})
    }
  } finally {
    await position.close()
  }
}

class Position {
  readonly #dir: string
  #seq: number | undefined
  #handle: FileHandle | undefined
  #file = ''
  #firstSeq = 0
  #inode = 0
  #offset = 0
  /** The file was read to its end after its successor had been seen, so nothing more comes to it. */
  #drained = false

  constructor(dir: string, afterSeq: number | undefined) {
    this.#dir = dir
    this.#seq = afterSeq
  }

  /** What is there beyond the position. */
  async *more(options: ReadOptions): AsyncGenerator<Stored, void> {
    const handle = this.#handle
    if (handle === undefined) return
    const { size } = await handle.stat()
    // A writer that came back from a failed disk cut unsynced records off: read on from what stands.
    if (size < this.#offset) this.#offset = 0
    for await (const batch of linesForward(handle, this.#offset, size)) {
      for (const line of batch) {
        this.#offset = line.offset + line.length + 1
        const record = line.text === undefined ? undefined : parseRecord(line.text)
        if (record !== undefined && record.seq <= (this.#seq ?? 0)) continue
        if (record !== undefined) this.#seq = record.seq
        const stored = accept(line, this.#file, options, () => record)
        if (stored !== undefined) yield stored
      }
    }
  }

  /** Goes to the file that continues the present one. @returns false when there is nothing new. */
  async moveOn(): Promise<boolean> {
    const segments = listSegments(this.#dir)
    if (this.#handle === undefined) return this.#begin(segments)
    const next = segments.find((segment) => this.#follows(segment))
    if (next === undefined) return false
    if (this.#drained) return this.#open(next)
    this.#drained = true
    return true
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }

  #follows({ name, path, firstSeq }: Segment): boolean {
    if (name !== ACTIVE) return firstSeq > this.#firstSeq
    return statSync(path, { throwIfNoEntry: false })?.ino !== this.#inode
  }

  async #begin(segments: readonly Segment[]): Promise<boolean> {
    const after = this.#seq
    const newest = segments.at(-1)
    if (newest === undefined) return false
    if (after !== undefined)
      return this.#open(segmentsFrom(segments, after + 1).find(exists) ?? newest)
    // From the present end: the last record there is the one to come after.
    for await (const { record } of readTailFirst(this.#dir, 1)) this.#seq = record.seq
    return this.#open(newest)
  }

  /** @returns false when the file has no record yet, or by now is not the one that was meant. */
  async #open({ name, path }: Segment): Promise<boolean> {
    const handle = await openIfThere(path)
    if (handle === undefined) return false
    const first = await firstRecordOf(handle)
    // Between listing and opening the writer may have gone on to yet another segment.
    const skipped = this.#handle !== undefined && first !== undefined && first.seq > this.#next
    if (first === undefined || (skipped && name === ACTIVE)) {
      await handle.close()
      return false
    }
    await this.close()
    this.#handle = handle
    this.#file = name
    this.#firstSeq = first.seq
    this.#inode = (await handle.stat()).ino
    this.#offset = 0
    this.#drained = false
    return true
  }

  get #next(): number {
    return (this.#seq ?? 0) + 1
  }
}

function exists({ path }: Segment): boolean {
  return existsSync(path)
}
