/** What an engine gives the store. `store.ts` adds what both share: change, generation, listeners. */
import type { Insertable, Kysely, SelectType } from 'kysely'
import type { Tables } from './schema.ts'

/** Runs inside a write; everything it stores becomes durable together or not at all. */
export type WriteFn<T> = (trx: Kysely<Tables>) => Promise<T>

/** A row found by its key. Answered at once on SQLite, so a hot path pays for no promise there. */
export type PointRead<Row> = (
  ...key: (string | number)[]
) => Row | undefined | Promise<Row | undefined>

/** Some columns of a table, as they are read. */
export type PointRow<T extends keyof Tables, C extends keyof Tables[T]> = {
  [K in C]: SelectType<Tables[T][K]>
}

/** Rows of one table that may be lost with the power, because something else can make them again. */
export interface BehindRows<T extends keyof Tables> {
  readonly table: T
  /** All with the same columns. */
  readonly rows: readonly Insertable<Tables[T]>[]
  /** A whole unique key. */
  readonly key: readonly (keyof Tables[T] & string)[]
  /** Columns a row that is there takes over; none: it stays as it is. */
  readonly update: readonly (keyof Tables[T] & string)[]
}

/** The one statement of {@link BehindRows}. */
export function behindSql(
  { table, key, update }: { table: string; key: readonly string[]; update: readonly string[] },
  columns: readonly string[],
  placeholder: (index: number) => string,
): string {
  const quoted = (names: readonly string[]) => names.map((name) => `"${name}"`).join(', ')
  const taken = update.map((name) => `"${name}" = excluded."${name}"`).join(', ')
  const values = columns.map((_, index) => placeholder(index)).join(', ')
  return (
    `insert into "${table}" (${quoted(columns)}) values (${values}) ` +
    `on conflict (${quoted(key)}) do ${update.length === 0 ? 'nothing' : `update set ${taken}`}`
  )
}

export interface Engine {
  readonly name: 'sqlite' | 'postgres'
  /** Reads only; the engine refuses writes through it. */
  readonly db: Kysely<Tables>
  /** @param synced Default true; false does not wait for the disk. */
  write<T>(fn: WriteFn<T>, synced?: boolean): Promise<T>
  writeBehind<T extends keyof Tables>(rows: BehindRows<T>): Promise<void>
  pointRead<T extends keyof Tables, C extends keyof Tables[T] & string>(
    table: T,
    key: readonly (keyof Tables[T] & string)[],
    columns: readonly C[],
  ): PointRead<PointRow<T, C>>
  /** Tells other nodes, from inside the transaction of a change, what it touched. */
  announce(trx: Kysely<Tables>, tables: readonly string[]): Promise<void>
  /** The same from inside a write that is no change, so nothing in it is going to be signed. */
  tell(trx: Kysely<Tables>, tables: readonly string[]): Promise<void>
  close(): Promise<void>
}

/** Bounds and rim services that both engines share. */
export interface EngineOptions {
  readonly now: () => number
  readonly warn: (message: string, cause: unknown) => void
  /** Writes that may wait; the next one is refused with STORE_UNAVAILABLE. */
  readonly maxQueuedWrites: number
  /** A write that takes longer is rolled back and fails with STORE_UNAVAILABLE. */
  readonly writeTimeoutMs: number
  /** PostgreSQL: time to open a connection. SQLite: time to wait for another process's lock. */
  readonly connectTimeoutMs: number
  /** PostgreSQL connections for reads, and as many again for writes. */
  readonly poolSize: number
}

/** `select "a", "b" from "t" where "k" = …`, the one statement of a point read. */
export function pointReadSql(
  table: string,
  key: readonly string[],
  columns: readonly string[],
  placeholder: (index: number) => string,
): string {
  const where = key.map((column, index) => `"${column}" = ${placeholder(index)}`)
  return `select ${columns.map((column) => `"${column}"`).join(', ')} from "${table}" where ${where.join(' and ')}`
}
