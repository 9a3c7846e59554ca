/**
 * PostgreSQL as an engine, for several nodes. Writes are serializable transactions, tried again after a lost
 * race; reads have connections of their own that cannot write.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Kysely, PostgresDialect, sql } from 'kysely'
import { withinLimit } from './deadline.ts'
import {
  type BehindRows,
  type Engine,
  type EngineOptions,
  type PointRead,
  type PointRow,
  pointReadSql,
  type WriteFn,
} from './engine.ts'
import { migrate } from './migrate.ts'
import { MIGRATIONS, type Migration, POSTGRES } from './migrations.ts'
import { ChangeFeed } from './postgres-changes.ts'
import { PostgresPool } from './postgres-pool.ts'
import { assertOwnCode } from './postgres-schema.ts'
import { PostgresSession } from './postgres-session.ts'
import type { Tables } from './schema.ts'
import { isRetryable, unavailable } from './store-error.ts'

const READ_TIMEOUT_MS = 15_000
const MIGRATION_TIMEOUT_MS = 120_000
const MAX_BACKOFF_MS = 50
/** Any number, as long as every node takes the same one: "vest" in ASCII. */
const MIGRATION_LOCK = 0x76657374

/** @throws VestryError STORE_UNAVAILABLE. */
export async function openPostgres(
  url: string,
  options: EngineOptions,
  onRemoteChange: (tables: readonly string[]) => void,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<Engine> {
  const { connectTimeoutMs, writeTimeoutMs, warn } = options
  await migrateDatabase(url, options, migrations)
  const session = { connectTimeoutMs, statementTimeoutMs: READ_TIMEOUT_MS, readOnly: true }
  const feed = await ChangeFeed.open({ url, session, warn, onChange: onRemoteChange })
  const reads = new PostgresPool(poolOptions(url, options, session))
  const writes = new PostgresPool(
    poolOptions(url, options, {
      connectTimeoutMs,
      statementTimeoutMs: writeTimeoutMs,
      readOnly: false,
    }),
  )
  const writer = new Writer(writes, options)
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: reads }) })
  return {
    name: 'postgres',
    db,
    write: (fn, synced) => writer.write(fn, synced),
    writeBehind: (rows) => writeBehind(writer, rows),
    pointRead: (table, key, columns) => pointRead(reads, table, key, columns),
    announce: async (trx, tables) => {
      await assertOwnCode(trx)
      await feed.announce(trx, tables)
    },
    tell: (trx, tables) => feed.announce(trx, tables),
    async close() {
      await writer.settle()
      feed.close()
      await Promise.all([writes.end(), reads.end()])
    },
  }
}

const BEHIND_ROWS = 250

async function writeBehind<T extends keyof Tables>(
  writer: Writer,
  { table, rows, key, update }: BehindRows<T>,
): Promise<void> {
  for (let at = 0; at < rows.length; at += BEHIND_ROWS) {
    const some = rows.slice(at, at + BEHIND_ROWS)
    await writer.write(async (trx) => {
      const taken = update.map((column) => [column, (eb: Excluded) => eb.ref(`excluded.${column}`)])
      // The table is a type parameter here, which Kysely's own types cannot follow; rows and columns are checked by ours.
      const insert = (trx as unknown as Kysely<Record<string, Record<string, unknown>>>)
        .insertInto(table)
        .values(some as unknown as Record<string, unknown>[])
      await insert
        .onConflict((conflict) => {
          const at = conflict.columns(key as unknown as string[])
          return update.length === 0 ? at.doNothing() : at.doUpdateSet(Object.fromEntries(taken))
        })
        .execute()
    }, false)
  }
}

interface Excluded {
  ref(column: string): unknown
}

class Writer {
  readonly #db: Kysely<Tables>
  readonly #options: EngineOptions
  readonly #running = new Set<Promise<unknown>>()

  constructor(pool: PostgresPool, options: EngineOptions) {
    this.#db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
    this.#options = options
  }

  async write<T>(fn: WriteFn<T>, synced = true): Promise<T> {
    if (this.#running.size >= this.#options.maxQueuedWrites) {
      throw unavailable('Too many writes are waiting', undefined, 'Retry later.')
    }
    const running = this.#untilCommitted(synced ? fn : unsynced(fn))
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }

  /** Waits for the writes that were accepted; each has its own time limit. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#running)
  }

  /** Ends by commit, by an error that a second try would meet again, or at the deadline. */
  async #untilCommitted<T>(fn: WriteFn<T>): Promise<T> {
    const { now, writeTimeoutMs } = this.#options
    const deadline = now() + writeTimeoutMs
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#db
          .transaction()
          .setIsolationLevel('serializable')
          .execute((trx) => withinLimit(fn(trx), writeTimeoutMs, 'A write'))
      } catch (error) {
        if (!isRetryable(error)) throw error
        if (now() >= deadline) throw unavailable('The write lost every race for its rows', error)
      }
      await sleep(Math.random() * Math.min(2 ** attempt, MAX_BACKOFF_MS))
    }
  }
}

function unsynced<T>(fn: WriteFn<T>): WriteFn<T> {
  return async (trx) => {
    await sql`set local synchronous_commit = off`.execute(trx)
    return fn(trx)
  }
}

function poolOptions(
  url: string,
  { poolSize, maxQueuedWrites, connectTimeoutMs, now }: EngineOptions,
  session: { connectTimeoutMs: number; statementTimeoutMs: number; readOnly: boolean },
) {
  return {
    url,
    size: poolSize,
    maxWaiting: maxQueuedWrites,
    waitMs: session.statementTimeoutMs + connectTimeoutMs,
    now,
    session,
  }
}

function pointRead<T extends keyof Tables, C extends keyof Tables[T] & string>(
  pool: PostgresPool,
  table: T,
  key: readonly string[],
  columns: readonly C[],
): PointRead<PointRow<T, C>> {
  const statement = pointReadSql(table, key, columns, (index) => `$${index + 1}`)
  return async (...values) => {
    const client = await pool.connect()
    try {
      const { rows } = await client.query<PointRow<T, C>>(statement, values)
      return rows[0]
    } finally {
      client.release()
    }
  }
}

async function migrateDatabase(
  url: string,
  { connectTimeoutMs, now }: EngineOptions,
  migrations: readonly Migration[],
): Promise<void> {
  const session = await PostgresSession.open(url, {
    connectTimeoutMs,
    statementTimeoutMs: MIGRATION_TIMEOUT_MS,
    readOnly: false,
  })
  const run = async (statement: string) => void (await session.query(statement, []))
  try {
    await run('begin')
    await run(`select pg_advisory_xact_lock(${MIGRATION_LOCK})`) // one node at a time
    await migrate(
      {
        dialect: POSTGRES,
        run,
        integers: async (query) =>
          (await session.query<{ version: number }>(query, [])).rows.map(({ version }) => version),
      },
      migrations,
      now(),
    )
    await run('commit')
  } finally {
    session.end() // rolls back what was not committed
  }
}
