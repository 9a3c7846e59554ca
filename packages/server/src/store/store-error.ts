/** Turns what the two drivers throw into errors that mean the same on both engines. */
import { VestryError } from '@vestry/contract/errors'

/** node:sqlite: primary result codes (sqlite.org/rescode.html), the low byte of `errcode`. */
const SQLITE_UNAVAILABLE = new Map([
  [5, 'is locked by another process'],
  [6, 'is locked'],
  [8, 'is read-only'],
  [10, 'reported an input/output error'],
  [13, 'has no room left'],
  [14, 'cannot be opened'],
])
const SQLITE_CORRUPT = new Set([11, 26])
/** Extended codes: unique, primary key, rowid. */
const SQLITE_DUPLICATE = new Set([2067, 1555, 2579])

/** SQLSTATE classes (PostgreSQL appendix A): connection, resources, operator intervention, system. */
const PG_UNAVAILABLE_CLASSES = new Set(['08', '53', '57', '58'])
/** Authentication refused and database missing: the store exists but not for us. */
const PG_REFUSED = new Set(['28000', '28P01', '3D000'])
/** Closed to connections, and a replica that takes no writes: a database in the middle of maintenance. */
const PG_MAINTENANCE = new Set(['55000', '25006'])
const PG_CORRUPT = new Set(['XX001', 'XX002'])
const PG_DUPLICATE = '23505'
/** Serialization failure, deadlock: nothing was stored and a second try may succeed. */
const PG_RETRY = new Set(['40001', '40P01'])

/** Codes that postgres.js and the socket below it give to a lost or unreachable server. */
const CONNECTION_CODE =
  /^(CONNECT|E[A-Z]+$|ERR_(SOCKET|TLS|SSL)|SASL_|CERT|UNABLE_|SELF_SIGNED|DEPTH_)/

const RETRY = 'Check the database server; requests succeed again once it is back.'

/**
 * A statement that PostgreSQL or its driver refused. Made anew because the driver's own error carries the
 * parameters of the statement, which must reach no log, and cannot be extended.
 */
export class PostgresStatementError extends Error {
  /** SQLSTATE, or a code of the driver or the socket. */
  readonly code: string
  readonly constraint: string | undefined

  constructor(message: string, code: string, constraint: string | undefined) {
    super(message)
    this.name = 'PostgresStatementError'
    this.code = code
    this.constraint = constraint
  }
}

/** What postgres.js threw, without the parameters and with the meaning of {@link storeError}. */
export function postgresError(error: unknown): Error {
  const message = error instanceof Error ? error.message : 'A statement failed'
  const code = error instanceof Error ? field(error, 'code') : undefined
  if (error instanceof VestryError) return error
  if (error instanceof RangeError) return new RangeError(message)
  if (typeof code !== 'string') return new Error(message)
  const constraint = error instanceof Error ? field(error, 'constraint_name') : undefined
  return fromPostgres(
    new PostgresStatementError(
      message,
      code,
      typeof constraint === 'string' ? constraint : undefined,
    ),
  )
}

/**
 * What node:sqlite threw, with a meaning of ours.
 *
 * @returns STORE_UNAVAILABLE when the engine cannot work now, STORE_CORRUPT when its file is damaged,
 *   CONFLICT when a unique key is taken; anything else unchanged.
 */
export function storeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const errcode = field(error, 'errcode')
  return typeof errcode === 'number' ? fromSqlite(error, errcode) : error
}

/** True when the statement lost a race that a new transaction may win. */
export function isRetryable(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    if (at instanceof PostgresStatementError && PG_RETRY.has(at.code)) return true
  }
  return false
}

export function unavailable(message: string, cause?: unknown, hint?: string): VestryError {
  return new VestryError('STORE_UNAVAILABLE', message, {
    ...(hint !== undefined && { hint }),
    ...(cause !== undefined && { cause }),
  })
}

function fromSqlite(error: Error, errcode: number): Error {
  if (SQLITE_DUPLICATE.has(errcode)) {
    return new VestryError('CONFLICT', 'A row with this key already exists', { cause: error })
  }
  const primary = errcode & 0xff
  if (SQLITE_CORRUPT.has(primary)) {
    return new VestryError('STORE_CORRUPT', 'The store file is damaged or not a database', {
      cause: error,
      hint: 'Restore the store from a backup.',
    })
  }
  const reason = SQLITE_UNAVAILABLE.get(primary)
  if (reason === undefined) return error
  return unavailable(`The store file ${reason}`, error, 'Check the disk it is on, then try again.')
}

function fromPostgres(error: PostgresStatementError): Error {
  const { code, constraint } = error
  if (code === PG_DUPLICATE) {
    return new VestryError('CONFLICT', 'A row with this key already exists', {
      cause: error,
      ...(constraint !== undefined && { context: { constraint } }),
    })
  }
  if (PG_CORRUPT.has(code)) {
    return new VestryError('STORE_CORRUPT', 'The database reports damaged data', {
      cause: error,
      hint: 'Restore the store from a backup.',
    })
  }
  if (PG_REFUSED.has(code)) {
    return unavailable(
      'The database refused the connection',
      error,
      'Check user, password and name.',
    )
  }
  const busy = code.length === 5 && PG_UNAVAILABLE_CLASSES.has(code.slice(0, 2))
  if (busy || PG_MAINTENANCE.has(code)) {
    return unavailable('The database cannot serve now', error, RETRY)
  }
  if (CONNECTION_CODE.test(code)) {
    return unavailable('The database is not reachable', error, RETRY)
  }
  return error
}

function field(error: Error, name: string): unknown {
  return name in error ? (error as Error & Record<string, unknown>)[name] : undefined
}
