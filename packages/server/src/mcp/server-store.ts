/** MCP servers on disk. The configuration may hold secrets of its own, so all of it is sealed; names are not. */
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { Changed, RowGuard } from '../identity/row-guard.ts'
import { openRecord, type RecordKeys, sealRecord } from '../seal/record.ts'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { ServerConfig } from './connect/server-config.ts'

export interface ServerStoreDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
  /** Asked for at each use, so that a sealed vault answers VAULT_LOCKED. */
  readonly keys: () => RecordKeys
  /** Epoch ms. */
  readonly now: () => number
}

export type Added = 'added' | 'replaced' | 'same'

type Row = Tables['mcp_server']

const KIND = 'mcp-server'

export class ServerStore {
  readonly #deps: ServerStoreDeps

  constructor(deps: ServerStoreDeps) {
    this.#deps = deps
  }

  /** @throws VestryError ALREADY_EXISTS for another configuration of that name, unless it is to be replaced. */
  add(config: ServerConfig, { replace }: { replace: boolean }): Promise<Changed<Added>> {
    const { store, now } = this.#deps
    return store.change(async (trx) => {
      const old = await trx
        .selectFrom('mcp_server')
        .selectAll()
        .where('id', '=', config.name)
        .executeTakeFirst()
      if (old !== undefined) {
        const before = this.#open(old)
        if (canonicalJson(before) === canonicalJson(config)) return 'same'
        if (!replace) {
          throw new VestryError(
            'ALREADY_EXISTS',
            `MCP server "${config.name}" has another configuration`,
            { hint: 'Replace it with ?replace=true, or "vestry mcp add --replace".' },
          )
        }
      }
      const row = this.#seal(config, (old?.version ?? 0) + 1, old?.created_at ?? now())
      const insert = trx.insertInto('mcp_server').values(row)
      await insert.onConflict((clash) => clash.column('id').doUpdateSet(row)).execute()
      return old === undefined ? 'added' : 'replaced'
    })
  }

  /** @throws VestryError MCP_SERVER_NOT_FOUND */
  remove(name: string): Promise<Changed<void>> {
    return this.#deps.store.change(async (trx) => {
      const row = await trx
        .selectFrom('mcp_server')
        .selectAll()
        .where('id', '=', name)
        .executeTakeFirst()
      if (row === undefined) throw unknownServer(name)
      this.#check(row)
      await trx.deleteFrom('mcp_server').where('id', '=', name).execute()
    })
  }

  /** Sorted by name. @throws VestryError STORE_CORRUPT, VAULT_LOCKED */
  async list(): Promise<ServerConfig[]> {
    const rows = await this.#deps.store.db
      .selectFrom('mcp_server')
      .selectAll()
      .orderBy('id')
      .execute()
    return rows.map((row) => this.#open(row))
  }

  #seal(config: ServerConfig, version: number, createdAt: number): Row {
    const { guard, keys, now } = this.#deps
    const place = { path: config.name, version, kind: KIND }
    const content = Buffer.from(canonicalJson({ ...config }))
    const record = sealRecord(keys(), place, content)
    content.fill(0)
    const row = {
      id: config.name,
      transport: config.transport,
      record,
      version,
      created_at: createdAt,
      updated_at: now(),
    }
    return { ...row, mac: guard.mac('mcp_server', config.name, row) }
  }

  #open(row: Row): ServerConfig {
    this.#check(row)
    const { id, version, record } = row
    using opened = openRecord(this.#deps.keys(), { path: id, version, kind: KIND }, record)
    const { buffer, byteOffset, length } = opened.bytes
    // We wrote it, says the record.
    return JSON.parse(Buffer.from(buffer, byteOffset, length).toString('utf8')) as ServerConfig
  }

  #check({ mac, ...row }: Row): void {
    this.#deps.guard.check('mcp_server', row.id, row, mac)
  }
}

export function unknownServer(name: string): VestryError {
  return new VestryError('MCP_SERVER_NOT_FOUND', `There is no MCP server "${name}"`, {
    hint: 'List the servers to see their names.',
  })
}
