/**
 * Encryption for agents with a credential as the key they never see. The credential only feeds a key
 * derivation, so any stored bytes will do and the derived key serves this path and this purpose alone.
 * Every way to fail is the one error `DECRYPT_FAILED`. @see wire contract §7.6
 */
import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { aad, u32 } from './aad.ts'
import { decodeBase64Bytes } from './bytes-text.ts'
import { gcmSeal, gcmTryOpen, KEY_BYTES, NONCE_BYTES, TAG_BYTES } from './gcm.ts'
import { type Random, randomUnpooled, type Secret } from './secret.ts'

const INFO = 'sanctum/use/encrypt/v1\0'
const CIPHERTEXT = /^sanctum:v([1-9]\d{0,9}):([A-Za-z0-9+/]+={0,2})$/
const MAX_VERSION = 0xffff_ffff

/** What a ciphertext is bound to. */
export interface UsePlace {
  vaultId: string
  path: string
  /** Version of the credential that is the key. */
  version: number
  /** Given by the agent and needed again to decrypt. */
  context?: string | Uint8Array
}

/** @param credential Borrowed. @returns AES-256 key for this credential version and path. */
export function deriveUseKey(credential: Uint8Array, path: string): KeyObject {
  const derived = new Uint8Array(
    hkdfSync('sha256', credential, new Uint8Array(32), `${INFO}${path}`, KEY_BYTES),
  )
  const key = createSecretKey(derived)
  derived.fill(0)
  return key
}

/** @returns `sanctum:v<version>:<base64 of nonce ‖ ciphertext ‖ tag>`. */
export function useEncrypt(
  place: UsePlace,
  credential: Uint8Array,
  plaintext: Uint8Array,
  random: Random = randomUnpooled,
): string {
  const nonce = random(NONCE_BYTES)
  const sealed = gcmSeal(deriveUseKey(credential, place.path), nonce, plaintext, useAad(place))
  return `sanctum:v${place.version}:${Buffer.concat([nonce, sealed]).toString('base64')}`
}

/**
 * Splits a ciphertext without opening it, so that the caller can fetch the version it names.
 * @throws VestryError `DECRYPT_FAILED`
 */
export function parseUseCiphertext(text: string): { version: number; sealed: Uint8Array } {
  const match = CIPHERTEXT.exec(text)
  const version = Number(match?.[1])
  const encoded = match?.[2]
  if (encoded === undefined || version > MAX_VERSION) throw failed()
  try {
    return { version, sealed: decodeBase64Bytes(Buffer.from(encoded, 'latin1')) }
  } catch {
    throw failed()
  }
}

/**
 * @param sealed `nonce ‖ ciphertext ‖ tag` of {@link parseUseCiphertext}.
 * @returns The plaintext; the caller disposes it.
 * @throws VestryError `DECRYPT_FAILED` whatever is wrong.
 */
export function useDecrypt(place: UsePlace, credential: Uint8Array, sealed: Uint8Array): Secret {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw failed()
  const opened = gcmTryOpen(
    deriveUseKey(credential, place.path),
    sealed.subarray(0, NONCE_BYTES),
    sealed.subarray(NONCE_BYTES),
    useAad(place),
  )
  if (opened === undefined) throw failed()
  return opened
}

function useAad(place: UsePlace): Uint8Array {
  return aad('use', place.vaultId, place.path, u32(place.version), place.context ?? '')
}

function failed(): VestryError {
  return new VestryError('DECRYPT_FAILED')
}
