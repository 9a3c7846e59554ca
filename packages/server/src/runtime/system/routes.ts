/** Health, metrics and status of the runtime (runtime contract §3). */
import { VERSION } from '@vestry/contract/version'
import { metricsExport } from '../routes/metrics-export.ts'
import type { RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { HealthChecks } from './health.ts'
import type { HostUsage } from './host-usage.ts'

export interface Counts {
  readonly active_agents: number
  readonly total_agents: number
  readonly secrets_count: number
  readonly mcp_connections: number
  readonly vector_db_items: number
}

/** As the part that runs schedules counts them. */
export interface SchedulerCounts {
  readonly jobs_total: number
  readonly jobs_active: number
  readonly jobs_paused: number
  readonly runs_total: number
  readonly runs_succeeded: number
  readonly runs_failed: number
}

/** As the part that runs tasks counts them. */
export interface TaskCounts {
  readonly tasks_active: number
  readonly tasks_queued: number
  readonly tasks_completed: number
  readonly tasks_failed: number
}

export interface SystemDeps {
  /** Epoch ms, when this process started. */
  readonly startedAtMs: number
  readonly health: HealthChecks
  readonly sealed: () => boolean
  readonly draining: () => boolean
  /** Start-up has come to its end. */
  readonly started: () => boolean
  readonly usage: () => Promise<HostUsage>
  readonly counts: () => Promise<Counts>
  readonly tasks: () => Promise<TaskCounts>
  readonly scheduler: () => Promise<SchedulerCounts>
  /** Everything that is measured, as Prometheus reads it. */
  readonly exposition: () => string
  readonly requestsTotal: () => number
  readonly requestsUnderWay: () => number
}

export function systemRoutes(deps: SystemDeps): readonly RuntimeRoute[] {
  const publicGet = (path: string, handle: RuntimeRoute['handle']): RuntimeRoute => ({
    method: 'GET',
    path,
    access: 'public',
    whileSealed: true,
    handle,
  })
  const adminGet = (path: string, handle: RuntimeRoute['handle']): RuntimeRoute => ({
    method: 'GET',
    path,
    access: 'admin',
    handle,
  })
  const uptime = ({ nowMs }: RuntimeRequest): number =>
    Math.max(0, Math.floor((nowMs - deps.startedAtMs) / 1_000))
  const time = ({ nowMs }: RuntimeRequest): string => new Date(nowMs).toISOString()

  return [
    publicGet('health', async (request) => {
      const { status, checks } = await deps.health.health()
      // Sealed it serves nothing else, and that is what somebody wanted.
      const told = status === 'healthy' && deps.sealed() ? 'degraded' : status
      return {
        status: told === 'unhealthy' ? 503 : 200,
        body: {
          status: told,
          uptime_seconds: uptime(request),
          timestamp: time(request),
          version: VERSION,
          sealed: deps.sealed(),
          checks,
        },
      }
    }),
    publicGet('health/live', () => ({ body: { status: 'alive' } })),
    publicGet('health/ready', () => {
      const reason = deps.draining() ? 'stopping' : deps.sealed() ? 'sealed' : undefined
      if (deps.started() && reason === undefined) return { body: { status: 'ready' } }
      return { status: 503, body: { status: 'starting', ...(reason !== undefined && { reason }) } }
    }),
    adminGet('metrics', async (request) => {
      const [usage, counts, more] = await Promise.all([
        deps.usage(),
        deps.counts(),
        snapshot(deps, request),
      ])
      const { memory_usage_bytes, memory_usage_percent, cpu_usage_percent } = usage
      const { disk_usage_bytes, disk_usage_percent } = usage
      return {
        body: {
          uptime_seconds: uptime(request),
          memory_usage_bytes,
          memory_usage_percent,
          cpu_usage_percent,
          disk_usage_bytes,
          disk_usage_percent,
          ...counts,
          ...more,
          system: usage,
        },
      }
    }),
    adminGet('metrics/snapshot', async (request) => ({
      body: { ...(await snapshot(deps, request)), system: await deps.usage() },
    })),
    adminGet('metrics/system', async () => ({ body: { ...(await deps.usage()) } })),
    adminGet('metrics/scheduler', async (request) => ({
      body: { timestamp: time(request), ...(await scheduler(deps)) },
    })),
    metricsExport(deps, async (request) => ({
      ...(await snapshot(deps, request)),
      system: await deps.usage(),
    })),
    adminGet('status', async () => {
      const [{ status }, { total_agents }, { jobs_total }] = await Promise.all([
        deps.health.health(),
        deps.counts(),
        deps.scheduler(),
      ])
      return {
        body: {
          version: VERSION,
          healthy: status === 'healthy',
          agent_count: total_agents,
          schedule_count: jobs_total,
          channel_count: 0,
        },
      }
    }),
  ]
}

/** Exactly these members, whatever else is counted. */
async function scheduler(deps: SystemDeps): Promise<SchedulerCounts> {
  const counts = await deps.scheduler()
  const { jobs_total, jobs_active, jobs_paused, runs_total, runs_succeeded, runs_failed } = counts
  return { jobs_total, jobs_active, jobs_paused, runs_total, runs_succeeded, runs_failed }
}

async function snapshot(
  deps: SystemDeps,
  { nowMs }: RuntimeRequest,
): Promise<Record<string, unknown>> {
  const { status } = await deps.health.health()
  return {
    timestamp: new Date(nowMs).toISOString(),
    scheduler: await scheduler(deps),
    task_manager: await deps.tasks(),
    // One daemon serves its own requests.
    load_balancer: {
      total_requests: deps.requestsTotal(),
      active_connections: deps.requestsUnderWay(),
      backends_healthy: status === 'unhealthy' || deps.draining() ? 0 : 1,
      backends_total: 1,
    },
  }
}
