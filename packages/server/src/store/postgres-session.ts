/**
 * One connection to PostgreSQL. postgres.js would reconnect by itself, which breaks a transaction that is under
 * way (its next statement then writes to a socket that is gone, and the process dies of it); so every session
 * is a client of one connection that is used until it is lost and never again.
 */
import type { PostgresCursor, PostgresQueryResult } from 'kysely'
import postgres from 'postgres'
import { checkParameters, type Parameter } from './parameters.ts'
import { postgresError, unavailable } from './store-error.ts'

export interface SessionOptions {
  readonly connectTimeoutMs: number
  /** The server ends a statement after this; when it stays silent the session is given up a little later. */
  readonly statementTimeoutMs: number
  readonly readOnly: boolean
  readonly onLost?: () => void
  readonly onNotify?: (channel: string, payload: string) => void
}

/** Time for the server's own time-out to arrive. */
const GRACE_MS = 2_000

const TYPES = {
  int8: { to: 20, from: [20], serialize: String, parse: toInteger },
  /** What `sum` and `avg` of int8 give. */
  numeric: { to: 1700, from: [1700], serialize: String, parse: toNumber },
  bytea: { to: 17, from: [17], serialize: toHex, parse: fromHex },
}

export class PostgresSession {
  readonly #client: postgres.Sql<{ int8: number; numeric: number; bytea: Uint8Array }>
  readonly #options: SessionOptions
  #lost = false
  #failure: unknown

  private constructor(url: string, options: SessionOptions) {
    this.#options = options
    // A variable, because the driver's types leave out `onnotify`.
    const settings = {
      max: 1,
      idle_timeout: 0,
      max_lifetime: null,
      connect_timeout: options.connectTimeoutMs / 1000,
      fetch_types: false,
      types: TYPES,
      connection: {
        application_name: 'vestry',
        statement_timeout: options.statementTimeoutMs,
        idle_in_transaction_session_timeout: options.statementTimeoutMs,
        ...(options.readOnly && { default_transaction_read_only: true }),
      },
      onnotice: () => {},
      onclose: () => this.#lose(),
      onnotify: (channel: string, payload: string) => options.onNotify?.(channel, payload),
    }
    this.#client = postgres(url, settings)
  }

  /** @throws VestryError STORE_UNAVAILABLE within the connect time-out. */
  static async open(url: string, options: SessionOptions): Promise<PostgresSession> {
    const session = new PostgresSession(url, options)
    await session.#bounded('select 1', [], options.connectTimeoutMs + GRACE_MS)
    return session
  }

  /** False once the connection is gone; nothing brings it back. */
  get usable(): boolean {
    return !this.#lost
  }

  query<R>(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>>
  /** Part of Kysely's interface; cursors are not used here. */
  query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>
  query<R>(
    sql: string | PostgresCursor<R>,
    parameters: readonly unknown[] = [],
  ): Promise<PostgresQueryResult<R>> | PostgresCursor<R> {
    if (typeof sql !== 'string') throw new TypeError('Cursors are not supported')
    return this.#tracked(sql, parameters)
  }

  /** Closes at once; a statement under way fails. */
  end(): void {
    this.#lost = true
    this.#client.end({ timeout: 0 }).catch(() => {}) // nothing is owed to a session that is given up
  }

  /**
   * Remembers the first statement that failed in a transaction: PostgreSQL answers its COMMIT with "ROLLBACK"
   * and no error, which must not pass for success when the code in between went on regardless.
   */
  async #tracked<R>(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    if (/^(begin|start transaction)\b/.test(sql)) this.#failure = undefined
    if (sql === 'commit' && this.#failure !== undefined) throw this.#failure
    try {
      const timeoutMs = this.#options.statementTimeoutMs + GRACE_MS
      return await this.#bounded<R>(sql, checkParameters(parameters), timeoutMs)
    } catch (error) {
      this.#failure ??= error
      throw error
    }
  }

  #bounded<R>(
    sql: string,
    parameters: readonly Parameter[],
    timeoutMs: number,
  ): Promise<PostgresQueryResult<R>> {
    if (this.#lost) return Promise.reject(unavailable('The connection to the database was lost'))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(unavailable('The database did not answer in time'))
        this.#lose()
        this.end()
      }, timeoutMs)
      this.#send<R>(sql, parameters)
        .then(resolve, (error) => reject(postgresError(error)))
        .finally(() => clearTimeout(timer))
    })
  }

  async #send<R>(sql: string, parameters: readonly Parameter[]): Promise<PostgresQueryResult<R>> {
    const result = await this.#client.unsafe(sql, [...parameters], { prepare: true })
    return {
      command: result.command as PostgresQueryResult<R>['command'],
      rowCount: result.count ?? 0,
      rows: Array.from(result) as R[],
    }
  }

  #lose(): void {
    if (this.#lost) return
    this.#lost = true
    this.#options.onLost?.()
  }
}

function toInteger(text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value)) return value
  throw new RangeError('The database holds an integer beyond 2^53')
}

function toNumber(text: string): number {
  return /^-?\d+$/.test(text) ? toInteger(text) : Number(text)
}

function toHex(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`
}

/** A plain array of its own, as node:sqlite gives: not a Buffer, and no view into a shared pool. */
function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.slice(2), 'hex'))
}
