/**
 * The group-commit queue of SQLite. All writes that wait share one transaction and one fdatasync; each runs in
 * a savepoint of its own, one strictly after the other, and none is answered before the commit is on disk.
 */
import type { DatabaseSync } from 'node:sqlite'
import { VestryError } from '@vestry/contract/errors'
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Kysely,
  type KyselyProps,
  type QueryResult,
  type SqliteDatabase,
  Transaction,
} from 'kysely'
import { withinLimit } from './deadline.ts'
import { type BehindRows, behindSql, type WriteFn } from './engine.ts'
import type { Tables } from './schema.ts'
import { type LockWait, whenUnlocked } from './sqlite-lock.ts'
import { nodeSqlite } from './sqlite-statement.ts'
import { storeError, unavailable } from './store-error.ts'

/** Most writes in one transaction, so that a long queue does not keep the event loop for long. */
const MAX_BATCH = 512

/** Rows written behind in one go: a few milliseconds. */
const BEHIND_ROWS = 250

/** Statements that would end or widen the shared transaction. */
const CONTROL =
  /^\s*(begin|start|commit|end|rollback|savepoint|release|pragma|attach|detach|vacuum)\b/i

interface BehindJob {
  /** Writes the next rows. @returns whether more are left. */
  readonly step: () => boolean
  readonly settle: () => void
  readonly fail: (error: Error) => void
}

interface Job {
  readonly synced: boolean
  readonly run: () => Promise<void>
  /** Answers the caller with what `run` left, once that is durable. */
  readonly settle: () => void
  readonly fail: (error: Error) => void
}

export interface SqliteWriterOptions extends LockWait {
  readonly maxQueuedWrites: number
  readonly writeTimeoutMs: number
}

export class SqliteWriter {
  readonly #db: DatabaseSync
  readonly #statements: SqliteDatabase
  readonly #props: Omit<KyselyProps, 'executor'>
  readonly #executor: ReturnType<Kysely<Tables>['getExecutor']>
  readonly #options: SqliteWriterOptions
  #queue: Job[] = []
  #behind: BehindJob[] = []
  #draining: Promise<void> | undefined
  #closed = false
  /** As the connection comes. */
  #synced = true

  /** @param kysely Only its dialect and compiler are used; every statement runs on `db`. */
  constructor(
    db: DatabaseSync,
    dialect: Dialect,
    kysely: Kysely<Tables>,
    options: SqliteWriterOptions,
  ) {
    this.#db = db
    this.#statements = nodeSqlite(db)
    this.#props = { config: { dialect }, dialect, driver: dialect.createDriver() }
    this.#executor = kysely.getExecutor()
    this.#options = options
  }

  write<T>(fn: WriteFn<T>, synced = true): Promise<T> {
    if (this.#closed) return Promise.reject(unavailable('The store is closed'))
    if (this.#queue.length >= this.#options.maxQueuedWrites) {
      return Promise.reject(unavailable('Too many writes are waiting', undefined, 'Retry later.'))
    }
    return new Promise<T>((resolve, reject) => {
      let outcome: { value: T } | undefined
      this.#queue.push({
        synced,
        run: async () => {
          outcome = { value: await this.#run(fn) }
        },
        settle: () => {
          if (outcome !== undefined) resolve(outcome.value)
        },
        fail: reject,
      })
      this.#draining ??= this.#drain()
    })
  }

