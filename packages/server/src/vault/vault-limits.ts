/** The vault's own limits (wire contract §14): requests, logins, lockouts and outbound calls in flight. */
import { VestryError } from '@vestry/contract/errors'
import type { Session } from '../identity/session.ts'
import type { BucketLimit } from '../limits/bucket.ts'
import type { Limits } from '../limits/limits.ts'
import { Lockout } from '../limits/lockout.ts'

export interface RequestRate {
  readonly perSecond: number
  readonly burst: number
}

export interface VaultLimitSettings {
  /** undefined: not limited. */
  readonly agentRequests: RequestRate | undefined
  readonly authenticate: RequestRate | undefined
  readonly httpRequestsPerAgent: number
  readonly requestsInFlight: number
  readonly lockoutMode: 'source' | 'agent'
}

export const DEFAULT_AGENT_REQUESTS: RequestRate = { perSecond: 100, burst: 200 }
export const DEFAULT_AUTHENTICATE: RequestRate = { perSecond: 10, burst: 20 }

export class VaultLimits {
  readonly #limits: Limits
  readonly #settings: VaultLimitSettings
  readonly #lockout: Lockout
  readonly #requestBuckets = new WeakMap<Session, BucketLimit>()
  readonly #httpInFlight = new Map<string, number>()
  readonly #onRefused: (actor: string, scope: string) => void
  #inFlight = 0
  #alerted = false

  constructor(deps: {
    limits: Limits
    settings: VaultLimitSettings
    monotonic: () => number
    onRefused: (actor: string, scope: string) => void
  }) {
    this.#limits = deps.limits
    this.#settings = deps.settings
    this.#onRefused = deps.onRefused
    this.#lockout = new Lockout({
      now: deps.monotonic,
      mode: deps.settings.lockoutMode,
      onAlert: () => {
        this.#alerted = true
      },
    })
  }

  /** One request of a session. @throws VestryError RATE_LIMITED, scope `agent`. */
  takeRequest(session: Session): void {
    const rate = this.#settings.agentRequests
    if (rate === undefined) return
    let bucket = this.#requestBuckets.get(session)
    if (bucket === undefined) {
      bucket = { kind: 'bucket', key: `req:${nameOf(session)}`, scope: 'agent', ...rate }
      this.#requestBuckets.set(session, bucket)
    }
    this.#take(bucket, nameOf(session))
  }

  /** One challenge asked for. @throws VestryError RATE_LIMITED, scope `source`. */
  takeAuthenticate(source: string): void {
    const rate = this.#settings.authenticate
    if (rate !== undefined) {
      this.#take({ kind: 'bucket', key: `auth:${source}`, scope: 'source', ...rate }, source)
    }
  }

  /** @throws VestryError RATE_LIMITED even for a correct signature, while locked out. */
  assertNotLocked(source: string, agent: string): void {
    try {
      this.#lockout.check(source, agent)
    } catch (error) {
      this.#onRefused(source, 'lockout')
      throw error
    }
  }

  loginFailed(source: string, agent: string): { lockedNow: boolean; alert: boolean } {
    this.#alerted = false
    this.#lockout.fail(source, agent)
    return { lockedNow: this.#isLocked(source, agent), alert: this.#alerted }
  }

  loginSucceeded(source: string, agent: string): void {
    this.#lockout.succeed(source, agent)
  }

  /**
   * A place among the agent's outbound calls in flight, given back when disposed. A refusal is counted
   * by whoever asked.
   * @throws VestryError RATE_LIMITED, scope `http_request`.
   */
  takeHttpSlot(session: Pick<Session, 'principal'>): Disposable {
    const who = nameOf(session)
    const { httpRequestsPerAgent: max } = this.#settings
    const running = this.#httpInFlight.get(who) ?? 0
    if (running >= max) throw full('http_request', max)
    this.#httpInFlight.set(who, running + 1)
    return {
      [Symbol.dispose]: () => {
        const left = (this.#httpInFlight.get(who) ?? 1) - 1
        if (left === 0) this.#httpInFlight.delete(who)
        else this.#httpInFlight.set(who, left)
      },
    }
  }

  /** Runs one request within the daemon's total. @throws VestryError RATE_LIMITED, scope `daemon`. */
  async inFlight<T>(run: () => Promise<T>): Promise<T> {
    const { requestsInFlight: max } = this.#settings
    if (this.#inFlight >= max) {
      this.#onRefused('daemon', 'daemon')
      throw full('daemon', max)
    }
    this.#inFlight += 1
    try {
      return await run()
    } finally {
      this.#inFlight -= 1
    }
  }

  /** What `whoami` tells an agent of its limits. */
  describeAgent(): Record<string, unknown> {
    const rate = this.#settings.agentRequests
    return {
      requests_per_second: rate?.perSecond ?? null,
      burst: rate?.burst ?? null,
      http_requests_in_flight: this.#settings.httpRequestsPerAgent,
    }
  }

  #isLocked(source: string, agent: string): boolean {
    try {
      this.#lockout.check(source, agent)
      return false
    } catch {
      return true
    }
  }

  #take(bucket: BucketLimit, who: string): void {
    try {
      this.#limits.take(bucket)
    } catch (error) {
      this.#onRefused(who, bucket.scope)
      throw error
    }
  }
}

function full(scope: string, limit: number): VestryError {
  return new VestryError('RATE_LIMITED', `too many requests at once (${scope})`, {
    hint: 'Wait for one of them to end',
    context: { scope, limit, retry_after_ms: 100 },
  })
}

function nameOf({ principal }: Pick<Session, 'principal'>): string {
  return principal.kind === 'agent'
    ? `agent:${principal.agent.name}`
    : `operator:${principal.operator.name}`
}
