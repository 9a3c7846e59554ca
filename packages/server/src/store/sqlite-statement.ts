/** node:sqlite in the shape that Kysely's own SQLite dialect expects, with parameters checked and errors named. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import type { SqliteDatabase, SqliteStatement } from 'kysely'
import { checkParameters } from './parameters.ts'
import { storeError } from './store-error.ts'

/** Distinct statements kept compiled; Vestry's own number about a hundred. */
const CACHED_STATEMENTS = 500

export function nodeSqlite(db: DatabaseSync): SqliteDatabase {
  const cache = new Map<string, SqliteStatement>()
  return {
    close: () => db.close(),
    prepare(sql) {
      const hit = cache.get(sql)
      if (hit !== undefined) return hit
      const statement = wrap(db, sql)
      if (cache.size >= CACHED_STATEMENTS) dropOldest(cache)
      cache.set(sql, statement)
      return statement
    },
  }
}

function wrap(db: DatabaseSync, sql: string): SqliteStatement {
  const statement = named(() => db.prepare(sql))
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => named(() => statement.all(...bindable(parameters))),
    run: (parameters) => named(() => statement.run(...bindable(parameters))),
    // A statement of its own: rewinding the cached one would end another caller's iteration.
    iterate: (parameters) => named(() => iterate(db.prepare(sql), parameters)),
  }
}

function* iterate(statement: StatementSync, parameters: readonly unknown[]): Generator<unknown> {
  try {
    yield* statement.iterate(...bindable(parameters))
  } catch (error) {
    throw storeError(error)
  }
}

export function bindable(parameters: readonly unknown[]): SQLInputValue[] {
  return [...checkParameters(parameters)]
}

function named<T>(act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw storeError(error)
  }
}

function dropOldest(cache: Map<string, unknown>): void {
  for (const key of cache.keys()) {
    cache.delete(key)
    return
  }
}
