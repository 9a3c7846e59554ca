/**
 * Numbers events, keeps them in the ring and moves them out in batches, over whichever way is open. All
 * of it in the agent's process and on its time: nothing here waits, and nothing here fails for the agent.
 */
import { performance } from 'node:perf_hooks'
import { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from 'node:timers'
import { Account } from './account.ts'
import { beforeLeaving } from './exit.ts'
import { healthDraft } from './health.ts'
import { type Body, isWithin, LineMaker, namedSubject, type Origin } from './line.ts'
import { LocalWays, type Openers } from './local-ways.ts'
import type { Outlet } from './outlet.ts'
import { type Entry, type Limits, Ring } from './ring.ts'
import { outside } from './root.ts'
import { SentRanges } from './sent-ranges.ts'
import type { Draft, Part, Sink, TransportStats } from './sink.ts'
import { timestamp } from './timestamp.ts'
import { type Opening, Uplink } from './uplink.ts'
import { shareWarning } from './warning.ts'

const BATCH_EVENTS = 64
const BATCH_BYTES = 16 * 1024
const CHUNK_BYTES = 64 * 1024
/** A pipe takes that much or nothing, so other people's text never lands inside of a line of ours. */
const PIPE_BYTES = 3 * 1024
/** Of one turn of the event loop; the agent has a share in it too. */
const TURN_BYTES = 256 * 1024
/** Code that never yields is served inside of its own calls from this many waiting events on, or half of the room. */
const INLINE_EVENTS = 1024

const POLL_MS = { least: 5, most: 50 }
const HEALTH_MS = 60_000
const DRAIN_MS = 2000
/** How long the end of a process may be delayed by a peer that takes nothing. */
const STALL_MS = 200

const sleeper = new Int32Array(new SharedArrayBuffer(4))

export interface DispatcherOptions extends Openers {
  readonly origin: Origin
  readonly limits: Limits
  readonly flushMs: number
  readonly maxLineBytes: number
  readonly agentId: string
  readonly agentRole: string
  readonly flushOnSignals: boolean
  /** The queue socket, when events shall go there. */
  readonly socketPath: string | undefined
}

export class Dispatcher implements Sink {
  readonly #options: DispatcherOptions
  readonly #maker: LineMaker
  readonly #named: (line: string) => string
  readonly #ring: Ring
  readonly #uplink: Uplink | undefined
  readonly #local: LocalWays
  readonly #sent = new SentRanges()
  #maxLineBytes: number
  #handed: { readonly outlet: Outlet; readonly lastSeq: number; readonly bytes: number } | undefined
  #state: 'new' | 'running' | 'leaving' | 'closed' = 'new'
  #forget: () => void = () => {}

  readonly #account = new Account()
  /** Of the newest event; health events have it too. */
  #session = ''

  #isSoon = false
  #timer: NodeJS.Timeout | undefined
  #healthTimer: NodeJS.Timeout | undefined
  #pollMs = POLL_MS.least
  /** The way out took nothing; asking before this time would only cost the agent. */
  #busyUntilMs = 0
  /** What is left of the time for which the end of the loop may be put off. */
  #holdMs = DRAIN_MS
  #stallMs = STALL_MS
  /** When the process has been kept from ending for long enough. */
  #leaveByMs = 0

  constructor(options: DispatcherOptions) {
    const { origin, limits, socketPath } = options
    this.#options = options
    this.#maker = new LineMaker(origin)
    this.#named = namedSubject(options.agentId, options.agentRole)
    this.#maxLineBytes = options.maxLineBytes
    this.#local = new LocalWays(options)
    this.#ring = new Ring(limits, (entry) => this.#evicted(entry))
    if (socketPath === undefined) return
    this.#uplink = new Uplink(
      { path: socketPath, producerId: origin.producerId, version: origin.version },
      {
        opened: (opening) => this.#opened(opening),
        acknowledged: (seq, rejected) => this.#acknowledged(seq, rejected),
        lost: () => this.#lost(),
        fellBack: (reason) => {
          this.#local.warn(`telemetry socket unavailable (${reason}); writing events to stderr`)
          this.#pump()
        },
      },
    )
  }

  emit(draft: Draft, part: Part): void {
    try {
      this.#accept(draft, part)
    } catch {
      this.#account.drop(false)
    }
  }

  async flush(timeoutMs: number): Promise<boolean> {
    try {
      if (this.#state !== 'running' || this.#isMute()) return !this.#isPending()
      const target = this.#account.emitted
      let isAsked = false
      return await this.#drain(timeoutMs, timeoutMs, () => {
        if (this.#ring.isUnsent(target)) return false
        if (this.#uplink === undefined || this.#uplink.route === 'stderr') return true
        if (this.#uplink.acknowledges && this.#ring.holds(target) && !isAsked) {
          this.#uplink.askFlush()
          isAsked = true
        }
        return this.#uplink.isAgreed && !(this.#uplink.acknowledges && this.#ring.holds(target))
      })
    } catch {
      return false
    }
  }

  async shutdown(): Promise<void> {
    if (this.#state === 'closed') return
    if (this.#state === 'running')
      await this.#drain(DRAIN_MS, STALL_MS, () => !this.#isPending()).catch(() => false)
    this.#settle()
    this.#ring.clear((entry) => this.#abandoned(entry))
    this.#state = 'closed'
    clearTimeout(this.#timer)
    clearInterval(this.#healthTimer)
    this.#forget()
    this.#uplink?.close()
    this.#local.close()
  }

  stats(): TransportStats {
    const { emitted, written, acked, rejected, spilled, dropped } = this.#account
    const since = this.#uplink?.fallbackSinceMs
    const isSocket = this.#uplink !== undefined && this.#uplink.route !== 'stderr'
    return {
      emitted,
      written,
      acked,
      rejected,
      spilled,
      dropped: { ...dropped },
      transport: isSocket ? 'socket' : this.#local.isFile ? 'file' : 'stderr',
      ...(since !== undefined && { fallbackSince: timestamp(since) }),
      reconnects: this.#uplink?.reconnects ?? 0,
      queueHighWater: this.#ring.highWater,
    }
  }

  #accept(draft: Draft, part: Part): void {
    let body: Body | undefined
    try {
      // Before the event gets its time: what opening takes is not part of the operation.
      if (this.#state === 'new') this.#start()
      // It may run code of the agent, which may emit, or fail: the number comes after it.
      body = this.#maker.body(draft)
    } finally {
      this.#account.emitted += 1
    }
    const seq = this.#account.emitted
    const isDetail = draft.kind.startsWith('x.')
    const line = this.#line(body, seq)
    this.#session = draft.ids.session_id
    if (
      this.#state === 'closed' ||
      line === undefined ||
      this.#isMute() ||
      !this.#ring.add(seq, line, isDetail, part, draft.ids.span_id)
    )
      this.#account.drop(isDetail)
    else if (this.#state === 'leaving') this.#leave()
    else this.#schedule()
  }

  #line(body: Body, seq: number): string | undefined {
    const line = this.#maker.line(body, seq, this.#account.missing)
    if (isWithin(line, this.#maxLineBytes)) return line
    return this.#maker.fit(body, seq, this.#account.missing, this.#maxLineBytes)
  }

  #start(): void {
    this.#state = 'running'
    shareWarning()
    this.#forget = beforeLeaving(
      {
        beforeExit: () => this.#beforeExit(),
        exit: () => this.#exit(),
        alarm: () => this.#pump(),
      },
      { signals: this.#options.flushOnSignals },
    )
    this.#healthTimer = outside(() => setInterval(() => this.#report(), HEALTH_MS).unref())
    this.#uplink?.open()
  }

  /** The way out at the moment, if there is one. */
  #outlet(): Outlet | undefined {
    switch (this.#uplink?.route) {
      case undefined:
        return this.#local.outlet
      case 'lane':
        return this.#uplink?.lane
      case 'stderr':
        return this.#local.stderr
      case 'hold':
        return undefined
    }
  }

  /** Whether no way out is left, nor will there be one. */
  #isMute(): boolean {
    if (!this.#local.isStderrBroken) return false
    return this.#uplink === undefined ? !this.#local.isFile : this.#uplink.isRefused
  }

  #isPending(): boolean {
    return this.#ring.waiting > 0 || this.#handed !== undefined
  }

  #schedule(): void {
    const { waiting, waitingBytes } = this.#ring
    if (waiting < BATCH_EVENTS && waitingBytes < BATCH_BYTES) {
      if (this.#timer === undefined) this.#arm(this.#options.flushMs)
    } else if (waiting >= INLINE_EVENTS || this.#isHalfFull()) {
      if (this.#busyUntilMs === 0 || performance.now() >= this.#busyUntilMs) this.#pump()
    } else if (this.#busyUntilMs === 0) this.#soon()
  }

  #isHalfFull(): boolean {
    const { events, bytes } = this.#options.limits
    return this.#ring.waiting * 2 >= events || this.#ring.waitingBytes * 2 >= bytes
  }

  #soon(): void {
    if (this.#isSoon) return
    this.#isSoon = true
    const run = () => {
      this.#isSoon = false
      this.#pump()
    }
    outside(() => setImmediate(run).unref())
  }

  #arm(ms: number): void {
    clearTimeout(this.#timer)
    const run = () => {
      this.#timer = undefined
      this.#pump()
    }
    this.#timer = outside(() => setTimeout(run, ms).unref())
  }

  /** Moves what can be moved now. Never throws: it runs from timers too. */
  #pump(turnBytes = TURN_BYTES): void {
    try {
      this.#move(turnBytes)
    } catch {
      // Whatever it was, the events stay in the ring and their bound holds.
    }
  }

  #move(turnBytes: number): void {
    let room = turnBytes
    for (let outlet = this.#outlet(); outlet !== undefined; outlet = this.#outlet()) {
      const before = outlet.taken
      const progress = outlet.progress()
      if (outlet.taken > before) this.#pollMs = POLL_MS.least
      if (progress === 'broken') this.#broke(outlet)
      else if (progress === 'busy') this.#wait()
      else {
        this.#busyUntilMs = 0
        this.#settle()
        const taken = room > 0 ? this.#hand(outlet) : 0
        room -= taken
        if (taken > 0) continue
        if (this.#ring.waiting > 0) this.#soon()
      }
      break
    }
    // What stderr still holds of its own is not forgotten when the socket is back.
    if (!this.#local.isStderr(this.#handed?.outlet)) this.#local.moveStderr()
  }

  #wait(): void {
    const ms = this.#pollMs
    this.#pollMs = Math.min(POLL_MS.most, ms * 2)
    this.#busyUntilMs = performance.now() + POLL_MS.least
    this.#arm(ms)
  }

  /** @returns Bytes handed over. */
  #hand(outlet: Outlet): number {
    const batch =
      outlet === this.#uplink?.lane
        ? this.#ring.take(CHUNK_BYTES)
        : this.#local.isStderr(outlet)
          ? this.#ring.take(PIPE_BYTES, (line) => `[coat] ${this.#named(line)}`, isSpilled)
          : this.#ring.take(CHUNK_BYTES, this.#named)
    if (batch === undefined) return 0
    const chunk = Buffer.from(batch.text)
    this.#handed = { outlet, lastSeq: batch.lastSeq, bytes: chunk.length }
    outlet.write(chunk)
    // Some are only skipped over, and that is progress too.
    return Math.max(1, chunk.length)
  }

  /** Keeps account of what was handed over: of all of it, or of the lines that got away before the end. */
  #settle(): void {
    const handed = this.#handed
    if (handed === undefined) return
    if (handed.outlet.left === 0 && handed.outlet.reason === '') {
      this.#account.written += this.#ring.written(
        handed.lastSeq,
        this.#local.isStderr(handed.outlet),
      )
      this.#handed = undefined
    } else if (handed.outlet === this.#uplink?.lane)
      this.#account.written += this.#ring.writtenBytes(handed.bytes - handed.outlet.left)
    if (this.#uplink?.keeps !== true) this.#ring.releaseWritten(handed.lastSeq)
  }

  #broke(outlet: Outlet): void {
    // A broken lane closes by itself, and the uplink says what comes next.
    if (outlet === this.#uplink?.lane) return
    if (this.#local.isStderr(outlet)) {
      this.#handed = undefined
      if (this.#isMute()) this.#ring.clear((entry) => this.#abandoned(entry))
    } else {
      this.#local.fileFailed(outlet.reason)
      this.#lost()
      this.#soon()
    }
  }

  #opened({ isResumed, lastSeq, maxLineBytes, fallbackSinceMs }: Opening): void {
    if (maxLineBytes !== undefined)
      this.#maxLineBytes = Math.min(this.#options.maxLineBytes, Math.max(1024, maxLineBytes))
    if (lastSeq !== undefined) {
      const known = Math.min(lastSeq, this.#account.emitted)
      this.#account.acked += this.#ring.releaseAll(known) + this.#sent.confirm(known)
    }
    if (isResumed) {
      // What left the ring on its way to a collector that does not have it.
      const lost = lastSeq === undefined ? undefined : this.#sent.lose()
      this.#account.dropped.lifecycle += lost?.lifecycle ?? 0
      this.#account.dropped.detail += lost?.detail ?? 0
      this.#account.spilled += lost?.spilled ?? 0
      this.#handed = undefined
      this.#ring.rewind()
    } else if (this.#uplink?.keeps !== true) this.#ring.releaseWritten(this.#account.emitted)
    if (fallbackSinceMs !== undefined) this.#report(fallbackSinceMs)
    this.#pump()
  }

  #acknowledged(seq: number, rejected: number): void {
    this.#account.acked += this.#ring.releaseWritten(seq) + this.#sent.confirm(seq)
    this.#account.rejected += rejected
  }

  #lost(): void {
    // While events go to stderr, nothing was handed to a connection that is only being tried.
    if (this.#uplink?.route === 'stderr') return
    this.#settle()
    this.#handed = undefined
    this.#ring.rewind()
  }

  #evicted(entry: Entry): void {
    // Whether it arrived is known when the collector says how far it got.
    if (entry.sent)
      this.#sent.add(entry.seq, entry.spilled ? 'spilled' : entry.detail ? 'detail' : 'lifecycle')
    else if (entry.spilled) this.#account.spilled += 1
    else this.#account.drop(entry.detail)
  }

  /** An entry that is given up, after all that could be done for it. */
  #abandoned(entry: Entry): void {
    if (!entry.spilled && entry.state !== 'written') this.#account.drop(entry.detail)
  }

  /** Emits what went wrong since the last time, if anything did. */
  #report(fallbackSinceMs = this.#uplink?.fallbackSinceMs): void {
    const draft = this.#health(fallbackSinceMs)
    if (draft !== undefined) this.emit(draft, 'point')
  }

  #health(fallbackSinceMs: number | undefined): Draft | undefined {
    const health = this.#account.news({
      fallbackSinceMs,
      reconnects: this.#uplink?.reconnects ?? 0,
      queueHighWater: this.#ring.highWater,
    })
    return health && healthDraft(this.#session, health)
  }

  #beforeExit(): void {
    // Held, the loop runs dry again, and whoever emits then would be asked to hold it again, for ever.
    if (!this.#isPending() || this.#holdMs <= 0) return
    const startMs = performance.now()
    void this.#drain(this.#holdMs, STALL_MS, () => !this.#isPending()).then(
      (isDone) => {
        this.#holdMs -= Math.max(1, performance.now() - startMs)
        if (isDone) return
        // It has waited for its peer once; the exit must not do so again.
        this.#holdMs = 0
        this.#stallMs = 0
      },
      () => {},
    )
  }

  /** Holds the event loop while it waits: nothing else might. */
  #drain(limitMs: number, stallMs: number, isDone: () => boolean): Promise<boolean> {
    const startMs = performance.now()
    let sinceMs = startMs
    let moved = this.#moved()
    let isRetried = false
    return new Promise((resolve) => {
      const step = () => {
        // Somebody waits, so the next attempt does not.
        if (!isRetried) isRetried = this.#uplink?.retryNow() ?? true
        this.#pump()
        if (isDone()) return resolve(true)
        const nowMs = performance.now()
        if (this.#moved() !== moved) {
          moved = this.#moved()
          sinceMs = nowMs
        }
        if (nowMs - startMs >= limitMs || nowMs - sinceMs >= stallMs) return resolve(false)
        outside(() => setTimeout(step, POLL_MS.least))
      }
      step()
    })
  }

  #moved(): number {
    return (this.#uplink?.lane?.taken ?? 0) + (this.#outlet()?.taken ?? 0) + this.#account.acked
  }

  #exit(): void {
    if (this.#state !== 'running') return
    this.#report()
    this.#state = 'leaving'
    this.#leaveByMs = performance.now() + this.#stallMs
    this.#leave()
  }

  /**
   * Writes synchronously, for as long as the peer may be waited for; counts the rest. What the agent emits
   * in its own last moments shares that time.
   */
  #leave(): void {
    for (;;) {
      this.#pump(Number.POSITIVE_INFINITY)
      if (!this.#isPending()) return
      if (this.#uplink !== undefined && this.#uplink.route !== 'stderr' && this.#isCutOff()) {
        this.#uplink.giveUp('the process ends')
        continue
      }
      const isOver = performance.now() >= this.#leaveByMs
      if (isOver || this.#outlet()?.reason !== '') break
      Atomics.wait(sleeper, 0, 0, POLL_MS.least)
    }
    this.#settle()
    this.#handed = undefined
    this.#ring.clear((entry) => this.#abandoned(entry))
    this.#lastWord()
  }

  /** Whether waiting for the socket is in vain. */
  #isCutOff(): boolean {
    const { lane, route, isUnconnected } = this.#uplink ?? {}
    return route === 'hold' || lane === undefined || lane.reason !== '' || isUnconnected === true
  }

  /** The socket took no more, so the account goes where somebody may still read it. */
  #lastWord(): void {
    const draft = this.#health(this.#uplink?.fallbackSinceMs)
    if (draft === undefined) return
    this.#account.emitted += 1
    const line = this.#maker.line(this.#maker.body(draft), this.#account.emitted, 0)
    const { stderr } = this.#local
    stderr.write(Buffer.from(`[coat] ${this.#named(line)}`))
    stderr.progress()
  }
}

function isSpilled(entry: Entry): boolean {
  return entry.spilled
}
