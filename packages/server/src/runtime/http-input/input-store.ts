/** HTTP inputs on disk. A configuration may hold a password, so all of it is sealed. */
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { Changed, RowGuard } from '../../identity/row-guard.ts'
import { openRecord, type RecordKeys, sealRecord } from '../../seal/record.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import { CounterStore } from '../counters/counter-store.ts'
import type { InputConfig } from './input-config.ts'
import { type Counters, plus, readCounters } from './input-stats.ts'

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
  /** Rises with each change. */
  readonly version: number
}

type Row = Tables['http_input']

const KIND = 'http-input'

export class InputStore {
  readonly #deps: InputStoreDeps
  readonly #counters: CounterStore<Counters>

  constructor(deps: InputStoreDeps) {
    this.#deps = deps
    this.#counters = new CounterStore(deps, {
      prefix: 'http_input:',
      read: readCounters,
      plus,
      owner: 'http_input',
    })
  }

  /** @throws VestryError VAULT_LOCKED, STORE_UNAVAILABLE */
  async add(input: Omit<StoredInput, 'version'>): Promise<Changed<StoredInput>> {
    const stored = { ...input, version: 1 }
    const { generation } = await this.#deps.store.change(async (trx) => {
      await trx.insertInto('http_input').values(this.#seal(stored)).execute()
    })
    return { value: stored, generation }
  }

  /**
   * Puts it as `change` makes it of what is there now, be it from another node.
   *
   * @throws VestryError HTTP_INPUT_NOT_FOUND, STORE_CORRUPT, VAULT_LOCKED, STORE_UNAVAILABLE
   */
  change(
    id: string,
    change: (now: StoredInput) => Partial<Pick<StoredInput, 'config' | 'enabled'>>,
  ): Promise<Changed<StoredInput>> {
    return this.#deps.store.change(async (trx) => {
      const row = await trx
        .selectFrom('http_input')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirst()
      if (row === undefined) throw unknownInput(id)
      const now = this.#open(row)
      const next = { ...now, ...change(now), version: now.version + 1 }
      await trx.updateTable('http_input').set(this.#seal(next)).where('id', '=', id).execute()
      return next
    })
  }

  /** @throws VestryError HTTP_INPUT_NOT_FOUND */
  async remove(id: string): Promise<Changed<void>> {
    return this.#deps.store.change(async (trx) => {
      const gone = await trx.deleteFrom('http_input').where('id', '=', id).executeTakeFirst()
      await this.#counters.drop(trx, id)
      if (gone.numDeletedRows === 0n) throw unknownInput(id)
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

  counters(id: string): Promise<Counters> {
    return this.#counters.get(id)
  }

  /** Adds what this node counted. @returns What all nodes have. */
  keepCounters(id: string, since: Counters): Promise<Counters> {
    return this.#counters.add(id, since)
  }

  #seal({ id, config, enabled, createdAt, version }: StoredInput): Row {
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
    return { id, config, enabled: row.enabled === 1, createdAt: row.created_at, version }
  }

  #check({ mac, ...row }: Row): void {
    this.#deps.guard.check('http_input', row.id, row, mac)
  }
}

export function unknownInput(id: string): VestryError {
  return new VestryError('HTTP_INPUT_NOT_FOUND', `HTTP input ${id.slice(0, 64)} does not exist`)
}
