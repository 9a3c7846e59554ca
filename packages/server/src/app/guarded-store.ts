/** A store whose changes keep the signed fingerprint of its rows (row-state.ts) up to date. */

import { VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import type { RowKeys } from '../seal/row-mac.ts'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { adoptRows, foldChanges, forgetChanges, hasState, verifyRows } from './row-state.ts'

export interface GuardedStore extends Store {
  /** @throws VestryError STORE_CORRUPT when rows are missing, added or put back; VAULT_LOCKED. */
  verifyRows(): Promise<void>
  /** From now on the rows that are there are the right ones. */
  adoptRows(): Promise<void>
}

/**
 * @param keys undefined while sealed: nothing can be changed then, except by the making of the vault.
 * @param lenient An operator accepts the store as it is: until `adoptRows` a fingerprint is not kept.
 */
export function guardStore(
  store: Store,
  keys: () => RowKeys | undefined,
  { lenient = false }: { lenient?: boolean } = {},
): GuardedStore {
  let accepting = lenient
  const required = (): RowKeys => {
    const held = keys()
    if (held === undefined) throw new VestryError('VAULT_LOCKED')
    return held
  }
  return {
    ...store,
    change: (fn) =>
      store.change(async (trx) => {
        const held = keys()
        if (accepting) return fn(trx)
        if (held === undefined) {
          // Slots and keyring of a vault that is being made; later only an open vault can sign a change.
          if (await hasState(trx)) throw new VestryError('VAULT_LOCKED')
          return fn(trx)
        }
        await forgetChanges(trx)
        const value = await fn(trx)
        await foldChanges(trx, held)
        return value
      }),
    verifyRows: () =>
      store.write(async (trx) => {
        await holdChanges(trx)
        await verifyRows(trx, required(), await generationOf(trx))
      }),
    adoptRows: async () => {
      await store.write(async (trx) => {
        await holdChanges(trx)
        await adoptRows(trx, required(), await generationOf(trx))
      })
      accepting = false
    },
  }
}

/** Changes begin by raising the generation; whoever holds its row sees none of them begin or end. */
async function holdChanges(trx: Kysely<Tables>): Promise<void> {
  await trx
    .updateTable('meta')
    .set((eb) => ({ value: eb.ref('value') }))
    .where('key', '=', 'generation')
    .execute()
}

async function generationOf(trx: Kysely<Tables>): Promise<number> {
  const row = await trx
    .selectFrom('meta')
    .select('value')
    .where('key', '=', 'generation')
    .executeTakeFirstOrThrow()
  return Number(row.value)
}
