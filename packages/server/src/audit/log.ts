/**
 * The one writer of the audit log: takes entries, links them into the chain, and acknowledges each
 * as durable as its caller asked. While the disk refuses, intents are refused too; nothing else is.
 */
import { mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { GENESIS, type Head, type SignedHead, type Signer, signHead } from './chain.ts'
import { HeadFile } from './head-file.ts'
import { OpenIntents } from './open-intents.ts'
import { Outage } from './outage.ts'
import { Pending, type PendingKind } from './pending.ts'
import { type AuditEntry, type AuditRecord, charsOf, fragments, pairKey } from './record.ts'
import { type PreviousSegment, type Recovered, recoverLog } from './recovery.ts'
import { type Pruned, pruneSegments } from './retention.ts'
import {
  ACTIVE,
  type LogFile,
  type OpenLogFile,
  openLogFile,
  segmentName,
  syncDirectory,
} from './segment.ts'
import { takeWriterLock } from './writer-lock.ts'

/** `synced`: on disk. `written`: handed to the operating system, on disk within 100 ms. */
export type Durability = 'synced' | 'written'

export interface AuditLimits {
  /** A segment ends at this size or age, whichever is first. */
  segmentBytes: number
  segmentMs: number
  /** A checkpoint follows this many records, or this long after the first unsigned one. */
  checkpointRecords: number
  checkpointMs: number
  /** Longest time that written records stay unsynced. */
  syncMs: number
  /** A sync that takes longer counts as failed. */
  syncTimeoutMs: number
  retryMs: number
  /** Waiting text, in UTF-16 code units: beyond `spoolChars` only intents are taken, beyond `queueChars` none. */
  spoolChars: number
  queueChars: number
}

const LIMITS: AuditLimits = {
  segmentBytes: 256 * 1_048_576,
  segmentMs: 86_400_000,
  checkpointRecords: 1000,
  checkpointMs: 10_000,
  syncMs: 100,
  syncTimeoutMs: 10_000,
  retryMs: 1000,
  spoolChars: 32 * 1_048_576,
  queueChars: 64 * 1_048_576,
}

export interface AuditLogOptions {
  /** The `audit/` directory; created with mode 0700. */
  dir: string
  podName: string
  podId?: string | undefined
  /** Epoch milliseconds. */
  now: () => number
  /** Go on although `audit.head` names records that are missing. Default false. */
  acceptTruncated?: boolean | undefined
  limits?: Partial<AuditLimits> | undefined
  openFile?: OpenLogFile | undefined
}

/** How far the log is behind, for status and metrics. */
export interface AuditLag {
  /** Entries not yet written, and written but not yet synced. */
  queued: number
  unsynced: number
  /** In the present outage: entries given up, intents refused, and since when (epoch ms). */
  lost: number
  refused: number
  failingSinceMs: number | undefined
}

/** Records of the log about itself; nobody else may write them. */
const OWN_ACTIONS = new Set(['audit_open', 'audit_checkpoint', 'audit_close', 'audit_tombstone'])

/** Written in one go before other work gets its turn: about 2 ms. */
const BATCH_BYTES = 524_288
/** Kept free in every batch, so that a checkpoint always fits behind the record it covers. */
const CHECKPOINT_BYTES = 8192
const MOST_UNSYNCED = 4096
/** A segment that cannot be renamed just now simply grows on. */
const ROTATE_RETRY_MS = 60_000

export class AuditLog implements AsyncDisposable {
  readonly #options: AuditLogOptions
  readonly #limits: AuditLimits
  readonly #openFile: OpenLogFile
  readonly #lock: Disposable
  readonly #headFile: HeadFile
  readonly #chain: string
  readonly #found: readonly AuditRecord[]
  readonly #intents = new OpenIntents()
  readonly #listeners = new Set<(head: SignedHead) => void>()
  readonly #buffer = Buffer.allocUnsafeSlow(BATCH_BYTES)

  #state: 'ok' | 'failed' | 'recovering' = 'ok'
  #closing: Promise<void> | undefined
  #file: LogFile
  #fileClosed: Promise<void> = Promise.resolve()
  #signer: Signer | undefined
  #outage: Outage | undefined

  #queue: Pending[] = []
  #queueChars = 0
  #drainPlanned = false
  #unsynced: Pending[] = []
  /** Callers waiting for a sync, among `#unsynced`. */
  #waiting = 0
  #syncing = false
  /** Raised by every failure, so that a sync begun before it is not taken for one after it. */
  #epoch = 0
  #syncTimer: NodeJS.Timeout | undefined
  #checkpointTimer: NodeJS.Timeout | undefined

  #offset: number
  #seq: number
  #hash: string
  #synced: Head & { offset: number }
  #firstSeq: number
  #openedAtMs: number
  #rotateAsked: { resolve: () => void; reject: (reason: unknown) => void }[] = []
  #rotateNotBeforeMs = 0
  #lookedMs = 0

  /** Formatting a date costs more than linking a record; most share their millisecond. */
  #stampMs = Number.NaN
  #stamp = ''

  /** Records since the last checkpoint, and the newest checkpoint not yet on disk. */
  #unsigned = 0
  #checkpointDue = false
  #signed: SignedHead | undefined

  private constructor(options: AuditLogOptions, lock: Disposable, found: Recovered) {
    this.#options = options
    this.#limits = { ...LIMITS, ...options.limits }
    this.#openFile = options.openFile ?? openLogFile
    this.#lock = lock
    this.#headFile = new HeadFile(options.dir)
    this.#chain = found.chain
    this.#found = found.openIntents
    for (const intent of found.openIntents) this.#intents.opened(intent.seq, pairKey(intent))
    this.#offset = found.offset
    this.#seq = found.head.seq
    this.#hash = found.head.hash
    this.#synced = { ...found.head, offset: found.offset }
    this.#firstSeq = found.firstSeq
    this.#openedAtMs = found.openedAtMs
    this.#file = this.#openFile(join(options.dir, ACTIVE), found.offset === 0)
  }

  /**
   * Takes the lock, repairs what a crash left and writes `audit_open`.
   *
   * @throws VestryError `INSTANCE_RUNNING`, `AUDIT_TRUNCATED` (see `acceptTruncated`), `AUDIT_BROKEN`,
   *   or `AUDIT_UNAVAILABLE` when the directory cannot be used at all. A full disk does not throw:
   *   the log opens as not available and recovers by itself.
   */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    let lock: Disposable | undefined
    try {
      mkdirSync(options.dir, { recursive: true, mode: 0o700 })
      lock = takeWriterLock(options.dir)
      const found = await recoverLog(options.dir, options.now, options.acceptTruncated ?? false)
      const log = new AuditLog(options, lock, found)
      syncDirectory(options.dir)
      await log.#begin(found)
      return log
    } catch (cause) {
      lock?.[Symbol.dispose]()
      throw cause instanceof VestryError ? cause : unavailable(cause)
    }
  }

  /**
   * @returns `seq` of the record. 0 for a `written` entry that was kept in memory, or counted as
   *   lost, because the log cannot be written just now: the effect has happened, its reply may go out.
   * @throws VestryError `AUDIT_UNAVAILABLE` for `synced` while the log cannot be written;
   *   `SHUTTING_DOWN` after close().
   */
  append(entry: AuditEntry, durability: Durability): Promise<number> {
    if (this.#closing !== undefined) return Promise.reject(new VestryError('SHUTTING_DOWN'))
    if (OWN_ACTIONS.has(entry.action)) {
      const message = `${entry.action} is written by the log itself`
      return Promise.reject(new VestryError('INVALID_PARAMS', message))
    }
    return this.#take(entry, durability)
  }

  /** Resolves when everything appended so far is on disk. @throws VestryError `AUDIT_UNAVAILABLE`. */
  flush(): Promise<void> {
    return this.#settled().then((done) => {
      if (!done) throw unavailable(this.#outage?.cause)
    })
  }

  /** Intents may be appended. */
  get available(): boolean {
    return this.#state === 'ok' && this.#closing === undefined
  }

  get lag(): AuditLag {
    return {
      queued: this.#queue.length,
      unsynced: this.#unsynced.length,
      lost: this.#outage?.lost ?? 0,
      refused: this.#outage?.refused ?? 0,
      failingSinceMs: this.#outage?.sinceMs,
    }
  }

  get dir(): string {
    return this.#options.dir
  }

  /** 128 random bits, hex; the same over all segments. */
  get chain(): string {
    return this.#chain
  }

  /** The last record that is on disk. */
  head(): Head {
    return { seq: this.#synced.seq, hash: this.#synced.hash }
  }

  /**
   * Intents that had no outcome when the log was opened, oldest first. Whoever opened the log closes
   * them: an outcome with code `INTERRUPTED`, the same request id and action.
   */
  openIntents(): readonly AuditRecord[] {
    return this.#found
  }

  /** Checkpoints are signed from now on, or no longer: while sealed the log is chained, not signed. */
  setSigner(signer: Signer | undefined): void {
    this.#signer = signer
    if (signer === undefined) return
    this.#checkpointDue = true
    this.#planDrain()
  }

  /** @param fn Called with each checkpoint once it is on disk. @returns Stops the calls. */
  onCheckpoint(fn: (head: SignedHead) => void): () => void {
    this.#listeners.add(fn)
    return () => this.#listeners.delete(fn)
  }

  /** Ends the active segment now. Resolves when the next one has begun. */
  rotate(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(new VestryError('SHUTTING_DOWN'))
    return new Promise((resolve, reject) => {
      this.#rotateAsked.push({ resolve, reject })
      this.#planDrain()
    })
  }

  /**
   * Deletes whole segments whose records are all older, and leaves a signed tombstone, so that
   * verification goes on from the oldest segment that stays. Segments with open intents stay.
   *
   * @param beforeMs Epoch milliseconds.
   * @throws VestryError `VAULT_LOCKED` while there is no signing key, `AUDIT_UNAVAILABLE`.
   */
  async prune(beforeMs: number): Promise<Pruned> {
    const signer = this.#signer
    if (signer === undefined)
      throw new VestryError('VAULT_LOCKED', 'Pruning needs the signing key', {
        hint: 'Unseal first: what is deleted is replaced by a signed record.',
      })
    return pruneSegments({
      dir: this.#options.dir,
      beforeMs,
      keepFrom: this.#intents.oldest,
      chain: this.#chain,
      timestamp: this.#timestamp(),
      signer,
      append: (entry) => this.#take(entry, 'synced'),
    })
  }

  /** Writes out what waits, then a last checkpoint and `audit_close`. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @returns Whether everything pushed so far reached the disk; false at the first failure. */
  #settled(): Promise<boolean> {
    if (this.#state === 'failed') return Promise.resolve(false)
    return new Promise((resolve) => {
      const yes = () => resolve(true)
      const no = () => resolve(false)
      this.#push(new Pending('synced', undefined, undefined, 0, yes, no))
    })
  }

  #take(entry: AuditEntry, durability: Durability): Promise<number> {
    const full =
      this.#queueChars >
      (durability === 'synced' ? this.#limits.queueChars : this.#limits.spoolChars)
    if (durability === 'synced' && (full || this.#state !== 'ok')) {
      this.#outage?.refuse()
      const cause = full ? new Error('too many records wait for the disk') : this.#outage?.cause
      return Promise.reject(unavailable(cause))
    }
    if (full) {
      this.#outage ??= new Outage(this.#options.now(), new Error('too many records wait'))
      this.#outage.lose(1)
      return Promise.resolve(0)
    }
    const parts = fragments(entry, this.#options.podName, this.#timestamp())
    const chars = charsOf(parts)
    if (this.#state !== 'ok') {
      this.#push(new Pending('written', entry, parts, chars))
      return Promise.resolve(0)
    }
    return new Promise((resolve, reject) => {
      this.#push(new Pending(durability, entry, parts, chars, resolve, reject))
    })
  }

  #push(item: Pending): void {
    this.#queue.push(item)
    this.#queueChars += item.chars
    this.#planDrain()
  }

  /** Everything that arrives in one turn of the event loop is written together. */
  #planDrain(): void {
    if (this.#drainPlanned || this.#state === 'failed') return
    this.#drainPlanned = true
    setImmediate(() => {
      this.#drainPlanned = false
      this.#drain()
    })
  }

  #drain(): void {
    if (this.#state === 'failed') return
    if (this.#mustRotate()) {
      if (this.#unsigned > 0 && this.#signer !== undefined) {
        this.#checkpointDue = true
        if (!this.#writeBatch(0)) return
      }
      // A finished segment is on disk as a whole before its successor names its last hash.
      if (this.#unsynced.length > 0) void this.#sync()
      else this.#turnOver()
      return
    }
    if (!this.#writeBatch(Number.POSITIVE_INFINITY)) return
    if (this.#queue.length > 0) this.#planDrain()
    this.#syncSoon()
  }

  /** Links and writes up to `most` waiting records. @returns false when that failed. */
  #writeBatch(most: number): boolean {
    const before = this.#unsynced.length
    let buffer = this.#buffer
    let bytes = 0
    let taken = 0
    const put = (item: Pending, reserve: number): boolean => {
      if (!item.barrier) {
        const room = item.chars * 3 + 512 + reserve
        if (bytes + room > buffer.length) {
          if (bytes > 0) return false
          buffer = Buffer.allocUnsafeSlow(room)
        }
        bytes = this.#link(item, buffer, bytes)
      }
      this.#unsynced.push(item)
      if (item.kind === 'synced') this.#waiting += 1
      return true
    }
    while (true) {
      if (this.#checkpointWanted(taken >= Math.min(most, this.#queue.length))) {
        put(this.#checkpoint(), 0)
      }
      const item = this.#queue[taken]
      if (item === undefined || taken >= most || !put(item, CHECKPOINT_BYTES)) break
      this.#queueChars -= item.chars
      taken += 1
    }
    this.#queue = taken === this.#queue.length ? [] : this.#queue.slice(taken)
    try {
      if (bytes > 0) this.#file.write(buffer.subarray(0, bytes))
    } catch (cause) {
      this.#fail(cause)
      return false
    }
    this.#offset += bytes
    for (let at = before; at < this.#unsynced.length; at += 1) {
      const item = this.#unsynced[at]
      if (item?.kind === 'written') item.resolve(item.seq)
    }
    return true
  }

  /** Gives the record its place in the chain. @returns Where its line ends in `buffer`. */
  #link(item: Pending, buffer: Buffer, at: number): number {
    const seq = this.#seq + 1
    const end = item.place(this.#hash, seq, buffer, at)
    this.#seq = seq
    this.#hash = item.hash
    this.#unsigned += 1
    if (item.phase === 'intent') this.#intents.opened(seq, item.pair)
    else if (item.phase === 'outcome') item.closed = this.#intents.closed(item.pair, item.intent)
    return end
  }

  async #sync(): Promise<void> {
    if (this.#syncing || this.#unsynced.length === 0) return
    this.#syncing = true
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    const epoch = this.#epoch
    const count = this.#unsynced.length
    const reached = { seq: this.#seq, hash: this.#hash, offset: this.#offset }
    try {
      await within(this.#file.sync(), this.#limits.syncTimeoutMs)
      this.#lookAfterFile()
    } catch (cause) {
      if (epoch === this.#epoch) this.#fail(cause)
      return
    }
    if (epoch !== this.#epoch) return
    this.#syncing = false
    this.#synced = reached
    this.#settleOutage()
    for (const item of this.#unsynced.splice(0, count)) {
      if (item.kind !== 'synced' && item.kind !== 'notice') continue
      if (item.kind === 'synced') this.#waiting -= 1
      item.resolve(item.seq)
    }
    this.#publish()
    if (this.#mustRotate() || this.#queue.length > 0) this.#planDrain()
    this.#syncSoon()
  }

  /** What was lost is told when there is room again: with the recovery, or when a flood has ebbed. */
  #settleOutage(): void {
    if (this.#state === 'recovering') {
      this.#state = 'ok'
      if (this.#outage?.settle()) this.#outage = undefined
    } else if (this.#outage !== undefined && this.#queue.length === 0) {
      this.#push(this.#own('notice', this.#outage.entry(this.#options.now())))
      this.#outage = undefined
    }
  }

  #lookAfterFile(): void {
    const now = this.#options.now()
    if (Math.abs(now - this.#lookedMs) < 1000) return
    this.#lookedMs = now
    if (this.#file.gone) throw new Error('the active segment was deleted')
  }

  /** At once when somebody waits, or when much is held in memory for the case that the disk fails. */
  #syncSoon(): void {
    if (this.#unsynced.length === 0) return
    if (this.#waiting > 0 || this.#unsynced.length >= MOST_UNSYNCED) void this.#sync()
    else
      this.#syncTimer ??= setTimeout(() => {
        this.#syncTimer = undefined
        void this.#sync()
      }, this.#limits.syncMs).unref()
  }

  /**
   * Falls back to the last synced record. Nothing after it is certain to be on disk, even where
   * write() had returned: what was acknowledged as written is kept in memory and linked again.
   */
  #fail(cause: unknown): void {
    this.#epoch += 1
    this.#syncing = false
    this.#waiting = 0
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    this.#state = 'failed'
    this.#outage ??= new Outage(this.#options.now(), cause)
    this.#outage.cause = cause
    this.#seq = this.#synced.seq
    this.#hash = this.#synced.hash
    this.#offset = this.#synced.offset
    this.#signed = undefined
    this.#unsigned = 1
    this.#checkpointDue = true
    for (const item of this.#unsynced.toReversed()) {
      if (item.phase === 'intent') this.#intents.forget(item.seq)
      if (item.closed !== undefined) this.#intents.opened(item.closed.seq, item.closed.key)
    }
    const waiting = [...this.#unsynced, ...this.#queue]
    this.#unsynced = []
    this.#queue = []
    this.#queueChars = 0
    const refusal = unavailable(cause)
    for (const item of waiting) {
      if (item.kind === 'passing') continue
      if (item.kind === 'synced') {
        if (!item.barrier) this.#outage.refuse()
        item.reject(refusal)
        continue
      }
      if (item.kind === 'written') item.resolve(0)
      this.#queue.push(item)
      this.#queueChars += item.chars
    }
    this.#fileClosed = this.#file.close().catch(() => {})
    if (this.#closing === undefined)
      setTimeout(() => void this.#recover(), this.#limits.retryMs).unref()
  }

  /** Cuts the file back to the last synced record and tries to write what waits. */
  async #recover(): Promise<void> {
    if (this.#state !== 'failed') return
    // A sync that hangs still holds the old descriptor; until it ends, the disk is not back.
    await this.#fileClosed
    if (this.#state !== 'failed') return
    try {
      this.#file = this.#openFile(join(this.#options.dir, ACTIVE), this.#synced.offset === 0)
    } catch (cause) {
      this.#retryAfter(cause)
      return
    }
    try {
      if (this.#file.size < this.#synced.offset)
        throw new Error('the active segment is shorter than what was written to it')
      this.#file.truncate(this.#synced.offset)
      if (this.#synced.offset === 0) syncDirectory(this.#options.dir)
    } catch (cause) {
      this.#fileClosed = this.#file.close().catch(() => {})
      this.#retryAfter(cause)
      return
    }
    this.#state = 'recovering'
    // After notices: a segment begins with its audit_open, whatever else there is to say.
    const now = this.#options.now()
    const gap = this.#own('passing', (this.#outage ?? new Outage(now, undefined)).entry(now))
    const at = this.#queue.findIndex((item) => item.kind !== 'notice')
    this.#queue.splice(at === -1 ? this.#queue.length : at, 0, gap)
    this.#queueChars += gap.chars
    this.#drain()
    void this.#sync()
  }

  #retryAfter(cause: unknown): void {
    if (this.#outage !== undefined) this.#outage.cause = cause
    if (this.#closing === undefined)
      setTimeout(() => void this.#recover(), this.#limits.retryMs).unref()
  }

  #checkpointWanted(last: boolean): boolean {
    if (this.#signer === undefined || this.#unsigned === 0) return false
    if (this.#unsigned >= this.#limits.checkpointRecords) return true
    if (last && !this.#checkpointDue) this.#checkpointLater()
    return last && this.#checkpointDue
  }

  #checkpointLater(): void {
    this.#checkpointTimer ??= setTimeout(() => {
      this.#checkpointTimer = undefined
      this.#checkpointDue = true
      this.#planDrain()
    }, this.#limits.checkpointMs).unref()
  }

  /** Signs the head as it stands, which the checkpoint's own record then follows. */
  #checkpoint(): Pending {
    clearTimeout(this.#checkpointTimer)
    this.#checkpointTimer = undefined
    this.#checkpointDue = false
    const signed = this.#sign()
    this.#signed = signed
    const item = this.#own('passing', {
      action: 'audit_checkpoint',
      detail: `checkpoint at record ${this.#seq}`,
      data: { ...signed, open_from: this.#intents.oldest },
    })
    this.#unsigned = -1 // linking the checkpoint itself makes it 0
    return item
  }

  #sign(): SignedHead | undefined {
    if (this.#signer === undefined) return undefined
    const timestamp = this.#timestamp()
    return signHead(this.#signer, {
      chain: this.#chain,
      seq: this.#seq,
      hash: this.#hash,
      timestamp,
    })
  }

  #publish(): void {
    const signed = this.#signed
    if (signed === undefined || signed.seq >= this.#synced.seq) return
    this.#signed = undefined
    void this.#headFile.put(signed)
    for (const listener of this.#listeners) listener(signed)
  }

  #mustRotate(): boolean {
    if (this.#state !== 'ok' || this.#offset === 0) return false
    const now = this.#options.now()
    if (now < this.#rotateNotBeforeMs) return false
    return (
      this.#rotateAsked.length > 0 ||
      this.#offset >= this.#limits.segmentBytes ||
      now - this.#openedAtMs >= this.#limits.segmentMs
    )
  }

  #turnOver(): void {
    const { dir, now } = this.#options
    const file = segmentName(this.#firstSeq)
    const asked = this.#rotateAsked
    this.#rotateAsked = []
    try {
      renameSync(join(dir, ACTIVE), join(dir, file))
    } catch (cause) {
      this.#rotateNotBeforeMs = now() + ROTATE_RETRY_MS
      for (const { reject } of asked) reject(unavailable(cause))
      this.#planDrain()
      return
    }
    this.#offset = 0
    this.#synced.offset = 0
    this.#firstSeq = this.#seq + 1
    this.#openedAtMs = now()
    const previous = { file, seq: this.#seq, hash: this.#hash }
    const opening = this.#opening('segment', previous, [], () => {
      for (const { resolve } of asked) resolve()
    })
    this.#queue.unshift(opening)
    this.#queueChars += opening.chars
    try {
      void this.#file.close()
      this.#file = this.#openFile(join(dir, ACTIVE), true)
      syncDirectory(dir)
    } catch (cause) {
      this.#fail(cause)
      return
    }
    this.#drain()
    void this.#sync()
  }

  async #begin(found: Recovered): Promise<void> {
    const kind = found.offset > 0 ? 'start' : 'segment'
    this.#push(this.#opening(kind, found.previous, found.legacy, undefined, found.clean))
    for (const { detail, data } of found.gaps)
      this.#push(this.#own('notice', { action: 'coat_gap', detail, data, success: false }))
    // A disk that refuses does not keep the daemon from starting; `available` tells.
    await this.#settled()
  }

  /** @param clean Absent when a running writer begins a new segment. */
  #opening(
    kind: 'start' | 'segment',
    previous: PreviousSegment | undefined,
    legacy: readonly { file: string; sha256: string }[],
    resolve?: () => void,
    clean?: boolean,
  ): Pending {
    const { podId, podName } = this.#options
    const fresh = this.#hash === GENESIS
    const data = {
      chain: this.#chain,
      format: 2,
      pod_id: podId ?? null,
      pod_name: podName,
      open_from: this.#intents.oldest,
      ...(kind === 'segment' && { prev_segment: previous ?? null }),
      ...(legacy.length > 0 && { legacy }),
      ...(clean !== undefined && { pid: process.pid, clean: fresh || clean }),
    }
    const detail =
      kind === 'start' ? 'writer started' : fresh ? 'log begins' : 'log goes on in a new segment'
    return this.#own('notice', { action: 'audit_open', detail, data }, resolve)
  }

  #own(
    kind: PendingKind,
    what: Pick<AuditEntry, 'action' | 'detail' | 'data'> & { success?: boolean },
    resolve?: () => void,
  ): Pending {
    const entry: AuditEntry = {
      ...what,
      phase: 'single',
      success: what.success ?? true,
      actor: 'system',
      source: 'collector',
    }
    const parts = fragments(entry, this.#options.podName, this.#timestamp())
    return new Pending(kind, entry, parts, charsOf(parts), resolve)
  }

  #timestamp(): string {
    const now = this.#options.now()
    if (now !== this.#stampMs) {
      this.#stampMs = now
      this.#stamp = new Date(now).toISOString()
    }
    return this.#stamp
  }

  async #close(): Promise<void> {
    if (this.#state === 'failed') await this.#recover()
    if ((await this.#settled()) && this.#state === 'ok') {
      this.#checkpointDue = true
      await this.#settled()
      const data = { open_from: this.#intents.oldest }
      this.#push(this.#own('notice', { action: 'audit_close', detail: 'writer stopped', data }))
      await this.#settled()
    }
    const last = this.#sign()
    if (this.#state === 'ok' && last !== undefined && this.#seq === this.#synced.seq)
      await this.#headFile.put(last)
    clearTimeout(this.#checkpointTimer)
    clearTimeout(this.#syncTimer)
    for (const { reject } of this.#rotateAsked) reject(new VestryError('SHUTTING_DOWN'))
    await this.#headFile.settled()
    if (this.#state !== 'failed') await this.#file.close()
    this.#lock[Symbol.dispose]()
  }
}

function unavailable(cause: unknown): VestryError {
  const why = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
  return new VestryError('AUDIT_UNAVAILABLE', `The audit log cannot be written${why}`, {
    hint: 'Free disk space or restore access to the audit directory; the log retries every second.',
    cause,
  })
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
