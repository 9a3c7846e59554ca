/** The keys of an unsealed vault, kept in step with the store: the root key and the keyring it opens. */
import { createSecretKey, type KeyObject } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import {
  disposeEntries,
  type KeyEntry,
  OpenKeyring,
  openKeyring,
  type SealedKeyring,
  sealKeyring,
} from './keyring.ts'
import { requireStored, type SealContext } from './seal-context.ts'
import { changeSeal, type StoredSeal } from './seal-store.ts'
import { reserveWraps, WrapBudget } from './wrap-budget.ts'

const ROUNDS = 3

export class OpenSeal {
  readonly keyring: OpenKeyring
  readonly #context: SealContext
  #root: KeyObject
  /** Nonce of the sealed keyring that is loaded. */
  #nonce: Uint8Array

  /** @param root Borrowed. @throws VestryError `SEAL_BROKEN` when the stored keyring was altered. */
  constructor(context: SealContext, stored: StoredSeal, root: Uint8Array) {
    this.#context = context
    this.#root = createSecretKey(root)
    this.#nonce = stored.keyring.nonce
    const entries = openKeyring(this.#root, stored.vaultId, stored.keyring)
    try {
      this.keyring = new OpenKeyring(stored.vaultId, entries)
    } finally {
      disposeEntries(entries)
    }
    this.#countWraps()
  }

  /** Loads what other nodes did. @throws VestryError `SEAL_BROKEN` when another root key is in use by now. */
  refresh(stored: StoredSeal): void {
    if (Buffer.compare(this.#nonce, stored.keyring.nonce) !== 0)
      disposeEntries(this.#load(stored.keyring))
  }

  /** @param root Borrowed. */
  replaceRoot(root: Uint8Array, nonce: Uint8Array): void {
    this.#root = createSecretKey(root)
    this.#nonce = nonce
  }

  /**
   * Adds a key on top of whatever the keyring holds by now.
   *
   * @param make The key, taken over; `undefined` if there is nothing to add after all.
   * @returns The store's generation; 0 when nothing was added.
   * @throws VestryError `CONFLICT` when others keep changing it.
   */
  async extend(make: (keyring: OpenKeyring) => KeyEntry | undefined): Promise<number> {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { keyring: seen } = await requireStored(this.#context)
      const entries = this.#load(seen)
      try {
        const added = make(this.keyring)
        if (added === undefined) return 0
        entries.push(added)
        const generation = await this.#save(seen, entries)
        if (generation !== undefined) return generation
      } finally {
        disposeEntries(entries)
      }
    }
    throw new VestryError('CONFLICT', 'The keyring is being changed by other nodes')
  }

  wipe(): void {
    this.keyring.wipe()
  }

  async #save(seen: SealedKeyring, entries: readonly KeyEntry[]): Promise<number | undefined> {
    const { store, now, random } = this.#context
    const keyring = sealKeyring(this.#root, this.keyring.vaultId, entries, random)
    const generation = await changeSeal(store, { keyring: seen }, { keyring }, now())
    if (generation !== undefined) {
      this.keyring.adopt(entries)
      this.#nonce = keyring.nonce
    }
    return generation
  }

  /** @returns The raw entries, owned by the caller. */
  #load(sealed: SealedKeyring): KeyEntry[] {
    const entries = openKeyring(this.#root, this.keyring.vaultId, sealed)
    this.keyring.adopt(entries)
    this.#nonce = sealed.nonce
    return entries
  }

  #countWraps(): void {
    const { store } = this.#context
    const budgets = new Map<number, WrapBudget>()
    this.keyring.countWith(() => {
      const { term } = this.keyring
      const budget =
        budgets.get(term) ?? new WrapBudget((count) => reserveWraps(store, term, count))
      budgets.set(term, budget)
      budget.spend()
    })
  }
}
