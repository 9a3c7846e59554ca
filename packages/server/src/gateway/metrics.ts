/** What the gateway counts (gateway contract §14.2). Series of known tools exist from the start, with zero. */
import type { Registry } from '../metrics/registry.ts'
import type { BreakerState } from './resilience/breaker.ts'
import type { Tool } from './tools/tool.ts'

const BUCKETS_MS = [25, 50, 100, 200, 400, 800, 1_600, 3_200, 6_400]
const RETRY_REASONS = ['timeout', '5xx', 'network', 'rate_limit', 'unknown']
const ERROR_TYPES = ['auth', 'policy', 'network', 'upstream']
const SECURITY_EVENTS = ['token_revocation', 'provenance_mismatch', 'token_rejected']
const CHAOS_MODES = ['timeout', '500', 'jitter']
const JOB_STATES = ['queued', 'running']
const JOB_ENDS = ['done', 'failed']
const STATE_NUMBERS: Readonly<Record<BreakerState, number>> = { closed: 0, half_open: 1, open: 2 }
const UNKNOWN = 'unknown'

export interface GatewayMetrics {
  /** Once per proxied request, with the status that was sent. */
  request(tool: string, action: string, status: number, ms: number): void
  cache(tool: string, action: string, hit: boolean): void
  retried(tool: string, action: string, reason: string): void
  fastFailed(tool: string): void
  minted(): void
  validated(ok: boolean): void
  expired(): void
  rotationAdvised(): void
  denied(tool: string, action: string, reason: string): void
  agentCreated(): void
  chaos(tool: string, mode: string): void
  chaosCleared(tool: string): void
  failed(kind: string): void
  securityEvent(kind: string): void
  job(end: 'done' | 'failed'): void
  replayed(): void
}

