/**
 * What an endpoint has counted; all but the last minute outlives a restart, and the counts of several nodes are added up
 * in the store.
 */
import * as z from 'zod'

const Count = z.number().min(0).catch(0)

/** Rows of counters carry no MAC: what is no number is none. */
const Kept = z.object({
  total: Count,
  successful: Count,
  failed: Count,
  total_ms: Count,
  max_ms: Count,
  min_ms: Count,
  last_request_at_ms: z.number().min(0).max(8.64e15).nullable().catch(null),
})
export type EndpointCounters = z.output<typeof Kept>

/** @param text As it is kept; undefined where nothing is. */
export function readCounters(text: string | undefined): EndpointCounters {
  try {
    return Kept.parse(JSON.parse(text ?? '{}'))
  } catch {
    return Kept.parse({})
  }
}

export function plus(one: EndpointCounters, other: EndpointCounters): EndpointCounters {
  const lastMs = Math.max(one.last_request_at_ms ?? -1, other.last_request_at_ms ?? -1)
  const counted = [one, other].filter(({ total }) => total > 0)
  return {
    total: one.total + other.total,
    successful: one.successful + other.successful,
    failed: one.failed + other.failed,
    total_ms: one.total_ms + other.total_ms,
    max_ms: Math.max(one.max_ms, other.max_ms),
    min_ms: counted.length === 0 ? 0 : Math.min(...counted.map(({ min_ms: ms }) => ms)),
    last_request_at_ms: lastMs < 0 ? null : lastMs,
  }
}

const MINUTE_MS = 60_000
/** Times of requests that are remembered for the rate; beyond it the rate is at least this. */
const MAX_RECENT = 10_000

export class EndpointStats {
  /** Of all nodes, as it was kept last. */
  #kept: EndpointCounters
  /** Of this node, since. */
  #since = readCounters(undefined)
  /** Of this node, on its way to the store. */
  #taken: EndpointCounters | undefined
  readonly #recent: number[] = []

  constructor(kept: EndpointCounters = readCounters(undefined)) {
    this.#kept = kept
  }

  answered({ ok, ms, nowMs }: { ok: boolean; ms: number; nowMs: number }): void {
    this.#since = plus(this.#since, {
      total: 1,
      successful: ok ? 1 : 0,
      failed: ok ? 0 : 1,
      total_ms: ms,
      max_ms: ms,
      min_ms: ms,
      last_request_at_ms: nowMs,
    })
    this.#recent.push(nowMs)
    if (this.#recent.length > MAX_RECENT) this.#recent.shift()
  }

  /** What is to be kept; undefined where nothing came. One of {@link kept} and {@link notKept} follows. */
  take(): EndpointCounters | undefined {
    if (this.#taken !== undefined || this.#since.total === 0) return undefined
    this.#taken = this.#since
    this.#since = readCounters(undefined)
    return this.#taken
  }

  /** @param all Of all nodes, what was taken included. */
  kept(all: EndpointCounters): void {
    this.#kept = all
    this.#taken = undefined
  }

  notKept(): void {
    if (this.#taken !== undefined) this.#since = plus(this.#taken, this.#since)
    this.#taken = undefined
  }

  view(id: string, { nowMs, activeSinceMs }: { nowMs: number; activeSinceMs: number | undefined }) {
    const here = this.#taken === undefined ? this.#since : plus(this.#taken, this.#since)
    const { total, successful, failed, ...times } = plus(this.#kept, here)
    const lately = this.#recent.filter((atMs) => atMs > nowMs - MINUTE_MS).length
    return {
      endpoint_id: id,
      total_requests: total,
      successful_requests: successful,
      failed_requests: failed,
      average_response_time_ms: total === 0 ? 0 : times.total_ms / total,
      max_response_time_ms: times.max_ms,
      min_response_time_ms: times.min_ms,
      requests_per_minute: lately,
      error_rate_percent: total === 0 ? 0 : (failed / total) * 100,
      last_request_at:
        times.last_request_at_ms === null ? null : new Date(times.last_request_at_ms).toISOString(),
      uptime_seconds:
        activeSinceMs === undefined ? 0 : Math.max(0, Math.floor((nowMs - activeSinceMs) / 1_000)),
    }
  }
}
