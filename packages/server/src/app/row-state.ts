/**
 * One fingerprint over all rows that decide who may do what. A row MAC shows that a row was changed;
 * it does not show that a row is missing, or that an old one was put back. The fingerprint does:
 * `state = { generation, sum per table }`, signed with the row key. A sum is that of the keyed hashes of
 * the table's row MACs modulo 2^256, so that a change costs what it touches and not what there is.
 */
import { createHmac } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import { aad } from '../seal/aad.ts'
import { checkRow, type RowKeys, rowMac } from '../seal/row-mac.ts'
import type { Tables } from '../store/schema.ts'

/** Those with the triggers of migration 2. */
const GUARDED = [
  'agent',
  'operator',
  'api_key',
  'policy',
  'credential',
  'credential_version',
] as const satisfies readonly (keyof Tables)[]
type Guarded = (typeof GUARDED)[number]
type Sums = Record<Guarded, bigint>

const KEY = 'row_state'
const PAGE = 2_000
const MODULUS_BITS = 256
const HINT =
  'Restore the newest backup, or start once with --accept-rollback after finding out who changed the store'

interface RowState {
  readonly generation: number
  readonly sums: Sums
}

/** Folds what the triggers noted into the state. Runs last in the transaction of a change. */
export async function foldChanges(
  trx: Kysely<Tables>,
  keys: RowKeys,
  generation: number,
): Promise<void> {
  const before = await readState(trx, keys)
  // Else a forged counter would be signed by the next honest change.
  if (before.generation !== generation - 1)
    throw forgedGeneration(before.generation, generation - 1)
  const changes = await trx.selectFrom('row_change').selectAll().execute()
  const sums = { ...before.sums }
  const hash = hasher(keys)
  for (const { table, before: old, after } of changes) {
    if (!isGuarded(table)) continue
    if (old !== null) sums[table] = wrap(sums[table] - hash(table, old))
    if (after !== null) sums[table] = wrap(sums[table] + hash(table, after))
  }
  await forgetChanges(trx)
  await writeState(trx, keys, { generation, sums })
}

/** Whether this store holds a vault that was made to its end. */
export async function hasState(trx: Kysely<Tables>): Promise<boolean> {
  return (await stateRow(trx)) !== undefined
}

export async function forgetChanges(trx: Kysely<Tables>): Promise<void> {
  await trx.deleteFrom('row_change').execute()
}

/** Takes the rows as they are for those that should be there: a new vault, or an operator's decision. */
export async function adoptRows(
  trx: Kysely<Tables>,
  keys: RowKeys,
  generation: number,
): Promise<void> {
  await forgetChanges(trx)
  await writeState(trx, keys, { generation, sums: await sumRows(trx, keys) })
}

/** @throws VestryError STORE_CORRUPT naming the table whose rows are not those that were last written. */
export async function verifyRows(
  trx: Kysely<Tables>,
  keys: RowKeys,
  generation: number,
): Promise<void> {
  const state = await readState(trx, keys)
  if (state.generation !== generation) throw forgedGeneration(state.generation, generation)
  const sums = await sumRows(trx, keys)
  const table = GUARDED.find((name) => sums[name] !== state.sums[name])
  if (table === undefined) return
  throw new VestryError(
    'STORE_CORRUPT',
    `Table ${table} does not hold the rows that were last written: some were removed, added or put back`,
    { hint: HINT, context: { table } },
  )
}

function stateRow(trx: Kysely<Tables>): Promise<{ value: string } | undefined> {
  return trx.selectFrom('meta').select('value').where('key', '=', KEY).executeTakeFirst()
}

async function readState(trx: Kysely<Tables>, keys: RowKeys): Promise<RowState> {
  const row = await stateRow(trx)
  if (row === undefined) {
    throw new VestryError('STORE_CORRUPT', 'The store has lost the fingerprint of its rows', {
      hint: HINT,
      context: { table: 'meta', id: KEY },
    })
  }
  try {
    const { mac, ...facts } = JSON.parse(row.value) as Record<string, string | number>
    checkRow(keys, 'meta', KEY, facts, Buffer.from(String(mac), 'hex'))
    // Its MAC is right, so we wrote it.
    const sums = mapTables((table) => BigInt(`0x${facts[table]}`))
    return { generation: Number(facts['generation']), sums }
  } catch (cause) {
    throw new VestryError('STORE_CORRUPT', 'The fingerprint of the stored rows was altered', {
      hint: HINT,
      context: { table: 'meta', id: KEY },
      cause,
    })
  }
}

