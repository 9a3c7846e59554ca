/**
 * Keeps a published client alive. It shares one 6-second abort signal over all attempts of a call, and a retry
 * that begins after it ends the client's process; so an error that would make it retry too late is answered
 * with a status it does not retry (gateway contract §10.4, R-62).
 */
import { RecentMap } from '../../store/recent-map.ts'

const CLIENT = '@4runr/gateway/'
/** The client's own limit, and what it may add to each pause. */
const CLIENT_LIMIT_MS = 6_000
const JITTER = 1.125
const MARGIN_MS = 500
/** A request that still runs then is answered; it goes on. */
const ANSWER_BY_MS = 5_500
const STATUS = 424
const MAX_CALLS = 10_000
/** An id seen again later belongs to another call. */
const FORGET_MS = 60_000

interface Call {
  firstMs: number
  attempts: number
}

export interface Attempt {
  /** Milliseconds from now by which an answer is due; undefined: this client needs none. */
  readonly answerWithinMs: number | undefined
  /** The status to send instead of `status`. */
  guarded(status: number, nowMs: number): number
}

const UNGUARDED: Attempt = { answerWithinMs: undefined, guarded: (status) => status }

export class AbortGuard {
  readonly #calls = new RecentMap<string, Call>(MAX_CALLS)
  readonly #enabled: boolean

  constructor(enabled: boolean) {
    this.#enabled = enabled
  }

  /** Counts one more attempt of the call that `correlationId` names. */
  begin(userAgent: string | undefined, correlationId: string, nowMs: number): Attempt {
    if (!this.#enabled || userAgent?.startsWith(CLIENT) !== true) return UNGUARDED
    const known = this.#calls.get(correlationId)
    const fresh = known === undefined || nowMs - known.firstMs > FORGET_MS
    const call: Call = fresh ? { firstMs: nowMs, attempts: 0 } : known
    call.attempts += 1
    if (fresh) this.#calls.set(correlationId, call)
    const { firstMs, attempts } = call
    return {
      answerWithinMs: Math.max(0, firstMs + ANSWER_BY_MS - nowMs),
      guarded: (status, atMs) => {
        if (status < 500) return status
        const nextStart = atMs - firstMs + JITTER * 1_000 * 2 ** (attempts - 1) + MARGIN_MS
        return nextStart > CLIENT_LIMIT_MS ? STATUS : status
      },
    }
  }
}
