/**
 * The hybrid form in which older gateways encrypted a payload to themselves (wire contract §6.5):
 * `RSA-OAEP(key) ‖ IV (16 B) ‖ AES-256-CBC`. CBC has no tag, so nothing is opened here before the HMAC over
 * it was checked, and every failure is the same undefined.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
} from 'node:crypto'
import { type Random, randomUnpooled } from '../../seal/secret.ts'

const CIPHER = 'aes-256-cbc'
const KEY_BYTES = 32
const IV_BYTES = 16
const BLOCK_BYTES = 16
/** What the existing gateways use, hash and MGF1 alike. OAEP does not rest on collision resistance. */
const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }

/** @param gatewayKey RSA, private or public. */
export function sealPayload(
  payload: Uint8Array,
  gatewayKey: KeyObject,
  random: Random = randomUnpooled,
): Uint8Array {
  const key = random(KEY_BYTES)
  const iv = random(IV_BYTES)
  const cipher = createCipheriv(CIPHER, key, iv)
  const sealed = Buffer.concat([cipher.update(payload), cipher.final()])
  const wrapped = publicEncrypt({ key: gatewayKey, ...OAEP }, key)
  key.fill(0)
  return Buffer.concat([wrapped, iv, sealed])
}

/** @param gatewayKey RSA, private. @returns undefined whatever is wrong. */
export function openPayload(sealed: Uint8Array, gatewayKey: KeyObject): Uint8Array | undefined {
  const modulusBytes = (gatewayKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8
  const body = sealed.length - modulusBytes - IV_BYTES
  if (modulusBytes === 0 || body < BLOCK_BYTES || body % BLOCK_BYTES !== 0) return undefined
  try {
    const wrapped = sealed.subarray(0, modulusBytes)
    const key = privateDecrypt({ key: gatewayKey, ...OAEP }, wrapped)
    const iv = sealed.subarray(modulusBytes, modulusBytes + IV_BYTES)
    const decipher = createDecipheriv(CIPHER, key, iv)
    key.fill(0)
    const opened = decipher.update(sealed.subarray(modulusBytes + IV_BYTES))
    return Buffer.concat([opened, decipher.final()])
  } catch {
    return undefined
  }
}
