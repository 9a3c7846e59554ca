/** How a vault comes to be in an empty store: new, or from the header of a backup. Refuses to replace one. */
import { randomUUID } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { KEY_BYTES } from './gcm.ts'
import { readHeader } from './header.ts'
import { disposeEntries, newEntries, openKeyring, sealKeyring } from './keyring.ts'
import { openWithProof, type Proof, unsealFailed } from './proof.ts'
import { attempt, type SealContext, slotDeps } from './seal-context.ts'
import { insertSeal, loadSeal } from './seal-store.ts'
import { Secret } from './secret.ts'
import { createSlot, type NewSlot, type SlotSpec } from './slot.ts'
import { describeSlot, MAX_SLOTS, type SlotInfo } from './slot-admin.ts'

export interface InitOptions {
  slots: readonly SlotSpec[]
  /** Allows a vault that only a key file opens: losing that file loses the vault. */
  dev?: boolean
}

export interface InitResult {
  vaultId: string
  slots: SlotInfo[]
  /** Per Shamir slot, once and never again. The caller hands them out and disposes them. */
  shares: { slot: string; shares: Secret[] }[]
  generation: number
}

/** @throws VestryError `CONFLICT` when a vault exists; `INVALID_PARAMS` for slots that will not do. */
export async function createVault(
  context: SealContext,
  { slots, dev = false }: InitOptions,
): Promise<InitResult> {
  await refuseExisting(context)
  checkSpecs(slots, dev)
  const vaultId = randomUUID()
  using root = Secret.own(context.random(KEY_BYTES))
  const made: NewSlot[] = []
  try {
    for (const spec of slots) made.push(await createSlot(spec, root, slotDeps(context, vaultId)))
    const generation = await insertNew(context, vaultId, root, made)
    const shares = made.flatMap((one) =>
      one.shares.length > 0 ? [{ slot: one.slot.id, shares: one.shares }] : [],
    )
    return { vaultId, slots: made.map(({ slot }) => describeSlot(slot)), shares, generation }
  } catch (error) {
    for (const { shares } of made) for (const share of shares) share[Symbol.dispose]()
    throw error
  }
}

/**
 * @param proof A secret that opens the backup; without one nothing is written.
 * @throws VestryError `CONFLICT` when a vault exists; `INVALID_PARAMS` for data that is no header;
 *   `UNSEAL_FAILED`; `RATE_LIMITED`; `SEAL_BROKEN` when the keyring in it was altered.
 */
export async function restoreVault(
  context: SealContext,
  header: unknown,
  proof: Proof,
): Promise<{ vaultId: string; generation: number }> {
  await refuseExisting(context)
  const facts = readHeader(header)
  const { vaultId, slots, keyring } = facts
  using opened = await attempt(context.attempts, async () => {
    const one = await openWithProof(slots, proof, { ...context, vaultId })
    if (one === undefined) throw unsealFailed()
    return one
  })
  disposeEntries(openKeyring(opened.root.bytes, vaultId, keyring))
  const generation = await insertSeal(context.store, facts)
  if (generation === undefined) throw exists()
  return { vaultId, generation }
}

async function insertNew(
  { store, now, random }: SealContext,
  vaultId: string,
  root: Secret,
  made: readonly NewSlot[],
): Promise<number> {
  const entries = newEntries(now(), random)
  try {
    const keyring = sealKeyring(root.bytes, vaultId, entries, random)
    const slots = made.map(({ slot }) => slot)
    const generation = await insertSeal(store, { vaultId, createdAt: now(), slots, keyring })
    if (generation === undefined) throw exists()
    return generation
  } finally {
    disposeEntries(entries)
  }
}

function checkSpecs(specs: readonly SlotSpec[], dev: boolean): void {
  if (specs.length === 0 || specs.length > MAX_SLOTS)
    throw new VestryError('INVALID_PARAMS', `A vault needs 1 to ${MAX_SLOTS} slots`)
  if (dev || specs.some(({ type }) => type !== 'keyfile')) return
  throw new VestryError('INVALID_PARAMS', 'A key file alone is not enough: losing it loses all', {
    hint: 'Add a passphrase or recovery shares as a second slot.',
  })
}

async function refuseExisting({ store }: SealContext): Promise<void> {
  if ((await loadSeal(store.db)) !== undefined) throw exists()
}

function exists(): VestryError {
  return new VestryError('CONFLICT', 'This store holds a vault already', {
    hint: 'Run: vestry status',
  })
}
