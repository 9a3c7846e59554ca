/**
 * The active segment as its writer sees it: how far it is written, how far it is on disk, and what lies
 * in between. Knows records only as things to be placed; when to write and to sync is decided above.
 */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import type { Head } from './chain.ts'
import type { Pending } from './pending.ts'
import type { PreviousSegment, Recovered } from './recovery.ts'
import { ACTIVE, type LogFile, type OpenLogFile, segmentName, syncDirectory } from './segment.ts'

/** Written in one go before other work gets its turn: about 2 ms. */
const BATCH_BYTES = 524_288

export class ChainFile {
  readonly #dir: string
  readonly #openFile: OpenLogFile
  readonly #batch = Buffer.allocUnsafeSlow(BATCH_BYTES)
  /** The batch being filled: `#batch`, or a bigger one for a record that does not fit there. */
  #buffer = this.#batch
  #filled = 0
  #batchBegin = 0

  #file: LogFile
  #closed: Promise<void> = Promise.resolve()
  #seq: number
  #hash: string
  #offset: number
  #synced: Head & { offset: number }
  #firstSeq: number
  #openedAtMs: number

  #unsynced: Pending[] = []
  #waiting = 0
  #syncing = false
  /** Raised by every failure, so that a sync begun before it is not taken for one after it. */
  #epoch = 0

  constructor(dir: string, openFile: OpenLogFile, found: Recovered) {
    this.#dir = dir
    this.#openFile = openFile
    this.#seq = found.head.seq
    this.#hash = found.head.hash
    this.#offset = found.offset
    this.#synced = { ...found.head, offset: found.offset }
    this.#firstSeq = found.firstSeq
    this.#openedAtMs = found.openedAtMs
    this.#file = openFile(join(dir, ACTIVE), found.offset === 0)
    syncDirectory(dir)
  }

  /** The last record placed. */
  get head(): Head {
    return { seq: this.#seq, hash: this.#hash }
  }

  /** The last record on disk. */
  get syncedHead(): Head {
    return { seq: this.#synced.seq, hash: this.#synced.hash }
  }

  /** Bytes written to the segment. */
  get size(): number {
    return this.#offset
  }

  get openedAtMs(): number {
    return this.#openedAtMs
  }

  /** Records, and barriers between them, that are not known to be on disk. */
  get unsynced(): number {
    return this.#unsynced.length
  }

  /** Those of them that somebody waits for. */
  get waiting(): number {
    return this.#waiting
  }

  /** The file was deleted under us. */
  get gone(): boolean {
    return this.#file.gone
  }

  /**
   * Places a record at the end of the chain, for {@link write} to write.
   *
   * @param reserve Bytes that must stay free behind it.
   * @returns false when the batch is full; nothing happened then.
   */
  put(item: Pending, reserve: number): boolean {
    if (!item.barrier) {
      const room = item.chars * 3 + 512 + reserve
      if (this.#filled + room > this.#buffer.length) {
        if (this.#filled > 0) return false
        this.#buffer = Buffer.allocUnsafeSlow(room)
      }
      const seq = this.#seq + 1
      this.#filled = item.place(this.#hash, seq, this.#buffer, this.#filled)
      this.#seq = seq
      this.#hash = item.hash
    }
    this.#unsynced.push(item)
    if (item.kind === 'synced') this.#waiting += 1
    return true
  }

  /** Writes the batch. @returns What it held. @throws as the file system does; then {@link rollBack}. */
  write(): Pending[] {
    const bytes = this.#filled
    const buffer = this.#buffer
    this.#filled = 0
    this.#buffer = this.#batch
    if (bytes > 0) this.#file.write(buffer.subarray(0, bytes))
    this.#offset += bytes
    const batch = this.#unsynced.slice(this.#batchBegin)
    this.#batchBegin = this.#unsynced.length
    return batch
  }

  /**
   * @returns What is on disk now and was not before; undefined when there was nothing to do, one is
   *   under way, or a failure came in between.
   * @throws as the file system does, or after `timeoutMs`; then {@link rollBack}.
   */
  async sync(timeoutMs: number): Promise<Pending[] | undefined> {
    if (this.#syncing || this.#unsynced.length === 0) return undefined
    this.#syncing = true
    const epoch = this.#epoch
    const count = this.#unsynced.length
    const reached = { seq: this.#seq, hash: this.#hash, offset: this.#offset }
    try {
      await within(this.#file.sync(), timeoutMs)
    } catch (cause) {
      if (epoch !== this.#epoch) return undefined
      throw cause
    }
    if (epoch !== this.#epoch) return undefined
    this.#syncing = false
    this.#synced = reached
    const done = this.#unsynced.splice(0, count)
    this.#batchBegin -= count
    for (const item of done) if (item.kind === 'synced') this.#waiting -= 1
    return done
  }

  /**
   * Falls back to the last synced record: nothing after it is certain to be on disk, even where write()
   * had returned. @returns What was after it, in order.
   */
  rollBack(): Pending[] {
    this.#epoch += 1
    this.#syncing = false
    this.#waiting = 0
    this.#seq = this.#synced.seq
    this.#hash = this.#synced.hash
    this.#offset = this.#synced.offset
    const dropped = this.#unsynced
    this.#unsynced = []
    this.#batchBegin = 0
    this.#filled = 0
    this.#closed = this.#file.close().catch(() => {})
    return dropped
  }

  /** After {@link rollBack}: opens the file again and cuts off what follows the last synced record. */
  async reopen(): Promise<void> {
    // A sync that hangs still holds the old descriptor; until it ends, the disk is not back.
    await this.#closed
    const { offset } = this.#synced
    const file = this.#openFile(join(this.#dir, ACTIVE), offset === 0)
    try {
      if (file.size < offset)
        throw new Error('the active segment is shorter than what was written to it')
      file.truncate(offset)
      if (offset === 0) syncDirectory(this.#dir)
    } catch (cause) {
      this.#closed = file.close().catch(() => {})
      throw cause
    }
    this.#file = file
  }

  /**
   * Gives the active segment, all of it on disk, its final name. The next one exists after
   * {@link beginSegment}. @throws as rename does; nothing happened then.
   */
  endSegment(nowMs: number): PreviousSegment {
    const file = segmentName(this.#firstSeq)
    renameSync(join(this.#dir, ACTIVE), join(this.#dir, file))
    this.#offset = 0
    this.#synced.offset = 0
    this.#firstSeq = this.#seq + 1
    this.#openedAtMs = nowMs
    return { file, ...this.head }
  }

  /** @throws as the file system does; then {@link rollBack}, and {@link reopen} begins it. */
  beginSegment(): void {
    void this.#file.close()
    this.#file = this.#openFile(join(this.#dir, ACTIVE), true)
    syncDirectory(this.#dir)
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer from the disk for ${ms} ms`)), ms)
  })
  try {
    await Promise.race([work, limit])
  } finally {
    clearTimeout(timer)
  }
}
