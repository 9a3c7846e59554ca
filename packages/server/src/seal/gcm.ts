/**
 * AES-256-GCM as the vault uses it: 12-byte nonce, 16-byte tag behind the ciphertext. Refuses to return bytes
 * that were not verified.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { Secret, unpooled } from './secret.ts'

export const KEY_BYTES = 32
export const NONCE_BYTES = 12
export const TAG_BYTES = 16

/** @param key 32 bytes, borrowed. @returns `ciphertext ‖ tag`, 16 bytes longer than `plaintext`. */
export function gcmSeal(
  key: KeyObject | Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  bound: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', keyObject(key), nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(bound)
  const sealed = unpooled(plaintext.length + TAG_BYTES)
  sealed.set(cipher.update(plaintext))
  cipher.final() // always empty for GCM; it computes the tag
  sealed.set(cipher.getAuthTag(), plaintext.length)
  return sealed
}

/** The plaintext, owned by the caller; `undefined` when key, nonce, bytes and bound data do not match. */
export function gcmTryOpen(
  key: KeyObject | Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  bound: Uint8Array,
): Secret | undefined {
  if (nonce.length !== NONCE_BYTES || sealed.length < TAG_BYTES) return undefined
  const end = sealed.length - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', keyObject(key), nonce, {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(bound)
  decipher.setAuthTag(sealed.subarray(end))
  const plaintext = decipher.update(sealed.subarray(0, end))
  try {
    decipher.final()
  } catch {
    plaintext.fill(0)
    return undefined
  }
  return Secret.own(plaintext)
}

/** Like {@link gcmTryOpen}. @throws VestryError `SEAL_BROKEN`, not saying which input was altered. */
export function gcmOpen(
  key: KeyObject | Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  bound: Uint8Array,
): Secret {
  const opened = gcmTryOpen(key, nonce, sealed, bound)
  if (opened === undefined) throw new VestryError('SEAL_BROKEN')
  return opened
}

/** Raw bytes handed to a cipher cost six times as much; either way the library clears its copy when collected. */
function keyObject(key: KeyObject | Uint8Array): KeyObject {
  return key instanceof Uint8Array ? createSecretKey(key) : key
}