async function writeState(
  trx: Kysely<Tables>,
  keys: RowKeys,
  { generation, sums }: RowState,
): Promise<void> {
  const facts = { generation, ...mapTables((table) => sums[table].toString(16)) }
  const mac = Buffer.from(rowMac(keys, 'meta', KEY, facts)).toString('hex')
  const value = JSON.stringify({ ...facts, mac })
  await trx
    .insertInto('meta')
    .values({ key: KEY, value })
    .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
    .execute()
}

async function sumRows(trx: Kysely<Tables>, keys: RowKeys): Promise<Sums> {
  const sums = mapTables(() => 0n)
  const hash = hasher(keys)
  for (const table of GUARDED) {
    for await (const mac of macsOf(trx, table)) sums[table] += hash(table, mac)
    sums[table] = wrap(sums[table])
  }
  return sums
}

/** A page at a time, by key: an offset would read everything before it again and again. */
async function* macsOf(trx: Kysely<Tables>, table: Guarded): AsyncGenerator<Uint8Array> {
  let last: { readonly key: string; readonly version: number } | undefined
  for (;;) {
    const rows = await page(trx, table, last)
    for (const { mac } of rows) yield mac
    last = rows.at(-1)
    if (rows.length < PAGE) return
  }
}

function page(
  trx: Kysely<Tables>,
  table: Guarded,
  last: { readonly key: string; readonly version: number } | undefined,
): Promise<{ key: string; version: number; mac: Uint8Array }[]> {
  if (table === 'credential_version') {
    let versions = trx
      .selectFrom('credential_version')
      .select(['path as key', 'version', 'mac'])
      .orderBy('path')
      .orderBy('version')
      .limit(PAGE)
    if (last !== undefined) {
      versions = versions.where((eb) =>
        eb(eb.refTuple('path', 'version'), '>', eb.tuple(last.key, last.version)),
      )
    }
    return versions.execute()
  }
  if (table === 'credential') {
    let credentials = trx
      .selectFrom('credential')
      .select(['path as key', 'version', 'mac'])
      .orderBy('path')
      .limit(PAGE)
    if (last !== undefined) credentials = credentials.where('path', '>', last.key)
    return credentials.execute()
  }
  let query = trx
    .selectFrom(table)
    .select((eb) => ['id as key', eb.lit(0).as('version'), 'mac'])
    .orderBy('id')
    .limit(PAGE)
  if (last !== undefined) query = query.where('id', '>', last.key)
  return query.execute()
}

function hasher(keys: RowKeys): (table: Guarded, mac: Uint8Array) => bigint {
  const prefix = mapTables((table) => aad('row-state', keys.vaultId, table))
  const { rowKey } = keys
  return (table, mac) => {
    const hash = createHmac('sha256', rowKey).update(prefix[table]).update(mac)
    return BigInt(`0x${hash.digest('hex')}`)
  }
}

function mapTables<T>(value: (table: Guarded) => T): Record<Guarded, T> {
  const entries = GUARDED.map((table) => [table, value(table)] as const)
  return Object.fromEntries(entries) as Record<Guarded, T> // one entry per name of the list
}

function wrap(sum: bigint): bigint {
  return BigInt.asUintN(MODULUS_BITS, sum)
}

function isGuarded(name: string): name is Guarded {
  return (GUARDED as readonly string[]).includes(name)
}

function forgedGeneration(signed: number, found: number): VestryError {
  return new VestryError(
    'STORE_CORRUPT',
    `The store says it is at generation ${found}, its rows are signed for ${signed}`,
    { hint: HINT, context: { signed, found } },
  )
}
