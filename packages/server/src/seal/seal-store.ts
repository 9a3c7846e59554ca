/**
 * Slots and keyring in the store. No keys here: slot.ts and keyring.ts seal and open, this file remembers.
 * Every change is one transaction and holds only if the rows are still those the change was made for.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Kysely, Selectable } from 'kysely'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { SealedKeyring } from './keyring.ts'
import { type Slot, SlotKdf, type SlotType } from './slot.ts'

export type SealStore = Pick<Store, 'db' | 'write' | 'change' | 'onChange'>
export type SlotRow = Selectable<Tables['slot']>

export interface StoredSeal {
  vaultId: string
  /** Epoch milliseconds. */
  createdAt: number
  /** As stored; {@link readSlot} checks one. */
  slots: SlotRow[]
  keyring: SealedKeyring
}

const SLOT_TYPE: Record<SlotKdf['name'], SlotType> = {
  argon2id: 'passphrase',
  scrypt: 'passphrase',
  keyfile: 'keyfile',
  shamir: 'shamir',
}

/**
 * @returns `undefined` when there never was a vault.
 * @throws VestryError `STORE_CORRUPT` when parts are missing.
 */
export async function loadSeal(db: Kysely<Tables>): Promise<StoredSeal | undefined> {
  const meta = await db
    .selectFrom('meta')
    .selectAll()
    .where('key', 'in', ['vault_id', 'vault_created_at'])
    .execute()
  const fact = (key: string) => meta.find((row) => row.key === key)?.value
  const vaultId = fact('vault_id')
  if (vaultId === undefined) return undefined
  // One statement, so that slots and keyring are of the same moment.
  const rows = await db
    .selectFrom('slot')
    .innerJoin('keyring', (join) => join.onTrue())
    .selectAll('slot')
    .select(['keyring.nonce as keyring_nonce', 'keyring.ct as keyring_ct'])
    .orderBy('slot.created_at')
    .orderBy('slot.id')
    .execute()
  const [first] = rows
  if (first === undefined)
    throw new VestryError('STORE_CORRUPT', 'The store has lost its slots or its keyring', {
      hint: 'Restore the store from a backup.',
    })
  return {
    vaultId,
    createdAt: Number(fact('vault_created_at') ?? 0),
    slots: rows.map(({ keyring_nonce, keyring_ct, ...slot }) => slot),
    keyring: { nonce: first.keyring_nonce, ct: first.keyring_ct },
  }
}

/** @throws VestryError `STORE_CORRUPT` naming the slot: malformed, too cheap or too dear parameters. */
export function readSlot(row: SlotRow): Slot {
  const kdf = SlotKdf.safeParse(parseJson(row.kdf_json))
  if (!kdf.success || SLOT_TYPE[kdf.data.name] !== row.type)
    throw new VestryError('STORE_CORRUPT', `The parameters of slot "${row.id}" are refused`, {
      hint: 'Unseal with another slot, then remove this one.',
      context: { table: 'slot', id: row.id },
      cause: kdf.error,
    })
  const { id, type, label, nonce, wrapped_root: wrappedRoot, created_at: createdAt } = row
  return { id, type, label, kdf: kdf.data, nonce, wrappedRoot, createdAt }
}

/** @returns The generation, or `undefined` when a vault exists already. */
export async function insertSeal(
  store: SealStore,
  seal: Omit<StoredSeal, 'slots'> & { slots: readonly Slot[] },
): Promise<number | undefined> {
  return changeIf(store, async (trx) => {
    const { vaultId, createdAt, keyring, slots } = seal
    const inserted = await trx
      .insertInto('keyring')
      .values({ id: 1, ...keyring, updated_at: createdAt })
      .onConflict((conflict) => conflict.column('id').doNothing())
      .executeTakeFirst()
    if (Number(inserted.numInsertedOrUpdatedRows) !== 1) return false
    const facts = [
      { key: 'vault_id', value: vaultId },
      { key: 'vault_created_at', value: String(createdAt) },
    ]
    await trx.insertInto('meta').values(facts).execute()
    await trx.insertInto('slot').values(slots.map(slotRow)).execute()
    return true
  })
}

export interface SealChange {
  keyring?: SealedKeyring
  /** Slots to add, or to replace under their id. */
  put?: readonly Slot[]
  /** Slots to delete: these ids, or all that are not in `put`. */
  remove?: readonly string[] | 'others'
}

/**
 * @param seen The state the change was made for; without slots, whatever they are by now.
 * @returns The generation, or `undefined` when another change came first.
 */
export async function changeSeal(
  store: SealStore,
  seen: Pick<StoredSeal, 'keyring'> & Partial<Pick<StoredSeal, 'slots'>>,
  change: SealChange,
  nowMs: number,
): Promise<number | undefined> {
  return changeIf(store, async (trx) => {
    const keyring = { ...change.keyring, updated_at: nowMs }
    const updated = await trx
      .updateTable('keyring')
      .set(keyring)
      .where('nonce', '=', seen.keyring.nonce)
      .executeTakeFirst()
    if (Number(updated.numUpdatedRows) !== 1) return false
    if (seen.slots !== undefined && !(await slotsAre(trx, seen.slots))) return false
    const put = change.put ?? []
    const putIds = put.map(({ id }) => id)
    const gone = change.remove === 'others' ? [] : [...(change.remove ?? []), ...putIds]
    if (change.remove === 'others') await trx.deleteFrom('slot').execute()
    else if (gone.length > 0) await trx.deleteFrom('slot').where('id', 'in', gone).execute()
    if (put.length > 0) await trx.insertInto('slot').values(put.map(slotRow)).execute()
    return true
  })
}

/** Every wrap has a nonce of its own, so ids and nonces say whether anything changed. */
async function slotsAre(trx: Kysely<Tables>, seen: readonly SlotRow[]): Promise<boolean> {
  const rows = await trx.selectFrom('slot').select(['id', 'nonce']).execute()
  const unchanged = (row: { id: string; nonce: Uint8Array }) =>
    seen.some(({ id, nonce }) => id === row.id && Buffer.compare(nonce, row.nonce) === 0)
  return rows.length === seen.length && rows.every(unchanged)
}

/** Thrown inside a transaction to undo it when its condition does not hold. */
const CONDITION_FAILED = new VestryError('CONFLICT')

async function changeIf(
  store: SealStore,
  fn: (trx: Kysely<Tables>) => Promise<boolean>,
): Promise<number | undefined> {
  try {
    const { generation } = await store.change(async (trx) => {
      if (!(await fn(trx))) throw CONDITION_FAILED
    })
    return generation
  } catch (error) {
    if (error === CONDITION_FAILED) return undefined
    throw error
  }
}

function slotRow(slot: Slot): SlotRow {
  const { id, type, label, kdf, nonce, wrappedRoot, createdAt } = slot
  const kdf_json = JSON.stringify(kdf)
  return { id, type, label, kdf_json, nonce, wrapped_root: wrappedRoot, created_at: createdAt }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
