/**
 * Whether the database runs code inside our changes that is not ours: a trigger or a rule of somebody else's
 * would have what it does signed as ours. Asked inside each change, whose own locks keep triggers from coming
 * and going meanwhile.
 */
import { VestryError } from '@vestry/contract/errors'
import { type Kysely, sql } from 'kysely'
import { NOTE_ROW_CHANGE } from './migrations.ts'
import { TABLE_NAMES, type Tables } from './schema.ts'

/** @throws VestryError STORE_CORRUPT naming what is there and should not be. */
export async function assertOwnCode(trx: Kysely<Tables>): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    with ours as (
      select oid, relname, relkind from pg_class
      where relnamespace = current_schema()::regnamespace and relname = any(string_to_array(${TABLE_NAMES.join(',')}, ','))
    )
    select 'trigger ' || t.tgname as name from pg_trigger t join ours on ours.oid = t.tgrelid
      left join pg_proc p on p.oid = t.tgfoid
      where not t.tgisinternal and (
        t.tgname <> ours.relname || '_changed' or p.proname <> 'note_row_change'
        or p.pronamespace <> current_schema()::regnamespace or p.prosrc <> ${NOTE_ROW_CHANGE}
      )
    union all
    select 'rule ' || r.rulename from pg_rewrite r join ours on ours.oid = r.ev_class
    union all
    select 'relation ' || relname from ours where relkind <> 'r'
    limit 1`.execute(trx)
  const [odd] = rows
  if (odd === undefined) return
  throw new VestryError('STORE_CORRUPT', `The database runs code that is not ours: ${odd.name}`, {
    hint: 'Find out who changed the database, remove it and restore the newest backup',
    context: { name: odd.name },
  })
}
