/**
 * Whose runs are whose: signs of life, runs given up, and what dead processes left. What becomes of them
 * execution.ts decides.
 */
import type { Kysely } from 'kysely'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { afterInterruption } from './execution.ts'
import {
  EXECUTION_COLUMNS,
  type ExecutionRow,
  type Lease,
  outcomeColumns,
  toExecution,
} from './execution-row.ts'
import { TELL } from './execution-writes.ts'

/** Rows of one transaction. */
const PORTION = 200

/** @returns Those of `ids` that are still the owner's. */
export async function extend(
  store: Store,
  { owner, untilMs }: Lease,
  ids: readonly string[],
): Promise<Set<string>> {
  const kept = new Set<string>()
  for (let at = 0; at < ids.length; at += PORTION) {
    const rows = await store.write((trx) =>
      trx
        .updateTable('execution')
        .set({ owner_until: untilMs })
        .where('owner', '=', owner)
        .where('id', 'in', ids.slice(at, at + PORTION))
        .returning('id')
        .execute(),
    )
    for (const { id } of rows) kept.add(id)
  }
  return kept
}

/** Gives up what `owner` holds, as if it had died. */
export async function giveUp(
  store: Store,
  owner: string,
  ids: readonly string[],
  nowMs: number,
): Promise<void> {
  for (let at = 0; at < ids.length; at += PORTION) {
    await store.write(async (trx) => {
      const rows = await trx
        .selectFrom('execution')
        .select(EXECUTION_COLUMNS)
        .where('owner', '=', owner)
        .where('id', 'in', ids.slice(at, at + PORTION))
        .execute()
      await interrupt(trx, rows, nowMs)
    }, TELL)
  }
}

/**
 * Interrupts what dead processes left behind. One file has one process, so there everything that this one does
 * not hold is dead; between nodes only what nobody prolonged is.
 *
 * @param held Ids this process runs. @returns how many there were.
 */
export async function interruptDead(
  store: Store,
  owner: string,
  held: () => readonly string[],
  nowMs: number,
): Promise<number> {
  for (let done = 0; ; ) {
    const found = await store.write(async (trx) => {
      const own = held()
      let dead = trx
        .selectFrom('execution')
        .select(EXECUTION_COLUMNS)
        .where('owner', 'is not', null)
        .where((eb) =>
          own.length === 0
            ? eb.lit(true)
            : eb.or([eb('owner', '<>', owner), eb('id', 'not in', own)]),
        )
        .limit(PORTION)
      if (store.engine === 'postgres') {
        dead = dead.where('owner_until', '<=', nowMs).forUpdate().skipLocked()
      }
      const rows = await dead.execute()
      await interrupt(trx, rows, nowMs)
      return rows.length
    }, TELL)
    done += found
    if (found < PORTION) return done
  }
}

async function interrupt(
  trx: Kysely<Tables>,
  rows: readonly ExecutionRow[],
  nowMs: number,
): Promise<void> {
  for (const row of rows) {
    const outcome = afterInterruption(toExecution(row))
    await trx
      .updateTable('execution')
      .set(outcomeColumns(outcome, nowMs))
      .where('id', '=', row.id)
      .execute()
  }
}
