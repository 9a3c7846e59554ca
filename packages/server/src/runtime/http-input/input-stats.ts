/** What an input has counted. Counters outlive a restart; the times of the last requests are of this process. */

export const REJECTIONS = ['auth', 'size', 'concurrency', 'signature', 'json'] as const
export type Rejection = (typeof REJECTIONS)[number]

export interface Counters {
  requests_total: number
  requests_succeeded: number
  requests_failed: number
  requests_rejected: Record<Rejection, number>
  total_ms: number
  bytes_in: number
  last_request_at_ms: number | null
  by_agent: Record<string, number>
}

const KEPT_TIMES = 1_024

export class InputStats {
  readonly #counters: Counters
  readonly #times: number[] = []
  #next = 0
  /** Something was counted since it was last kept. */
  dirty = false

  constructor(kept?: Partial<Counters>) {
    this.#counters = {
      requests_total: 0,
      requests_succeeded: 0,
      requests_failed: 0,
      total_ms: 0,
      bytes_in: 0,
      last_request_at_ms: null,
      ...kept,
      requests_rejected: { ...noRejections(), ...kept?.requests_rejected },
      by_agent: { ...kept?.by_agent },
    }
  }

  rejected(why: Rejection, nowMs: number): void {
    this.#seen(nowMs)
    this.#counters.requests_rejected[why] += 1
  }

  answered(request: {
    ok: boolean
    agent: string
    ms: number
    bytes: number
    nowMs: number
  }): void {
    const counters = this.#counters
    this.#seen(request.nowMs)
    if (request.ok) counters.requests_succeeded += 1
    else counters.requests_failed += 1
    counters.total_ms += request.ms
    counters.bytes_in += request.bytes
    counters.by_agent[request.agent] = (counters.by_agent[request.agent] ?? 0) + 1
    this.#times[this.#next] = request.ms
    this.#next = (this.#next + 1) % KEPT_TIMES
  }

  get processed(): number {
    return this.#counters.requests_succeeded + this.#counters.requests_failed
  }

  /** To be kept. */
  counters(): Counters {
    return structuredClone(this.#counters)
  }

  /** For `GET …/metrics`. */
  view({
    active,
    uptimeSeconds,
  }: {
    active: number
    uptimeSeconds: number
  }): Record<string, unknown> {
    const { total_ms: totalMs, last_request_at_ms: lastMs, ...counted } = this.counters()
    return {
      ...counted,
      average_response_time_ms: this.processed === 0 ? 0 : totalMs / this.processed,
      p95_response_time_ms: percentile(this.#times, 0.95),
      active_connections: active,
      uptime_seconds: uptimeSeconds,
      last_request_at: lastMs === null ? null : new Date(lastMs).toISOString(),
    }
  }

  #seen(nowMs: number): void {
    this.#counters.requests_total += 1
    this.#counters.last_request_at_ms = nowMs
    this.dirty = true
  }
}

function noRejections(): Record<Rejection, number> {
  return { auth: 0, size: 0, concurrency: 0, signature: 0, json: 0 }
}

/** The smallest value that so large a part is not above. */
function percentile(times: readonly number[], part: number): number {
  if (times.length === 0) return 0
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] as number
}
