/**
 * Agents on disk, with a bounded cache of parsed records and keys. A name that does not exist costs the
 * same work as one that does, so that login timing tells nobody who is registered.
 */
import { randomUUID } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { RecentMap } from '../store/recent-map.ts'
import type { Store } from '../store/store.ts'
import {
  type Agent,
  type AgentChanges,
  amend,
  disable,
  enable,
  type NewAgent,
  newAgent,
  revoke,
  rotateKey,
} from './agent.ts'
import { type AgentKey, acceptKey, counts, keyFingerprint, keyObject } from './agent-key.ts'
import { isAgentName, isVaultName } from './agent-name.ts'
import { type AgentRow, openAgent, sealAgent } from './agent-row.ts'
import { type Candidate, type CandidateKey, CHECKS_ON_REFUSAL } from './login.ts'
import type { Changed, RowGuard } from './row-guard.ts'

export interface AgentStoreDeps {
  store: Store
  guard: RowGuard
  /** Epoch ms. */
  now: () => number
  /** The SPIFFE trust domain new agents are born into. */
  trustDomain: string
  /** Records kept in memory, existing names and others alike. */
  cacheLimit?: number
}

interface Entry {
  readonly agent: Agent
  readonly keys: readonly ParsedKey[]
}

interface ParsedKey extends CandidateKey {
  readonly record: AgentKey
}

