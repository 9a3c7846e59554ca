/** HTTP endpoints on disk, and their counters. */
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import type { Changed, RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import { CounterStore } from '../counters/counter-store.ts'
import {
  type Endpoint,
  type EndpointConfig,
  type EndpointStatus,
  type ServedMethod,
  shapeOf,
} from './endpoint.ts'
import { type EndpointCounters, plus, readCounters } from './endpoint-stats.ts'

export interface EndpointStoreDeps {
  readonly store: Pick<Store, 'db' | 'change' | 'write'>
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

type Row = Tables['http_endpoint']

export class EndpointStore {
  readonly #deps: EndpointStoreDeps
  readonly #counters: CounterStore<EndpointCounters>

  constructor(deps: EndpointStoreDeps) {
    this.#deps = deps
    this.#counters = new CounterStore(deps, {
      prefix: 'endpoint:',
      read: readCounters,
      plus,
      owner: 'http_endpoint',
    })
  }

  /** @throws VestryError ALREADY_EXISTS for a method and path that another one has. */
  add(endpoint: Endpoint): Promise<Changed<Endpoint>> {
    return this.#deps.store.change(async (trx) => {
      await this.#assertFree(trx, endpoint)
      await trx.insertInto('http_endpoint').values(this.#seal(endpoint)).execute()
      return endpoint
    })
  }

  /**
   * Puts it as `change` makes it of what is there now: two changes at once are both there.
   *
   * @throws VestryError ENDPOINT_NOT_FOUND, ALREADY_EXISTS, STORE_CORRUPT, and what `change` throws.
   */
  change(id: string, change: (now: Endpoint) => Endpoint): Promise<Changed<Endpoint>> {
    return this.#deps.store.change(async (trx) => {
      const row = await trx
        .selectFrom('http_endpoint')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirst()
      if (row === undefined) throw unknownEndpoint(id)
      const next = { ...change(this.#open(row)), updatedAt: this.#deps.now() }
      await this.#assertFree(trx, next)
      await trx.updateTable('http_endpoint').set(this.#seal(next)).where('id', '=', id).execute()
      return next
    })
  }

  /** @throws VestryError ENDPOINT_NOT_FOUND */
  remove(id: string): Promise<Changed<void>> {
    return this.#deps.store.change(async (trx) => {
      const gone = await trx.deleteFrom('http_endpoint').where('id', '=', id).executeTakeFirst()
      await this.#counters.drop(trx, id)
      if (gone.numDeletedRows === 0n) throw unknownEndpoint(id)
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

  counters(id: string): Promise<EndpointCounters> {
    return this.#counters.get(id)
  }

  /** Adds what this node counted. @returns What all nodes have. */
  keepCounters(id: string, since: EndpointCounters): Promise<EndpointCounters> {
    return this.#counters.add(id, since)
  }

  /** Changes queue up, so who finds the path free has it. @throws VestryError ALREADY_EXISTS */
  async #assertFree(trx: Kysely<Tables>, endpoint: Endpoint): Promise<void> {
    const others = await trx
      .selectFrom('http_endpoint')
      .select(['method', 'path'])
      .where('method', '=', endpoint.method)
      .where('id', '!=', endpoint.id)
      .execute()
    const shape = shapeOf(endpoint)
    const taken = others.find(({ path }) => shapeOf({ method: endpoint.method, path }) === shape)
    if (taken === undefined) return
    throw new VestryError(
      'ALREADY_EXISTS',
      `There is another endpoint ${endpoint.method} ${taken.path}`,
    )
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

export function unknownEndpoint(id: string): VestryError {
  return new VestryError('ENDPOINT_NOT_FOUND', `Endpoint ${id.slice(0, 64)} does not exist`)
}
