/** Runs of schedules on disk. A time that is due is taken by one node, once. */
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Kysely } from 'kysely'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import { CounterStore } from '../counters/counter-store.ts'
import { NO_RUNS, plusRuns, type RunCounters, readRunCounters } from './run-counters.ts'
import {
  dueAfter,
  MAX_FAILURES,
  type RunStatus,
  type Schedule,
  type ScheduleRun,
  type Shown,
} from './schedule.ts'

export interface RunStoreDeps {
  readonly store: Pick<Store, 'db' | 'change' | 'write'>
  /** Epoch ms. */
  readonly now: () => number
}

/** A due time that this node has taken. */
export interface Claimed {
  readonly schedule: Schedule
  readonly runId: string
  readonly dueAt: number
}

const ALL = 'all'
const TELL = { tell: ['schedule_state'] } as const
const KEPT_MS = 30 * 86_400_000
const KEPT_RUNS = 1_000

export class RunStore {
  readonly #deps: RunStoreDeps
  readonly #counters: CounterStore<RunCounters>

  constructor(deps: RunStoreDeps) {
    this.#deps = deps
    this.#counters = new CounterStore(deps, {
      prefix: 'schedules:',
      read: readRunCounters,
      plus: plusRuns,
    })
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
