/** Ed25519 from a 32-byte seed. The key lives in the platform's key object, never in a plain field. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { vaultError } from './wire-error.ts'

export const SEED_BYTES = 32
export const SIGNATURE_BYTES = 64

/** Signs bytes with an agent's Ed25519 key: 64 bytes out. A hardware key fits behind it. */
export type Signer = (message: Uint8Array) => Promise<Uint8Array>

// RFC 8410: the fixed part of a PKCS#8 and an SPKI structure around raw Ed25519 key bytes.
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/**
 * @param seed 32 bytes. Borrowed: neither kept nor wiped.
 * @throws VaultError `INVALID_PARAMS` for any other length.
 */
export function signerFromSeed(seed: Uint8Array): Signer {
  const key = privateKey(seed)
  return async (message) => sign(null, message, key)
}

/** The 32-byte public key that belongs to a seed. */
export function publicKeyOfSeed(seed: Uint8Array): Buffer {
  const spki = createPublicKey(privateKey(seed)).export({ type: 'spki', format: 'der' })
  return spki.subarray(SPKI_PREFIX.length)
}

/** @param publicKey 32 bytes; any other length simply does not verify. */
export function verifies(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== 32 || signature.length !== SIGNATURE_BYTES) return false
  const key = createPublicKey({
    key: Buffer.concat([SPKI_PREFIX, publicKey]),
    format: 'der',
    type: 'spki',
  })
  return verify(null, message, key, signature)
}

function privateKey(seed: Uint8Array): KeyObject {
  if (!(seed instanceof Uint8Array) || seed.length !== SEED_BYTES) {
    throw vaultError('INVALID_PARAMS', `An Ed25519 seed is ${SEED_BYTES} bytes`)
  }
  const der = Buffer.allocUnsafeSlow(PKCS8_PREFIX.length + SEED_BYTES)
  der.set(PKCS8_PREFIX)
  der.set(seed, PKCS8_PREFIX.length)
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  } finally {
    der.fill(0)
  }
}
