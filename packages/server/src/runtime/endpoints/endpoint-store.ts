/** HTTP endpoints on disk, and their counters. */
import { canonicalJson } from '@vestry/contract/canonical'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { Endpoint, EndpointConfig, EndpointStatus, ServedMethod } from './endpoint.ts'
import type { EndpointCounters } from './endpoint-stats.ts'

export interface EndpointStoreDeps {
  readonly store: Pick<Store, 'db' | 'change' | 'write'>
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

type Row = Tables['http_endpoint']

export class EndpointStore {
  readonly #deps: EndpointStoreDeps

  constructor(deps: EndpointStoreDeps) {
    this.#deps = deps
  }

  /** @throws VestryError ALREADY_EXISTS for a method and path that another one has. */
  async put(endpoint: Endpoint): Promise<void> {
    const { store } = this.#deps
    try {
      await store.change(async (trx) => {
        const old = await trx
          .selectFrom('http_endpoint')
          .selectAll()
          .where('id', '=', endpoint.id)
          .executeTakeFirst()
        // A change must not sign over a row that somebody else has altered.
        if (old !== undefined) this.#open(old)
        const row = this.#seal(endpoint)
        const insert = trx.insertInto('http_endpoint').values(row)
        await insert.onConflict((clash) => clash.column('id').doUpdateSet(row)).execute()
      })
    } catch (error) {
      if (asVestryError(error).code !== 'CONFLICT') throw error
      throw new VestryError(
        'ALREADY_EXISTS',
        `There is another endpoint ${endpoint.method} ${endpoint.path}`,
      )
    }
  }

  async remove(id: string): Promise<void> {
    await this.#deps.store.change(async (trx) => {
      await trx.deleteFrom('http_endpoint').where('id', '=', id).execute()
      await trx.deleteFrom('runtime_stat').where('id', '=', statId(id)).execute()
    })
  }

  /** Oldest first. @throws VestryError STORE_CORRUPT, VAULT_LOCKED */
  async list(): Promise<Endpoint[]> {
    const rows = await this.#deps.store.db
      .selectFrom('http_endpoint')
      .selectAll()
      .orderBy('created_at')
      .orderBy('id')
      .execute()
    return rows.map((row) => this.#open(row))
  }

  async counters(id: string): Promise<EndpointCounters | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('runtime_stat')
      .select('stats_json')
      .where('id', '=', statId(id))
      .executeTakeFirst()
    return row && (JSON.parse(row.stats_json) as EndpointCounters)
  }

  async keepCounters(id: string, counters: EndpointCounters): Promise<void> {
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

  #seal(endpoint: Endpoint): Row {
    const row = {
      id: endpoint.id,
      method: endpoint.method,
      path: endpoint.path,
      config_json: canonicalJson(endpoint.config),
      status: endpoint.status,
      created_by: endpoint.createdBy,
      created_at: endpoint.createdAt,
      updated_at: endpoint.updatedAt,
    }
    return { ...row, mac: this.#deps.guard.mac('http_endpoint', endpoint.id, row) }
  }

  #open({ mac, ...row }: Row): Endpoint {
    this.#deps.guard.check('http_endpoint', row.id, row, mac)
    // We wrote all of it, says the MAC.
    return {
      id: row.id,
      method: row.method as ServedMethod,
      path: row.path,
      config: JSON.parse(row.config_json) as EndpointConfig,
      status: row.status as EndpointStatus,
      createdBy: row.created_by,
      createdAt: row.created_at,
      updatedAt: row.updated_at,
    }
  }
}

function statId(id: string): string {
  return `endpoint:${id}`
}
