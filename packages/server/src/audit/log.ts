/**
 * The one writer of the audit log: takes entries, links them into the chain, and acknowledges each
 * as durable as its caller asked. While the disk refuses, intents are refused too; nothing else is.
 */
import { mkdirSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import { type Head, type SignedHead, type Signer, signHead } from './chain.ts'
import { ChainFile } from './chain-file.ts'
import { HeadFile } from './head-file.ts'
import {
  type AuditLag,
  type AuditLimits,
  type AuditLogOptions,
  DEFAULT_LIMITS,
  type Durability,
} from './log-options.ts'
import { OpenIntents } from './open-intents.ts'
import { Outage } from './outage.ts'
import {
  checkpointEntry,
  closeEntry,
  type Opening,
  OWN_ACTIONS,
  type OwnEntry,
  openEntry,
  ownEntry,
} from './own-record.ts'
import { Pending, type PendingKind } from './pending.ts'
import { type AuditEntry, type AuditRecord, charsOf, fragments, pairKey } from './record.ts'
import { type Recovered, recoverLog } from './recovery.ts'
import { type Pruned, pruneSegments } from './retention.ts'
import { openLogFile } from './segment.ts'
import { withoutCredentials } from './without-credentials.ts'
import { takeWriterLock } from './writer-lock.ts'

/** Kept free in every batch, so that a checkpoint always fits behind the record it covers. */
const CHECKPOINT_BYTES = 8192
/** Records held in memory for the case that their sync fails; beyond, the sync does not wait. */
const MOST_UNSYNCED = 4096
/** A segment that cannot be renamed just now simply grows on. */
const ROTATE_RETRY_MS = 60_000
/** How often to look whether the file is still there. */
const LOOK_MS = 1000

export class AuditLog implements AsyncDisposable {
  readonly #options: AuditLogOptions
  readonly #limits: AuditLimits
  readonly #lock: Disposable
  readonly #file: ChainFile
  readonly #headFile: HeadFile
  readonly #chain: string
  readonly #found: readonly AuditRecord[]
  readonly #intents = new OpenIntents()
  readonly #listeners = new Set<(head: SignedHead) => void>()

  #state: 'ok' | 'failed' | 'recovering' = 'ok'
  #closing: Promise<void> | undefined
  #signer: Signer | undefined
  #podId: string | undefined
  #outage: Outage | undefined

  #queue: Pending[] = []
  #queueChars = 0
  #drainPlanned = false
  #syncTimer: NodeJS.Timeout | undefined
  #checkpointTimer: NodeJS.Timeout | undefined
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
  /** The newest checkpoint that is on disk. */
  #published: SignedHead | undefined

  private constructor(options: AuditLogOptions, lock: Disposable, found: Recovered) {
    this.#options = options
    this.#podId = options.podId
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#lock = lock
    this.#file = new ChainFile(options.dir, options.openFile ?? openLogFile, found)
    this.#headFile = new HeadFile(options.dir)
    this.#chain = found.chain
    this.#found = found.openIntents
    for (const intent of found.openIntents) this.#intents.opened(intent.seq, pairKey(intent))
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
    return this.#take(withoutCredentials(entry), durability)
  }

  /** Resolves when everything appended so far is on disk. @throws VestryError `AUDIT_UNAVAILABLE`. */
  async flush(): Promise<void> {
    if (!(await this.#settled())) throw unavailable(this.#outage?.cause)
  }

  /** Intents may be appended. */
  get available(): boolean {
    return this.#state === 'ok' && this.#closing === undefined
  }

  get lag(): AuditLag {
    return {
      queued: this.#queue.length,
      unsynced: this.#file.unsynced,
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
    return this.#file.syncedHead
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

  /** Known once the store was read, which is later than the log begins: it stands at the head of the next segment. */
  setPodId(podId: string): void {
    this.#podId = podId
  }

  /** @param fn Called with each checkpoint once it is on disk. @returns Stops the calls. */
  onCheckpoint(fn: (head: SignedHead) => void): () => void {
    this.#listeners.add(fn)
    return () => this.#listeners.delete(fn)
  }

  /**
   * Signs the end of the log now.
   *
   * @returns The newest signed end; nothing is written when it is signed already.
   * @throws VestryError `VAULT_LOCKED` while there is no signing key.
   */
  checkpoint(): Promise<SignedHead> {
    if (this.#signer === undefined) return Promise.reject(new VestryError('VAULT_LOCKED'))
    const newest = this.#published
    if (newest !== undefined && this.#unsigned === 0 && this.#signed === undefined)
      return Promise.resolve(newest)
    return new Promise((resolve) => {
      const stop = this.onCheckpoint((head) => {
        stop()
        resolve(head)
      })
      this.#checkpointDue = true
      this.#planDrain()
    })
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

  #take(entry: AuditEntry, durability: Durability): Promise<number> {
    const { queueChars, spoolChars } = this.#limits
    const full = this.#queueChars > (durability === 'synced' ? queueChars : spoolChars)
    if (durability === 'synced' && (full || this.#state !== 'ok')) {
      this.#outage?.refuse()
      return Promise.reject(unavailable(full ? QUEUE_FULL : this.#outage?.cause))
    }
    if (full) {
      this.#outage ??= new Outage(this.#options.now(), QUEUE_FULL)
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

  /** @returns Whether everything pushed so far reached the disk; false at the first failure. */
  #settled(): Promise<boolean> {
    if (this.#state === 'failed') return Promise.resolve(false)
    return new Promise((resolve) => {
      const yes = () => resolve(true)
      const no = () => resolve(false)
      this.#push(new Pending('synced', undefined, undefined, 0, yes, no))
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
      if (this.#file.unsynced > 0) void this.#sync()
      else this.#turnOver()
      return
    }
    if (!this.#writeBatch(this.#queue.length)) return
    if (this.#queue.length > 0) this.#planDrain()
    this.#syncSoon()
  }

  /** Places and writes up to `most` waiting records. @returns false when that failed. */
  #writeBatch(most: number): boolean {
    let taken = 0
    while (true) {
      if (this.#checkpointWanted(taken >= most)) this.#putCheckpoint()
      const item = this.#queue[taken]
      if (item === undefined || taken >= most || !this.#file.put(item, CHECKPOINT_BYTES)) break
      taken += 1
      this.#queueChars -= item.chars
      if (item.barrier) continue
      this.#unsigned += 1
      if (item.phase === 'intent') this.#intents.opened(item.seq, item.pair)
      else if (item.phase === 'outcome') item.closed = this.#intents.closed(item.pair, item.intent)
    }
    this.#queue = taken === this.#queue.length ? [] : this.#queue.slice(taken)
    try {
      for (const item of this.#file.write()) if (item.kind === 'written') item.resolve(item.seq)
      return true
    } catch (cause) {
      this.#fail(cause)
      return false
    }
  }

  /** At once when somebody waits, or when much is held in memory for the case that the disk fails. */
  #syncSoon(): void {
    if (this.#file.unsynced === 0) return
    if (this.#file.waiting > 0 || this.#file.unsynced >= MOST_UNSYNCED) void this.#sync()
    else
      this.#syncTimer ??= setTimeout(() => {
        this.#syncTimer = undefined
        void this.#sync()
      }, this.#limits.syncMs).unref()
  }

  async #sync(): Promise<void> {
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    let done: Pending[] | undefined
    try {
      done = await this.#file.sync(this.#limits.syncTimeoutMs)
      if (done === undefined) return
      this.#lookAfterFile()
    } catch (cause) {
      this.#fail(cause, done)
      return
    }
    this.#settleOutage()
    for (const item of done)
      if (item.kind === 'synced' || item.kind === 'notice') item.resolve(item.seq)
    this.#publish()
    if (this.#mustRotate() || this.#queue.length > 0) this.#planDrain()
    this.#syncSoon()
  }

  #lookAfterFile(): void {
    const now = this.#options.now()
    if (Math.abs(now - this.#lookedMs) < LOOK_MS) return
    this.#lookedMs = now
    if (this.#file.gone) throw new Error('the active segment was deleted')
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

  /**
   * Refuses the intents that were not yet acknowledged; keeps what was acknowledged as written, to
   * link it again behind the last record that is certainly on disk.
   *
   * @param unsafe Synced, but to a file that is no longer there.
   */
  #fail(cause: unknown, unsafe: readonly Pending[] = []): void {
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    this.#state = 'failed'
    this.#outage ??= new Outage(this.#options.now(), cause)
    this.#outage.cause = cause
    this.#signed = undefined
    this.#unsigned = 1
    this.#checkpointDue = true
    const dropped = [...unsafe, ...this.#file.rollBack()]
    for (const item of dropped.toReversed()) {
      if (item.phase === 'intent') this.#intents.forget(item.seq)
      if (item.closed !== undefined) this.#intents.opened(item.closed.seq, item.closed.key)
    }
    const waiting = [...dropped, ...this.#queue]
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
    this.#retryLater()
  }

  #retryLater(): void {
    if (this.#closing === undefined)
      setTimeout(() => void this.#recover(), this.#limits.retryMs).unref()
  }

  async #recover(): Promise<void> {
    if (this.#state !== 'failed') return
    try {
      await this.#file.reopen()
    } catch (cause) {
      if (this.#outage !== undefined) this.#outage.cause = cause
      this.#retryLater()
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
  #putCheckpoint(): void {
    const signed = this.#sign()
    if (signed === undefined) return
    clearTimeout(this.#checkpointTimer)
    this.#checkpointTimer = undefined
    this.#checkpointDue = false
    this.#unsigned = 0
    this.#signed = signed
    this.#file.put(this.#own('passing', checkpointEntry(signed, this.#intents.oldest)), 0)
  }

  #sign(): SignedHead | undefined {
    const signer = this.#signer
    const claim = { chain: this.#chain, ...this.#file.head, timestamp: this.#timestamp() }
    return signer === undefined ? undefined : signHead(signer, claim)
  }

  #publish(): void {
    const signed = this.#signed
    if (signed === undefined || signed.seq >= this.head().seq) return
    this.#signed = undefined
    this.#published = signed
    void this.#headFile.put(signed)
    for (const listener of this.#listeners) listener(signed)
  }

  #mustRotate(): boolean {
    if (this.#state !== 'ok' || this.#file.size === 0) return false
    const now = this.#options.now()
    if (now < this.#rotateNotBeforeMs) return false
    return (
      this.#rotateAsked.length > 0 ||
      this.#file.size >= this.#limits.segmentBytes ||
      now - this.#file.openedAtMs >= this.#limits.segmentMs
    )
  }

  #turnOver(): void {
    const now = this.#options.now()
    const asked = this.#rotateAsked
    this.#rotateAsked = []
    try {
      const previous = this.#file.endSegment(now)
      const opening = this.#opening({ previous }, () => {
        for (const { resolve } of asked) resolve()
      })
      this.#queue.unshift(opening)
      this.#queueChars += opening.chars
    } catch (cause) {
      this.#rotateNotBeforeMs = now + ROTATE_RETRY_MS
      for (const { reject } of asked) reject(unavailable(cause))
      this.#planDrain()
      return
    }
    try {
      this.#file.beginSegment()
    } catch (cause) {
      this.#fail(cause)
      return
    }
    this.#drain()
    void this.#sync()
  }

  async #begin(found: Recovered): Promise<void> {
    const { clean, gaps, legacy, offset, previous = null } = found
    const started = { pid: process.pid, clean }
    this.#push(this.#opening(offset > 0 ? { started } : { started, legacy, previous }))
    for (const { detail, data } of gaps)
      this.#push(this.#own('notice', { action: 'coat_gap', detail, data, success: false }))
    // A disk that refuses does not keep the daemon from starting; `available` tells.
    await this.#settled()
  }

  #opening(
    how: Pick<Opening, 'previous' | 'legacy' | 'started'>,
    resolve?: (seq: number) => void,
  ): Pending {
    const { podName } = this.#options
    const podId = this.#podId
    const openFrom = this.#intents.oldest
    const entry = openEntry({
      chain: this.#chain,
      podId,
      podName,
      head: this.#file.head,
      openFrom,
      ...how,
    })
    return this.#own('notice', entry, resolve)
  }

  #own(kind: PendingKind, what: OwnEntry, resolve?: (seq: number) => void): Pending {
    const entry = ownEntry(what)
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
      this.#push(this.#own('notice', closeEntry(this.#intents.oldest)))
      const last = (await this.#settled()) ? this.#sign() : undefined
      if (last !== undefined) await this.#headFile.put(last)
    }
    clearTimeout(this.#checkpointTimer)
    clearTimeout(this.#syncTimer)
    for (const { reject } of this.#rotateAsked) reject(new VestryError('SHUTTING_DOWN'))
    await this.#headFile.settled()
    if (this.#state !== 'failed') await this.#file.close()
    this.#lock[Symbol.dispose]()
  }
}

const QUEUE_FULL = new Error('too many records wait for the disk')

function unavailable(cause: unknown): VestryError {
  const why = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
  return new VestryError('AUDIT_UNAVAILABLE', `The audit log cannot be written${why}`, {
    hint: 'Free disk space or restore access to the audit directory; the log retries every second.',
    cause,
  })
}
