/** Schedules on disk, when each is due next, and its runs. A time that is due is taken by one node, once. */
import { canonicalJson } from '@vestry/contract/canonical'
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Kysely } from 'kysely'
import type { RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import { CounterStore } from '../counters/counter-store.ts'
import { NO_RUNS, plusRuns, type RunCounters, readRunCounters } from './run-counters.ts'
import {
  dueAfter,
  MAX_FAILURES,
  type RunStatus,
  type Schedule,
  type ScheduleConfig,
  type ScheduleRun,
  type Shown,
  unknownSchedule,
} from './schedule.ts'

export interface ScheduleStoreDeps {
  readonly store: Pick<Store, 'db' | 'change' | 'write'>
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

/** A due time that this node has taken. */
export interface Claimed {
  readonly schedule: Schedule
  readonly runId: string
  readonly dueAt: number
}

type Row = Tables['schedule']

const ALL = 'all'
const TELL = { tell: ['schedule_state'] } as const
const BATCH = 100
const KEPT_MS = 30 * 86_400_000
const KEPT_RUNS = 1_000

export class ScheduleStore {
  readonly #deps: ScheduleStoreDeps
  readonly #counters: CounterStore<RunCounters>

  constructor(deps: ScheduleStoreDeps) {
    this.#deps = deps
    this.#counters = new CounterStore(deps, {
      prefix: 'schedules:',
      read: readRunCounters,
      plus: plusRuns,
    })
  }

  /** @throws VestryError CONFLICT for an id that is taken. */
  add(schedule: Schedule): Promise<unknown> {
    return this.#deps.store.change((trx) => this.#insert(trx, schedule))
  }

  /** Those of one deployment: what is there goes, what is given comes. */
  replace(deploymentId: string, schedules: readonly Schedule[]): Promise<unknown> {
    return this.#deps.store.change(async (trx) => {
      const old = await trx
        .selectFrom('schedule')
        .select('id')
        .where('deployment_id', '=', deploymentId)
        .execute()
      for (const { id } of old) await remove(trx, id)
      for (const schedule of schedules) await this.#insert(trx, schedule)
    })
  }

  /**
   * As `change` makes it of what is there now. When it is due is reckoned anew.
   * @throws VestryError SCHEDULE_NOT_FOUND, STORE_CORRUPT
   */
  async change(id: string, change: (now: Schedule) => Schedule): Promise<Shown> {
    const { store, now } = this.#deps
    const { value } = await store.change(async (trx) => {
      const row = await trx
        .selectFrom('schedule')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirst()
      if (row === undefined) throw unknownSchedule(id)
      const next = { ...change(this.#open(row)), updatedAt: now() }
      await trx.updateTable('schedule').set(this.#seal(next)).where('id', '=', id).execute()
      await trx
        .updateTable('schedule_state')
        .set({ next_run_at: dueAfter(next, now()) ?? null, failure_count: 0 })
        .where('id', '=', id)
        .execute()
      return next
    })
    return { schedule: value, state: await this.#state(id) }
  }

  /** @throws VestryError SCHEDULE_NOT_FOUND */
  async remove(id: string): Promise<void> {
    await this.#deps.store.change(async (trx) => {
      if ((await remove(trx, id)) === 0n) throw unknownSchedule(id)
    })
  }

  /** @throws VestryError STORE_CORRUPT */
  async get(id: string): Promise<Shown | undefined> {
    const [found] = await this.#list((query) => query.where('schedule.id', '=', id))
    return found
  }

  /** Oldest first. @throws VestryError STORE_CORRUPT */
  list(agentId?: string): Promise<Shown[]> {
    return this.#list((query) =>
      agentId === undefined ? query : query.where('schedule.agent_id', '=', agentId),
    )
  }

  /** When the next of all is due. */
  async nextDue(): Promise<number | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('schedule_state')
      .select(({ fn }) => fn.min('next_run_at').as('at'))
      .executeTakeFirst()
    return row?.at ?? undefined
  }

  /** Those that are due, the longest overdue first; a bounded number. */
  due(nowMs: number): Promise<Shown[]> {
    return this.#list((query) =>
      query
        .where('schedule_state.next_run_at', '<=', nowMs)
        .clearOrderBy()
        .orderBy('schedule_state.next_run_at')
        .limit(BATCH),
    )
  }

  /**
   * Takes the time that is due: of several nodes one gets it. What was missed since is done with it.
   * @returns undefined where somebody else has it, or the run before it goes on: then it is kept as skipped.
   */
  claim({ schedule, state }: Shown): Promise<Claimed | undefined> {
    const { store, now } = this.#deps
    const dueAt = state.nextRunAt
    if (dueAt === undefined) return Promise.resolve(undefined)
    return store.write(async (trx) => {
      const nowMs = now()
      const next = schedule.oneShot ? null : (dueAfter(schedule, Math.max(nowMs, dueAt)) ?? null)
      const taken = await trx
        .updateTable('schedule_state')
        .set({ next_run_at: next })
        .where('id', '=', schedule.id)
        .where('next_run_at', '=', dueAt)
        .executeTakeFirst()
      if (taken.numUpdatedRows === 0n) return undefined
      return this.#begin(trx, schedule, dueAt, nowMs)
    }, TELL)
  }

  /** A run that somebody asks for now. @returns undefined where one goes on. */
  claimNow(schedule: Schedule): Promise<Claimed | undefined> {
    const { store, now } = this.#deps
    return store.write(async (trx) => {
      const nowMs = now()
      if (await isRunning(trx, schedule.id)) return undefined
      let dueAt = nowMs
      // Another one of this very millisecond has its own place.
      while (await isTaken(trx, schedule.id, dueAt)) dueAt += 1
      return this.#begin(trx, schedule, dueAt, nowMs)
    }, TELL)
  }

  async started(runId: string, executionId: string): Promise<void> {
    await this.#deps.store.write((trx) =>
      trx
        .updateTable('schedule_run')
        .set({ execution_id: executionId })
        .where('id', '=', runId)
        .execute(),
    )
  }

  /** Once; a second end of the same run changes nothing. */
  async ended(
    run: { readonly id: string; readonly scheduleId: string },
    end: { readonly ok: boolean; readonly error?: string },
  ): Promise<void> {
    await this.#deps.store.write(async (trx) => {
      const nowMs = this.#deps.now()
      const row = await trx
        .selectFrom('schedule_run')
        .select('started_at')
        .where('id', '=', run.id)
        .where('completed_at', 'is', null)
        .executeTakeFirst()
      if (row === undefined) return
      await trx
        .updateTable('schedule_run')
        .set({
          status: end.ok ? 'completed' : 'failed',
          error: end.error ?? null,
          completed_at: nowMs,
        })
        .where('id', '=', run.id)
        .execute()
      await this.#judge(trx, run.scheduleId, end.ok)
      const ms = Math.max(0, nowMs - row.started_at)
      await this.#counters.addWithin(trx, ALL, {
        ...NO_RUNS,
        runs_succeeded: end.ok ? 1 : 0,
        runs_failed: end.ok ? 0 : 1,
        total_ms: ms,
        longest_ms: ms,
      })
    }, TELL)
  }

  /** Runs that have no end yet, oldest first. */
  async open(): Promise<ScheduleRun[]> {
    const rows = await this.#deps.store.db
      .selectFrom('schedule_run')
      .selectAll()
      .where('completed_at', 'is', null)
      .orderBy('started_at')
      .execute()
    return rows.map(runOf)
  }

  /** Newest first. */
  async runs(scheduleId: string, limit: number): Promise<ScheduleRun[]> {
    const rows = await this.#deps.store.db
      .selectFrom('schedule_run')
      .selectAll()
      .where('schedule_id', '=', scheduleId)
      .orderBy('started_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit)
      .execute()
    return rows.map(runOf)
  }

  async runCounters(): Promise<RunCounters> {
    return this.#counters.get(ALL)
  }

  /** Old runs, and those beyond what is kept of each schedule. */
  async prune(): Promise<void> {
    const { store, now } = this.#deps
    const before = now() - KEPT_MS
    await store.write((trx) =>
      trx
        .deleteFrom('schedule_run')
        .where('started_at', '<', before)
        .where('completed_at', 'is not', null)
        .execute(),
    )
    const many = await store.db
      .selectFrom('schedule_run')
      .select('schedule_id')
      .groupBy('schedule_id')
      .having(({ fn }) => fn.countAll(), '>', KEPT_RUNS)
      .execute()
    for (const { schedule_id: id } of many) {
      const oldest = (await this.runs(id, KEPT_RUNS)).at(-1)
      if (oldest === undefined) continue
      await store.write((trx) =>
        trx
          .deleteFrom('schedule_run')
          .where('schedule_id', '=', id)
          .where('due_at', '<', oldest.dueAt)
          .where('completed_at', 'is not', null)
          .execute(),
      )
    }
  }

  async #begin(
    trx: Kysely<Tables>,
    schedule: Schedule,
    dueAt: number,
    nowMs: number,
  ): Promise<Claimed | undefined> {
    const skipped = await isRunning(trx, schedule.id)
    const id = newTimeOrderedId('run', nowMs)
    const status: RunStatus = skipped ? 'skipped' : 'running'
    await trx
      .insertInto('schedule_run')
      .values({
        id,
        schedule_id: schedule.id,
        execution_id: null,
        due_at: dueAt,
        status,
        error: skipped ? 'The run before it had not ended' : null,
        started_at: nowMs,
        completed_at: skipped ? nowMs : null,
      })
      .execute()
    if (skipped) return undefined
    await trx
      .updateTable('schedule_state')
      .set((of) => ({ run_count: of('run_count', '+', 1), last_run_at: nowMs }))
      .where('id', '=', schedule.id)
      .execute()
    await this.#counters.addWithin(trx, ALL, { ...NO_RUNS, runs_total: 1 })
    return { schedule, runId: id, dueAt }
  }

  /** After too many failures in a row it is not due any more. */
  async #judge(trx: Kysely<Tables>, id: string, ok: boolean): Promise<void> {
    await trx
      .updateTable('schedule_state')
      .set((of) => ({ failure_count: ok ? of.lit(0) : of('failure_count', '+', 1) }))
      .where('id', '=', id)
      // Of one that was given up, only who resumes it begins anew.
      .where('failure_count', '<', MAX_FAILURES)
      .execute()
    await trx
      .updateTable('schedule_state')
      .set({ next_run_at: null })
      .where('id', '=', id)
      .where('failure_count', '>=', MAX_FAILURES)
      .execute()
  }

  async #insert(trx: Kysely<Tables>, schedule: Schedule): Promise<void> {
    await trx.insertInto('schedule').values(this.#seal(schedule)).execute()
    await trx
      .insertInto('schedule_state')
      .values({
        id: schedule.id,
        next_run_at: dueAfter(schedule, this.#deps.now()) ?? null,
        last_run_at: null,
        run_count: 0,
        failure_count: 0,
      })
      .execute()
  }

  async #list(narrowed: (query: Query) => Query): Promise<Shown[]> {
    const rows = await narrowed(joined(this.#deps.store.db)).execute()
    return rows.map(({ next_run_at, last_run_at, run_count, failure_count, ...row }) => ({
      schedule: this.#open(row),
      state: {
        nextRunAt: next_run_at ?? undefined,
        lastRunAt: last_run_at ?? undefined,
        runCount: run_count,
        failureCount: failure_count,
      },
    }))
  }

  async #state(id: string): Promise<Shown['state']> {
    const found = await this.get(id)
    if (found === undefined) throw unknownSchedule(id)
    return found.state
  }

  #seal(schedule: Schedule): Row {
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
    return { ...row, mac: this.#deps.guard.mac('schedule', schedule.id, row) }
  }

  #open({ mac, ...row }: Row): Schedule {
    this.#deps.guard.check('schedule', row.id, row, mac)
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
}

