/** Whether the parts this API stands on work. Asked without a key and often, so an answer holds for a while. */

export interface CheckResult {
  readonly status: 'healthy' | 'degraded' | 'unhealthy'
  readonly latency_ms: number
}

/** @throws what is wrong. It is not told: anybody may ask, and it may name hosts and files. */
export type Check = () => Promise<void> | void

export interface Health {
  readonly status: 'healthy' | 'degraded' | 'unhealthy'
  readonly checks: Readonly<Record<string, CheckResult>>
}

export interface HealthCheck {
  readonly check: Check
  /** Without it nothing can be served. */
  readonly vital: boolean
  /** How long an answer holds; 1 s unless told. */
  readonly holdsMs?: number
  /** False while there is nothing to be asked. */
  readonly applies?: () => boolean
}

const HOLDS_MS = 1_000
const CHECK_WITHIN_MS = 2_000

export class HealthChecks {
  readonly #checks: Readonly<Record<string, HealthCheck>>
  readonly #now: () => number
  readonly #last = new Map<
    string,
    { readonly atMs: number; readonly result: Promise<CheckResult> }
  >()

  /** @param now On a clock that never goes back. */
  constructor(checks: Readonly<Record<string, HealthCheck>>, now: () => number) {
    this.#checks = checks
    this.#now = now
  }

  async health(): Promise<Health> {
    const asked = Object.entries(this.#checks).filter(([, { applies }]) => applies?.() ?? true)
    const results = await Promise.all(
      asked.map(async ([name, check]) => [name, await this.#latest(name, check)] as const),
    )
    const states = new Set(results.map(([, { status }]) => status))
    const status = states.has('unhealthy')
      ? 'unhealthy'
      : states.has('degraded')
        ? 'degraded'
        : 'healthy'
    return { status, checks: Object.fromEntries(results) }
  }

  #latest(name: string, { check, vital, holdsMs = HOLDS_MS }: HealthCheck): Promise<CheckResult> {
    const nowMs = this.#now()
    const last = this.#last.get(name)
    if (last !== undefined && nowMs - last.atMs < holdsMs) return last.result
    const result = this.#one(check, vital)
    this.#last.set(name, { atMs: nowMs, result })
    return result
  }

  async #one(check: Check, vital: boolean): Promise<CheckResult> {
    const startedMs = this.#now()
    const latency = () => Math.round(this.#now() - startedMs)
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(new Error('late')), CHECK_WITHIN_MS)
    try {
      await Promise.race([check(), late])
      return { status: 'healthy', latency_ms: latency() }
    } catch {
      return { status: vital ? 'unhealthy' : 'degraded', latency_ms: latency() }
    } finally {
      clearTimeout(timer)
    }
  }
}
