/** How a schedule stands in its table, under a MAC. */
import { canonicalJson } from '@vestry/contract/canonical'
import type { RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Schedule, ScheduleConfig } from './schedule.ts'

type Row = Tables['schedule']

export function sealed(guard: RowGuard, schedule: Schedule): Row {
  const row = {
    id: schedule.id,
    name: schedule.name,
    cron: schedule.cron,
    timezone: schedule.timezone,
    agent_id: schedule.agentId,
    deployment_id: schedule.deploymentId ?? null,
    one_shot: schedule.oneShot ? 1 : 0,
    enabled: schedule.enabled ? 1 : 0,
    config_json: canonicalJson(schedule.config),
    created_by: schedule.createdBy,
    created_at: schedule.createdAt,
    updated_at: schedule.updatedAt,
  }
  return { ...row, mac: guard.mac('schedule', schedule.id, row) }
}

/** @throws VestryError STORE_CORRUPT */
export function opened(guard: RowGuard, { mac, ...row }: Row): Schedule {
  guard.check('schedule', row.id, row, mac)
  return {
    id: row.id,
    name: row.name,
    cron: row.cron,
    timezone: row.timezone,
    agentId: row.agent_id,
    deploymentId: row.deployment_id ?? undefined,
    oneShot: row.one_shot === 1,
    enabled: row.enabled === 1,
    // We wrote it, says the MAC.
    config: JSON.parse(row.config_json) as ScheduleConfig,
    createdBy: row.created_by,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
