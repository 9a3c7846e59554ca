/** Puts schedules together: agents that run at times somebody said. */
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { rowGuard } from '../identity/row-guard.ts'
import type { Agents } from '../runtime/agents/agents.ts'
import { hasEnded } from '../runtime/agents/execution.ts'
import type { Executions } from '../runtime/agents/executions.ts'
import type { Scheduled } from '../runtime/deployments/scheduled.ts'
import type { AgentInvoker } from '../runtime/http-input/agent-invoker.ts'
import { scheduleRoutes } from '../runtime/routes/schedules.ts'
import { ScheduleStore } from '../runtime/schedules/schedule-store.ts'
import { Scheduler, type ScheduleStarter } from '../runtime/schedules/scheduler.ts'
import { Schedules } from '../runtime/schedules/schedules.ts'
import type { DeploymentSchedules } from '../runtime/schedules/schedules-api.ts'
import { scheduleVerbs } from '../runtime/schedules/verbs.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import type { Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface SchedulesPieceDeps {
  readonly door: VerbDoor
  readonly agents: Pick<Agents, 'named'>
  readonly executions: Pick<Executions, 'get'>
  readonly invoker: AgentInvoker
  /** Those of deployments run through these. They come to be later. */
  readonly deployed: () => Pick<Scheduled, 'start'>
  readonly warn: (line: string) => void
}

export interface SchedulesPiece extends RuntimePiece {
  readonly schedules: Schedules
  readonly deployments: DeploymentSchedules
}

/** Of the system's clock; longer ones are looked at in between. */
const MAX_TIMER_MS = 2_147_483_647

export function assembleSchedulesPiece(parts: Parts, deps: SchedulesPieceDeps): SchedulesPiece {
  const { store, seal, vault, agents: records } = parts
  const { warn } = deps
  const { now } = vault
  const kept = new ScheduleStore({ store, guard: rowGuard(() => seal.keys), now })
  const starter: ScheduleStarter = {
    start: async (schedule, dueAt, requestId) => {
      const input = {
        schedule_id: schedule.id,
        schedule: schedule.name,
        due_at: new Date(dueAt).toISOString(),
      }
      const { id, name, deploymentId, config } = schedule
      if (deploymentId !== undefined) {
        const { audit, actions } = config
        return deps.deployed().start({ deploymentId, id, name, input, audit, actions, requestId })
      }
      const agent = await records.byId(schedule.agentId)
      if (agent === undefined) throw new VestryError('AGENT_NOT_FOUND')
      const trigger = `schedule:${id}`
      return deps.invoker.start({ agentName: agent.name, input, trigger, requestId })
    },
    outcome: async (executionId) => {
      const execution = await deps.executions.get(executionId)
      if (execution === undefined)
        return { ok: false, error: 'The execution is not known any more' }
      if (!hasEnded(execution)) return undefined
      if (execution.status === 'completed') return { ok: true }
      return { ok: false, error: execution.facts.error?.code ?? execution.status }
    },
  }
  const scheduler = new Scheduler({
    store: kept,
    starter,
    timer: (ms, work) => {
      const timer = setTimeout(work, Math.min(ms, MAX_TIMER_MS))
      timer.unref()
      return () => clearTimeout(timer)
    },
    newRequestId,
    warn,
    alone: store.engine === 'sqlite',
    now,
  })
  const schedules = new Schedules({
    store: kept,
    scheduler,
    agents: deps.agents,
    unknownPolicies: async (ids) => {
      if (ids.length === 0) return []
      const known = await store.db
        .selectFrom('policy')
        .select('id')
        .where('id', 'in', [...ids])
        .execute()
      return ids.filter((id) => !known.some((one) => one.id === id))
    },
    now,
  })
  return {
    schedules,
    deployments: schedules.ofDeployments,
    routes: scheduleRoutes({ schedules, verbs: deps.door }),
    verbs: scheduleVerbs(schedules),
    open: () => scheduler.open(),
    onChange: (tables) => {
      if (tables.includes('schedule') || tables.includes('schedule_state')) scheduler.wake()
    },
    drain: () => scheduler.close(),
    close: () => scheduler.close(),
    prune: async () => {
      await scheduler.recover()
      await kept.prune()
    },
  }
}
