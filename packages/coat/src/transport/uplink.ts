/**
 * The queue socket over time: connecting, being welcomed, losing it, coming back. Decides where events go
 * meanwhile; what happens to them is the dispatcher's.
 */
import { clearTimeout, setTimeout } from 'node:timers'
import { FRAMEWORK, SPEC } from '../aot.ts'
import { parseAnswer } from './answer.ts'
import { backoffMs } from './backoff.ts'
import { Lane } from './lane.ts'
import { outside } from './root.ts'

/** A collector that has not answered by then may be one that never does. */
const WELCOME_MS = 1000

/**
 * - `opening`: connected for the first time, sent to without waiting for the welcome
 * - `resuming`: connected again, waiting to hear what has arrived
 * - `acknowledged`, `blind`: open, with and without acknowledgements
 * - `lost`: to be tried again
 * - `refused`: the peer takes no telemetry, and nothing is tried again
 */
type Phase = 'opening' | 'resuming' | 'acknowledged' | 'blind' | 'lost' | 'refused' | 'closed'

export interface Opening {
  /** All that is left is to be sent again. */
  readonly isResumed: boolean
  /** The last one that arrived, 0 for none; absent when the peer does not say. */
  readonly lastSeq?: number
  readonly maxLineBytes?: number | undefined
  /** Of the time on stderr that ends with this, in epoch milliseconds. */
  readonly fallbackSinceMs: number | undefined
}

export interface UplinkEvents {
  opened(opening: Opening): void
  acknowledged(seq: number, rejected: number): void
  /** The connection is gone; what was handed over may not have arrived. */
  lost(): void
  /** From now on stderr is the way. */
  fellBack(reason: string): void
}

export class Uplink {
  reconnects = 0
  /** Since when stderr is the way, in epoch milliseconds. */
  fallbackSinceMs: number | undefined
  readonly #path: string
  readonly #hello: string
  readonly #events: UplinkEvents
  #phase: Phase = 'lost'
  #lane: Lane | undefined
  #timer: NodeJS.Timeout | undefined
  #attempts = 0
  #wasWelcomed = false
  #hasAcknowledged = false
  #flushes = 0

  constructor(
    { path, producerId, version }: { path: string; producerId: string; version: string },
    events: UplinkEvents,
  ) {
    this.#path = path
    this.#events = events
    const hello = { type: 'aot_hello', spec: SPEC, producer: producerId, ack: true }
    this.#hello = `${JSON.stringify({ ...hello, framework: FRAMEWORK, version })}\n`
  }

