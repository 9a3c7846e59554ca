/**
 * From a checked envelope to a record in the log: who sent it, what of it may be kept, whether it came before.
 * Connections bring lines; this decides, and tells when what was given to it is in the log file.
 */
import type { KeyObject } from 'node:crypto'
import type { Producer } from '@vestry/coat/aot'
import type { AuditLog } from '../../audit/log.ts'
import type { AuditEntry } from '../../audit/record.ts'
import type {
  ClaimResolver,
  ProcessPeer,
  Resolution,
  UnknownPeer,
} from '../../identity/claims/resolution.ts'
import { hmacTag } from '../../seal/hash.ts'
import type { RejectReason, TelemetryMetrics } from '../metrics.ts'
import type { Pod } from '../pod.ts'
import type { TelemetrySettings } from '../settings.ts'
import { numberOf, type Received, readEnvelope } from './envelope.ts'
import { eventEntry } from './event-entry.ts'
import { newlyMissing, ProducerBook, type ProducerState, producerKey } from './producer-book.ts'
import { Rejects, who } from './rejects.ts'
import { Screen } from './screen.ts'
import { Sequence } from './sequence.ts'
import { overwritten, type Speaker, speakerOf } from './stamp.ts'
import { type LogEnd, logEnd, readStoredMarks, type StoredMarks } from './stored-marks.ts'

export interface CollectorDeps {
  readonly audit: Pick<AuditLog, 'append' | 'flush' | 'available' | 'head' | 'dir' | 'lag'>
  readonly claims: ClaimResolver
  readonly pod: Pod
  readonly settings: Pick<TelemetrySettings, 'max_capture'>
  readonly metrics: TelemetryMetrics
  /** undefined while sealed: nothing is hashed then. */
  readonly hashKey: () => KeyObject | undefined
  /** When this collector began, in the clock ticks of {@link ProcessPeer.startTime}. */
  readonly startTicks: bigint
  /** Epoch ms. */
  readonly now: () => number
  /** Milliseconds on a clock that is never set back. */
  readonly monotonic: () => number
}

/** Taken, and on its way to the log; or not taken, and why. Without `event`, the line carried no number. */
export type Taken = { readonly event: Numbered | undefined } & (
  | { readonly state: 'pending'; readonly written: Promise<boolean> }
  | { readonly state: 'duplicate' }
  /** The log cannot be written, and its memory for that case is full. */
  | { readonly state: 'lost' }
  | { readonly state: 'rejected'; readonly reason: RejectReason }
)

export interface Numbered {
  readonly producer: string
  readonly seq: number
}

/**
 * Text on its way to the log; beyond the first, connections are not read until it is below the second. Little, so that
 * what is made for a line does not outlive the youngest generation of the heap: with 8 MiB, half as many lines a
 * second went through.
 */
const HIGH_CHARS = 256 * 1024
const LOW_CHARS = 128 * 1024
/** How long a producer may take to come back before what is missing is told. */
const GAP_GRACE_MS = 1_000
/** Everybody who asks for a flush within this time shares one. */
const SYNC_EVERY_MS = 20
/** What a record of our own counts for, so that a flood of them holds up who causes it. */
const NOTE_CHARS = 512
/** One producer's numbers say what they like. */
const MAX_GAP_COUNTED = 1_000_000

/** Where a line came from. */
export interface Source {
  readonly speaker: Speaker
  readonly producer: (id: string) => ProducerState
}

export interface LastGap {
  readonly at: string
  readonly producer: string
  readonly missing: number
}

export class Collector {
  readonly #deps: CollectorDeps
  readonly #rejects: Rejects
  readonly #screen: Screen
  readonly #producers = new ProducerBook()
  readonly #leaving = new Map<ProducerState, { speaker: Speaker; timer: NodeJS.Timeout }>()
  readonly #firstSeq: number
  readonly #foundEnd: LogEnd | undefined
  #marks: StoredMarks | undefined
  #reading: Promise<void> | undefined
  #chars = 0
  #waiting: (() => void)[] = []
  /** Of everything that was appended so far; it never fails. */
  #last: Promise<boolean> = Promise.resolve(true)
  #stampMs = Number.NaN
  #stamp = ''
  #lastGap: LastGap | undefined
  #nextSync: Promise<boolean> | undefined
  #syncedAtMs = Number.NEGATIVE_INFINITY

