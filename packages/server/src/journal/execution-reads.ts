/** Looks into the table `execution` without taking part in it. */
import type { Kysely } from 'kysely'
import type { PointRead } from '../store/engine.ts'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { type Execution, type ExecutionState, isForgotten } from './execution.ts'
import { EXECUTION_COLUMNS, type ExecutionRow, toExecution } from './execution-row.ts'

/** Ids named in one statement. */
const PORTION = 200

export interface ExecutionFilter {
  readonly kind: string
  readonly state?: ExecutionState
  readonly agentId?: string
  readonly limit: number
}

/** Executions that have not ended. */
export interface OpenCounts {
  /** Waiting for a worker. */
  readonly queued: number
  /** Begun, and not on their way out yet. */
  readonly reserved: number
  readonly sent: number
}

/** An answer at once on SQLite, a promise on PostgreSQL. */
export type Found = Execution | undefined | Promise<Execution | undefined>

export class ExecutionReads {
  readonly #db: Kysely<Tables>
  readonly #now: () => number
  readonly #byId: PointRead<ExecutionRow>
  readonly #byKey: PointRead<ExecutionRow>
  readonly #input: PointRead<{ input: Uint8Array | null }>
  readonly #output: PointRead<{ output: Uint8Array | null; expires_at: number | null }>

  constructor(store: Store, now: () => number) {
    this.#db = store.db
    this.#now = now
    this.#byId = store.pointRead('execution', ['id'], EXECUTION_COLUMNS)
    this.#byKey = store.pointRead('execution', ['kind', 'key'], EXECUTION_COLUMNS)
    this.#input = store.pointRead('execution', ['id'], ['input'])
    this.#output = store.pointRead('execution', ['id'], ['output', 'expires_at'])
  }

  get(id: string): Found {
    return this.#known(this.#byId(id))
  }

  find(kind: string, key: string): Found {
    return this.#known(this.#byKey(kind, key))
  }

  /** Sealed. */
  async input(id: string): Promise<Uint8Array | undefined> {
    return (await this.#input(id))?.input ?? undefined
  }

  /** Sealed. */
  async output(id: string): Promise<Uint8Array | undefined> {
    const row = await this.#output(id)
    if (row === undefined || isForgotten({ expiresAtMs: row.expires_at ?? undefined }, this.#now()))
      return undefined
    return row.output ?? undefined
  }

  /** Newest first. */
  async list({ kind, state, agentId, limit }: ExecutionFilter): Promise<Execution[]> {
    let query = this.#db.selectFrom('execution').select(EXECUTION_COLUMNS).where('kind', '=', kind)
    if (state !== undefined) query = query.where('state', '=', state)
    if (agentId !== undefined) query = query.where('agent_id', '=', agentId)
    const rows = await query
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit)
      .execute()
    return rows.map(toExecution)
  }

  /** From the two partial indexes, so that a metric never goes through what has ended. */
  async counts(kind: string): Promise<OpenCounts> {
    const [queued, owned] = await Promise.all([
      this.#db
        .selectFrom('execution')
        .select((eb) => eb.fn.countAll<number>().as('count'))
        .where('kind', '=', kind)
        .where('state', '=', 'reserved')
        .where('owner', 'is', null)
        .executeTakeFirstOrThrow(),
      this.#db
        .selectFrom('execution')
        .select(['state', (eb) => eb.fn.countAll<number>().as('count')])
        .where('owner', 'is not', null)
        .where('kind', '=', kind)
        .groupBy('state')
        .execute(),
    ])
    const of = (state: ExecutionState) =>
      Number(owned.find((row) => row.state === state)?.count ?? 0)
    return { queued: Number(queued.count), reserved: of('reserved'), sent: of('sent') }
  }

  /** Those of `ids` that have not ended. */
  async stillOpen(ids: readonly string[]): Promise<Set<string>> {
    const open = new Set<string>()
    for (let at = 0; at < ids.length; at += PORTION) {
      const rows = await this.#db
        .selectFrom('execution')
        .select('id')
        .where('id', 'in', ids.slice(at, at + PORTION))
        .where('finished_at', 'is', null)
        .execute()
      for (const { id } of rows) open.add(id)
    }
    return open
  }

  /** Whether a worker would find something to do. */
  async anyDue(kind: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('execution')
      .select('id')
      .where('kind', '=', kind)
      .where('state', '=', 'reserved')
      .where('owner', 'is', null)
      .where('run_at', '<=', this.#now())
      .limit(1)
      .executeTakeFirst()
    return row !== undefined
  }

  #known(row: ExecutionRow | undefined | Promise<ExecutionRow | undefined>): Found {
    if (row instanceof Promise) return row.then((value) => this.#toExecution(value))
    return this.#toExecution(row)
  }

  #toExecution(row: ExecutionRow | undefined): Execution | undefined {
    if (row === undefined) return undefined
    const execution = toExecution(row)
    return isForgotten(execution, this.#now()) ? undefined : execution
  }
}
