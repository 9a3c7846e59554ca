/** API keys on disk, and the check of a presented one: constant-time, with one answer for every failure. */
import { type KeyObject, timingSafeEqual } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { keyedHash } from '../seal/hash.ts'
import type { Secret } from '../seal/secret.ts'
import { RecentMap } from '../store/recent-map.ts'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { AgentStore } from './agent-store.ts'
import { type ApiKey, assertKeyName, bearerToken, mintKey, splitToken } from './api-key.ts'
import type { Principal } from './caller.ts'
import type { OperatorRole } from './operator.ts'
import type { Changed, RowGuard } from './row-guard.ts'

export interface ApiKeyStoreDeps {
  store: Store
  guard: RowGuard
  agents: AgentStore
  /** The keyring's hash key; throws VAULT_LOCKED while sealed. */
  hashKey: () => KeyObject
  /** Epoch ms. */
  now: () => number
  cacheLimit?: number
}

export type NewApiKey = {
  name: string
  /** Epoch ms. */
  expiresAt?: number
} & ({ role: OperatorRole } | { agentId: string })

/** A key that was accepted, and whom it acts for. */
export interface Bearer {
  key: ApiKey
  principal: Principal
}

interface Entry {
  readonly key: ApiKey
  readonly hash: Uint8Array
}

type ApiKeyRow = Tables['api_key']

const DEFAULT_CACHE_LIMIT = 10_000
/** Compared against when there is no such key, so that a miss costs what a hit costs. */
const NO_HASH = new Uint8Array(32)

export class ApiKeyStore implements Disposable {
  readonly #deps: ApiKeyStoreDeps
  readonly #cache: RecentMap<string, Entry | undefined>
  readonly #unsubscribe: () => void
  #epoch = 0