  /** Served when no write waits, in small transactions that are not synced. */
  writeBehind<T extends keyof Tables>(behind: BehindRows<T>): Promise<void> {
    if (this.#closed) return Promise.reject(unavailable('The store is closed'))
    const { rows } = behind
    if (rows.length === 0) return Promise.resolve()
    const columns = Object.keys(rows[0] as object)
    const sql = behindSql(behind, columns, () => '?')
    let done = 0
    return new Promise<void>((resolve, reject) => {
      this.#behind.push({
        step: () => {
          const statement = this.#statements.prepare(sql)
          const end = Math.min(done + BEHIND_ROWS, rows.length)
          for (; done < end; done += 1) {
            const row = rows[done] as Record<string, unknown>
            statement.run(columns.map((column) => row[column]))
          }
          return done < rows.length
        },
        settle: resolve,
        fail: reject,
      })
      this.#draining ??= this.#drain()
    })
  }

  /** Waits for the writes that were accepted, then refuses new ones. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#draining
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0 || this.#behind.length > 0) {
      await nextTick() // lets everything that this tick still queues join the batch
      if (this.#queue.length === 0) {
        await this.#stepBehind()
        continue
      }
      const batch = this.#queue.slice(0, MAX_BATCH)
      this.#queue = this.#queue.slice(batch.length)
      await this.#commit(batch)
    }
    this.#draining = undefined
  }

  async #stepBehind(): Promise<void> {
    const [job] = this.#behind as [BehindJob]
    try {
      this.#sync(false)
      await whenUnlocked(() => this.#db.exec('begin immediate'), this.#options)
      const more = job.step()
      this.#exec('commit')
      if (more) return
      job.settle()
    } catch (cause) {
      this.#rollback()
      job.fail(lost(cause))
    }
    this.#behind.shift()
  }

  async #commit(batch: readonly Job[]): Promise<void> {
    const failures = new Map<Job, Error>()
    // One commit for all: when one of them waits for the disk, it is the disk's turn for every one before it too.
    const synced = batch.some((job) => job.synced)
    try {
      this.#sync(synced)
      await whenUnlocked(() => this.#db.exec('begin immediate'), this.#options)
      for (const job of batch) {
        const failure = await this.#inSavepoint(job)
        if (failure !== undefined) failures.set(job, failure)
      }
      this.#exec('commit')
    } catch (cause) {
      this.#rollback()
      const error = lost(cause)
      for (const job of batch) job.fail(error)
      return
    }
    // Only now: a refusal, too, may rest on what an earlier write of this batch stored.
    for (const job of batch) {
      const failure = failures.get(job)
      if (failure === undefined) job.settle()
      else job.fail(failure)
    }
  }

  /** @throws what makes the whole transaction unusable. */
  async #inSavepoint(job: Job): Promise<Error | undefined> {
    this.#exec('savepoint job')
    try {
      await job.run()
      this.#exec('release job')
      return undefined
    } catch (error) {
      // A full disk or a read error ends the transaction by itself, for everyone in it.
      if (!this.#db.isTransaction) throw error
      this.#exec('rollback to job')
      this.#exec('release job')
      return error instanceof Error ? error : new Error('A write failed', { cause: error })
    }
  }

  async #run<T>(fn: WriteFn<T>): Promise<T> {
    const connection = new JobConnection(this.#statements)
    const executor = this.#executor.withConnectionProvider({
      provideConnection: (consumer) => consumer(connection),
    })
    const trx = new Transaction<Tables>({ ...this.#props, executor })
    try {
      const value = await withinLimit(fn(trx), this.#options.writeTimeoutMs, 'A write')
      connection.assertSound()
      return value
    } finally {
      connection.end()
    }
  }

  /** Whether the next commit waits for the disk. @throws inside a transaction, where it cannot be changed. */
  #sync(wanted: boolean): void {
    if (wanted === this.#synced) return
    this.#db.exec(wanted ? 'pragma synchronous = full' : 'pragma synchronous = normal')
    this.#synced = wanted
  }

  #exec(sql: string): void {
    this.#statements.prepare(sql).run([])
  }

  #rollback(): void {
    try {
      if (this.#db.isTransaction) this.#exec('rollback')
    } catch {
      // Nothing was acknowledged; if the transaction is still open, the next `begin` fails and says so.
    }
  }
}

/** The connection that one write sees: it ends with the write and remembers a statement that failed. */
class JobConnection implements DatabaseConnection {
  readonly #statements: SqliteDatabase
  #ended = false
  #failure: unknown

  constructor(statements: SqliteDatabase) {
    this.#statements = statements
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    this.#assertAllowed(sql)
    try {
      const statement = this.#statements.prepare(sql)
      if (statement.reader) return { rows: statement.all(parameters) as R[] }
      const { changes } = statement.run(parameters)
      return { numAffectedRows: BigInt(changes), rows: [] }
    } catch (error) {
      this.#failure ??= error
      throw error
    }
  }

  async *streamQuery<R>(query: CompiledQuery): AsyncIterableIterator<QueryResult<R>> {
    const { rows } = await this.executeQuery<R>(query)
    for (const row of rows) yield { rows: [row] }
  }

  /**
   * A write whose statement failed fails, even when its code went on: PostgreSQL would store nothing of it
   * either, and the two engines must not differ in that.
   */
  assertSound(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  end(): void {
    this.#ended = true
  }

  #assertAllowed(sql: string): void {
    if (this.#ended) {
      throw new VestryError('INTERNAL_ERROR', 'A statement ran after its write had ended', {
        hint: 'Await every statement inside the write.',
      })
    }
    if (CONTROL.test(sql)) {
      throw new VestryError('INTERNAL_ERROR', 'A write must not control its transaction')
    }
  }
}

function nextTick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function lost(cause: unknown): VestryError {
  const named = storeError(cause)
  if (named instanceof VestryError && named.code !== 'CONFLICT') return named
  return unavailable('The store could not commit; nothing of this write was stored', cause)
}
