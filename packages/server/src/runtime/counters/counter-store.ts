/** Counters that outlive restarts, one row of `runtime_stat` for each thing that counts; nodes add theirs to it. */
import type { Kysely } from 'kysely'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'

export interface CounterKind<T> {
  /** Before the id: `endpoint:` */
  readonly prefix: string
  /** Rows carry no MAC: what is no number is none. @param text undefined where nothing is kept. */
  readonly read: (text: string | undefined) => T
  readonly plus: (one: T, other: T) => T
  /** What counts; one that is gone is not counted any more. Absent: it is always there. */
  readonly owner?: 'http_endpoint' | 'http_input' | 'deployment'
}

export interface CounterStoreDeps {
  readonly store: Pick<Store, 'db' | 'write'>
  /** Epoch ms. */
  readonly now: () => number
}

export class CounterStore<T> {
  readonly #deps: CounterStoreDeps
  readonly #kind: CounterKind<T>

  constructor(deps: CounterStoreDeps, kind: CounterKind<T>) {
    this.#deps = deps
    this.#kind = kind
  }

  async get(id: string): Promise<T> {
    const row = await this.#deps.store.db
      .selectFrom('runtime_stat')
      .select('stats_json')
      .where('id', '=', this.#row(id))
      .executeTakeFirst()
    return this.#kind.read(row?.stats_json)
  }

  /** Adds what this node counted. @returns What all nodes have. */
  add(id: string, since: T): Promise<T> {
    return this.#deps.store.write((trx) => this.addWithin(trx, id, since))
  }

  /** The same as part of a transaction. */
  async addWithin(trx: Kysely<Tables>, id: string, since: T): Promise<T> {
    const { owner, read, plus } = this.#kind
    const key = this.#row(id)
    const known = await trx
      .selectFrom('runtime_stat')
      .select('stats_json')
      .where('id', '=', key)
      .executeTakeFirst()
    const all = plus(read(known?.stats_json), since)
    if (owner !== undefined) {
      const there = await trx.selectFrom(owner).select('id').where('id', '=', id).executeTakeFirst()
      // Removed meanwhile: nobody will ask.
      if (there === undefined) return all
    }
    const row = { id: key, stats_json: JSON.stringify(all), updated_at: this.#deps.now() }
    const insert = trx.insertInto('runtime_stat').values(row)
    await insert.onConflict((clash) => clash.column('id').doUpdateSet(row)).execute()
    return all
  }

  /** Within the transaction that removes what counted. */
  async drop(trx: Kysely<Tables>, id: string): Promise<void> {
    await trx.deleteFrom('runtime_stat').where('id', '=', this.#row(id)).execute()
  }

  #row(id: string): string {
    return `${this.#kind.prefix}${id}`
  }
}
