/**
 * The store: one schema on SQLite (one file) or PostgreSQL (several nodes). Reads go through `db`, which
 * refuses writes; writes go through `write` and `change` and are durable when their promise resolves.
 */
import { isAbsolute } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import { type ChangeListener, ChangeListeners, TouchedTables } from './changes.ts'
import type { BehindRows, Engine, EngineOptions, PointRead, PointRow, WriteFn } from './engine.ts'
import { openPostgres } from './postgres.ts'
import type { Tables } from './schema.ts'
import { openSqlite } from './sqlite.ts'
import { unavailable } from './store-error.ts'

export interface Store extends AsyncDisposable {
  readonly engine: 'sqlite' | 'postgres'
  /** For reads. Sees committed rows only, and refuses to write. */
  readonly db: Kysely<Tables>
  /**
   * Runs `fn` in a transaction, alone as far as it can tell, and resolves once the result is durable.
   *
   * On SQLite writes that wait together share one commit, each in a savepoint: one that throws is undone by
   * itself. On PostgreSQL `fn` may run again after a lost race, so it must have no effect but its statements.
   * A statement that fails fails the write, even if `fn` catches the error. `fn` must not call the store.
   *
   * @throws STORE_UNAVAILABLE when the engine cannot commit, CONFLICT for a key that is taken, else what `fn` threw.
   */
  write<T>(fn: WriteFn<T>, options?: WriteOptions): Promise<T>
  /** `write` that also raises the generation by one. For admin changes; tells `onChange` on every node. */
  change<T>(fn: WriteFn<T>): Promise<{ value: T; generation: number }>
  generation(): Promise<number>
  /**
   * Adds rows without waiting for the disk, after the writes that are waiting: for what is kept for convenience
   * and can be lost with the power. Resolves once they can be read.
   */
  writeBehind<T extends keyof Tables>(rows: BehindRows<T>): Promise<void>
  /**
   * Called with the touched tables after a change was committed here or (PostgreSQL) on another node, with what
   * a write was asked to tell, and with all tables after a lost connection came back. @returns the function that ends it.
   */
  onChange(listener: ChangeListener): () => void
  /**
   * One row by its key with a statement compiled once: the hot path's read. Answers at once on SQLite, with a
   * promise on PostgreSQL. `key` must name a whole unique key.
   */
  pointRead<T extends keyof Tables, C extends keyof Tables[T] & string>(
    table: T,
    key: readonly (keyof Tables[T] & string)[],
    columns: readonly C[],
  ): PointRead<PointRow<T, C>>
  /** Finishes the writes that were accepted, then closes every connection. */
  close(): Promise<void>
}

export interface WriteOptions {
  /** Tables that `onChange` is told of on every node, once it is committed. The generation stays as it is. */
  readonly tell?: readonly (keyof Tables)[]
  /**
   * False: it is not waited for the disk. What was answered then outlives the process, killed or not, but the last of
   * it may be lost with the power. It still comes in order with all other writes. True unless told.
   */
  readonly synced?: boolean
}

export type StoreOptions = Partial<EngineOptions>

const DEFAULTS: EngineOptions = {
  now: Date.now,
  warn: (message, cause) => process.emitWarning(message, { detail: String(cause) }),
  maxQueuedWrites: 10_000,
  writeTimeoutMs: 10_000,
  connectTimeoutMs: 5_000,
  poolSize: 4,
}

/**
 * Opens and migrates.
 *
 * @param url `sqlite:/absolute/path/file.db`, or `postgres://user:password@host:port/database`.
 * @throws VestryError CONFIG_INVALID for another kind of URL; STORE_UNAVAILABLE, also for a database that a
 *   newer program has written; STORE_CORRUPT for a file that is no database.
 */
export async function openStore(url: string, options: StoreOptions = {}): Promise<Store> {
  const settings = { ...DEFAULTS, ...options }
  const listeners = new ChangeListeners(settings.warn)
  const engine = await openEngine(url, settings, listeners)
  return storeOf(engine, listeners)
}

function openEngine(
  url: string,
  options: EngineOptions,
  listeners: ChangeListeners,
): Promise<Engine> {
  if (/^postgres(ql)?:\/\//.test(url)) {
    return openPostgres(url, options, (tables) => listeners.emit(tables))
  }
  const path = url.startsWith('sqlite:') ? url.slice('sqlite:'.length) : ''
  if (isAbsolute(path)) return openSqlite(path, options)
  // The URL itself stays out of the message: it may hold a password.
  throw new VestryError('CONFIG_INVALID', 'The store URL is not understood', {
    hint: 'Use sqlite:/absolute/path/vestry.db or postgres://user:password@host/database.',
  })
}

function storeOf(engine: Engine, listeners: ChangeListeners): Store {
  let closing: Promise<void> | undefined
  const close = () => {
    listeners.clear()
    closing ??= engine.close()
    return closing
  }
  const open = () => {
    if (closing !== undefined) throw unavailable('The store is closed')
    return engine
  }
  return {
    engine: engine.name,
    db: engine.db,
    async write(fn, { tell = [], synced = true } = {}) {
      if (tell.length === 0) return open().write(fn, synced)
      const value = await open().write(async (trx) => {
        const result = await fn(trx)
        await engine.tell(trx, tell)
        return result
      }, synced)
      listeners.emit(tell)
      return value
    },
    async change(fn) {
      const { value, generation, tables } = await open().write(async (trx) => {
        const next = await raiseGeneration(trx) // first: concurrent changes queue up on this row
        const touched = new TouchedTables()
        const result = await fn(trx.withPlugin(touched))
        const names = touched.names()
        await engine.announce(trx, names)
        return { value: result, generation: next, tables: names }
      })
      listeners.emit(tables)
      return { value, generation }
    },
    generation: async () => readGeneration(open().db),
    writeBehind: async (rows) => open().writeBehind(rows),
    onChange: (listener) => listeners.add(listener),
    pointRead: (table, key, columns) => open().pointRead(table, key, columns),
    close,
    [Symbol.asyncDispose]: close,
  }
}

async function raiseGeneration(trx: Kysely<Tables>): Promise<number> {
  const row = await trx
    .updateTable('meta')
    .set({ value: sql`cast(cast(value as bigint) + 1 as text)` })
    .where('key', '=', 'generation')
    .returning('value')
    .executeTakeFirst()
  return toGeneration(row?.value)
}

async function readGeneration(db: Kysely<Tables>): Promise<number> {
  const row = await db
    .selectFrom('meta')
    .select('value')
    .where('key', '=', 'generation')
    .executeTakeFirst()
  return toGeneration(row?.value)
}

function toGeneration(value: string | undefined): number {
  const generation = Number(value)
  if (Number.isSafeInteger(generation) && generation >= 0) return generation
  throw new VestryError('STORE_CORRUPT', 'The store has lost its generation counter', {
    hint: 'Restore the store from a backup.',
  })
}
