/** What a schedule is, how clients ask for one, and how it is told. Pure. */
import { issueText } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { isAgentName } from '../../identity/agent-name.ts'
import { readTiming } from './timing.ts'

export interface Schedule {
  readonly id: string
  readonly name: string
  readonly cron: string
  readonly timezone: string
  readonly agentId: string
  /** The deployment that it is part of. */
  readonly deploymentId: string | undefined
  readonly oneShot: boolean
  /** False: paused. */
  readonly enabled: boolean
  readonly config: ScheduleConfig
  readonly createdBy: string
  /** Epoch ms, as all times here. */
  readonly createdAt: number
  readonly updatedAt: number
}

export interface ScheduleConfig {
  readonly policyIds: readonly string[]
  /** `none`, `errors_only`, `all_operations` */
  readonly audit?: string
  readonly actions?: readonly string[]
}

export interface ScheduleState {
  /** Undefined: nothing is due any more. */
  readonly nextRunAt: number | undefined
  readonly lastRunAt: number | undefined
  readonly runCount: number
  /** In a row; a success ends the row. */
  readonly failureCount: number
}

export interface ScheduleRun {
  readonly id: string
  readonly scheduleId: string
  readonly executionId: string | undefined
  readonly dueAt: number
  readonly status: RunStatus
  readonly error: string | undefined
  readonly startedAt: number
  readonly completedAt: number | undefined
}

/** `skipped`: the run before it had not ended. */
export type RunStatus = 'running' | 'completed' | 'failed' | 'skipped'
export type ScheduleStatus = 'active' | 'paused' | 'completed' | 'dead_letter'

/** So many failures in a row, and it runs no more until somebody resumes it. */
export const MAX_FAILURES = 5

const Text = z
  .string()
  .min(1)
  .max(128)
  .refine((value) => /^[^\p{C}]*$/u.test(value), 'must be printable text')
const FIELDS = {
  name: Text,
  cron_expression: z.string().min(1).max(256),
  agent_name: z.string().refine(isAgentName, 'must be the id of an agent'),
  timezone: z.string().min(1).max(64),
  policy_ids: z.array(z.string().min(1).max(256)).max(64),
  one_shot: z.boolean(),
}
const Create = z.object({
  ...FIELDS,
  timezone: FIELDS.timezone.default('UTC'),
  policy_ids: FIELDS.policy_ids.default([]),
  one_shot: FIELDS.one_shot.default(false),
})
const Change = z.object(FIELDS).partial()
export type AskedSchedule = z.output<typeof Create>
export type AskedChange = z.output<typeof Change>

/** @throws VestryError VALIDATION_ERROR */
export function readSchedule(body: Readonly<Record<string, unknown>>): AskedSchedule {
  const asked = read(Create, body)
  readTiming(asked.cron_expression, asked.timezone)
  return asked
}

/** @throws VestryError VALIDATION_ERROR */
export function readChange(body: Readonly<Record<string, unknown>>): AskedChange {
  return read(Change, body)
}

/** When it is due after `afterMs`, by what it is; undefined: never, as for one that is paused. */
export function dueAfter(
  schedule: Pick<Schedule, 'cron' | 'timezone' | 'oneShot' | 'enabled'>,
  afterMs: number,
): number | undefined {
  return schedule.enabled ? readTiming(schedule.cron, schedule.timezone).next(afterMs) : undefined
}

/** Whether a change leaves alone when it is due. */
export function isTimedAs(before: Schedule, after: Schedule): boolean {
  return (
    before.cron === after.cron &&
    before.timezone === after.timezone &&
    before.oneShot === after.oneShot &&
    before.enabled === after.enabled
  )
}

export function isGivenUp(failureCount: number): boolean {
  return failureCount >= MAX_FAILURES
}

export function statusOf({ enabled }: Schedule, state: ScheduleState): ScheduleStatus {
  if (!enabled) return 'paused'
  if (isGivenUp(state.failureCount)) return 'dead_letter'
  return state.nextRunAt === undefined ? 'completed' : 'active'
}

export interface Shown {
  readonly schedule: Schedule
  readonly state: ScheduleState
}

/** Exactly these members: clients refuse others. */
export function summaryOf({ schedule, state }: Shown): Record<string, unknown> {
  return {
    job_id: schedule.id,
    name: schedule.name,
    cron_expression: schedule.cron,
    timezone: schedule.timezone,
    status: statusOf(schedule, state),
    enabled: schedule.enabled,
    next_run: iso(state.nextRunAt),
    run_count: state.runCount,
  }
}

/** Exactly these members: clients refuse others. */
export function detailOf(shown: Shown): Record<string, unknown> {
  const { schedule, state } = shown
  return {
    ...summaryOf(shown),
    one_shot: schedule.oneShot,
    last_run: iso(state.lastRunAt),
    failure_count: state.failureCount,
    created_at: iso(schedule.createdAt),
    updated_at: iso(schedule.updatedAt),
  }
}

/** Exactly these members: clients refuse others. */
export function runEntry(run: ScheduleRun): Record<string, unknown> {
  return {
    run_id: run.id,
    started_at: iso(run.startedAt),
    completed_at: iso(run.completedAt),
    status: run.status,
    error: run.error ?? null,
    execution_time_ms:
      run.completedAt === undefined ? null : Math.max(0, run.completedAt - run.startedAt),
  }
}

export function iso(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}

export function unknownSchedule(id: string): VestryError {
  return new VestryError('SCHEDULE_NOT_FOUND', `Schedule ${id.slice(0, 64)} does not exist`)
}

function read<S extends z.ZodType>(
  schema: S,
  body: Readonly<Record<string, unknown>>,
): z.output<S> {
  // Older clients send every member, null where nothing is meant.
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  const fields = parsed.error.issues.map((issue) => ({
    path: z.core.toDotPath(issue.path),
    problem: issueText(issue) === 'is required' ? 'required' : issueText(issue),
  }))
  const told = fields.map(({ path, problem }) => `${path}: ${problem}`).join('; ')
  throw new VestryError('VALIDATION_ERROR', told, { context: { details: { fields } } })
}
