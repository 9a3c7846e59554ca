/**
 * Token buckets in memory: `burst` tokens at most, refilled at `perSecond`. Synchronous and free of allocation
 * once a key is known, because every request passes here. A full bucket is forgotten: it equals a new one.
 */

export interface BucketLimit {
  readonly kind: 'bucket'
  /** Who and what: equal keys share one bucket. Carry the rate in it when it can change. */
  readonly key: string
  readonly scope: string
  readonly perSecond: number
  readonly burst: number
  /** Tokens this request takes; 1 unless told. */
  readonly cost?: number
}

interface Bucket {
  tokens: number
  /** When `tokens` was right, ms on the clock that was injected. */
  atMs: number
  perSecond: number
  burst: number
}

export interface BucketOptions {
  /** Milliseconds on a clock that never goes back, such as `performance.now`. */
  readonly now: () => number
  /** Keys kept at once; beyond it, new keys of a scope share one bucket. */
  readonly maxKeys?: number
}

/** How many known keys each new key looks at, so that idle ones leave faster than new ones come. */
const SWEPT_PER_NEW_KEY = 2

export class Buckets {
  readonly #now: () => number
  readonly #maxKeys: number
  readonly #buckets = new Map<string, Bucket>()
  #sweep: Iterator<[string, Bucket]> = this.#buckets.entries()

  constructor({ now, maxKeys = 100_000 }: BucketOptions) {
    this.#now = now
    this.#maxKeys = maxKeys
  }

  get size(): number {
    return this.#buckets.size
  }

  /** @returns 0 when the tokens were taken, else the milliseconds until they would be there; Infinity for never. */
  take(limit: BucketLimit): number {
    const nowMs = this.#now()
    const bucket = this.#bucket(limit, nowMs)
    const cost = limit.cost ?? 1
    refill(bucket, nowMs)
    if (bucket.tokens >= cost) {
      bucket.tokens -= cost
      return 0
    }
    if (cost > limit.burst || limit.perSecond <= 0) return Number.POSITIVE_INFINITY
    return ((cost - bucket.tokens) / limit.perSecond) * 1000
  }

  /** How many tokens there are, for who tells clients. */
  tokens(limit: BucketLimit): number {
    const bucket = this.#buckets.get(limit.key)
    if (bucket === undefined) return limit.burst
    refill(bucket, this.#now())
    return bucket.tokens
  }

  /** Undoes one `take` that succeeded. */
  giveBack(limit: BucketLimit): void {
    const bucket = this.#buckets.get(limit.key) ?? this.#buckets.get(overflowKey(limit))
    if (bucket === undefined) return // full in the meantime, and forgotten
    bucket.tokens = Math.min(bucket.burst, bucket.tokens + (limit.cost ?? 1))
  }

  #bucket(limit: BucketLimit, nowMs: number): Bucket {
    const known = this.#buckets.get(limit.key)
    if (known !== undefined) {
      if (known.perSecond !== limit.perSecond || known.burst !== limit.burst) {
        adopt(known, limit, nowMs)
      }
      return known
    }
    this.#sweepSome(nowMs)
    if (this.#buckets.size < this.#maxKeys) return this.#add(limit.key, limit, nowMs)
    // A flood of new keys must not buy each of them a fresh burst, nor cost memory without end.
    const key = overflowKey(limit)
    return this.#buckets.get(key) ?? this.#add(key, limit, nowMs)
  }

  #add(key: string, { perSecond, burst }: BucketLimit, nowMs: number): Bucket {
    const bucket = { tokens: burst, atMs: nowMs, perSecond, burst }
    this.#buckets.set(key, bucket)
    return bucket
  }

  #sweepSome(nowMs: number): void {
    for (let seen = 0; seen < SWEPT_PER_NEW_KEY; seen += 1) {
      const next = this.#sweep.next()
      if (next.done === true) {
        this.#sweep = this.#buckets.entries()
        return
      }
      const [key, bucket] = next.value
      refill(bucket, nowMs)
      if (bucket.tokens >= bucket.burst) this.#buckets.delete(key)
    }
  }
}

function refill(bucket: Bucket, nowMs: number): void {
  const elapsedMs = nowMs - bucket.atMs
  if (elapsedMs <= 0) return // a clock that stands still or goes back gives nothing
  bucket.atMs = nowMs
  const tokens = bucket.tokens + (elapsedMs * bucket.perSecond) / 1000
  bucket.tokens = tokens < bucket.burst ? tokens : bucket.burst
}

/** A changed limit keeps what was used: spent tokens stay spent. */
function adopt(bucket: Bucket, { perSecond, burst }: BucketLimit, nowMs: number): void {
  refill(bucket, nowMs)
  bucket.tokens = Math.max(0, burst - (bucket.burst - bucket.tokens))
  bucket.perSecond = perSecond
  bucket.burst = burst
}

function overflowKey({ scope }: BucketLimit): string {
  return `overflow:${scope}`
}

export function describeBucket({ perSecond, burst }: BucketLimit): string {
  return `${perSecond}/s burst ${burst}`
}
