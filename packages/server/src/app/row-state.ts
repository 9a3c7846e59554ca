/**
 * One fingerprint over all rows that decide who may do what. A row MAC shows that a row was changed;
 * it does not show that a row is missing, or that an old one was put back. The fingerprint does:
 * `state = { generation, sum per table }`, signed with the row key. A sum is that of the keyed hashes of
 * the table's row MACs modulo 2^256, so that a change costs what it touches and not what there is.
 */
import { createHmac, hash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import { aad } from '../seal/aad.ts'
import { checkRow, type RowKeys, rowMac } from '../seal/row-mac.ts'
import type { Tables } from '../store/schema.ts'

/** Those with the triggers of migrations 2, 6, 7, 8, 9 and 10. */
const GUARDED = [
  'agent',
  'operator',
  'api_key',
  'policy',
  'credential',
  'credential_version',
  'tool',
  'run',
  'claim_terms',
  'review',
  'signing_key',
  'tool_signature',
  'key_pin',
  'sealed_setting',
  'mcp_server',
  'mcp_tool_pin',
  'runtime_agent',
  'http_input',
  'http_endpoint',
  'workflow_definition',
  'dsl_program',
  'deployment',
  'schedule',
  'knowledge_class',
] as const satisfies readonly (keyof Tables)[]
export type GuardedTable = (typeof GUARDED)[number]
type Sums = Record<GuardedTable, bigint>

const KEY = 'row_state'
const PAGE = 2_000
const HASH_BYTES = 32
const MODULUS_BITS = 256
const HINT =
  'Restore the newest backup, or start once with --accept-rollback after finding out who changed the store'

interface RowState {
  readonly generation: number
  readonly sums: Sums
}

/** Folds what the triggers noted into the state. Runs last in the transaction of a change. */
export async function foldChanges(trx: Kysely<Tables>, keys: RowKeys): Promise<void> {
  const changes = await trx.deleteFrom('row_change').returningAll().execute()
  const facts = await trx
    .selectFrom('meta')
    .selectAll()
    .where('key', 'in', ['generation', KEY])
    .execute()
  const generation = Number(facts.find(({ key }) => key === 'generation')?.value)
  const before = openState(
    facts.find(({ key }) => key === KEY),
    keys,
  )
  // Else a forged counter would be signed by the next honest change.
  if (before.generation !== generation - 1)
    throw forgedGeneration(before.generation, generation - 1)
  const sums = { ...before.sums }
  using hashed = new RowHash(keys)
  for (const { table, before: old, after } of changes) {
    if (!isGuarded(table)) continue
    if (old !== null) sums[table] = wrap(sums[table] - hashed.of(table, old))
    if (after !== null) sums[table] = wrap(sums[table] + hashed.of(table, after))
  }
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
  return openState(await stateRow(trx), keys)
}

function openState(row: { value: string } | undefined, keys: RowKeys): RowState {
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
    // A table that came later was empty when this was signed.
    const sums = mapTables((table) => BigInt(`0x${facts[table] ?? '0'}`))
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
  using hashed = new RowHash(keys)
  for (const table of GUARDED) {
    const lanes = new Lanes()
    for await (const macs of macsOf(trx, table))
      for (const mac of macs) lanes.add(hashed.digest(table, mac))
    sums[table] = lanes.sum
  }
  return sums
}

/** A page at a time, by key: an offset would read everything before it again and again. */
async function* macsOf(trx: Kysely<Tables>, table: GuardedTable): AsyncGenerator<Uint8Array[]> {
  let last: { readonly key: string; readonly version: number } | undefined
  for (;;) {
    const rows = await page(trx, table, last)
    yield rows.map(({ mac }) => mac)
    last = rows.at(-1)
    if (rows.length < PAGE) return
  }
}

function page(
  trx: Kysely<Tables>,
  table: GuardedTable,
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

/** SHA-256(table key ‖ MAC): both halves are 32 bytes, so the key in front is as good as an HMAC and much quicker. */
class RowHash implements Disposable {
  readonly #inputs: Record<GuardedTable, Buffer>

  constructor(keys: RowKeys) {
    this.#inputs = mapTables((table) => {
      const input = Buffer.alloc(2 * HASH_BYTES)
      const key = createHmac('sha256', keys.rowKey).update(aad('row-state', keys.vaultId, table))
      key.digest().copy(input)
      return input
    })
  }

  /** @throws VestryError STORE_CORRUPT for what cannot be a MAC. */
  digest(table: GuardedTable, mac: Uint8Array): Buffer {
    if (mac.length !== HASH_BYTES) {
      throw new VestryError('STORE_CORRUPT', `A row of table ${table} was altered`, {
        hint: HINT,
        context: { table },
      })
    }
    const input = this.#inputs[table]
    input.set(mac, HASH_BYTES)
    return hash('sha256', input, 'buffer')
  }

  of(table: GuardedTable, mac: Uint8Array): bigint {
    return BigInt(`0x${this.digest(table, mac).toString('hex')}`)
  }

  [Symbol.dispose](): void {
    for (const input of Object.values(this.#inputs)) input.fill(0)
  }
}

/** Adds 256-bit numbers as eight lanes that carry once, at the end: big integers would take most of the time. */
class Lanes {
  readonly #lanes = new Float64Array(HASH_BYTES / 4)
  #count = 0
  #carried = 0n

  add(digest: Buffer): void {
    for (let lane = 0; lane < this.#lanes.length; lane += 1)
      this.#lanes[lane] = (this.#lanes[lane] as number) + digest.readUInt32BE(lane * 4)
    this.#count += 1
    // 2^20 additions of 32 bits stay below 2^53, where numbers are exact.
    if (this.#count === 1_048_576) this.#carry()
  }

  get sum(): bigint {
    this.#carry()
    return this.#carried
  }

  #carry(): void {
    let sum = 0n
    for (const lane of this.#lanes) sum = (sum << 32n) + BigInt(lane)
    this.#carried = wrap(this.#carried + sum)
    this.#lanes.fill(0)
    this.#count = 0
  }
}

function mapTables<T>(value: (table: GuardedTable) => T): Record<GuardedTable, T> {
  const entries = GUARDED.map((table) => [table, value(table)] as const)
  return Object.fromEntries(entries) as Record<GuardedTable, T> // one entry per name of the list
}

function wrap(sum: bigint): bigint {
  return BigInt.asUintN(MODULUS_BITS, sum)
}

function isGuarded(name: string): name is GuardedTable {
  return (GUARDED as readonly string[]).includes(name)
}

function forgedGeneration(signed: number, found: number): VestryError {
  return new VestryError(
    'STORE_CORRUPT',
    `The store says it is at generation ${found}, its rows are signed for ${signed}`,
    { hint: HINT, context: { signed, found } },
  )
}
