/** How many requests one key, or one address without a key, may send. */
import { VestryError } from '@vestry/contract/errors'
import type { Buckets } from '../../limits/bucket.ts'
import type { RuntimeSettings } from '../settings.ts'

/** The SDK never repeats a refused request, so batches of a few hundred must pass. */
const DEFAULT_PER_MINUTE = 600
const BURST_PER_MINUTE = 3

export interface RateHeaders {
  readonly 'x-ratelimit-limit': string
  readonly 'x-ratelimit-remaining': string
  readonly 'x-ratelimit-reset': string
}

export class RequestRate {
  readonly #buckets: Buckets
  readonly #now: () => number
  readonly #perMinute: number
  readonly #burst: number

  /** @param now Epoch ms. */
  constructor(deps: {
    buckets: Buckets
    now: () => number
    settings: RuntimeSettings
    dev: boolean
  }) {
    const { rate_limit_per_minute: perMinute, rate_limit_burst: burst } = deps.settings
    this.#buckets = deps.buckets
    this.#now = deps.now
    const unset = perMinute === undefined && burst === undefined
    this.#perMinute = unset && deps.dev ? 0 : (perMinute ?? DEFAULT_PER_MINUTE)
    this.#burst = burst ?? Math.max(1, Math.ceil(this.#perMinute / BURST_PER_MINUTE))
  }

  /** @throws VestryError RATE_LIMITED */
  take(who: string): void {
    if (this.#perMinute === 0) return
    const waitMs = this.#buckets.take(this.#limit(who))
    if (waitMs === 0) return
    throw new VestryError('RATE_LIMITED', 'Too many requests', {
      hint: 'Wait as long as Retry-After says',
      context: { retry_after_ms: waitMs },
    })
  }

  headers(who: string): RateHeaders | undefined {
    if (this.#perMinute === 0) return undefined
    const tokens = this.#buckets.tokens(this.#limit(who))
    const fullInMs = ((this.#burst - tokens) / this.#perMinute) * 60_000
    return {
      'x-ratelimit-limit': String(this.#perMinute),
      'x-ratelimit-remaining': String(Math.floor(tokens)),
      'x-ratelimit-reset': String(Math.ceil((this.#now() + fullInMs) / 1_000)),
    }
  }

  #limit(who: string) {
    return {
      kind: 'bucket',
      key: `runtime:${who}`,
      scope: 'runtime.requests',
      perSecond: this.#perMinute / 60,
      burst: this.#burst,
    } as const
  }
}
