/** Rows of the table `execution_step`: read together, and written only by who holds the execution. */
import type { Selectable } from 'kysely'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

export type StepRow = Selectable<Tables['execution_step']>

/** Rows of one statement: each takes as many parameters as it has columns. */
const PORTION = 200

/** In the order begun. */
export function readSteps(store: Store, executionId: string): Promise<StepRow[]> {
  return store.db
    .selectFrom('execution_step')
    .selectAll()
    .where('execution_id', '=', executionId)
    .orderBy('started_at')
    .orderBy('key')
    .execute()
}

/** All or none. @returns false where this run of the execution is over, or somebody else's. */
export function writeSteps(
  store: Store,
  { id, attempt }: { readonly id: string; readonly attempt: number },
  rows: readonly StepRow[],
): Promise<boolean> {
  return store.write(async (trx) => {
    // Each time it is handed to somebody it counts one attempt more, and one that is given up has no owner.
    let own = trx
      .selectFrom('execution')
      .select('id')
      .where('id', '=', id)
      .where('attempts', '=', attempt)
      .where('owner', 'is not', null)
    if (store.engine === 'postgres') own = own.forShare()
    if ((await own.executeTakeFirst()) === undefined) return false
    for (let at = 0; at < rows.length; at += PORTION) {
      await trx
        .insertInto('execution_step')
        .values(rows.slice(at, at + PORTION))
        .onConflict((clash) =>
          clash.columns(['execution_id', 'key']).doUpdateSet((eb) => ({
            kind: eb.ref('excluded.kind'),
            state: eb.ref('excluded.state'),
            repeatable: eb.ref('excluded.repeatable'),
            attempts: eb.ref('excluded.attempts'),
            error_code: eb.ref('excluded.error_code'),
            output: eb.ref('excluded.output'),
            run_at: eb.ref('excluded.run_at'),
            finished_at: eb.ref('excluded.finished_at'),
          })),
        )
        .execute()
    }
    return true
  })
}