const NOBODY: Candidate<Agent> = { subject: undefined, keys: [], requireSigV2: false }
const DEFAULT_CACHE_LIMIT = 10_000
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export class AgentStore implements Disposable {
  readonly #deps: AgentStoreDeps
  readonly #byName: RecentMap<string, Entry | undefined>
  readonly #byId: RecentMap<string, Entry | undefined>
  readonly #unsubscribe: () => void
  readonly #listeners = new Set<(agent: Agent) => void>()
  #decoy: AgentRow | undefined
  /** Raised with each invalidation, so that a read begun before it does not fill the cache after it. */
  #epoch = 0

  constructor(deps: AgentStoreDeps) {
    this.#deps = deps
    const limit = deps.cacheLimit ?? DEFAULT_CACHE_LIMIT
    this.#byName = new RecentMap(limit)
    this.#byId = new RecentMap(limit)
    this.#unsubscribe = deps.store.onChange((tables) => {
      if (tables.includes('agent')) this.#forget()
    })
  }

  /** @throws VestryError `CONFLICT` when the name is taken, `INVALID_PARAMS` for bad fields. */
  async add(input: NewAgent): Promise<Changed<Agent>> {
    const { store, guard, now, trustDomain } = this.#deps
    const agent = newAgent(input, { id: randomUUID(), trustDomain, nowMs: now() })
    const changed = await store.change(async (trx) => {
      // Asking first gives the answer a name; two adds at once are told apart by the unique index.
      const taken = await trx
        .selectFrom('agent')
        .select('id')
        .where('name', '=', agent.name)
        .where('status', '!=', 'revoked')
        .executeTakeFirst()
      if (taken !== undefined) throw nameTaken(agent.name)
      const done = await trx
        .insertInto('agent')
        .values(sealAgent(agent, guard))
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      if (done.numInsertedOrUpdatedRows !== 1n) throw nameTaken(agent.name)
      return agent
    })
    this.#forget()
    return changed
  }

  /** Never a revoked agent: its name may be another's by now. */
  async byName(name: string): Promise<Agent | undefined> {
    if (!isAgentName(name)) return undefined
    return (await this.#load(this.#byName, 'name', name))?.agent
  }

  /** Revoked agents included. */
  async byId(id: string): Promise<Agent | undefined> {
    if (!UUID.test(id)) return undefined
    return (await this.#load(this.#byId, 'id', id))?.agent
  }

  /** Keys of one algorithm that prove this agent now, parsed; none unless it is enabled. */
  async verificationKeys(id: string, alg: AgentKey['alg']): Promise<CandidateKey[]> {
    if (!UUID.test(id)) return []
    const entry = await this.#load(this.#byId, 'id', id)
    return entry === undefined ? [] : usable(entry, alg, this.#deps.now())
  }

  /** Sorted by name; revoked agents only when asked for. */
  async list({ revoked = false }: { revoked?: boolean } = {}): Promise<Agent[]> {
    let query = this.#deps.store.db.selectFrom('agent').selectAll().orderBy('name')
    if (!revoked) query = query.where('status', '!=', 'revoked')
    const rows = await query.execute()
    return rows.map((row) => openAgent(row, this.#deps.guard))
  }

  /** Who may answer a vault challenge for `name`; hand it to login(). */
  async candidate(name: string): Promise<Candidate<Agent>> {
    if (!isVaultName(name)) return NOBODY
    const entry = await this.#load(this.#byName, 'name', name)
    if (entry === undefined || entry.agent.status !== 'enabled') return NOBODY
    const keys = usable(entry, 'ed25519', this.#deps.now()).slice(0, CHECKS_ON_REFUSAL)
    return { subject: entry.agent, keys, requireSigV2: entry.agent.requireSigV2 }
  }

  /** @param overlapSeconds How long the previous key stays valid; see {@link rotateKey}. */
  rotate(name: string, key: AgentKey, overlapSeconds = 0): Promise<Changed<Agent>> {
    return this.#update(name, (agent, nowMs) => rotateKey(agent, key, overlapSeconds, nowMs))
  }

  /** Final; frees the name. */
  revoke(name: string): Promise<Changed<Agent>> {
    return this.#update(name, revoke)
  }

  disable(name: string): Promise<Changed<Agent>> {
    return this.#update(name, disable)
  }

  enable(name: string): Promise<Changed<Agent>> {
    return this.#update(name, enable)
  }

  amend(name: string, changes: AgentChanges): Promise<Changed<Agent>> {
    return this.#update(name, (agent, nowMs) => amend(agent, changes, nowMs))
  }

  /** Called with what an agent has become, before whoever changed it is answered; changes of this node only. */
  onUpdate(listener: (agent: Agent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Empties the cache, as sealing demands: the decoy row was made with the keys of that seal. */
  drop(): void {
    this.#forget()
    this.#decoy = undefined
  }

  [Symbol.dispose](): void {
    this.#unsubscribe()
    this.drop()
  }

  async #update(
    name: string,
    transition: (agent: Agent, nowMs: number) => Agent,
  ): Promise<Changed<Agent>> {
    const { store, guard, now } = this.#deps
    const changed = await store.change(async (trx) => {
      const row = await trx
        .selectFrom('agent')
        .selectAll()
        .where('name', '=', name)
        .where('status', '!=', 'revoked')
        .executeTakeFirst()
      if (row === undefined)
        throw new VestryError('NOT_FOUND', `No agent is named "${name}"`, {
          hint: 'List the agents to see their names.',
        })
      const agent = transition(openAgent(row, guard), now())
      const done = await trx
        .updateTable('agent')
        .set(sealAgent(agent, guard))
        .where('id', '=', row.id)
        // The MAC is the row's version: whoever changed it in between wins, and we say so.
        .where('mac', '=', row.mac)
        .executeTakeFirst()
      if (done.numUpdatedRows !== 1n)
        throw new VestryError('CONFLICT', `Agent "${name}" was changed at the same time`, {
          hint: 'Look at the agent again and repeat the change if it still applies.',
        })
      return agent
    })
    this.#forget()
    for (const listener of this.#listeners) listener(changed.value)
    return changed
  }

  async #load(
    cache: RecentMap<string, Entry | undefined>,
    column: 'id' | 'name',
    value: string,
  ): Promise<Entry | undefined> {
    if (cache.has(value)) return cache.get(value)
    const epoch = this.#epoch
    let query = this.#deps.store.db.selectFrom('agent').selectAll().where(column, '=', value)
    if (column === 'name') query = query.where('status', '!=', 'revoked')
    const row = await query.executeTakeFirst()
    const parsed = this.#parse(row ?? this.#decoyRow())
    const entry = row === undefined ? undefined : parsed
    if (epoch === this.#epoch) cache.set(value, entry)
    return entry
  }

  #parse(row: AgentRow): Entry {
    const agent = openAgent(row, this.#deps.guard)
    const keys = agent.keys
      .filter((key) => key.status !== 'retired')
      .map((record) => ({
        record,
        key: keyObject(record),
        fingerprint: keyFingerprint(record),
        ...(record.expiresAt !== undefined && { expiresAt: record.expiresAt }),
      }))
    return { agent, keys }
  }

  #decoyRow(): AgentRow {
    this.#decoy ??= sealAgent(decoyAgent(), this.#deps.guard)
    return this.#decoy
  }

  #forget(): void {
    this.#epoch += 1
    this.#byName.clear()
    this.#byId.clear()
  }
}

function usable(entry: Entry, alg: AgentKey['alg'], nowMs: number): ParsedKey[] {
  if (entry.agent.status !== 'enabled') return []
  return entry.keys.filter(({ record }) => record.alg === alg && counts(record, nowMs))
}

/** Never stored: parsed in place of a row that is not there. */
function decoyAgent(): Agent {
  // The key of seed 00 … 1f; nobody can use it, because the decoy is never a login subject.
  const key = acceptKey('03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8', 0)
  const place = { id: '00000000-0000-4000-8000-000000000000', trustDomain: 'decoy', nowMs: 0 }
  return newAgent({ name: 'decoy', keys: [key] }, place)
}

function nameTaken(name: string): VestryError {
  return new VestryError('CONFLICT', `An agent named "${name}" exists`, {
    hint: 'Choose another name, or revoke that agent to free it.',
  })
}
