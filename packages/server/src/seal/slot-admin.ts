/**
 * Adding, removing and changing slots, and giving the vault a new root key. Each takes a proof where knowing
 * the keys in memory is not enough, and none lets the vault end up without a way in.
 */
import { VestryError } from '@vestry/contract/errors'
import { KEY_BYTES } from './gcm.ts'
import { disposeEntries, openKeyring, sealKeyring } from './keyring.ts'
import type { Opened, Proof } from './proof.ts'
import { prove, requireStored, type SealContext, slotDeps, usableSlots } from './seal-context.ts'
import { changeSeal, type SealChange, type SlotRow, type StoredSeal } from './seal-store.ts'
import { Secret } from './secret.ts'
import {
  createSlot,
  type NewSlot,
  rekeySlot,
  rewrapSlot,
  type Slot,
  type SlotSpec,
  type SlotType,
} from './slot.ts'

export const MAX_SLOTS = 16

export interface SlotInfo {
  id: string
  type: SlotType
  label: string
  /** Epoch milliseconds. */
  createdAt: number
  /** False when its parameters are refused; it can only be removed. */
  usable: boolean
}

export interface AddedSlot {
  slot: SlotInfo
  /** Of a Shamir slot, once and never again. The caller hands them out and disposes them. */
  shares: Secret[]
  generation: number
}

export interface RootRotation {
  kept: string[]
  dropped: string[]
  generation: number
}

export function describeSlots(stored: StoredSeal): SlotInfo[] {
  const usable = new Set(usableSlots(stored).slots.map(({ id }) => id))
  return stored.slots.map((row) => describe(row, usable.has(row.id)))
}

export function describeSlot({ id, type, label, createdAt }: Slot): SlotInfo {
  return { id, type, label, createdAt, usable: true }
}

/** @throws VestryError `CONFLICT` at 16 slots, and as {@link prove}. */
export async function addSlot(
  context: SealContext,
  spec: SlotSpec,
  proof: Proof,
): Promise<AddedSlot> {
  const stored = await requireStored(context)
  if (stored.slots.length >= MAX_SLOTS)
    throw new VestryError('CONFLICT', `A vault has at most ${MAX_SLOTS} slots`)
  using opened = await prove(context, stored, proof)
  const made = await createSlot(spec, opened.root, slotDeps(context, stored.vaultId))
  return commitSlot(context, stored, made)
}

/** The slot that `current` opens gets the passphrase `next`. Data and other slots are not touched. */
export async function changePassphrase(
  context: SealContext,
  current: Uint8Array,
  next: Uint8Array,
): Promise<AddedSlot> {
  const stored = await requireStored(context)
  using opened = await prove(context, stored, { passphrase: current })
  // Awaited here: the opened slot is wiped as this function returns.
  return await rekey(context, stored, opened, { type: 'passphrase', passphrase: next })
}

/** Replaces the secret of the slot that was opened. */
export async function rekey(
  context: SealContext,
  stored: StoredSeal,
  opened: Opened,
  spec: SlotSpec,
): Promise<AddedSlot> {
  const deps = slotDeps(context, stored.vaultId)
  const made = await rekeySlot(opened.slot, spec, opened.root, deps)
  return commitSlot(context, stored, made)
}

/**
 * @param proof Needed to remove recovery shares, which are the last resort of their holders.
 * @throws VestryError `NOT_FOUND`; `CONFLICT` for the last slot, or the last one that is not a key file;
 *   `INVALID_PARAMS` for a missing proof.
 */
export async function removeSlot(
  context: SealContext,
  id: string,
  proof?: Proof,
): Promise<{ generation: number }> {
  const stored = await requireStored(context)
  const slot = stored.slots.find((row) => row.id === id)
  if (slot === undefined) throw new VestryError('NOT_FOUND', `There is no slot "${id}"`)
  const left = stored.slots.filter((row) => row !== slot)
  if (left.length === 0) throw new VestryError('CONFLICT', 'The last slot cannot be removed')
  checkWayIn(stored.slots, left)
  if (proof !== undefined) (await prove(context, stored, proof))[Symbol.dispose]()
  else if (slot.type === 'shamir')
    throw new VestryError('INVALID_PARAMS', 'Removing recovery shares needs an unseal secret')
  return { generation: await commit(context, stored, { remove: [id] }) }
}

