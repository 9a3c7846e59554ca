/**
 * Policies in the store. No rules here: `policy-file.ts` reads and checks, the engine decides, this
 * file remembers. Rows carry a MAC; sets that were in force are kept by digest, so that an old decision
 * can still be explained.
 */
import { randomUUID } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { Kysely, Selectable } from 'kysely'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { GATEWAY_PREFIX } from './decision.ts'
import { inForce, setDigest } from './engine.ts'
import { GatewayPolicyStore, ownerOf } from './gateway-policy-store.ts'
import { gatewayRow, readGatewayRow, sameOwner } from './gateway-row.ts'
import type { GatewayDocument } from './gateway-spec.ts'
import { GlobFamily } from './glob-index.ts'
import { type NewPolicy, type PolicyFile, readOwnPolicies, readPolicyFiles } from './policy-file.ts'
import { hadPolicies, keepSet, type RecordedPolicy, recordedSet } from './policy-set-store.ts'
import { VAULT_PREFIX } from './vault-import.ts'

export type StoredPolicyRow = Selectable<Tables['policy']>

export interface PolicyStoreDeps {
  store: Pick<Store, 'db' | 'change' | 'write'>
  /** Row MACs (seal/row-mac.ts); `check` throws STORE_CORRUPT. */
  mac(table: string, id: string, row: Readonly<Record<string, unknown>>): Uint8Array
  check(table: string, id: string, row: Readonly<Record<string, unknown>>, mac: Uint8Array): void
  now: () => number
  /** Seconds; no rule may grant a lease for longer. */
  maxTtl: number
  /** Paths of the credentials that list hosts of their own. */
  boundPaths?: () => Promise<readonly string[]>
  /** Zone of a gateway policy's time window that names none; UTC unless told. */
  timezone?: string
  uuid?: () => string
}

export interface AddOptions {
  /** The operator confirmed that `*` among actions or hosts is meant. */
  understood?: boolean
  /** The id of the agent with this name, for gateway policies that name theirs. */
  agentId?: (name: string) => Promise<string | undefined>
}

export interface PolicyChange {
  created: string[]
  updated: string[]
  removed: string[]
  /** Given, and equal to what was there. */
  unchanged: string[]
  warnings: string[]
  /** Of the set now in force; both belong in the audit record of the change. */
  digest: string
  generation: number
}

export class PolicyStore {
  /** The gateway policies among them. */
  readonly gateway: GatewayPolicyStore
  readonly #deps: PolicyStoreDeps
  readonly #timezone: string
  readonly #uuid: () => string

