/** What the LLM gateway counts. Labels come from what is configured, never from what callers write. */
import { LATENCY_BUCKETS, type Registry } from '../metrics/registry.ts'
import { ROUTES } from './wire/routes.ts'

export interface LlmMetrics {
  /** Once per request, with the status that was sent. */
  request(route: string, status: number, ms: number): void
  /** Once per call of a provider that ended. */
  used(provider: string, use: { prompt: number; completion: number; micros: number }): void
  /** A streamed answer began; dispose when it ended. */
  stream(): Disposable
  replayed(): void
  alerted(provider: string): void
}

const SECONDS = [...LATENCY_BUCKETS, 60, 120, 300, 600]

export function defineLlmMetrics(
  registry: Registry,
  deps: { providers: () => readonly string[]; runsInFlight: () => number; bodyBytes: () => number },
): LlmMetrics {
  const requests = registry.counter({
    name: 'llm_requests_total',
    help: 'Requests by route and status',
    labels: ['route', 'status'],
  })
  const duration = registry.histogram({
    name: 'llm_request_duration_seconds',
    help: 'Time from request to the end of the answer',
    labels: ['route'],
    buckets: SECONDS,
  })
  const tokens = registry.counter({
    name: 'llm_tokens_total',
    help: 'Tokens used, as providers count them',
    labels: ['provider', 'kind'],
  })
  const cost = registry.counter({
    name: 'llm_cost_micros_total',
    help: 'Cost of model calls in millionths of a dollar',
    labels: ['provider'],
  })
  const keyFailures = registry.counter({
    name: 'llm_provider_key_failures_total',
    help: 'Calls that a provider refused because of our key',
    labels: ['provider'],
  })
  const replays = registry.counter({
    name: 'llm_idempotent_replays_total',
    help: 'Answers that were given again',
  })
  const streams = registry.gauge({ name: 'llm_streams', help: 'Streamed answers under way' })
  registry.observed(
    { name: 'llm_runs_in_flight', help: 'Runs with requests under way' },
    deps.runsInFlight,
  )
  registry.observed(
    { name: 'llm_body_bytes', help: 'Memory that request bodies take' },
    deps.bodyBytes,
  )
  for (const { path } of ROUTES) {
    requests.at(path, '200')
    duration.at(path)
  }
  replays.at()
  streams.at()
  for (const provider of deps.providers()) {
    for (const kind of ['prompt', 'completion']) tokens.at(provider, kind)
    cost.at(provider)
    keyFailures.at(provider)
  }
  let running = 0
  return {
    request: (route, status, ms) => {
      requests.at(route, String(status)).inc()
      duration.at(route).observe(ms / 1_000)
    },
    used: (provider, { prompt, completion, micros }) => {
      tokens.at(provider, 'prompt').inc(prompt)
      tokens.at(provider, 'completion').inc(completion)
      cost.at(provider).inc(micros)
    },
    stream: () => {
      running += 1
      streams.at().set(running)
      return {
        [Symbol.dispose]: () => {
          running -= 1
          streams.at().set(running)
        },
      }
    },
    replayed: () => replays.at().inc(),
    alerted: (provider) => keyFailures.at(provider).inc(),
  }
}
