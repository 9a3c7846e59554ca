/** Schedules on disk, and when each is due next. */
import type { Kysely } from 'kysely'
import type { RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import { RunStore, type RunStoreDeps } from './run-store.ts'
import {
  dueAfter,
  isGivenUp,
  isTimedAs,
  type Schedule,
  type Shown,
  unknownSchedule,
} from './schedule.ts'
import { opened, sealed } from './schedule-rows.ts'

export interface ScheduleStoreDeps extends RunStoreDeps {
  readonly guard: RowGuard
}

const BATCH = 100

export class ScheduleStore extends RunStore {
  readonly #deps: ScheduleStoreDeps

  constructor(deps: ScheduleStoreDeps) {
    super(deps)
    this.#deps = deps
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
   * As `change` makes it of what is there now. When it is due is reckoned anew where its time has changed. What was
   * given up stays so.
   * @throws VestryError SCHEDULE_NOT_FOUND, STORE_CORRUPT
   */
  change(id: string, change: (now: Schedule) => Schedule): Promise<Shown> {
    return this.#change(id, change, (before, after, { failureCount, nextRunAt }) => ({
      failure_count: failureCount,
      next_run_at: isGivenUp(failureCount)
        ? null
        : ((isTimedAs(before, after) ? nextRunAt : this.#dueNext(after)) ?? null),
    }))
  }

  /** It is due again, whatever has become of it. @throws VestryError SCHEDULE_NOT_FOUND, STORE_CORRUPT */
  resume(id: string): Promise<Shown> {
    return this.#change(
      id,
      (before) => ({ ...before, enabled: true }),
      (_, after) => ({ failure_count: 0, next_run_at: this.#dueNext(after) ?? null }),
    )
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

  async #change(
    id: string,
    change: (now: Schedule) => Schedule,
    stateOf: (
      before: Schedule,
      after: Schedule,
      state: Shown['state'],
    ) => { readonly failure_count: number; readonly next_run_at: number | null },
  ): Promise<Shown> {
    const { guard, store, now } = this.#deps
    await store.change(async (trx) => {
      const row = await joined(trx).where('schedule.id', '=', id).executeTakeFirst()
      if (row === undefined) throw unknownSchedule(id)
      const { schedule: before, state } = this.#shown(row)
      const after = { ...change(before), updatedAt: now() }
      await trx.updateTable('schedule').set(sealed(guard, after)).where('id', '=', id).execute()
      await trx
        .updateTable('schedule_state')
        .set(stateOf(before, after, state))
        .where('id', '=', id)
        .execute()
    })
    const shown = await this.get(id)
    if (shown === undefined) throw unknownSchedule(id)
    return shown
  }

  #dueNext(schedule: Schedule): number | undefined {
    return dueAfter(schedule, this.#deps.now())
  }

  async #insert(trx: Kysely<Tables>, schedule: Schedule): Promise<void> {
    await trx.insertInto('schedule').values(sealed(this.#deps.guard, schedule)).execute()
    await trx
      .insertInto('schedule_state')
      .values({
        id: schedule.id,
        next_run_at: this.#dueNext(schedule) ?? null,
        last_run_at: null,
        run_count: 0,
        failure_count: 0,
      })
      .execute()
  }

  async #list(narrowed: (query: Query) => Query): Promise<Shown[]> {
    const rows = await narrowed(joined(this.#deps.store.db)).execute()
    return rows.map((row) => this.#shown(row))
  }

  #shown({ next_run_at, last_run_at, run_count, failure_count, ...row }: JoinedRow): Shown {
    return {
      schedule: opened(this.#deps.guard, row),
      state: {
        nextRunAt: next_run_at ?? undefined,
        lastRunAt: last_run_at ?? undefined,
        runCount: run_count,
        failureCount: failure_count,
      },
    }
  }
}

type Query = ReturnType<typeof joined>
type JoinedRow = Awaited<ReturnType<Query['execute']>>[number]

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
