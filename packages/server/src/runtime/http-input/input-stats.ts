/**
 * What an input has counted. Counters outlive a restart, and those of several nodes are added up in the store; the times
 * of the last requests are of this process.
 */
import * as z from 'zod'

export const REJECTIONS = ['auth', 'size', 'concurrency', 'signature', 'json'] as const
export type Rejection = (typeof REJECTIONS)[number]

const Count = z.number().min(0).catch(0)

/** Rows of counters carry no MAC: what is no number is none. */
const Kept = z.object({
  requests_total: Count,
  requests_succeeded: Count,
  requests_failed: Count,
  requests_rejected: z
    .object({ auth: Count, size: Count, concurrency: Count, signature: Count, json: Count })
    .catch(() => ({ auth: 0, size: 0, concurrency: 0, signature: 0, json: 0 })),
  total_ms: Count,
  bytes_in: Count,
  last_request_at_ms: z.number().min(0).max(8.64e15).nullable().catch(null),
  by_agent: z.record(z.string(), z.number().min(0)).catch({}),
})
export type Counters = z.output<typeof Kept>

/** @param text As it is kept; undefined where nothing is. */
export function readCounters(text: string | undefined): Counters {
  try {
    return Kept.parse(JSON.parse(text ?? '{}'))
  } catch {
    return Kept.parse({})
  }
}

export function plus(one: Counters, other: Counters): Counters {
  const rejected = { ...one.requests_rejected }
  for (const why of REJECTIONS) rejected[why] += other.requests_rejected[why]
  // Agents may be called as members that every object has.
  const byAgent = new Map(Object.entries(one.by_agent))
  for (const [agent, count] of Object.entries(other.by_agent))
    byAgent.set(agent, (byAgent.get(agent) ?? 0) + count)
  const lastMs = Math.max(one.last_request_at_ms ?? -1, other.last_request_at_ms ?? -1)
  return {
    requests_total: one.requests_total + other.requests_total,
    requests_succeeded: one.requests_succeeded + other.requests_succeeded,
    requests_failed: one.requests_failed + other.requests_failed,
    requests_rejected: rejected,
    total_ms: one.total_ms + other.total_ms,
    bytes_in: one.bytes_in + other.bytes_in,
    last_request_at_ms: lastMs < 0 ? null : lastMs,
    by_agent: Object.fromEntries(byAgent),
  }
}

const KEPT_TIMES = 1_024

export class InputStats {
  /** Of all nodes, as it was kept last. */
  #kept: Counters
  /** Of this node, since. */
  #since = readCounters(undefined)
  /** Of this node, on its way to the store. */
  #taken: Counters | undefined
  readonly #times: number[] = []
  #next = 0

  constructor(kept: Counters = readCounters(undefined)) {
    this.#kept = kept
  }

  rejected(why: Rejection, nowMs: number): void {
    this.#seen(nowMs)
    this.#since.requests_rejected[why] += 1
  }

  answered(request: {
    ok: boolean
    agent: string
    ms: number
    bytes: number
    nowMs: number
  }): void {
    this.#seen(request.nowMs)
    const none = readCounters(undefined)
    this.#since = plus(this.#since, {
      ...none,
      requests_succeeded: request.ok ? 1 : 0,
      requests_failed: request.ok ? 0 : 1,
      total_ms: request.ms,
      bytes_in: request.bytes,
      by_agent: { [request.agent]: 1 },
    })
    this.#times[this.#next] = request.ms
    this.#next = (this.#next + 1) % KEPT_TIMES
  }

  get processed(): number {
    const { requests_succeeded: succeeded, requests_failed: failed } = this.#all()
    return succeeded + failed
  }

  /** What is to be kept; undefined where nothing came. One of {@link kept} and {@link notKept} follows. */
  take(): Counters | undefined {
    if (this.#taken !== undefined || this.#since.requests_total === 0) return undefined
    this.#taken = this.#since
    this.#since = readCounters(undefined)
    return this.#taken
  }

  /** @param all Of all nodes, what was taken included. */
  kept(all: Counters): void {
    this.#kept = all
    this.#taken = undefined
  }

  notKept(): void {
    if (this.#taken !== undefined) this.#since = plus(this.#taken, this.#since)
    this.#taken = undefined
  }

  /** For `GET …/metrics`. */
  view({
    active,
    uptimeSeconds,
  }: {
    active: number
    uptimeSeconds: number
  }): Record<string, unknown> {
    const { total_ms: totalMs, last_request_at_ms: lastMs, ...counted } = this.#all()
    const processed = counted.requests_succeeded + counted.requests_failed
    return {
      ...counted,
      average_response_time_ms: processed === 0 ? 0 : totalMs / processed,
      p95_response_time_ms: percentile(this.#times, 0.95),
      active_connections: active,
      uptime_seconds: uptimeSeconds,
      last_request_at: lastMs === null ? null : new Date(lastMs).toISOString(),
    }
  }

  #all(): Counters {
    const here = this.#taken === undefined ? this.#since : plus(this.#taken, this.#since)
    return plus(this.#kept, here)
  }

  #seen(nowMs: number): void {
    this.#since.requests_total += 1
    this.#since.last_request_at_ms = nowMs
  }
}

/** The smallest value that so large a part is not above. */
function percentile(times: readonly number[], part: number): number {
  if (times.length === 0) return 0
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] as number
}