type Query = ReturnType<typeof joined>

function joined(db: Kysely<Tables>) {
  return db
    .selectFrom('schedule')
    .innerJoin('schedule_state', 'schedule_state.id', 'schedule.id')
    .selectAll('schedule')
    .select([
      'schedule_state.next_run_at',
      'schedule_state.last_run_at',
      'schedule_state.run_count',
      'schedule_state.failure_count',
    ])
    .orderBy('schedule.created_at')
    .orderBy('schedule.id')
}

async function remove(trx: Kysely<Tables>, id: string): Promise<bigint> {
  const gone = await trx.deleteFrom('schedule').where('id', '=', id).executeTakeFirst()
  await trx.deleteFrom('schedule_state').where('id', '=', id).execute()
  await trx.deleteFrom('schedule_run').where('schedule_id', '=', id).execute()
  return gone.numDeletedRows
}

async function isRunning(trx: Kysely<Tables>, scheduleId: string): Promise<boolean> {
  const row = await trx
    .selectFrom('schedule_run')
    .select('id')
    .where('schedule_id', '=', scheduleId)
    .where('completed_at', 'is', null)
    .executeTakeFirst()
  return row !== undefined
}

async function isTaken(trx: Kysely<Tables>, scheduleId: string, dueAt: number): Promise<boolean> {
  const row = await trx
    .selectFrom('schedule_run')
    .select('id')
    .where('schedule_id', '=', scheduleId)
    .where('due_at', '=', dueAt)
    .executeTakeFirst()
  return row !== undefined
}

function runOf(row: Tables['schedule_run']): ScheduleRun {
  return {
    id: row.id,
    scheduleId: row.schedule_id,
    executionId: row.execution_id ?? undefined,
    dueAt: row.due_at,
    // Only we write it.
    status: row.status as RunStatus,
    error: row.error ?? undefined,
    startedAt: row.started_at,
    completedAt: row.completed_at ?? undefined,
  }
}