export function defineGatewayMetrics(
  registry: Registry,
  deps: {
    tools: () => readonly Tool[]
    isTool: (tool: string, action: string) => boolean
    breakerState: (tool: string) => BreakerState
    jobs: () => { queued: number; running: number }
    startedAtMs: number
    legacyAliases: boolean
  },
): GatewayMetrics {
  const counter = (name: string, help: string, labels: readonly string[] = []) =>
    registry.counter({ name, help, labels })
  const requests = counter('gateway_requests_total', 'Proxied requests by final status', [
    'tool',
    'action',
    'code',
  ])
  const duration = registry.histogram({
    name: 'gateway_request_duration_ms',
    help: 'Time from request to answer',
    labels: ['tool', 'action'],
    buckets: BUCKETS_MS,
  })
  const hits = counter('gateway_cache_hits_total', 'Calls answered from the cache', TOOL_ACTION)
  const misses = counter('gateway_cache_misses_total', 'Calls not found in the cache', TOOL_ACTION)
  const retries = counter('gateway_retries_total', 'Attempts after the first', [
    'tool',
    'action',
    'reason',
  ])
  const fastFails = counter('gateway_breaker_fastfail_total', 'Calls refused by an open breaker', [
    'tool',
  ])
  const minted = counter('gateway_token_generations_total', 'Tokens issued')
  const validations = counter('gateway_token_validations_total', 'Tokens checked', ['success'])
  const expirations = counter('gateway_token_expirations_total', 'Expired tokens presented')
  const rotations = counter('gateway_token_rotations_total', 'Answers that advise a new token')
  const denials = counter('gateway_policy_denials_total', 'Calls denied by policy', [
    'tool',
    'action',
    'reason',
  ])
  const agents = counter('gateway_agent_creations_total', 'Agents created over HTTP')
  const injections = counter('gateway_chaos_injections_total', 'Faults injected', [
    'tool',
    'error_type',
  ])
  const clearings = counter('gateway_chaos_clearings_total', 'Fault injections ended', ['tool'])
  const errors = counter('gateway_errors_total', 'Requests that failed', ['error_type'])
  const security = counter('gateway_security_events_total', 'Events worth a look', ['event_type'])
  const jobs = counter('gateway_jobs_total', 'Jobs that ended', ['status'])
  const replays = counter('gateway_idempotent_replays_total', 'Answers given again')
  registry.observed(
    { name: 'gateway_process_start_time_seconds', help: 'Start of the process' },
    () => deps.startedAtMs / 1_000,
  )
  const waiting = registry.gauge({
    name: 'gateway_jobs',
    help: 'Jobs that have not ended',
    labels: ['status'],
  })
  const breakers = registry.gauge({
    name: 'gateway_breaker_state',
    help: '0 closed, 1 half-open, 2 open',
    labels: ['tool'],
  })
  registry.onRender(() => {
    const { queued, running } = deps.jobs()
    waiting.at('queued').set(queued)
    waiting.at('running').set(running)
    for (const { name } of deps.tools())
      breakers.at(name).set(STATE_NUMBERS[deps.breakerState(name)])
  })

  const startAtZero = (): void => {
    for (const tool of deps.tools()) {
      fastFails.at(tool.name)
      breakers.at(tool.name)
      clearings.at(tool.name)
      for (const mode of CHAOS_MODES) injections.at(tool.name, mode)
      for (const action of tool.actions.keys()) {
        requests.at(tool.name, action, '200')
        duration.at(tool.name, action)
        hits.at(tool.name, action)
        misses.at(tool.name, action)
        for (const reason of RETRY_REASONS) retries.at(tool.name, action, reason)
        denials.at(tool.name, action, 'SCOPE_NOT_ALLOWED')
      }
    }
    for (const family of [minted, expirations, rotations, agents, replays]) family.at()
    for (const ok of ['true', 'false']) validations.at(ok)
    for (const type of ERROR_TYPES) errors.at(type)
    for (const event of SECURITY_EVENTS) security.at(event)
    for (const state of JOB_STATES) waiting.at(state)
    for (const end of JOB_ENDS) jobs.at(end)
  }
  startAtZero()
  const legacy = deps.legacyAliases ? legacyCounters(registry) : undefined
  /** Labels come from what exists, never from what callers write. */
  const known = (tool: string, action: string): [string, string] => {
    return deps.isTool(tool, action) ? [tool, action] : [UNKNOWN, UNKNOWN]
  }
  return {
    request: (tool, action, status, ms) => {
      const [one, other] = known(tool, action)
      requests.at(one, other, String(status)).inc()
      duration.at(one, other).observe(ms)
      legacy?.requests.at(one, other, String(status)).inc()
    },
    cache: (tool, action, hit) => (hit ? hits : misses).at(...known(tool, action)).inc(),
    retried: (tool, action, reason) => retries.at(...known(tool, action), reason).inc(),
    fastFailed: (tool) => fastFails.at(tool).inc(),
    minted: () => {
      minted.at().inc()
      legacy?.minted.at().inc()
    },
    validated: (ok) => validations.at(String(ok)).inc(),
    expired: () => expirations.at().inc(),
    rotationAdvised: () => rotations.at().inc(),
    denied: (tool, action, reason) => denials.at(...known(tool, action), reason).inc(),
    agentCreated: () => agents.at().inc(),
    chaos: (tool, mode) => injections.at(tool, mode).inc(),
    chaosCleared: (tool) => clearings.at(tool).inc(),
    failed: (kind) => errors.at(kind).inc(),
    securityEvent: (kind) => security.at(kind).inc(),
    job: (end) => jobs.at(end).inc(),
    replayed: () => replays.at().inc(),
  }
}

const TOOL_ACTION = ['tool', 'action'] as const

/** Names that dashboards of the original product were built on. */
function legacyCounters(registry: Registry) {
  return {
    requests: registry.counter({
      name: 'gateway_requests_total_total',
      help: 'As gateway_requests_total',
      labels: ['tool', 'action', 'code'],
    }),
    minted: registry.counter({
      name: 'gateway_token_generations_total_total',
      help: 'As gateway_token_generations_total',
    }),
  }
}