  constructor(deps: PolicyStoreDeps) {
    this.#deps = deps
    this.#timezone = deps.timezone ?? 'UTC'
    this.#uuid = deps.uuid ?? randomUUID
    this.gateway = new GatewayPolicyStore({
      rows: () => this.list(),
      timezone: this.#timezone,
      uuid: this.#uuid,
      change: (make) =>
        this.#change([], async (trx, rows, change) => {
          const { put, remove = [] } = make(rows)
          await this.#put(trx, rows, put, change)
          await drop(trx, remove, change)
        }),
    })
  }

  /**
   * All rows in order, disabled ones included: what the engine loads.
   *
   * @throws VestryError `STORE_CORRUPT` when a row is not the one that was written.
   */
  async list(): Promise<StoredPolicyRow[]> {
    const rows = await allRows(this.#deps.store.db)
    for (const row of rows) this.#deps.check('policy', row.id, row, row.mac)
    return rows
  }

  /**
   * @param name An id, the name of a vault rule, or of the one gateway policy of that name.
   * @throws VestryError `NOT_FOUND`, `STORE_CORRUPT`
   */
  async show(name: string): Promise<StoredPolicyRow> {
    const row = find(await this.list(), name)
    if (row !== undefined) return row
    throw notFound([name])
  }

  /**
   * Adds every policy of these files, or none. One with a known id replaces it in its place; so does a
   * gateway policy with the owner and the name of another.
   *
   * @throws VestryError `POLICY_INVALID` with everything that is wrong.
   */
  async add(
    files: readonly PolicyFile[],
    { understood = false, agentId }: AddOptions = {},
  ): Promise<PolicyChange> {
    const bound = (await this.#deps.boundPaths?.()) ?? []
    const { policies, gateway, warnings } = await readPolicyFiles(files, {
      maxTtl: this.#deps.maxTtl,
      understood,
      hostsSupplied: (resources) => bound.some((path) => anyHolds(resources, path)),
    })
    const documents = await withAgents(gateway, agentId)
    return this.#change(warnings, async (trx, rows, change) => {
      const placed = documents.map((document) => this.#placed(document, rows))
      await this.#put(trx, rows, [...policies, ...placed], change)
    })
  }

  /**
   * @param names Ids or names of vault rules; all must exist.
   * @throws VestryError `NOT_FOUND`; nothing is removed then.
   */
  async remove(names: readonly string[]): Promise<PolicyChange> {
    return this.#change([], async (trx, rows, change) => {
      const missing = names.filter((name) => find(rows, name) === undefined)
      if (missing.length > 0) throw notFound(missing)
      const ids = names.map((name) => find(rows, name)?.id ?? name)
      await drop(trx, [...new Set(ids)], change)
    })
  }

  /**
   * Policies of the program's own making: after it, these are all that have an id under `prefix`.
   *
   * @throws VestryError `POLICY_INVALID`
   */
  async replaceOwn(prefix: string, texts: readonly string[]): Promise<PolicyChange> {
    const policies = await readOwnPolicies(texts)
    const ids = new Set(policies.map(({ id }) => id))
    return this.#change([], async (trx, rows, change) => {
      await this.#put(trx, rows, policies, change)
      const others = rows.filter(({ id }) => id.startsWith(prefix) && !ids.has(id))
      await drop(
        trx,
        others.map(({ id }) => id),
        change,
      )
    })
  }

  /**
   * The policies of a set that was in force, in order.
   *
   * @throws VestryError `NOT_FOUND`, or `STORE_CORRUPT` when a row does not have the digest it is kept under.
   */
  policySet(digest: string): Promise<RecordedPolicy[]> {
    return recordedSet(this.#deps.store.db, digest)
  }

  /** What is in force can be explained later, also after a start with other built-in policies. */
  async keepCurrent(): Promise<void> {
    const { store, now } = this.#deps
    const rows = inForce(await allRows(store.db))
    await store.write((trx) => keepSet(trx, setDigest(rows), rows, now()))
  }

  /** Whether the policies in force are those of a set that was recorded; undefined when that cannot be told. */
  async areThoseOf(digest: string): Promise<boolean | undefined> {
    const { db } = this.#deps.store
    const rows = inForce(await allRows(db))
    return setDigest(rows) === digest ? true : hadPolicies(db, digest, rows)
  }

  async #change(
    warnings: string[],
    apply: (trx: Kysely<Tables>, rows: StoredPolicyRow[], change: Changes) => Promise<void>,
  ): Promise<PolicyChange> {
    const { store, check, now } = this.#deps
    const { value, generation } = await store.change(async (trx) => {
      const rows = await allRows(trx)
      // A change must not sign over a row that somebody else has altered.
      for (const row of rows) check('policy', row.id, row, row.mac)
      const change: Changes = { created: [], updated: [], removed: [], unchanged: [] }
      await apply(trx, rows, change)
      const after = inForce(await allRows(trx))
      const digest = setDigest(after)
      await keepSet(trx, digest, after, now())
      return { ...change, digest }
    })
    return { ...value, warnings, generation }
  }

  async #put(
    trx: Kysely<Tables>,
    rows: readonly StoredPolicyRow[],
    policies: readonly NewPolicy[],
    change: Changes,
  ): Promise<void> {
    let position = Math.max(0, ...rows.map((row) => row.position))
    for (const policy of policies) {
      const old = rows.find(({ id }) => id === policy.id)
      if (old !== undefined && sameContent(old, policy)) {
        change.unchanged.push(policy.id)
        continue
      }
      if (old === undefined) position += 1
      const row = this.#row(policy, old, position)
      const insert = trx.insertInto('policy').values(row)
      await insert.onConflict((clash) => clash.column('id').doUpdateSet(row)).execute()
      if (old === undefined) change.created.push(policy.id)
      else change.updated.push(policy.id)
    }
  }

  /** In the place of the policy with the same owner and name, if there is one. */
  #placed(document: GatewayDocument, rows: readonly StoredPolicyRow[]): NewPolicy {
    const owner = ownerOf(document)
    const old = rows.filter(isGateway).find((row) => {
      const known = readGatewayRow(row)
      return known.name === document.name && sameOwner(known.owner, owner)
    })
    const id = old?.id ?? `${GATEWAY_PREFIX}${this.#uuid()}`
    return gatewayRow(id, document, owner, this.#timezone)
  }

  #row(policy: NewPolicy, old: StoredPolicyRow | undefined, position: number): StoredPolicyRow {
    const now = this.#deps.now()
    const row = {
      ...policy,
      position: old?.position ?? position,
      created_at: old?.created_at ?? now,
      updated_at: now,
    }
    return { ...row, mac: this.#deps.mac('policy', policy.id, row) }
  }
}

