/**
 * Refuses a key for a while after too many failures in a row, longer each time. Pure but for its memory, which
 * is bounded; the caller brings the clock.
 */

export interface FailurePolicy {
  /** So many failures … */
  readonly failures: number
  /** … within this time lock the key. */
  readonly withinMs: number
  /** The first lock; each further failure doubles it … */
  readonly firstLockMs: number
  /** … up to this. */
  readonly maxLockMs: number
  /** Time without failure or lock after which everything is forgotten. */
  readonly quietMs: number
}

interface Failures {
  /** Times of the latest failures, oldest first; at most `failures` of them. */
  times: number[]
  locks: number
  lockedUntilMs: number
}

export class FailureLock {
  readonly #policy: FailurePolicy
  readonly #maxKeys: number
  /** Oldest activity first: a key moves to the end whenever it fails. */
  readonly #keys = new Map<string, Failures>()

  constructor(policy: FailurePolicy, maxKeys = 10_000) {
    this.#policy = policy
    this.#maxKeys = maxKeys
  }

  get size(): number {
    return this.#keys.size
  }

  /** @returns the milliseconds for which the key is still refused; 0 when it may try. */
  lockedMs(key: string, nowMs: number): number {
    const known = this.#keys.get(key)
    return known === undefined ? 0 : Math.max(0, known.lockedUntilMs - nowMs)
  }

  /** @returns the milliseconds for which this failure locks the key; 0 when it does not. */
  fail(key: string, nowMs: number): number {
    const { failures, withinMs, firstLockMs, maxLockMs } = this.#policy
    const entry = this.#recent(key, nowMs)
    entry.times = [...entry.times.filter((at) => at > nowMs - withinMs), nowMs].slice(-failures)
    this.#remember(key, entry, nowMs)
    // Once a key was locked, one more failure is enough until it has been quiet.
    if (entry.locks === 0 && entry.times.length < failures) return 0
    const lockMs = Math.min(firstLockMs * 2 ** entry.locks, maxLockMs)
    entry.locks += 1
    entry.lockedUntilMs = nowMs + lockMs
    return lockMs
  }

  succeed(key: string): void {
    this.#keys.delete(key)
  }

  #recent(key: string, nowMs: number): Failures {
    const known = this.#keys.get(key)
    if (known !== undefined && !this.#isQuiet(known, nowMs)) return known
    return { times: [], locks: 0, lockedUntilMs: 0 }
  }

  #isQuiet({ times, lockedUntilMs }: Failures, nowMs: number): boolean {
    return nowMs >= Math.max(times.at(-1) ?? 0, lockedUntilMs) + this.#policy.quietMs
  }

  #remember(key: string, entry: Failures, nowMs: number): void {
    this.#keys.delete(key)
    for (const [oldest, known] of this.#keys) {
      if (!this.#isQuiet(known, nowMs) && this.#keys.size < this.#maxKeys) break
      this.#keys.delete(oldest)
    }
    this.#keys.set(key, entry)
  }
}
