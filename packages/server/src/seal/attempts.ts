/**
 * Slows down guessing: after five failed attempts each further one costs a minute, then two, up to fifteen.
 * An attempt counts from its start, so that many at once gain nothing. @see wire contract §14, 16.2
 */
import { VestryError } from '@vestry/contract/errors'

const LIMIT = 5
const FIRST_DELAY_MS = 60_000
const MAX_DELAY_MS = 15 * 60_000
/** After this long without an attempt all is forgotten. */
const QUIET_MS = 15 * 60_000

/** How an attempt ended. The first report counts; without one it failed. */
export interface Attempt {
  /** Forgets every failure before it. */
  succeeded(): void
  /** It proved nothing either way, e.g. because the store was not reachable. */
  withdraw(): void
}

export class AttemptLimit {
  readonly #now: () => number
  #failed = 0
  #lastAt = 0
  #blockedUntil = 0

  constructor(now: () => number) {
    this.#now = now
  }

  /** Attempts since the last one that succeeded, unless there was a long quiet. */
  get failed(): number {
    return this.#failed
  }

  /** @throws VestryError `RATE_LIMITED` with `retry_after_ms`, for right and wrong secrets alike. */
  begin(): Attempt {
    const now = this.#now()
    if (now < this.#blockedUntil) throw tooMany(this.#blockedUntil - now)
    if (now - Math.max(this.#lastAt, this.#blockedUntil) > QUIET_MS) this.#failed = 0
    this.#failed += 1
    this.#lastAt = now
    const before = this.#blockedUntil
    const until = this.#failed < LIMIT ? before : now + delayAfter(this.#failed)
    this.#blockedUntil = until
    let open = true
    const once = (report: () => void) => () => {
      if (open) report()
      open = false
    }
    return {
      succeeded: once(() => {
        this.#failed = 0
        this.#blockedUntil = 0
      }),
      withdraw: once(() => {
        if (this.#failed > 0) this.#failed -= 1
        if (this.#blockedUntil === until) this.#blockedUntil = before
      }),
    }
  }
}

function delayAfter(failed: number): number {
  return Math.min(FIRST_DELAY_MS * 2 ** (failed - LIMIT), MAX_DELAY_MS)
}

function tooMany(waitMs: number): VestryError {
  return new VestryError('RATE_LIMITED', 'Too many attempts to unseal', {
    hint: `Try again in ${Math.ceil(waitMs / 1000)} seconds.`,
    context: { retry_after_ms: waitMs, scope: 'unseal', limit: LIMIT },
  })
}