type Changes = Pick<PolicyChange, 'created' | 'updated' | 'removed' | 'unchanged'>

/** A template stands for any one segment here: this only decides between an error and a warning. */
function anyHolds(globs: readonly string[], path: string): boolean {
  const plain = globs.map((glob) => glob.replaceAll(/\{\{[^}]*\}\}/g, '*'))
  return new GlobFamily(plain).match(path).length > 0
}

async function allRows(db: Kysely<Tables>): Promise<StoredPolicyRow[]> {
  return db.selectFrom('policy').selectAll().orderBy('position').orderBy('id').execute()
}

function find(rows: readonly StoredPolicyRow[], name: string): StoredPolicyRow | undefined {
  const ids = [name, VAULT_PREFIX + name, GATEWAY_PREFIX + name]
  const named = ids.map((id) => rows.find((row) => row.id === id)).find((row) => row !== undefined)
  if (named !== undefined) return named
  // Names of gateway policies are free: one that two of them bear says neither.
  const [only, ...others] = rows.filter(
    (row) => isGateway(row) && readGatewayRow(row).name === name,
  )
  return others.length === 0 ? only : undefined
}

function isGateway({ format }: StoredPolicyRow): boolean {
  return format === 'gateway'
}

async function drop(trx: Kysely<Tables>, ids: readonly string[], change: Changes): Promise<void> {
  for (const id of ids) {
    await trx.deleteFrom('policy').where('id', '=', id).execute()
    change.removed.push(id)
  }
}

/** The same documents, each with its owner by role or id; no two may claim the same name. */
async function withAgents(
  documents: readonly GatewayDocument[],
  agentId: AddOptions['agentId'],
): Promise<GatewayDocument[]> {
  const found: GatewayDocument[] = []
  const seen = new Set<string>()
  for (const { agent, ...document } of documents) {
    const id = agent === undefined ? document.agentId : await agentId?.(agent)
    if (agent !== undefined && id === undefined) {
      throw new VestryError('POLICY_INVALID', `Policy "${document.name}": no agent "${agent}"`, {
        hint: '"vestry agent list" shows the names.',
      })
    }
    const owned = id === undefined ? document : { ...document, agentId: id }
    const key = canonicalJson([ownerOf(owned), owned.name])
    if (seen.has(key)) {
      throw new VestryError('POLICY_INVALID', `Policy "${document.name}" is given twice`)
    }
    seen.add(key)
    found.push(owned)
  }
  return found
}

function sameContent(row: StoredPolicyRow, policy: NewPolicy): boolean {
  return (
    row.digest === policy.digest &&
    row.format === policy.format &&
    row.text === policy.text &&
    row.source === policy.source &&
    row.enabled === policy.enabled
  )
}

function notFound(names: readonly string[]): VestryError {
  const hint = '"vestry policy list" shows the ids.'
  return new VestryError(
    'NOT_FOUND',
    `No policy named ${names.map((name) => `"${name}"`).join(', ')}`,
    {
      hint,
    },
  )
}