  constructor(deps: CollectorDeps) {
    this.#deps = deps
    this.#screen = new Screen(deps.settings.max_capture)
    this.#firstSeq = deps.audit.head().seq + 1
    this.#foundEnd = logEnd(deps.audit.dir)
    this.#rejects = new Rejects({
      metrics: deps.metrics,
      monotonic: deps.monotonic,
      record: (entry) => this.#note(entry),
    })
  }

  get producers(): number {
    return this.#producers.size
  }

  get lastGap(): LastGap | undefined {
    return this.#lastGap
  }

  get pod(): Pod {
    return this.#deps.pod
  }

  /** Asked for every line: a claim holds from the next line on. */
  resolve(peer: ProcessPeer | UnknownPeer): Resolution {
    return 'unavailable' in peer ? ANONYMOUS : this.#deps.claims.resolve(peer)
  }

  speaker(peer: ProcessPeer | UnknownPeer, resolution: Resolution): Speaker {
    return speakerOf(peer, resolution, this.#deps.pod.id)
  }

  /** Whether what the producer sent to an earlier daemon must be read from the log first. */
  mustRead(peer: ProcessPeer | UnknownPeer): boolean {
    return this.#marks === undefined && this.#began(peer) === 'before us'
  }

  /** Resolves when it was read, however that went. */
  read(): Promise<void> {
    this.#reading ??= readStoredMarks(this.#deps.audit.dir, this.#firstSeq, this.#foundEnd).then(
      (marks) => {
        this.#marks = marks
      },
      () => {
        this.#marks = new Map()
      },
    )
    return this.#reading
  }

  /** A connection carries this producer from now on. {@link read} has been waited for where it must. */
  join(peer: ProcessPeer | UnknownPeer, connection: number, id: string): ProducerState {
    const key = producerKey(peer, connection, id)
    const state = this.#producers.join(key, id, () => {
      const stored = this.#marks?.get(key)
      if (stored !== undefined) return stored
      // Its first events may have gone elsewhere before there was a daemon: they are not missing here.
      return this.#began(peer) === 'with us' ? new Sequence(1) : new Sequence()
    })
    const leaving = this.#leaving.get(state)
    clearTimeout(leaving?.timer)
    this.#leaving.delete(state)
    return state
  }

  leave(state: ProducerState, speaker: Speaker): void {
    if (!this.#producers.leave(state)) return
    if (state.sequence.missing <= state.toldMissing) return
    const timer = setTimeout(() => this.#tellGap(state), GAP_GRACE_MS)
    timer.unref()
    this.#leaving.set(state, { speaker, timer })
  }

  /** @param chars Of the line it came as. */
  take(line: Readonly<Record<string, unknown>>, chars: number, from: Source): Taken {
    const { metrics, now } = this.#deps
    const nowMs = now()
    const received = readEnvelope(line, nowMs)
    if (typeof received === 'string') return this.#refuse(received, line, chars, from)
    const { producer } = received
    const state = producer === undefined ? undefined : from.producer(producer.id)
    if (producer !== undefined && state !== undefined) {
      if (producer.dropped !== undefined) state.dropped = producer.dropped
      if (!state.sequence.take(producer.seq)) {
        metrics.duplicate()
        return { state: 'duplicate', event: numbered(producer) }
      }
    }
    const entry = this.#entry(received, from.speaker, nowMs)
    metrics.event(from.speaker.claim !== undefined)
    const lost = this.#deps.audit.lag.lost
    const appended = this.#append(entry, chars)
    if (this.#deps.audit.lag.lost > lost) {
      if (state !== undefined) state.rejected += 1
      return { state: 'lost', event: numbered(producer) }
    }
    const written = appended.then((done) => {
      if (done && state !== undefined && producer !== undefined)
        state.written = Math.max(state.written, producer.seq)
      return done
    })
    return { state: 'pending', event: numbered(producer), written }
  }

  reject(reason: RejectReason, speaker: Speaker, bytes?: number): void {
    this.#rejects.add(reason, speaker, bytes)
  }

  /** So much is on its way to the log that nothing more should be read. */
  get full(): boolean {
    return this.#chars > HIGH_CHARS
  }

  /** @param resume Called once, when there is room again. */
  whenRoom(resume: () => void): void {
    this.#waiting.push(resume)
  }

  /** Resolves to whether all that was taken so far is in the log file. */
  settled(): Promise<boolean> {
    return this.#last
  }

  /** @returns Whether all that was taken so far is on disk; false while the log cannot be written. */
  sync(): Promise<boolean> {
    const { audit, monotonic } = this.#deps
    if (!audit.available) return Promise.resolve(false)
    // One that has not begun yet covers what came until now.
    this.#nextSync ??= delay(this.#syncedAtMs + SYNC_EVERY_MS - monotonic()).then(() => {
      this.#nextSync = undefined
      this.#syncedAtMs = monotonic()
      return audit.flush().then(
        () => true,
        () => false,
      )
    })
    return this.#nextSync
  }

  /** At the end: nobody comes back to a daemon that stops. */
  close(): void {
    for (const state of [...this.#leaving.keys()]) this.#tellGap(state)
  }

  #refuse(
    reason: RejectReason,
    line: Readonly<Record<string, unknown>>,
    chars: number,
    from: Source,
  ): Taken {
    this.reject(reason, from.speaker, chars)
    const producer = numberOf(line)
    if (producer !== undefined) {
      const state = from.producer(producer.id)
      if (state.sequence.take(producer.seq)) state.rejected += 1
    }
    return { state: 'rejected', reason, event: numbered(producer) }
  }

  #entry(received: Received, speaker: Speaker, nowMs: number): AuditEntry {
    const { metrics, hashKey } = this.#deps
    const { capture, payload, ids, framework, frameworkVersion, leaks } =
      this.#screen.look(received)
    if (leaks.length > 0) this.#rejects.leak(leaks, speaker, received.producer?.id)
    const forged = overwritten(received.stated, speaker)
    if (forged !== undefined) metrics.forgedIdentity()
    const key = forged?.includes('subject.agent_id') === true ? hashKey() : undefined
    const { operation } = received.kind
    return eventEntry(received, speaker, {
      capture,
      ids,
      payload:
        operation === undefined || payload['operation'] !== undefined
          ? payload
          : { ...payload, operation },
      framework: { framework, frameworkVersion },
      stamp: {
        ...speaker.stamp,
        recv_ts: this.#timestamp(nowMs),
        ...(forged !== undefined && { overwrote: forged }),
        ...(key !== undefined && {
          attempted_agent_id: hmacTag(key, textOf(received.stated.agentId)),
        }),
      },
    })
  }

  /** @returns Whether it is in the log file: false while the log cannot be written. */
  #append(entry: AuditEntry, chars: number): Promise<boolean> {
    this.#chars += chars
    const done = this.#deps.audit.append(entry, 'written').then(
      (seq) => {
        this.#release(chars)
        if (seq === 0) this.#deps.metrics.spooled()
        return seq > 0
      },
      () => {
        this.#release(chars) // the log is closed: the daemon has all but ended
        return false
      },
    )
    this.#last = done
    return done
  }

  #release(chars: number): void {
    this.#chars -= chars
    if (this.#chars > LOW_CHARS || this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }

  #note(entry: AuditEntry): void {
    void this.#append(entry, NOTE_CHARS)
  }

  #tellGap(state: ProducerState): void {
    const leaving = this.#leaving.get(state)
    if (leaving === undefined) return
    clearTimeout(leaving.timer)
    this.#leaving.delete(state)
    const missing = newlyMissing(state)
    if (missing === 0) return
    this.#deps.metrics.gap(Math.min(missing, MAX_GAP_COUNTED))
    const { sequence, id, dropped, rejected } = state
    const { pid, uid, start_time } = leaving.speaker.stamp
    this.#lastGap = { at: new Date(this.#deps.now()).toISOString(), producer: id, missing }
    this.#note({
      action: 'coat_gap',
      phase: 'single',
      detail: `${missing} events of producer ${id} did not arrive`,
      success: false,
      ...who(leaving.speaker),
      source: 'coat',
      ...(pid >= 0 && { pid, uid }),
      data: {
        reason: 'producer',
        producer: id,
        ...(start_time !== undefined && { start_time }),
        first_seq: sequence.first ?? 1,
        last_seq: sequence.highest,
        received: sequence.seen,
        rejected,
        missing: sequence.missing,
        newly_missing: missing,
        dropped,
      },
    })
  }

  #began(peer: ProcessPeer | UnknownPeer): 'before us' | 'with us' | 'unknown' {
    if ('unavailable' in peer || peer.startTime === '') return 'unknown'
    // Ticks have up to twenty digits, which is more than a number holds.
    return BigInt(peer.startTime) <= this.#deps.startTicks ? 'before us' : 'with us'
  }

  /** Formatting a time costs more than most of the rest, and many lines share their millisecond. */
  #timestamp(nowMs: number): string {
    if (nowMs !== this.#stampMs) {
      this.#stampMs = nowMs
      this.#stamp = new Date(nowMs).toISOString()
    }
    return this.#stamp
  }
}

export const ANONYMOUS: Resolution = { kind: 'anonymous', stale: false }

/** As JSON unless it is text: what a producer wrote need not be willing to become one. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** @param ms In the past or now: at once. */
function delay(ms: number): Promise<void> {
  return ms <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms))
}

function numbered(producer: Producer | undefined): Numbered | undefined {
  return producer === undefined ? undefined : { producer: producer.id, seq: producer.seq }
}
