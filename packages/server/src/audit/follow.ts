/** Follows the log as it grows, over rotations, resuming by byte offset and `seq`. */
import type { FileHandle } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { linesForward } from './lines.ts'
import { accept, openIfThere, type ReadOptions, type Stored, segmentsFrom } from './query.ts'
import { parseRecord } from './record.ts'
import { ACTIVE, listSegments } from './segment.ts'

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
  #inode = 0
  #offset = 0

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

  /** Opens the file that continues the present one. @returns false when there is none yet. */
  async moveOn(): Promise<boolean> {
    const segments = listSegments(this.#dir)
    if (this.#handle === undefined && this.#seq === undefined) {
      const newest = segments.at(-1)
      if (newest === undefined) return false
      await this.#open(newest)
      this.#offset = (await this.#handle?.stat())?.size ?? 0
      // Within a line just being written: from its beginning.
      this.#offset = await this.#lineStart(this.#offset)
      return false
    }
    const next = this.#seq === undefined ? segments : segmentsFrom(segments, this.#seq + 1)
    for (const segment of next) {
      const handle = await openIfThere(segment.path)
      if (handle === undefined) continue
      const { ino } = await handle.stat()
      await handle.close()
      if (ino === this.#inode) continue
      const first = segment.name === ACTIVE ? this.#newer(segments) : segment.firstSeq
      if (this.#handle !== undefined && first <= (this.#seq ?? 0)) continue
      await this.#open(segment)
      return true
    }
    return false
  }

  async close(): Promise<void> {
    await this.#handle?.close()
    this.#handle = undefined
  }

  /** The active segment comes after every finished one. */
  #newer(segments: readonly { firstSeq: number }[]): number {
    return Math.max(...segments.map(({ firstSeq }) => firstSeq), this.#seq ?? 0) + 1
  }

  async #open(segment: { name: string; path: string }): Promise<void> {
    await this.close()
    this.#handle = await openIfThere(segment.path)
    this.#file = segment.name
    this.#offset = 0
    this.#inode = (await this.#handle?.stat())?.ino ?? 0
  }

  async #lineStart(size: number): Promise<number> {
    if (this.#handle === undefined) return 0
    const { linesBackward } = await import('./lines.ts')
    for await (const [line] of linesBackward(this.#handle, size))
      return line === undefined ? 0 : line.offset + line.length + 1
    return 0
  }
}
