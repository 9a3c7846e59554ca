/** What an endpoint has counted; all but the last minute outlives a restart. */

export interface EndpointCounters {
  total: number
  successful: number
  failed: number
  total_ms: number
  max_ms: number
  min_ms: number
  last_request_at_ms: number | null
}

const MINUTE_MS = 60_000
/** Times of requests that are remembered for the rate; beyond it the rate is at least this. */
const MAX_RECENT = 10_000

export class EndpointStats {
  readonly #counters: EndpointCounters
  readonly #recent: number[] = []
  /** Something was counted since it was last kept. */
  dirty = false

  constructor(kept?: EndpointCounters) {
    this.#counters = kept ?? {
      total: 0,
      successful: 0,
      failed: 0,
      total_ms: 0,
      max_ms: 0,
      min_ms: 0,
      last_request_at_ms: null,
    }
  }

  answered({ ok, ms, nowMs }: { ok: boolean; ms: number; nowMs: number }): void {
    const counters = this.#counters
    counters.min_ms = counters.total === 0 ? ms : Math.min(counters.min_ms, ms)
    counters.max_ms = Math.max(counters.max_ms, ms)
    counters.total += 1
    counters.total_ms += ms
    if (ok) counters.successful += 1
    else counters.failed += 1
    counters.last_request_at_ms = nowMs
    this.#recent.push(nowMs)
    if (this.#recent.length > MAX_RECENT) this.#recent.shift()
    this.dirty = true
  }

  counters(): EndpointCounters {
    return { ...this.#counters }
  }

  view(id: string, { nowMs, activeSinceMs }: { nowMs: number; activeSinceMs: number | undefined }) {
    const { total, successful, failed, ...times } = this.#counters
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
