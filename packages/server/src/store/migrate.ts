/**
 * Brings a database to the newest version, inside a transaction that the caller opened and that lets one node
 * in at a time. Refuses a database that a newer program has written.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Dialect, Migration } from './migrations.ts'

export interface MigrationSession {
  readonly dialect: Dialect
  run(statement: string): Promise<void>
  /** Rows of one column of integers. */
  integers(query: string): Promise<readonly number[]>
}

/** @returns how many migrations were applied; 0 for a database that was up to date. */
export async function migrate(
  session: MigrationSession,
  migrations: readonly Migration[],
  nowMs: number,
): Promise<number> {
  const { integer, table } = session.dialect
  await session.run(
    `create table if not exists "migration" (
      "version" ${integer} primary key not null,
      "name" text not null,
      "applied_at" ${integer} not null
    ) ${table}`,
  )
  const applied = new Set(await session.integers('select "version" from "migration"'))
  assertNotNewer(Math.max(0, ...applied), newest(migrations))

  const missing = migrations.filter(({ version }) => !applied.has(version))
  for (const { version, name, statements } of missing) {
    for (const statement of statements(session.dialect)) await session.run(statement)
    await session.run(
      `insert into "migration" ("version", "name", "applied_at")
       values (${version}, '${name}', ${Math.trunc(nowMs)})`,
    )
  }
  return missing.length
}

function newest(migrations: readonly Migration[]): number {
  return Math.max(0, ...migrations.map(({ version }) => version))
}

function assertNotNewer(found: number, known: number): void {
  if (found <= known) return
  throw new VestryError(
    'STORE_TOO_NEW',
    `The store has version ${found}; this program knows up to ${known}`,
    { hint: 'Start the newer version of Vestry that wrote this store, or restore a backup.' },
  )
}
