/** Keyed hashes: equal for equal secrets, useless to whoever lacks the key. */
import { createHmac, type KeyObject } from 'node:crypto'
import { aad } from './aad.ts'

const TAG_HEX = 32
const DISK_ID_BYTES = 16

/**
 * `hmac:` and 32 hex digits, the only form in which a secret value enters the audit log.
 * @see wire contract §17.2
 */
export function hmacTag(hashKey: KeyObject, bytes: Uint8Array | string): string {
  const hex = createHmac('sha256', hashKey).update(bytes).digest('hex')
  return `hmac:${hex.slice(0, TAG_HEX)}`
}

/** All 32 bytes of the keyed hash, for columns that are looked up or compared: lease ids, API keys. */
export function keyedHash(hashKey: KeyObject, bytes: Uint8Array | string): Uint8Array {
  return createHmac('sha256', hashKey).update(bytes).digest()
}

/**
 * A credential's name where names must not be readable, e.g. in exported files: 32 hex digits.
 * @see wire contract §15.5
 */
export function diskId(
  keys: { readonly vaultId: string; readonly indexKey: KeyObject },
  path: string,
): string {
  const hash = createHmac('sha256', keys.indexKey)
    .update(aad('idx', keys.vaultId, path))
    .digest()
  return hash.toString('hex', 0, DISK_ID_BYTES)
}
