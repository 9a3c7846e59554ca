/**
 * Slots: each wraps the same root key under a key of its own, from a passphrase, a key file or shares.
 * The wrap is bound to vault, slot and derivation parameters, so none of them can be exchanged.
 * @see wire contract §15.2, 15.3
 */
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import * as z from 'zod'
import { aad } from './aad.ts'
import { gcmSeal, gcmTryOpen, KEY_BYTES, NONCE_BYTES } from './gcm.ts'
import {
  Argon2idParams,
  defaultCost,
  freshParams,
  type KdfCost,
  ScryptParams,
  type Stretcher,
} from './kdf.ts'
import { keyFileId, parseKeyFile } from './keyfile.ts'
import { type Random, randomUnpooled, Secret } from './secret.ts'
import { MAX_SHARES, splitSecret } from './shamir.ts'
import { encodeShare, GROUP_DIGITS } from './share-text.ts'

const MAX_PASSPHRASE_BYTES = 1024
const MIN_PASSPHRASE_BYTES = 8

const KeyFileParams = z.strictObject({
  name: z.literal('keyfile'),
  key_id: z.string().regex(/^[0-9a-f]{16}$/),
})

const ShamirParams = z
  .strictObject({
    name: z.literal('shamir'),
    group: z.string().regex(/^[0-9a-f]{16}$/),
    threshold: z.int().min(2).max(MAX_SHARES),
    shares: z.int().min(2).max(MAX_SHARES),
  })
  .refine(({ threshold, shares }) => threshold <= shares, { error: 'more needed than exist' })

/** How the slot key comes about, as stored in clear and bound to the wrap. */
export const SlotKdf = z.union([Argon2idParams, ScryptParams, KeyFileParams, ShamirParams])
export type SlotKdf = z.output<typeof SlotKdf>

export type SlotType = 'passphrase' | 'keyfile' | 'shamir'

export interface Slot {
  id: string
  type: SlotType
  label: string
  kdf: SlotKdf
  nonce: Uint8Array
  wrappedRoot: Uint8Array
  /** Epoch milliseconds. */
  createdAt: number
}

/** What a new slot is made from. Secrets are borrowed: neither kept nor wiped. */
export type SlotSpec =
  | { type: 'passphrase'; passphrase: Uint8Array; label?: string }
  /** Content of a key file: 32 raw bytes or 64 hex digits. */
  | { type: 'keyfile'; keyfile: Uint8Array; label?: string }
  /** The shares are made here and returned once; default 3 of 5. */
  | { type: 'shamir'; threshold?: number; shares?: number; label?: string }

export interface SlotDeps {
  vaultId: string
  now: () => number
  stretcher: Stretcher
  /** Cost of new passphrase slots. */
  cost?: KdfCost
  random?: Random
}

export interface NewSlot {
  slot: Slot
  /** Texts of share-text.ts for a Shamir slot, else empty. The caller hands them out and disposes them. */
  shares: Secret[]
}

/** The part of a slot that its wrap is bound to. */
type SlotIdentity = Pick<Slot, 'id' | 'type' | 'kdf'>

/**
 * Wraps `root`, borrowed, in a new slot.
 * @throws VestryError `INVALID_PARAMS` for a secret that cannot serve.
 */
export async function createSlot(spec: SlotSpec, root: Secret, deps: SlotDeps): Promise<NewSlot> {
  const label = spec.label ?? spec.type
  const id = `slot_${randomHex(8)}`
  return fillSlot({ id, label, createdAt: deps.now() }, spec, root, deps)
}

/** The same slot under a new secret: 32 wrapped bytes and their parameters change, no data does. */
export async function rekeySlot(
  slot: Slot,
  spec: SlotSpec,
  root: Secret,
  deps: SlotDeps,
): Promise<NewSlot> {
  const { id, label, createdAt } = slot
  return fillSlot({ id, label, createdAt }, spec, root, deps)
}

/** The same slot, opened by the same secret, around another root key. */
export function rewrapSlot(slot: Slot, slotKey: Secret, root: Secret, deps: SlotDeps): Slot {
  return { ...slot, ...wrapRoot(deps, slot, slotKey, root) }
}

/** The root key, owned by the caller; `undefined` when `slotKey` is not this slot's key. */
export function openSlot(vaultId: string, slot: Slot, slotKey: Uint8Array): Secret | undefined {
  return gcmTryOpen(slotKey, slot.nonce, slot.wrappedRoot, slotAad(vaultId, slot))
}

async function fillSlot(
  row: Pick<Slot, 'id' | 'label' | 'createdAt'>,
  spec: SlotSpec,
  root: Secret,
  deps: SlotDeps,
): Promise<NewSlot> {
  const { kdf, key, shares } = await newSlotKey(spec, deps)
  using slotKey = key
  const identity = { id: row.id, type: spec.type, kdf }
  return { slot: { ...row, ...identity, ...wrapRoot(deps, identity, slotKey, root) }, shares }
}

async function newSlotKey(
  spec: SlotSpec,
  deps: SlotDeps,
): Promise<{ kdf: SlotKdf; key: Secret; shares: Secret[] }> {
  const random = deps.random ?? randomUnpooled
  switch (spec.type) {
    case 'passphrase': {
      checkPassphrase(spec.passphrase)
      const kdf = freshParams(deps.cost ?? defaultCost(), random)
      return { kdf, key: await deps.stretcher.derive(spec.passphrase, kdf), shares: [] }
    }
    case 'keyfile': {
      const key = parseKeyFile(spec.keyfile)
      return { kdf: { name: 'keyfile', key_id: keyFileId(key.bytes) }, key, shares: [] }
    }
    case 'shamir': {
      const { threshold = 3, shares = 5 } = spec
      const key = Secret.own(random(KEY_BYTES))
      const group = randomHex(GROUP_DIGITS / 2)
      const parts = splitSecret(key.bytes, threshold, shares, random)
      const texts = parts.map((part) => encodeShare(group, part.bytes))
      for (const part of parts) part[Symbol.dispose]()
      return { kdf: { name: 'shamir', group, threshold, shares }, key, shares: texts }
    }
  }
}

function wrapRoot(
  deps: SlotDeps,
  identity: SlotIdentity,
  slotKey: Secret,
  // A Secret, not its bytes: wrapping one that was wiped meanwhile must throw, not wrap zeros.
  root: Secret,
): Pick<Slot, 'nonce' | 'wrappedRoot'> {
  const nonce = (deps.random ?? randomUnpooled)(NONCE_BYTES)
  const wrappedRoot = gcmSeal(slotKey.bytes, nonce, root.bytes, slotAad(deps.vaultId, identity))
  return { nonce, wrappedRoot }
}

function slotAad(vaultId: string, { id, type, kdf }: SlotIdentity): Uint8Array {
  return aad('slot', vaultId, id, type, canonicalJson(kdf))
}

function checkPassphrase({ length }: Uint8Array): void {
  if (length >= MIN_PASSPHRASE_BYTES && length <= MAX_PASSPHRASE_BYTES) return
  throw new VestryError(
    'INVALID_PARAMS',
    `A passphrase is ${MIN_PASSPHRASE_BYTES} to ${MAX_PASSPHRASE_BYTES} bytes long`,
  )
}
