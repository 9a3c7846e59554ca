/**
 * The header of a backup: slots and sealed keyring as clear JSON. It holds nothing that opens without an
 * unseal secret. @see wire contract §15.3
 */
import { accept } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { NONCE_BYTES, TAG_BYTES } from './gcm.ts'
import type { SealedKeyring } from './keyring.ts'
import { type Slot, SlotKdf } from './slot.ts'

const FORMAT = 1
/** Raised when a header can no longer be read by an older program. */
const READER = 1
const WRAPPED_ROOT_BYTES = 32 + TAG_BYTES

const bytes = (least: number, most = least) =>
  z.base64().refine(
    (text) => {
      const { length } = Buffer.from(text, 'base64')
      return length >= least && length <= most
    },
    { error: 'has the wrong length' },
  )

const VaultHeader = z.strictObject({
  format: z.literal(FORMAT),
  vault_id: z.uuid(),
  /** Epoch milliseconds, like every other time in it. */
  created_at: z.int(),
  slots: z
    .array(
      z.strictObject({
        id: z.string().min(1).max(64),
        type: z.enum(['passphrase', 'keyfile', 'shamir']),
        label: z.string().max(200),
        kdf: SlotKdf,
        nonce: bytes(NONCE_BYTES),
        wrapped_root: bytes(WRAPPED_ROOT_BYTES),
        created_at: z.int(),
      }),
    )
    .min(1)
    .max(16),
  keyring: z.strictObject({ nonce: bytes(NONCE_BYTES), ct: bytes(TAG_BYTES, 2 ** 22) }),
  min_reader: z.int(),
})
export type VaultHeader = z.output<typeof VaultHeader>

export interface SealFacts {
  vaultId: string
  createdAt: number
  slots: readonly Slot[]
  keyring: SealedKeyring
}

export function writeHeader({ vaultId, createdAt, slots, keyring }: SealFacts): VaultHeader {
  return {
    format: FORMAT,
    vault_id: vaultId,
    created_at: createdAt,
    slots: slots.map((slot) => ({
      id: slot.id,
      type: slot.type,
      label: slot.label,
      kdf: slot.kdf,
      nonce: base64(slot.nonce),
      wrapped_root: base64(slot.wrappedRoot),
      created_at: slot.createdAt,
    })),
    keyring: { nonce: base64(keyring.nonce), ct: base64(keyring.ct) },
    min_reader: READER,
  }
}

/** @throws VestryError `INVALID_PARAMS` naming the bad field, or saying that a newer program wrote it. */
export function readHeader(data: unknown): SealFacts {
  const { min_reader: needs } = accept(z.looseObject({ min_reader: z.int() }), data)
  if (needs > READER)
    throw new VestryError('INVALID_PARAMS', 'This backup was written by a newer version', {
      hint: 'Restore it with that version or a later one.',
    })
  const header = accept(VaultHeader, data)
  return {
    vaultId: header.vault_id,
    createdAt: header.created_at,
    slots: header.slots.map((slot) => ({
      id: slot.id,
      type: slot.type,
      label: slot.label,
      kdf: slot.kdf,
      nonce: fromBase64(slot.nonce),
      wrappedRoot: fromBase64(slot.wrapped_root),
      createdAt: slot.created_at,
    })),
    keyring: { nonce: fromBase64(header.keyring.nonce), ct: fromBase64(header.keyring.ct) },
  }
}

function base64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.length).toString('base64')
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'base64'))
}
