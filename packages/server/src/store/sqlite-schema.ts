/**
 * Whether a SQLite file has exactly the tables, indexes and triggers that the migrations make. Whoever can write
 * the file can also write code into it: a trigger of theirs would run inside our own changes, and what it does
 * would be signed as ours.
 */
import { DatabaseSync } from 'node:sqlite'
import { VestryError } from '@vestry/contract/errors'

/** SQLite's own, made by `analyze`; they hold statistics and nothing that runs. */
const STATISTICS = new Set(['sqlite_stat1', 'sqlite_stat4'])

interface Entry {
  readonly type: string
  readonly name: string
  readonly tbl_name: string
  readonly sql: string | null
}

/**
 * @param make Applies the same migrations to an empty database.
 * @throws VestryError STORE_CORRUPT naming what is there and should not be, or the other way round.
 */
export async function assertSchema(
  db: DatabaseSync,
  make: (empty: DatabaseSync) => Promise<unknown>,
): Promise<void> {
  const reference = new DatabaseSync(':memory:')
  try {
    await make(reference)
    const wanted = entries(reference)
    const found = entries(db)
    const odd = [...difference(found, wanted), ...difference(wanted, found)][0]
    if (odd === undefined) return
    throw new VestryError(
      'STORE_CORRUPT',
      `The store's own definitions were altered: ${odd.type} ${odd.name}`,
      {
        hint: 'Restore the newest backup, after finding out who changed the store',
        context: { type: odd.type, name: odd.name },
      },
    )
  } finally {
    reference.close()
  }
}

function entries(db: DatabaseSync): Map<string, Entry> {
  const rows = db.prepare('select type, name, tbl_name, sql from sqlite_schema').all()
  const known = new Map<string, Entry>()
  for (const { type, name, tbl_name, sql } of rows) {
    const entry: Entry = {
      type: String(type),
      name: String(name),
      tbl_name: String(tbl_name),
      sql: sql === null || sql === undefined ? null : plain(String(sql)),
    }
    if (entry.type === 'table' && STATISTICS.has(entry.name)) continue
    known.set(JSON.stringify(entry), entry)
  }
  return known
}

/** Releases of SQLite differ in the white space they keep when they rewrite a definition. */
function plain(sql: string): string {
  return sql.replace(/\s+/g, ' ').replace(/ ?([(),]) ?/g, '$1')
}

function difference(some: Map<string, Entry>, others: Map<string, Entry>): Entry[] {
  return [...some].filter(([key]) => !others.has(key)).map(([, entry]) => entry)
}