  constructor(deps: ApiKeyStoreDeps) {
    this.#deps = deps
    this.#cache = new RecentMap(deps.cacheLimit ?? DEFAULT_CACHE_LIMIT)
    this.#unsubscribe = deps.store.onChange((tables) => {
      if (tables.includes('api_key')) this.drop()
    })
  }

  /**
   * @returns The record and `keyid.secret`, which exists nowhere else: show it once, then dispose it.
   * @throws VestryError `NOT_FOUND` for an unknown or revoked agent, `INVALID_PARAMS`.
   */
  async add(input: NewApiKey): Promise<Changed<ApiKey> & { token: Secret }> {
    const { store, guard, agents, hashKey, now } = this.#deps
    assertKeyName(input.name)
    const nowMs = now()
    if (input.expiresAt !== undefined && !(input.expiresAt > nowMs))
      throw new VestryError('INVALID_PARAMS', 'expires_at: expected a time in the future')
    const agentId = 'agentId' in input ? input.agentId : undefined
    if (agentId !== undefined) {
      const agent = await agents.byId(agentId)
      if (agent === undefined || agent.status === 'revoked')
        throw new VestryError('NOT_FOUND', 'No such agent')
    }
    const { id, token, secret } = mintKey()
    try {
      const key: ApiKey = {
        id,
        name: input.name,
        role: 'role' in input ? input.role : 'agent',
        ...(agentId !== undefined && { agentId }),
        status: 'enabled',
        createdAt: nowMs,
        ...(input.expiresAt !== undefined && { expiresAt: input.expiresAt }),
      }
      const row = sealRow(key, keyedHash(hashKey(), secret), guard)
      const changed = await store.change(async (trx) => {
        await trx.insertInto('api_key').values(row).execute()
        return key
      })
      this.drop()
      return { ...changed, token }
    } catch (error) {
      token[Symbol.dispose]()
      throw error
    }
  }

  /**
   * @param header The `Authorization` header as received.
   * @throws VestryError `AUTH_FAILED`, the same for every reason; `VAULT_LOCKED` while sealed.
   */
  async authenticateBearer(header: string | undefined): Promise<Bearer> {
    return this.authenticate(bearerToken(header))
  }

  /** The same for a token that came in another header. */
  async authenticate(token: string | undefined): Promise<Bearer> {
    const hashKey = this.#deps.hashKey()
    const halves = token === undefined ? undefined : splitToken(token)
    if (halves === undefined) throw refused()
    const given = keyedHash(hashKey, halves.secret)
    const entry = await this.#load(halves.id)
    const matches = timingSafeEqual(given, entry?.hash ?? NO_HASH)
    if (entry === undefined || !matches || !this.#counts(entry.key)) throw refused()
    const principal = await this.#principal(entry.key)
    if (principal === undefined) throw refused()
    return { key: entry.key, principal }
  }

  /** Whom a key stands for, by its id. @returns undefined for one that is revoked, over or unknown. */
  async standing(id: string): Promise<Principal | undefined> {
    const entry = await this.#load(id)
    return entry !== undefined && this.#counts(entry.key) ? this.#principal(entry.key) : undefined
  }

  async list({ revoked = false }: { revoked?: boolean } = {}): Promise<ApiKey[]> {
    let query = this.#deps.store.db.selectFrom('api_key').selectAll().orderBy('created_at')
    if (!revoked) query = query.where('status', '=', 'enabled')
    const rows = await query.execute()
    return rows.map((row) => openRow(row, this.#deps.guard).key)
  }

  /** @throws VestryError `NOT_FOUND` when there is no such key or it is revoked already. */
  async revoke(id: string): Promise<Changed<ApiKey>> {
    const { store, guard } = this.#deps
    const changed = await store.change(async (trx) => {
      const row = await trx
        .selectFrom('api_key')
        .selectAll()
        .where('id', '=', id)
        .where('status', '=', 'enabled')
        .executeTakeFirst()
      if (row === undefined) throw new VestryError('NOT_FOUND', 'No such API key')
      const { key, hash } = openRow(row, guard)
      const revoked: ApiKey = { ...key, status: 'revoked' }
      await trx
        .updateTable('api_key')
        .set(sealRow(revoked, hash, guard))
        .where('id', '=', id)
        .execute()
      return revoked
    })
    this.drop()
    return changed
  }

  drop(): void {
    this.#epoch += 1
    this.#cache.clear()
  }

  [Symbol.dispose](): void {
    this.#unsubscribe()
    this.drop()
  }

  #counts(key: ApiKey): boolean {
    if (key.status !== 'enabled') return false
    return key.expiresAt === undefined || this.#deps.now() < key.expiresAt
  }

  async #principal(key: ApiKey): Promise<Principal | undefined> {
    if (key.role === 'agent') {
      const agent =
        key.agentId === undefined ? undefined : await this.#deps.agents.byId(key.agentId)
      return agent?.status === 'enabled' ? { kind: 'agent', agent } : undefined
    }
    const { id, name, role, createdAt } = key
    return { kind: 'operator', operator: { id, name, role, status: 'enabled', createdAt } }
  }

  async #load(id: string): Promise<Entry | undefined> {
    if (this.#cache.has(id)) return this.#cache.get(id)
    const epoch = this.#epoch
    const row = await this.#deps.store.db
      .selectFrom('api_key')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst()
    const entry = row && openRow(row, this.#deps.guard)
    if (epoch === this.#epoch) this.#cache.set(id, entry)
    return entry
  }
}

function sealRow(key: ApiKey, hash: Uint8Array, guard: RowGuard): ApiKeyRow {
  const row = {
    id: key.id,
    name: key.name,
    role: key.role,
    agent_id: key.agentId ?? null,
    hash,
    status: key.status,
    created_at: key.createdAt,
    expires_at: key.expiresAt ?? null,
  }
  return { ...row, mac: guard.mac('api_key', key.id, row) }
}

/** @throws VestryError `STORE_CORRUPT` for a row that we did not write. */
function openRow({ mac, ...row }: ApiKeyRow, guard: RowGuard): Entry {
  guard.check('api_key', row.id, row, mac)
  const key: ApiKey = {
    id: row.id,
    name: row.name,
    role: row.role,
    ...(row.agent_id !== null && { agentId: row.agent_id }),
    status: row.status,
    createdAt: row.created_at,
    ...(row.expires_at !== null && { expiresAt: row.expires_at }),
  }
  return { key, hash: row.hash }
}

function refused(): VestryError {
  return new VestryError('AUTH_FAILED', undefined, {
    hint: 'Send "Authorization: Bearer <key>" with a key that is neither expired nor revoked.',
  })
}
