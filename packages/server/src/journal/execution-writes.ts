/**
 * Executions in the store: each function is one transaction. No rules here: execution.ts decides, this file
 * remembers. Every write of a run names its owner and attempt, so nobody ends what somebody else runs by now.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Insertable, Kysely } from 'kysely'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { type Execution, type Outcome, yieldsKey } from './execution.ts'
import {
  EXECUTION_COLUMNS,
  type ExecutionRow,
  type Lease,
  outcomeColumns,
  toExecution,
} from './execution-row.ts'

/** More of the same transaction: all of it is on disk, or nothing. On PostgreSQL it may run again after a lost race. */
export type Alongside = (trx: Kysely<Tables>) => Promise<unknown>

/** Rows of one transaction that goes through many. */
const PORTION = 200

/** Workers and those who wait, on every node. */
export const TELL = { tell: ['execution'] } as const

/** Which run of which execution. */
export interface Run {
  readonly id: string
  readonly owner: string
  readonly attempt: number
}

/** @returns The execution that has the key; undefined when the new one was stored. @throws VestryError QUEUE_FULL. */
export function reserve(
  store: Store,
  row: Insertable<Tables['execution']>,
  nowMs: number,
  queueMax = Number.POSITIVE_INFINITY,
  alongside?: Alongside,
): Promise<Execution | undefined> {
  const queued = row.mode === 'queued'
  return store.write(
    async (trx) => {
      if (typeof row.key === 'string') {
        const old = await byKey(trx, row.kind, row.key)
        if (old !== undefined) {
          if (!yieldsKey(old, row.fingerprint ?? undefined, nowMs)) return old
          // The old one keeps its id and its end for those who still ask for it.
          await trx.updateTable('execution').set({ key: null }).where('id', '=', old.id).execute()
        }
      }
      if (queued && queueMax !== Number.POSITIVE_INFINITY) {
        if ((await waiting(trx, row.kind)) >= queueMax) throw new VestryError('QUEUE_FULL')
      }
      await trx.insertInto('execution').values(row).execute()
      await alongside?.(trx)
      return undefined
    },
    queued ? TELL : {},
  )
}

/** Hands up to `limit` executions that wait to `lease`, those first that have waited longest. */
export function claim(
  store: Store,
  kind: string,
  limit: number,
  lease: Lease,
  nowMs: number,
): Promise<ExecutionRow[]> {
  return store.write(async (trx) => {
    let next = trx
      .selectFrom('execution')
      .select('id')
      .where('kind', '=', kind)
      .where('state', '=', 'reserved')
      .where('owner', 'is', null)
      .where('run_at', '<=', nowMs)
      .orderBy('run_at')
      .orderBy('created_at')
      .limit(limit)
    if (store.engine === 'postgres') next = next.forUpdate().skipLocked()
    const ids = (await next.execute()).map(({ id }) => id)
    if (ids.length === 0) return []
    const rows = await trx
      .updateTable('execution')
      .set((eb) => ({
        owner: lease.owner,
        owner_until: lease.untilMs,
        attempts: eb('attempts', '+', 1),
        started_at: eb.fn.coalesce('started_at', eb.val(nowMs)),
      }))
      .where('id', 'in', ids)
      .returning(EXECUTION_COLUMNS)
      .execute()
    return rows.sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id))
  })
}

/** @returns whether the run is still its owner's. */
export function markSent(store: Store, run: Run): Promise<boolean> {
  return store.write(async (trx) => {
    const row = await ofRun(trx, run).set({ state: 'sent' }).returning('id').executeTakeFirst()
    return row !== undefined
  })
}

/** @param output Sealed. @returns as {@link markSent} */
export function end(
  store: Store,
  run: Run,
  outcome: Outcome,
  output: Uint8Array | null,
  nowMs: number,
  alongside?: Alongside,
): Promise<boolean> {
  return store.write(async (trx) => {
    const row = await ofRun(trx, run)
      .set({ ...outcomeColumns(outcome, nowMs), output })
      .returning('id')
      .executeTakeFirst()
    if (row !== undefined) await alongside?.(trx)
    return row !== undefined
  }, TELL)
}

/** Ends one that waits. @returns whether it did wait. */
export function cancelWaiting(
  store: Store,
  id: string,
  outcome: Outcome,
  nowMs: number,
): Promise<boolean> {
  return store.write(async (trx) => {
    const row = await trx
      .updateTable('execution')
      .set(outcomeColumns(outcome, nowMs))
      .where('id', '=', id)
      .where('state', '=', 'reserved')
      .where('owner', 'is', null)
      .returning('id')
      .executeTakeFirst()
    return row !== undefined
  }, TELL)
}

/** Lets one that waits be run at once. @returns whether it did wait. */
export function wake(store: Store, id: string, nowMs: number): Promise<boolean> {
  return store.write((trx) => wakeWaiting(trx, id, nowMs), TELL)
}

/**
 * As {@link wake}, within another write. The row of one that runs is written as well: it is put down either before
 * this, and is woken, or after this, and finds what came. PostgreSQL would let the two pass each other otherwise.
 */
export async function wakeWaiting(
  trx: Kysely<Tables>,
  id: string,
  nowMs: number,
): Promise<boolean> {
  const row = await trx
    .updateTable('execution')
    .set((eb) => ({
      run_at: eb
        .case()
        .when(eb.and([eb('state', '=', 'reserved'), eb('owner', 'is', null)]))
        .then(eb.val(nowMs))
        .else(eb.ref('run_at'))
        .end(),
    }))
    .where('id', '=', id)
    .where('finished_at', 'is', null)
    .returning(['state', 'owner'])
    .executeTakeFirst()
  return row?.state === 'reserved' && row.owner === null
}

/** Removes what is forgotten. @returns how many. */
export async function prune(store: Store, nowMs: number): Promise<number> {
  for (let done = 0; ; ) {
    const found = await store.write(async (trx) => {
      const rows = await trx
        .selectFrom('execution')
        .select('id')
        .where('expires_at', '<=', nowMs)
        .limit(PORTION)
        .execute()
      const ids = rows.map(({ id }) => id)
      if (ids.length > 0) await trx.deleteFrom('execution').where('id', 'in', ids).execute()
      return ids.length
    })
    done += found
    if (found < PORTION) return done
  }
}

async function byKey(
  trx: Kysely<Tables>,
  kind: string,
  key: string,
): Promise<Execution | undefined> {
  const row = await trx
    .selectFrom('execution')
    .select(EXECUTION_COLUMNS)
    .where('kind', '=', kind)
    .where('key', '=', key)
    .executeTakeFirst()
  return row && toExecution(row)
}

async function waiting(trx: Kysely<Tables>, kind: string): Promise<number> {
  const { count } = await trx
    .selectFrom('execution')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('kind', '=', kind)
    .where('state', '=', 'reserved')
    .where('owner', 'is', null)
    // What was begun and waits for something was let in before.
    .where('attempts', '=', 0)
    .executeTakeFirstOrThrow()
  return Number(count) // PostgreSQL counts in bigint
}

function ofRun(trx: Kysely<Tables>, { id, owner, attempt }: Run) {
  return trx
    .updateTable('execution')
    .where('id', '=', id)
    .where('owner', '=', owner)
    .where('attempts', '=', attempt)
}
