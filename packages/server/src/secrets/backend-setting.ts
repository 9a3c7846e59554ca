/**
 * Which back end counts, in the store: one sealed row that all nodes share. No rules here; the version of the row says
 * whether what a node has in memory is still so.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Changed, RowGuard } from '../identity/row-guard.ts'
import type { Keyring } from '../seal/keyring.ts'
import { openRecord, sealRecord } from '../seal/record.ts'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { BackendConfig } from './backend-config.ts'

export interface BackendSettingDeps {
  readonly store: Pick<Store, 'db' | 'change' | 'pointRead'>
  readonly guard: RowGuard
  readonly keys: () => Keyring
  readonly now: () => number
}

/** A migration under way, by the node that does it; its target counts for nothing until it is done. */
export interface MigrationMark {
  readonly node: string
  readonly startedAtMs: number
  /** A node that has not renewed it by then is no longer there. */
  readonly untilMs: number
}

export interface BackendState {
  readonly active: BackendConfig
  readonly configuredAtMs: number
  readonly migration: MigrationMark | undefined
}

export interface LoadedState {
  /** 0: nobody has configured anything. */
  readonly version: number
  readonly state: BackendState
}

const ID = 'secrets.backend'
const KIND = 'sealed-setting'
const UNCONFIGURED: LoadedState = {
  version: 0,
  state: { active: { type: 'vestry' }, configuredAtMs: 0, migration: undefined },
}

type Row = Tables['sealed_setting']

export class BackendSetting {
  readonly #deps: BackendSettingDeps
  readonly #readVersion: (
    id: string,
  ) => { version: number } | undefined | Promise<{ version: number } | undefined>

  constructor(deps: BackendSettingDeps) {
    this.#deps = deps
    const read = deps.store.pointRead('sealed_setting', ['id'], ['version'])
    this.#readVersion = (id) => read(id)
  }

  /** Cheap enough to be asked before each request. */
  async version(): Promise<number> {
    return (await this.#readVersion(ID))?.version ?? 0
  }

  /** @throws VestryError STORE_CORRUPT, SEAL_BROKEN, VAULT_LOCKED */
  async load(): Promise<LoadedState> {
    const row = await this.#deps.store.db
      .selectFrom('sealed_setting')
      .selectAll()
      .where('id', '=', ID)
      .executeTakeFirst()
    return row === undefined ? UNCONFIGURED : this.#open(row)
  }

  /** @param seen The version this follows on. @throws VestryError CONFLICT when another one came first. */
  async save(state: BackendState, seen: number): Promise<Changed<LoadedState>> {
    const { store, guard, keys, now } = this.#deps
    const version = seen + 1
    const plain = Buffer.from(JSON.stringify(state))
    try {
      const record = sealRecord(keys(), { path: ID, version, kind: KIND }, plain)
      const columns = { id: ID, record, version, updated_at: now() }
      const row = { ...columns, mac: guard.mac('sealed_setting', ID, columns) }
      return await store.change(async (trx) => {
        const found = await trx
          .selectFrom('sealed_setting')
          .select('version')
          .where('id', '=', ID)
          .executeTakeFirst()
        if ((found?.version ?? 0) !== seen) throw changedMeanwhile()
        await trx
          .insertInto('sealed_setting')
          .values(row)
          .onConflict((clash) => clash.column('id').doUpdateSet(row))
          .execute()
        return { version, state }
      })
    } finally {
      plain.fill(0)
    }
  }

  #open({ mac, ...row }: Row): LoadedState {
    const { guard, keys } = this.#deps
    guard.check('sealed_setting', row.id, row, mac)
    using plain = openRecord(keys(), { path: ID, version: row.version, kind: KIND }, row.record)
    const text = Buffer.from(plain.bytes.buffer, plain.bytes.byteOffset, plain.length)
    return {
      version: row.version,
      state: JSON.parse(text.toString('utf8')) as BackendState, // we wrote it, says the seal
    }
  }
}

function changedMeanwhile(): VestryError {
  return new VestryError(
    'CONFLICT',
    'The secret back end was configured by somebody else just now',
    {
      hint: 'Look at what counts now, and try again if it still applies.',
    },
  )
}
