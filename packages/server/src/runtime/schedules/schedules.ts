/** Schedules as the runtime serves them: whose agent runs when, what became of it, and how all of them do. */
import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Agent } from '../../identity/agent.ts'
import {
  type AskedSchedule,
  detailOf,
  iso,
  readChange,
  readSchedule,
  runEntry,
  type Schedule,
  type Shown,
  statusOf,
  summaryOf,
  unknownSchedule,
} from './schedule.ts'
import type { ScheduleStore } from './schedule-store.ts'
import { MAX_CONCURRENT, type Scheduler } from './scheduler.ts'
import type { DeploymentSchedules } from './schedules-api.ts'
import { readTiming } from './timing.ts'

export interface SchedulesDeps {
  readonly store: ScheduleStore
  readonly scheduler: Scheduler
  readonly agents: {
    /** @throws VestryError AGENT_NOT_FOUND */
    named(name: string): Promise<Agent>
  }
  /** Which of them are no policies. */
  readonly unknownPolicies: (ids: readonly string[]) => Promise<readonly string[]>
  /** Epoch ms. */
  readonly now: () => number
}

const MAX_SCHEDULES = 10_000
const MAX_HISTORY = 500
const MAX_NEXT = 100

export class Schedules {
  readonly #deps: SchedulesDeps
  /** Those of a deployment: they come and go with it. */
  readonly ofDeployments: DeploymentSchedules = {
    put: (deploymentId, given, by) => this.#put(deploymentId, given, by),
    remove: async (deploymentId) => void (await this.#deps.store.replace(deploymentId, [])),
  }

  constructor(deps: SchedulesDeps) {
    this.#deps = deps
  }

  /** @throws VestryError VALIDATION_ERROR, AGENT_NOT_FOUND, QUEUE_FULL */
  async create(
    body: Readonly<Record<string, unknown>>,
    by: string,
  ): Promise<Record<string, unknown>> {
    const { store, scheduler, now } = this.#deps
    const asked = readSchedule(body)
    const schedule = await this.#made(asked, by)
    if ((await store.list()).length >= MAX_SCHEDULES)
      throw new VestryError('QUEUE_FULL', `There may be ${MAX_SCHEDULES} schedules`)
    const nextRun = readTiming(schedule.cron, schedule.timezone).next(now())
    if (nextRun === undefined) throw isOver()
    await store.add(schedule)
    scheduler.wake()
    return { job_id: schedule.id, next_run: iso(nextRun), status: 'active' }
  }

  /** What the body names is changed. @throws VestryError SCHEDULE_NOT_FOUND, VALIDATION_ERROR, AGENT_NOT_FOUND */
  async update(
    id: string,
    body: Readonly<Record<string, unknown>>,
  ): Promise<Record<string, unknown>> {
    const { agents, store, scheduler, now } = this.#deps
    const asked = readChange(body)
    await this.#assertPolicies(asked.policy_ids ?? [])
    const agent = asked.agent_name === undefined ? undefined : await agents.named(asked.agent_name)
    const shown = await store.change(id, (before) => {
      const timezone = asked.timezone ?? before.timezone
      const cron = asked.cron_expression ?? before.cron
      const timing = readTiming(cron, timezone)
      if (asked.cron_expression !== undefined && timing.next(now()) === undefined) throw isOver()
      return {
        ...before,
        cron,
        timezone,
        name: asked.name ?? before.name,
        agentId: agent?.id ?? before.agentId,
        oneShot: timing.once || (asked.one_shot ?? before.oneShot),
        config: { ...before.config, policyIds: asked.policy_ids ?? before.config.policyIds },
      }
    })
    scheduler.wake()
    return detailOf(shown)
  }

  /** @throws VestryError SCHEDULE_NOT_FOUND */
  async remove(id: string): Promise<Record<string, unknown>> {
    await this.#deps.store.remove(id)
    return { job_id: id, deleted: true }
  }

  /** @throws VestryError SCHEDULE_NOT_FOUND */
  async pause(id: string): Promise<Record<string, unknown>> {
    const paused = await this.#deps.store.change(id, (before) => ({ ...before, enabled: false }))
    return this.#done('pause', paused)
  }

  /** Also of one that was given up: its failures are forgotten. @throws VestryError SCHEDULE_NOT_FOUND */
  async resume(id: string): Promise<Record<string, unknown>> {
    return this.#done('resume', await this.#deps.store.resume(id))
  }

  /** @throws VestryError SCHEDULE_NOT_FOUND, INVALID_STATE_TRANSITION while it runs. */
  async trigger(id: string): Promise<Record<string, unknown>> {
    const { schedule } = await this.#get(id)
    if ((await this.#deps.scheduler.trigger(schedule)) === undefined)
      throw new VestryError('INVALID_STATE_TRANSITION', 'A run of this schedule goes on', {
        hint: 'Wait until it has ended',
      })
    return { job_id: id, action: 'trigger', status: 'triggered' }
  }

  /** Oldest first. @param agentId Of this agent only. */
  async list(agentId?: string): Promise<Record<string, unknown>[]> {
    return (await this.#deps.store.list(agentId)).map(summaryOf)
  }

  /** @throws VestryError SCHEDULE_NOT_FOUND, also where it is another agent's. */
  async show(id: string, agentId?: string): Promise<Record<string, unknown>> {
    return detailOf(await this.#get(id, agentId))
  }

  /** Newest first. @throws VestryError SCHEDULE_NOT_FOUND */
  async history(id: string, limit: number, agentId?: string): Promise<Record<string, unknown>> {
    await this.#get(id, agentId)
    const runs = await this.#deps.store.runs(id, within(limit, MAX_HISTORY))
    return { job_id: id, history: runs.map(runEntry) }
  }

  /** @throws VestryError SCHEDULE_NOT_FOUND */
  async nextRuns(id: string, count: number, agentId?: string): Promise<Record<string, unknown>> {
    const { schedule, state } = await this.#get(id, agentId)
    const { next } = readTiming(schedule.cron, schedule.timezone)
    const times: number[] = []
    const most = schedule.oneShot ? 1 : within(count, MAX_NEXT)
    for (let at = state.nextRunAt; at !== undefined && times.length < most; at = next(at))
      times.push(at)
    return { job_id: id, next_runs: times.map(iso) }
  }

  /** Exactly the members of `health/scheduler`. */
  async health(): Promise<Record<string, unknown>> {
    const { store, scheduler } = this.#deps
    const [counts, open] = await Promise.all([this.counts(), store.open()])
    const { ended, total_ms: totalMs, longest_ms: longestMs, ...told } = counts
    return {
      is_running: scheduler.isRunning,
      store_accessible: true,
      ...told,
      global_active_runs: open.length,
      max_concurrent: MAX_CONCURRENT,
      average_execution_time_ms: ended === 0 ? 0 : totalMs / ended,
      longest_run_ms: longestMs,
    }
  }

  async counts() {
    const { store } = this.#deps
    const [all, counters] = await Promise.all([store.list(), store.runCounters()])
    const inStatus = (status: string) =>
      all.filter(({ schedule, state }) => statusOf(schedule, state) === status).length
    return {
      jobs_total: all.length,
      jobs_active: inStatus('active'),
      jobs_paused: inStatus('paused'),
      jobs_dead_letter: inStatus('dead_letter'),
      runs_total: counters.runs_total,
      runs_succeeded: counters.runs_succeeded,
      runs_failed: counters.runs_failed,
      ended: counters.runs_succeeded + counters.runs_failed,
      total_ms: counters.total_ms,
      longest_ms: counters.longest_ms,
    }
  }

  async #put(
    deploymentId: string,
    given: Parameters<DeploymentSchedules['put']>[1],
    by: string,
  ): Promise<void> {
    const { store, scheduler, now } = this.#deps
    const nowMs = now()
    const schedules = given.map((one): Schedule => {
      const timing = readTiming(one.cron, one.timezone)
      return {
        id: newTimeOrderedId('sch', nowMs),
        name: one.name,
        cron: one.cron.trim(),
        timezone: one.timezone,
        agentId: one.agentId,
        deploymentId,
        oneShot: timing.once || one.oneShot,
        enabled: true,
        config: {
          policyIds: [],
          audit: one.audit,
          ...(one.actions !== undefined && { actions: one.actions }),
        },
        createdBy: by,
        createdAt: nowMs,
        updatedAt: nowMs,
      }
    })
    await store.replace(deploymentId, schedules)
    scheduler.wake()
  }

  async #made(asked: AskedSchedule, by: string): Promise<Schedule> {
    const { agents, now } = this.#deps
    await this.#assertPolicies(asked.policy_ids)
    const agent = await agents.named(asked.agent_name)
    const cron = asked.cron_expression.trim()
    return {
      id: newTimeOrderedId('sch', now()),
      name: asked.name,
      cron,
      timezone: asked.timezone,
      agentId: agent.id,
      deploymentId: undefined,
      oneShot: asked.one_shot || readTiming(cron, asked.timezone).once,
      enabled: true,
      config: { policyIds: asked.policy_ids },
      createdBy: by,
      createdAt: now(),
      updatedAt: now(),
    }
  }

  async #assertPolicies(ids: readonly string[]): Promise<void> {
    const unknown = await this.#deps.unknownPolicies(ids)
    if (unknown.length === 0) return
    const problem = `there is no policy ${unknown.join(', ')}`
    throw new VestryError('VALIDATION_ERROR', `policy_ids: ${problem}`, {
      context: { details: { fields: [{ path: 'policy_ids', problem }] } },
    })
  }

  #done(action: string, { schedule, state }: Shown): Record<string, unknown> {
    this.#deps.scheduler.wake()
    return { job_id: schedule.id, action, status: statusOf(schedule, state) }
  }

  async #get(id: string, agentId?: string): Promise<Shown> {
    const found = await this.#deps.store.get(id)
    if (found === undefined || (agentId !== undefined && found.schedule.agentId !== agentId))
      throw unknownSchedule(id)
    return found
  }
}

function within(given: number, max: number): number {
  return Math.min(Math.max(1, given), max)
}

function isOver(): VestryError {
  const problem = 'is never due any more'
  return new VestryError('VALIDATION_ERROR', `cron_expression: ${problem}`, {
    context: { details: { fields: [{ path: 'cron_expression', problem }] } },
  })
}
