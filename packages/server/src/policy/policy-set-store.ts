/**
 * Policy sets that were in force, kept by digest so that an old decision can still be explained: the list
 * of each set, and each policy once under its own digest.
 */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { Kysely, Selectable } from 'kysely'
import type { Tables } from '../store/schema.ts'
import { BUILTIN_CEDAR } from './builtin.cedar.ts'
import { BUILTIN_POLICIES } from './builtin-json.ts'
import { BUILTIN_DIGEST, setDigest, setManifest } from './engine.ts'

/** A policy as it was when a set was in force. */
export interface RecordedPolicy {
  id: string
  /** Cedar text. */
  text: string
}

type Manifest = ReturnType<typeof setManifest>
type KeptRow = Selectable<Tables['policy_set']>

/**
 * The policies of a set that was in force, in order.
 *
 * @throws VestryError `NOT_FOUND`, or `STORE_CORRUPT` when a row does not have the digest it is kept under.
 */
export async function recordedSet(db: Kysely<Tables>, digest: string): Promise<RecordedPolicy[]> {
  if (digest === setDigest([])) return [{ id: 'builtin', text: BUILTIN_CEDAR }]
  const [manifest] = await kept(db, [digest])
  if (manifest === undefined) {
    throw new VestryError('NOT_FOUND', `No policy set ${digest} was ever in force here`)
  }
  if (hash('sha256', manifest.json) !== digest) throw altered(digest)
  const { builtin, policies } = JSON.parse(manifest.json) as Manifest // its digest is right, so we wrote it
  const members: Manifest['policies'] = [['builtin', builtin], ...policies]
  const found = await kept(
    db,
    members.map(([, policy]) => policy),
  )
  const texts = new Map(found.map((row) => [row.digest, textOf(row)]))
  return members.map(([id, policy]) => {
    const text = texts.get(policy)
    if (text === undefined) throw altered(policy)
    return { id, text }
  })
}

/**
 * Whether a set that was in force had these policies of operators. A newer version has other built-in policies, and so
 * another digest for the same ones.
 *
 * @returns undefined for a set that was not kept.
 * @throws VestryError `STORE_CORRUPT`
 */
export async function hadPolicies(
  db: Kysely<Tables>,
  digest: string,
  enabled: readonly { id: string; digest: string }[],
): Promise<boolean | undefined> {
  const [manifest] = await kept(db, [digest])
  if (manifest === undefined) return undefined
  if (hash('sha256', manifest.json) !== digest) throw altered(digest)
  const { policies } = JSON.parse(manifest.json) as Manifest // its digest is right, so we wrote it
  return canonicalJson(policies) === canonicalJson(setManifest(enabled).policies)
}

/** The set's list of digests, and each policy once under its own: a change writes what is new. */
export async function keepSet(
  trx: Kysely<Tables>,
  digest: string,
  policies: readonly Selectable<Tables['policy']>[],
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

async function kept(db: Kysely<Tables>, digests: readonly string[]): Promise<KeptRow[]> {
  const rows: KeptRow[] = []
  // Engines bound the number of parameters.
  for (let i = 0; i < digests.length; i += 500) {
    const some = digests.slice(i, i + 500)
    const query = db.selectFrom('policy_set').selectAll()
    rows.push(...(await query.where('digest', 'in', some).execute()))
  }
  return rows
}

function altered(digest: string): VestryError {
  return new VestryError('STORE_CORRUPT', `Policy set entry ${digest} was altered or lost`)
}
