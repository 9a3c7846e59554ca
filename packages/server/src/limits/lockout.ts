/**
 * Failed authentications (wire contract §14). A (source, agent) pair is refused for a growing time, a source for its
 * failures over all agents; failures of one agent over all sources only raise an alert, because a lock by name
 * alone would let anyone lock a real agent out.
 */
import { FailureLock, type FailurePolicy } from './failure-lock.ts'
import { rateLimited } from './refusal.ts'

const MINUTE_MS = 60_000
const WINDOW_MS = 15 * MINUTE_MS

/** Five failures, then 60 s, doubling to 15 minutes. */
export const PAIR_POLICY: FailurePolicy = {
  failures: 5,
  withinMs: WINDOW_MS,
  firstLockMs: MINUTE_MS,
  maxLockMs: WINDOW_MS,
  quietMs: WINDOW_MS,
}
const SOURCE_FAILURES = 30
const AGENT_FAILURES = 30

export interface LockoutOptions {
  /** Ms on a clock that never goes back. */
  readonly now: () => number
  /** `agent` locks by name over all sources, for those whose rules demand it. */
  readonly mode?: 'source' | 'agent'
  /** Thirty failures of one agent within 15 minutes, whatever their sources; again after thirty more. */
  readonly onAlert: (alert: { agent: string; failures: number }) => void
  readonly maxKeys?: number
}

export class Lockout {
  readonly #now: () => number
  readonly #mode: 'source' | 'agent'
  readonly #onAlert: LockoutOptions['onAlert']
  readonly #pairs: FailureLock
  readonly #sources: FailureCounts
  readonly #agents: FailureCounts

  constructor({ now, mode = 'source', onAlert, maxKeys = 10_000 }: LockoutOptions) {
    this.#now = now
    this.#mode = mode
    this.#onAlert = onAlert
    this.#pairs = new FailureLock(PAIR_POLICY, maxKeys)
    this.#sources = new FailureCounts(SOURCE_FAILURES, maxKeys)
    this.#agents = new FailureCounts(AGENT_FAILURES, maxKeys)
  }

  /**
   * Asked before a proof is looked at, so that even a correct one is refused.
   *
   * @param source Remote address, or peer uid of a Unix socket.
   * @throws VestryError RATE_LIMITED with `retry_after_ms`.
   */
  check(source: string, agent: string): void {
    const nowMs = this.#now()
    const pairMs = this.#pairs.lockedMs(this.#pair(source, agent), nowMs)
    const sourceMs = this.#sources.fullForMs(source, nowMs)
    if (pairMs === 0 && sourceMs === 0) return
    const bySource = sourceMs > pairMs
    throw rateLimited({
      scope: bySource ? 'failed authentications of this source' : 'failed authentications',
      limit: `${bySource ? SOURCE_FAILURES : PAIR_POLICY.failures}/${WINDOW_MS / 1000}s`,
      retryAfterMs: Math.max(pairMs, sourceMs),
    })
  }

  /** A proof that did not hold, for a known agent or not. */
  fail(source: string, agent: string): void {
    const nowMs = this.#now()
    this.#pairs.fail(this.#pair(source, agent), nowMs)
    this.#sources.add(source, nowMs)
    if (this.#agents.add(agent, nowMs) < AGENT_FAILURES) return
    this.#agents.forget(agent) // the next alert needs as many failures again
    this.#onAlert({ agent, failures: AGENT_FAILURES })
  }

  /** Clears the pair only: one good key must not clear a source that attacks other agents. */
  succeed(source: string, agent: string): void {
    this.#pairs.succeed(this.#pair(source, agent))
  }

  #pair(source: string, agent: string): string {
    return this.#mode === 'agent' ? agent : `${source}\0${agent}`
  }
}

/** The latest failures of each key within the window, `limit` of them at most. */
class FailureCounts {
  readonly #limit: number
  readonly #maxKeys: number
  readonly #times = new Map<string, number[]>()

  constructor(limit: number, maxKeys: number) {
    this.#limit = limit
    this.#maxKeys = maxKeys
  }

  /** @returns how many failures the key has within the window, this one included. */
  add(key: string, nowMs: number): number {
    const times = [...this.#recent(key, nowMs), nowMs].slice(-this.#limit)
    this.#times.delete(key)
    for (const [oldest, known] of this.#times) {
      const past = (known.at(-1) ?? 0) <= nowMs - WINDOW_MS
      if (!past && this.#times.size < this.#maxKeys) break
      this.#times.delete(oldest)
    }
    this.#times.set(key, times)
    return times.length
  }

  /** @returns the milliseconds until the oldest of `limit` failures leaves the window; 0 when there are fewer. */
  fullForMs(key: string, nowMs: number): number {
    const times = this.#recent(key, nowMs)
    const [oldest] = times
    return oldest === undefined || times.length < this.#limit ? 0 : oldest + WINDOW_MS - nowMs
  }

  forget(key: string): void {
    this.#times.delete(key)
  }

  #recent(key: string, nowMs: number): readonly number[] {
    return (this.#times.get(key) ?? []).filter((at) => at > nowMs - WINDOW_MS)
  }
}