  /** `hold`: a collector that acknowledged is expected back soon, so nothing is told elsewhere yet. */
  get route(): 'lane' | 'stderr' | 'hold' {
    if (this.fallbackSinceMs !== undefined) return 'stderr'
    return ['opening', 'acknowledged', 'blind'].includes(this.#phase) ? 'lane' : 'hold'
  }

  /** Whether events must be kept after they were written, because they may have to be sent again. */
  get keeps(): boolean {
    if (this.#phase === 'refused' || this.#phase === 'closed') return false
    return this.#phase !== 'blind' || this.#hasAcknowledged
  }

  /** Stderr is the way for the life of this process. */
  get isRefused(): boolean {
    return this.#phase === 'refused'
  }

  get acknowledges(): boolean {
    return this.#phase === 'acknowledged'
  }

  /** Whether it is known how the peer at the other end behaves. */
  get isAgreed(): boolean {
    return this.#phase === 'acknowledged' || this.#phase === 'blind'
  }

  get lane(): Lane | undefined {
    return this.#lane
  }

  /** Whether connecting failed and the runtime has not said so yet. */
  get isUnconnected(): boolean {
    return this.#lane?.refusal === 'ENOTCONN'
  }

  open(): void {
    this.#connect('opening')
  }

  /** For somebody who waits for the outcome. @returns Whether there was something to try again. */
  retryNow(): boolean {
    if (this.#phase !== 'lost' || this.route !== 'hold') return false
    this.#connect('resuming')
    return true
  }

  /** Asks for what was sent so far to be stored safely, which also brings its acknowledgement. */
  askFlush(): void {
    this.#flushes += 1
    this.#lane?.write(Buffer.from(`{"type":"aot_flush","id":${this.#flushes}}\n`))
  }

  /** For a process that ends: there will be no other chance. */
  giveUp(reason: string): void {
    this.#events.lost()
    this.#fallBack(reason)
  }

  close(): void {
    this.#phase = 'closed'
    clearTimeout(this.#timer)
    const lane = this.#lane
    this.#lane = undefined
    lane?.close()
  }

  #connect(phase: 'opening' | 'resuming'): void {
    clearTimeout(this.#timer)
    this.#phase = phase
    try {
      const lane = new Lane(this.#path, {
        answer: (line) => this.#lane === lane && this.#answered(line),
        closed: (reason, isClean) => this.#lane === lane && this.#closed(reason, isClean),
      })
      this.#lane = lane
      lane.write(Buffer.from(this.#hello))
      lane.progress()
      this.#later(WELCOME_MS, () => this.#unanswered())
    } catch (error) {
      // A path that is too long, or a runtime without the right to connect.
      this.#closed(error instanceof Error && 'code' in error ? String(error.code) : 'failed', false)
    }
  }

  #answered(line: string): void {
    const answer = parseAnswer(line)
    if (answer?.type === 'welcome') {
      const isResumed = this.#phase === 'resuming'
      this.#phase = answer.acknowledges ? 'acknowledged' : 'blind'
      this.#wasWelcomed = true
      if (answer.acknowledges) this.#hasAcknowledged = true
      this.#attempts = 0
      clearTimeout(this.#timer)
      this.#opened(isResumed, answer)
    } else if (answer?.type === 'ack') this.#events.acknowledged(answer.seq, answer.rejected)
    else if (answer?.type === 'flushed') this.#events.acknowledged(answer.seq, 0)
    else if (this.#isStranger()) this.#refused()
  }

  /** Some peers store what they are sent and never say a word. */
  #unanswered(): void {
    if (this.#phase !== 'opening' && this.#phase !== 'resuming') return
    const isResumed = this.#phase === 'resuming'
    this.#phase = 'blind'
    this.#opened(isResumed, {})
  }

  #opened(isResumed: boolean, told: Pick<Opening, 'lastSeq' | 'maxLineBytes'>): void {
    const { fallbackSinceMs } = this
    this.fallbackSinceMs = undefined
    if (isResumed) this.reconnects += 1
    this.#events.opened({ ...told, isResumed, fallbackSinceMs })
  }

  #closed(reason: string, isClean: boolean): void {
    // One that hangs up after the first line serves the action queue alone.
    if (isClean && this.#isStranger()) {
      this.#refused()
      return
    }
    const mayReturnSoon = this.#phase === 'acknowledged'
    this.#lane = undefined
    this.#phase = 'lost'
    this.#events.lost()
    if (!mayReturnSoon) this.#fallBack(reason)
    this.#later(backoffMs(this.#attempts), () => this.#connect('resuming'))
    this.#attempts += 1
  }

  /** No word of a collector was ever heard, and this connection waits for the first. */
  #isStranger(): boolean {
    return !this.#wasWelcomed && (this.#phase === 'opening' || this.#phase === 'resuming')
  }

  #refused(): void {
    const lane = this.#lane
    this.#lane = undefined
    this.#phase = 'refused'
    clearTimeout(this.#timer)
    lane?.close()
    this.#events.lost()
    this.#fallBack('the peer takes no telemetry')
  }

  #fallBack(reason: string): void {
    if (this.fallbackSinceMs !== undefined) return
    this.fallbackSinceMs = Date.now()
    this.#events.fellBack(reason)
  }

  #later(ms: number, run: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = outside(() => setTimeout(run, ms).unref())
  }
}
