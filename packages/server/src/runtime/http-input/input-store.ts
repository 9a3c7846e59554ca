/** HTTP inputs on disk. A configuration may hold a password, so all of it is sealed. */
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { RowGuard } from '../../identity/row-guard.ts'
import { openRecord, type RecordKeys, sealRecord } from '../../seal/record.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { InputConfig } from './input-config.ts'
import type { Counters } from './input-stats.ts'

export interface InputStoreDeps {
  readonly store: Pick<Store, 'db' | 'change' | 'write'>
  readonly guard: RowGuard
  /** Asked for at each use, so that a sealed vault answers VAULT_LOCKED. */
  readonly keys: () => RecordKeys
  /** Epoch ms. */
  readonly now: () => number
}

export interface StoredInput {
  readonly id: string
  readonly config: InputConfig
  /** Is to be running. */
  readonly enabled: boolean
  /** Epoch ms. */
  readonly createdAt: number
}

type Row = Tables['http_input']

const KIND = 'http-input'

export class InputStore {
  readonly #deps: InputStoreDeps

  constructor(deps: InputStoreDeps) {
    this.#deps = deps
  }

  /** Adds it, or puts it in the place of the one of that id. */
  async put(input: StoredInput): Promise<void> {
    await this.#deps.store.change(async (trx) => {
      const old = await trx
        .selectFrom('http_input')
        .selectAll()
        .where('id', '=', input.id)
        .executeTakeFirst()
      // A change must not sign over a row that somebody else has altered.
      if (old !== undefined) this.#check(old)
      const row = this.#seal(input, (old?.version ?? 0) + 1)
      const insert = trx.insertInto('http_input').values(row)
      await insert.onConflict((clash) => clash.column('id').doUpdateSet(row)).execute()
    })
  }

  async remove(id: string): Promise<void> {
    await this.#deps.store.change(async (trx) => {
      await trx.deleteFrom('http_input').where('id', '=', id).execute()
      await trx.deleteFrom('runtime_stat').where('id', '=', statId(id)).execute()
    })
  }

  /** Oldest first. @throws VestryError STORE_CORRUPT, VAULT_LOCKED */
  async list(): Promise<StoredInput[]> {
    const rows = await this.#deps.store.db
      .selectFrom('http_input')
      .selectAll()
      .orderBy('created_at')
      .orderBy('id')
      .execute()
    return rows.map((row) => this.#open(row))
  }

  async counters(id: string): Promise<Counters | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('runtime_stat')
      .select('stats_json')
      .where('id', '=', statId(id))
      .executeTakeFirst()
    return row && (JSON.parse(row.stats_json) as Counters)
  }

  async keepCounters(id: string, counters: Counters): Promise<void> {
    const row = {
      id: statId(id),
      stats_json: JSON.stringify(counters),
      updated_at: this.#deps.now(),
    }
    await this.#deps.store.write(async (trx) => {
      const insert = trx.insertInto('runtime_stat').values(row)
      await insert.onConflict((clash) => clash.column('id').doUpdateSet(row)).execute()
    })
  }

  #seal({ id, config, enabled, createdAt }: StoredInput, version: number): Row {
    const { guard, keys, now } = this.#deps
    const content = Buffer.from(canonicalJson(config))
    const record = sealRecord(keys(), { path: id, version, kind: KIND }, content)
    content.fill(0)
    const row = {
      id,
      record,
      version,
      enabled: enabled ? 1 : 0,
      created_at: createdAt,
      updated_at: now(),
    }
    return { ...row, mac: guard.mac('http_input', id, row) }
  }

  #open(row: Row): StoredInput {
    this.#check(row)
    const { id, version, record } = row
    using opened = openRecord(this.#deps.keys(), { path: id, version, kind: KIND }, record)
    const { buffer, byteOffset, length } = opened.bytes
    // We wrote it, says the record.
    const text = Buffer.from(buffer, byteOffset, length).toString('utf8')
    const config = JSON.parse(text) as InputConfig
    return { id, config, enabled: row.enabled === 1, createdAt: row.created_at }
  }

  #check({ mac, ...row }: Row): void {
    this.#deps.guard.check('http_input', row.id, row, mac)
  }
}

function statId(id: string): string {
  return `http_input:${id}`
}

export function unknownInput(id: string): VestryError {
  return new VestryError('HTTP_INPUT_NOT_FOUND', `HTTP input ${id.slice(0, 64)} does not exist`)
}
