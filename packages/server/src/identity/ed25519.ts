/**
 * Ed25519 keys in raw form. A public key is admitted only if it is a canonical encoding of a curve
 * point outside the small-order set: whether the platform verifies forged signatures for the others
 * depends on its version (OpenSSL 3.0 did, 3.5 does not).
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  verify as verifySignature,
} from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { unpooled } from '../seal/secret.ts'

export const PUBLIC_KEY_BYTES = 32
export const SEED_BYTES = 32
export const SIGNATURE_BYTES = 64

/** RFC 8410: the DER that precedes the 32 raw bytes. */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex')
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Field prime and curve constant d of RFC 8032 §5.1. */
const P = 2n ** 255n - 19n
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n

/**
 * The eight points whose order divides 8, in canonical encoding. For such a key one fixed signature
 * verifies for some or all messages, so a registered one is an open door.
 */
export const SMALL_ORDER: ReadonlySet<string> = new Set([
  '0100000000000000000000000000000000000000000000000000000000000000', // order 1
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', // order 2
  '0000000000000000000000000000000000000000000000000000000000000000', // order 4
  '0000000000000000000000000000000000000000000000000000000000000080',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', // order 8
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
])

export type WeakKey = 'length' | 'not canonical' | 'not on the curve' | 'small order'

/**
 * Why `raw` must not be registered, or undefined when it may be.
 *
 * @see RFC 8032 §5.1.3 for decoding; wire contract §5.3 for why registration is where this is checked.
 */
export function weakness(raw: Uint8Array): WeakKey | undefined {
  if (raw.length !== PUBLIC_KEY_BYTES) return 'length'
  const sign = (raw[31] ?? 0) >> 7
  let y = 0n
  for (let i = 31; i >= 0; i -= 1) {
    const byte = raw[i] ?? 0
    y = (y << 8n) | BigInt(i === 31 ? byte & 0x7f : byte)
  }
  if (y >= P) return 'not canonical'
  const ySquared = (y * y) % P
  const u = (ySquared - 1n + P) % P
  const v = (D * ySquared + 1n) % P
  // x² = u/v has a root exactly when u·v is a square, and then the encoding names a point.
  if (u === 0n) return sign === 1 ? 'not canonical' : 'small order'
  if (power((u * v) % P, (P - 1n) / 2n) !== 1n) return 'not on the curve'
  return SMALL_ORDER.has(Buffer.from(raw).toString('hex')) ? 'small order' : undefined
}

/**
 * @param raw 32 bytes as in wire contract §10.4.
 * @returns A verification key to keep and reuse: importing costs more than verifying.
 * @throws VestryError `INVALID_PARAMS` for a key that must not be registered.
 */
export function importPublicKey(raw: Uint8Array): KeyObject {
  const weak = weakness(raw)
  if (weak !== undefined) {
    const what = weak === 'length' ? `${raw.length} bytes, expected ${PUBLIC_KEY_BYTES}` : weak
    throw new VestryError('INVALID_PARAMS', `Ed25519 public key refused: ${what}`, {
      hint: 'Generate a new key pair and register its public half.',
    })
  }
  return createPublicKey({ key: Buffer.concat([SPKI_HEAD, raw]), format: 'der', type: 'spki' })
}

/** The 32 raw bytes of an Ed25519 key; of a private key, those of its public half. */
export function exportPublicKey(key: KeyObject): Uint8Array {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  if (publicKey.asymmetricKeyType !== 'ed25519')
    throw new VestryError('INVALID_PARAMS', 'Not an Ed25519 key')
  const der = publicKey.export({ format: 'der', type: 'spki' })
  return Uint8Array.from(der.subarray(SPKI_HEAD.length))
}

/** @param seed 32 secret bytes. Borrowed: neither kept nor wiped. */
export function importSeed(seed: Uint8Array): KeyObject {
  if (seed.length !== SEED_BYTES)
    throw new VestryError('INVALID_PARAMS', `Ed25519 seed is ${seed.length} bytes, expected 32`)
  const der = unpooled(PKCS8_HEAD.length + SEED_BYTES)
  der.set(PKCS8_HEAD)
  der.set(seed, PKCS8_HEAD.length)
  try {
    return createPrivateKey({ key: Buffer.from(der.buffer), format: 'der', type: 'pkcs8' })
  } finally {
    der.fill(0)
  }
}

/** `ed25519:` and the first 32 hex digits of the key's SHA-256. */
export function fingerprint(raw: Uint8Array): string {
  return `ed25519:${createHash('sha256').update(raw).digest('hex').slice(0, 32)}`
}

/** False for anything but a valid signature, whatever its length; S ≥ L fails in the platform. */
export function verify(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  return signature.length === SIGNATURE_BYTES && verifySignature(null, message, key, signature)
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  let square = base
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % P
    square = (square * square) % P
  }
  return result
}
