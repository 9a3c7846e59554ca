/**
 * SQLite as an engine: one file, readable by its owner only, opened twice. The writer holds the group-commit
 * queue; the reader is read-only and sees committed rows alone, never a transaction that is still open.
 */
import { chmodSync, closeSync, openSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import {
  type Engine,
  type EngineOptions,
  type PointRead,
  type PointRow,
  pointReadSql,
} from './engine.ts'
import { type MigrationSession, migrate } from './migrate.ts'
import { MIGRATIONS, type Migration, SQLITE } from './migrations.ts'
import type { Tables } from './schema.ts'
import { whenUnlocked } from './sqlite-lock.ts'
import { assertSchema } from './sqlite-schema.ts'
import { bindable, nodeSqlite } from './sqlite-statement.ts'
import { SqliteWriter } from './sqlite-writer.ts'
import { storeError, unavailable } from './store-error.ts'

const WRITER_PRAGMAS = [
  'pragma synchronous = full', // WAL alone would lose the last commits with the power
  'pragma secure_delete = on', // a destroyed key is overwritten, not only unlinked
  'pragma temp_store = memory', // nothing of ours in temporary files
  'pragma foreign_keys = on',
  'pragma trusted_schema = off',
  'pragma wal_autocheckpoint = 1000',
  'pragma journal_size_limit = 16777216',
]
const READER_PRAGMAS = ['pragma query_only = on', 'pragma temp_store = memory']

/** @throws VestryError STORE_UNAVAILABLE, STORE_CORRUPT. */
export async function openSqlite(
  path: string,
  options: EngineOptions,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<Engine> {
  createPrivateFile(path)
  using opened = new DisposableStack()
  const writer = opened.adopt(connect(path, options, false), closeQuietly)
  await whenUnlocked(() => useWal(writer), options)
  for (const pragma of WRITER_PRAGMAS) exec(writer, pragma)
  await migrateFile(writer, options, migrations)
  const reader = opened.adopt(connect(path, options, true), closeQuietly)
  for (const pragma of READER_PRAGMAS) exec(reader, pragma)
  opened.move()
  return engine(writer, reader, options)
}

function engine(writer: DatabaseSync, reader: DatabaseSync, options: EngineOptions): Engine {
  const dialect = new SqliteDialect({ database: nodeSqlite(reader) })
  const db = new Kysely<Tables>({ dialect })
  const queue = new SqliteWriter(writer, dialect, db, options)
  return {
    name: 'sqlite',
    db,
    write: (fn, synced) => queue.write(fn, synced),
    writeBehind: (rows) => queue.writeBehind(rows),
    pointRead: (table, key, columns) => pointRead(reader, table, key, columns),
    announce: async () => {}, // one process, so nobody else to tell
    tell: async () => {},
    async close() {
      await queue.close()
      closeQuietly(reader)
      closeQuietly(writer) // last, so that it folds the write-ahead log into the file
    },
  }
}

function pointRead<T extends keyof Tables, C extends keyof Tables[T] & string>(
  reader: DatabaseSync,
  table: T,
  key: readonly string[],
  columns: readonly C[],
): PointRead<PointRow<T, C>> {
  const statement = reader.prepare(pointReadSql(table, key, columns, () => '?'))
  return (...values) => {
    const parameters = bindable(values)
    try {
      // The columns were named from the type; the file's own types are strict.
      return statement.get(...parameters) as PointRow<T, C> | undefined
    } catch (error) {
      throw storeError(error)
    }
  }
}

/**
 * SQLite gives its -wal and -shm files the mode of the main one, so the mode must be right before it opens it.
 * An existing file is never opened here: closing it would drop the locks that this process holds on it.
 */
function createPrivateFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) {
      throw unavailable(`The store file ${path} cannot be created`, error, 'Check its directory.')
    }
  }
  const { mode } = statSync(path)
  if ((mode & 0o777) !== 0o600) chmodSync(path, 0o600)
}

function connect(path: string, options: EngineOptions, readOnly: boolean): DatabaseSync {
  try {
    // The writer waits for locks in whenUnlocked; a reader meets one only while a log is being recovered.
    return new DatabaseSync(path, { readOnly, timeout: readOnly ? options.connectTimeoutMs : 0 })
  } catch (error) {
    throw storeError(error)
  }
}

function useWal(db: DatabaseSync): void {
  const row = db.prepare('pragma journal_mode = wal').get()
  if (row?.['journal_mode'] === 'wal') return
  throw unavailable(
    'The store file is on a file system without shared memory',
    undefined,
    'Keep the home on a local disk, or use PostgreSQL.',
  )
}

async function migrateFile(
  db: DatabaseSync,
  options: EngineOptions,
  migrations: readonly Migration[],
): Promise<void> {
  const bring = (to: DatabaseSync) => migrate(sessionOn(to), migrations, options.now())
  await whenUnlocked(() => db.exec('begin immediate'), options) // one process at a time
  try {
    await bring(db)
    await assertSchema(db, bring)
    exec(db, 'commit')
  } catch (error) {
    if (db.isTransaction) exec(db, 'rollback')
    throw storeError(error)
  }
}

function sessionOn(db: DatabaseSync): MigrationSession {
  return {
    dialect: SQLITE,
    run: async (statement) => db.exec(statement),
    integers: async (query) => db.prepare(query).all().map(firstNumber),
  }
}

function firstNumber(row: Record<string, unknown>): number {
  return Number(Object.values(row)[0])
}

function exec(db: DatabaseSync, sql: string): void {
  try {
    db.exec(sql)
  } catch (error) {
    throw storeError(error)
  }
}

function closeQuietly(db: DatabaseSync): void {
  if (db.isOpen) db.close()
}
