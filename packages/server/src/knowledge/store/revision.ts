/** The order in which knowledge changed. */
import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Tables } from '../../store/schema.ts'

const REVISION = 'knowledge_revision'
const HORIZON = 'knowledge_horizon'

/**
 * The next revision. Its row stays locked until the write commits, so that revisions are seen in the order of their
 * numbers: whoever has seen one has seen all before it.
 */
export async function nextRevision(trx: Kysely<Tables>): Promise<number> {
  const row = await trx
    .insertInto('meta')
    .values({ key: REVISION, value: '1' })
    .onConflict((clash) =>
      clash.column('key').doUpdateSet({ value: sql`cast(cast(meta.value as bigint) + 1 as text)` }),
    )
    .returning('value')
    .executeTakeFirstOrThrow()
  return Number(row.value)
}

/** Of items that are there no more, changes up to here are forgotten. */
export async function raiseHorizon(trx: Kysely<Tables>, to: number): Promise<void> {
  const value = String(to)
  await trx
    .insertInto('meta')
    .values({ key: HORIZON, value })
    .onConflict((clash) => clash.column('key').doUpdateSet({ value }))
    .execute()
}

export async function readRevisions(
  db: Kysely<Tables>,
): Promise<{ readonly newest: number; readonly horizon: number }> {
  const rows = await db
    .selectFrom('meta')
    .select(['key', 'value'])
    .where('key', 'in', [REVISION, HORIZON])
    .execute()
  const of = (key: string) => Number(rows.find((row) => row.key === key)?.value ?? 0)
  return { newest: of(REVISION), horizon: of(HORIZON) }
}