/**
 * A new root key. Slots whose secret is among `proofs` are kept, all others are dropped.
 *
 * @returns Also the new root key, owned by the caller.
 * @throws VestryError `UNSEAL_FAILED` if any proof opens nothing: a typing error must not drop a slot;
 *   `CONFLICT` when only key files would be left.
 */
export async function rotateRoot(
  context: SealContext,
  proofs: readonly Proof[],
): Promise<RootRotation & { root: Secret; nonce: Uint8Array }> {
  const stored = await requireStored(context)
  using stack = new DisposableStack()
  const opened = await proveEach(context, stored, proofs, stack)
  const kept = opened.map(({ slot }) => slot.id)
  const isKept = ({ id }: { id: string }) => kept.includes(id)
  checkWayIn(stored.slots, stored.slots.filter(isKept))
  const root = Secret.own(context.random(KEY_BYTES))
  try {
    const deps = slotDeps(context, stored.vaultId)
    const put = opened.map(({ slot, slotKey }) => rewrapSlot(slot, slotKey, root, deps))
    const keyring = resealKeyring(context, stored, opened, root)
    const generation = await commit(context, stored, { keyring, put, remove: 'others' })
    const dropped = stored.slots.filter((row) => !isKept(row)).map(({ id }) => id)
    return { kept, dropped, generation, root, nonce: keyring.nonce }
  } catch (error) {
    root[Symbol.dispose]()
    throw error
  }
}

/** Losing the only key file would lose the vault, unless it was made that way. */
export function checkWayIn(before: readonly SlotRow[], left: readonly SlotRow[]): void {
  const isManual = ({ type }: SlotRow) => type !== 'keyfile'
  if (!before.some(isManual) || left.some(isManual)) return
  throw new VestryError('CONFLICT', 'Only key files would be left to unseal with', {
    hint: 'Keep or add a passphrase or recovery shares.',
  })
}

async function proveEach(
  context: SealContext,
  stored: StoredSeal,
  proofs: readonly Proof[],
  stack: DisposableStack,
): Promise<Opened[]> {
  if (proofs.length === 0)
    throw new VestryError('INVALID_PARAMS', 'A new root key needs at least one unseal secret')
  const opened: Opened[] = []
  let { slots } = usableSlots(stored)
  for (const proof of proofs) {
    const one = stack.use(await prove(context, stored, proof, slots))
    opened.push(one)
    slots = slots.filter((slot) => slot !== one.slot)
  }
  return opened
}

function resealKeyring(
  { random }: SealContext,
  { vaultId, keyring }: StoredSeal,
  [first]: readonly Opened[],
  root: Secret,
) {
  if (first === undefined) throw new VestryError('UNSEAL_FAILED')
  const entries = openKeyring(first.root.bytes, vaultId, keyring)
  try {
    return sealKeyring(root.bytes, vaultId, entries, random)
  } finally {
    disposeEntries(entries)
  }
}

async function commitSlot(
  context: SealContext,
  stored: StoredSeal,
  { slot, shares }: NewSlot,
): Promise<AddedSlot> {
  try {
    const generation = await commit(context, stored, { put: [slot] })
    return { slot: describeSlot(slot), shares, generation }
  } catch (error) {
    for (const share of shares) share[Symbol.dispose]()
    throw error
  }
}

async function commit(
  { store, now }: SealContext,
  stored: StoredSeal,
  change: SealChange,
): Promise<number> {
  const generation = await changeSeal(store, stored, change, now())
  if (generation !== undefined) return generation
  throw new VestryError('CONFLICT', 'The seal was changed by someone else meanwhile', {
    hint: 'Look at the slots and try again.',
  })
}

function describe(row: SlotRow, usable: boolean): SlotInfo {
  const { id, type, label, created_at: createdAt } = row
  return { id, type, label, createdAt, usable }
}
