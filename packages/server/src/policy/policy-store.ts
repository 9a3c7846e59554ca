/**
 * Policies in the store. No rules here: `policy-file.ts` reads and checks, the engine decides, this
 * file remembers. Rows carry a MAC; sets that were in force are kept by digest, so that an old decision
 * can still be explained.
 */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { Kysely, Selectable } from 'kysely'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { BUILTIN_CEDAR } from './builtin.cedar.ts'
import { BUILTIN_POLICIES } from './builtin-json.ts'
import { BUILTIN_DIGEST, inForce, setDigest, setManifest } from './engine.ts'
import { GlobFamily } from './glob-index.ts'
import { type NewPolicy, type PolicyFile, readPolicyFiles } from './policy-file.ts'
import { VAULT_PREFIX } from './vault-import.ts'

export type StoredPolicyRow = Selectable<Tables['policy']>

export interface PolicyStoreDeps {
  store: Pick<Store, 'db' | 'change'>
  /** Row MACs (seal/row-mac.ts); `check` throws STORE_CORRUPT. */
  mac(table: string, id: string, row: Readonly<Record<string, unknown>>): Uint8Array
  check(table: string, id: string, row: Readonly<Record<string, unknown>>, mac: Uint8Array): void
  now: () => number
  /** Seconds; no rule may grant a lease for longer. */
  maxTtl: number
  /** Paths of the credentials that list hosts of their own. */
  boundPaths?: () => Promise<readonly string[]>
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

/** A policy as it was when a set was in force. */
export interface RecordedPolicy {
  id: string
  /** Cedar text. */
  text: string
}

export class PolicyStore {
  readonly #deps: PolicyStoreDeps

  constructor(deps: PolicyStoreDeps) {
    this.#deps = deps
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
   * @param name An id, or the name of a vault rule.
   * @throws VestryError `NOT_FOUND`, `STORE_CORRUPT`
   */
  async show(name: string): Promise<StoredPolicyRow> {
    const row = find(await this.list(), name)
    if (row !== undefined) return row
    throw notFound([name])
  }

  /**
   * Adds every policy of these files, or none. One with a known id replaces it in its place.
   *
   * @throws VestryError `POLICY_INVALID` with everything that is wrong.
   */
  async add(
    files: readonly PolicyFile[],
    { understood = false }: { understood?: boolean } = {},
  ): Promise<PolicyChange> {
    const bound = (await this.#deps.boundPaths?.()) ?? []
    const { policies, warnings } = await readPolicyFiles(files, {
      maxTtl: this.#deps.maxTtl,
      understood,
      hostsSupplied: (resources) => bound.some((path) => anyHolds(resources, path)),
    })
    return this.#change(warnings, async (trx, rows, change) => {
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
      for (const name of names) {
        const id = find(rows, name)?.id ?? name
        await trx.deleteFrom('policy').where('id', '=', id).execute()
        change.removed.push(id)
      }
    })
  }

  /**
   * The policies of a set that was in force, in order.
   *
   * @throws VestryError `NOT_FOUND`, or `STORE_CORRUPT` when a row does not have the digest it is kept under.
   */
  async policySet(digest: string): Promise<RecordedPolicy[]> {
    if (digest === setDigest([])) return [{ id: 'builtin', text: BUILTIN_CEDAR }]
    const [manifest] = await this.#kept([digest])
    if (manifest === undefined) {
      throw new VestryError('NOT_FOUND', `No policy set ${digest} was ever in force here`)
    }
    if (hash('sha256', manifest.json) !== digest) throw altered(digest)
    const { builtin, policies } = JSON.parse(manifest.json) as Manifest // its digest is right, so we wrote it
    const members: Manifest['policies'] = [['builtin', builtin], ...policies]
    const kept = await this.#kept(members.map(([, policy]) => policy))
    const texts = new Map(kept.map((row) => [row.digest, textOf(row)]))
    return members.map(([id, policy]) => {
      const text = texts.get(policy)
      if (text === undefined) throw altered(policy)
      return { id, text }
    })
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

  async #kept(digests: readonly string[]): Promise<Selectable<Tables['policy_set']>[]> {
    const rows: Selectable<Tables['policy_set']>[] = []
    // Engines bound the number of parameters.
    for (let i = 0; i < digests.length; i += 500) {
      const some = digests.slice(i, i + 500)
      const query = this.#deps.store.db.selectFrom('policy_set').selectAll()
      rows.push(...(await query.where('digest', 'in', some).execute()))
    }
    return rows
  }
}

type Changes = Pick<PolicyChange, 'created' | 'updated' | 'removed' | 'unchanged'>
type Manifest = ReturnType<typeof setManifest>

/** A template stands for any one segment here: this only decides between an error and a warning. */
function anyHolds(globs: readonly string[], path: string): boolean {
  const plain = globs.map((glob) => glob.replaceAll(/\{\{[^}]*\}\}/g, '*'))
  return new GlobFamily(plain).match(path).length > 0
}

async function allRows(db: Kysely<Tables>): Promise<StoredPolicyRow[]> {
  return db.selectFrom('policy').selectAll().orderBy('position').orderBy('id').execute()
}

/** The set's list of digests, and each policy once under its own: a change writes what is new. */
async function keepSet(
  trx: Kysely<Tables>,
  digest: string,
  policies: readonly StoredPolicyRow[],
  created_at: number,
): Promise<void> {
  const rows = [
    { digest, json: canonicalJson(setManifest(policies)), created_at },
    { digest: BUILTIN_DIGEST, json: recorded(BUILTIN_CEDAR, BUILTIN_JSON), created_at },
    ...policies.map((row) => ({
      digest: row.digest,
      json: recorded(row.text, row.json),
      created_at,
    })),
  ]
  const known = new Set<string>()
  for (let i = 0; i < rows.length; i += 500) {
    const digests = rows.slice(i, i + 500).map((row) => row.digest)
    const found = trx.selectFrom('policy_set').select('digest').where('digest', 'in', digests)
    for (const row of await found.execute()) known.add(row.digest)
  }
  for (const row of rows) {
    if (known.has(row.digest)) continue
    known.add(row.digest)
    const insert = trx.insertInto('policy_set').values(row)
    await insert.onConflict((clash) => clash.column('digest').doNothing()).execute()
  }
}

const BUILTIN_JSON = canonicalJson(BUILTIN_POLICIES)

function recorded(text: string, json: string): string {
  return canonicalJson({ text, json })
}

function textOf(row: Selectable<Tables['policy_set']>): string {
  const kept: unknown = JSON.parse(row.json)
  if (typeof kept === 'object' && kept !== null && 'json' in kept && 'text' in kept) {
    const { json, text } = kept
    const own = typeof json === 'string' && hash('sha256', json) === row.digest
    if (own && typeof text === 'string') return text
  }
  throw altered(row.digest)
}

function find(rows: readonly StoredPolicyRow[], name: string): StoredPolicyRow | undefined {
  return rows.find(({ id }) => id === name) ?? rows.find(({ id }) => id === VAULT_PREFIX + name)
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

function altered(digest: string): VestryError {
  return new VestryError('STORE_CORRUPT', `Policy set entry ${digest} was altered or lost`)
}
