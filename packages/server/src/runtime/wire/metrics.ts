/** What the runtime API counts. Labels are the routes as written here, never what callers send. */
import { LATENCY_BUCKETS, type Registry } from '../../metrics/registry.ts'

export interface WireMetrics {
  /** Requests that were answered since the start. */
  readonly total: number
  /** Once per request, with the status that was sent. */
  request(route: string, status: number, ms: number): void
}

export function defineWireMetrics(registry: Registry, underWay: () => number): WireMetrics {
  const requests = registry.counter({
    name: 'runtime_requests_total',
    help: 'Requests of the runtime API by route and status',
    labels: ['route', 'status'],
    maxSeries: 1_000,
  })
  const duration = registry.histogram({
    name: 'runtime_request_duration_seconds',
    help: 'Time from request to answer',
    labels: ['route'],
    buckets: LATENCY_BUCKETS,
  })
  registry.observed(
    { name: 'runtime_requests_under_way', help: 'Requests that have no answer yet' },
    underWay,
  )
  let total = 0
  return {
    get total() {
      return total
    },
    request: (route, status, ms) => {
      total += 1
      requests.at(route, String(status)).inc()
      duration.at(route).observe(ms / 1_000)
    },
  }
}
