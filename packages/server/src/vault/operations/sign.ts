/** `sign` and `verify`: MACs and signatures made with a credential that stays here (wire contract §7.4–7.5). */
import {
  constants,
  createHmac,
  createPrivateKey,
  createPublicKey,
  sign as cryptoSign,
  verify as cryptoVerify,
  type KeyObject,
  type SignKeyObjectInput,
  timingSafeEqual,
} from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { decodeBase64Bytes, decodeHexBytes } from '../../seal/bytes-text.ts'
import { type Secret, unpooled } from '../../seal/secret.ts'
import type { CredentialFacts } from '../credential.ts'
import {
  dataBytes,
  invalid,
  optionalString,
  type Params,
  requiredString,
  tryDecode,
} from './params.ts'

export const MAX_DATA_BYTES = 1024 * 1024

type Mac = { kind: 'mac'; hash: 'sha256' | 'sha512' | 'sha1' }
type Signature = { kind: 'signature'; keyType: 'ed25519' | 'ec' | 'rsa'; pss?: boolean }
type Algorithm = Mac | Signature

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ['hmac-sha256', { kind: 'mac', hash: 'sha256' }],
  ['hmac-sha512', { kind: 'mac', hash: 'sha512' }],
  ['hmac-sha1', { kind: 'mac', hash: 'sha1' }],
  ['ed25519', { kind: 'signature', keyType: 'ed25519' }],
  ['ecdsa-p256-sha256', { kind: 'signature', keyType: 'ec' }],
  ['rsa-pss-sha256', { kind: 'signature', keyType: 'rsa', pss: true }],
  ['rsa-pkcs1-sha256', { kind: 'signature', keyType: 'rsa' }],
])

export interface SigningRequest {
  /** Its name as policy and the result write it. */
  readonly algorithm: string
  readonly how: Algorithm
  readonly data: Buffer
}

/** Names are matched after lower-casing and `_` → `-`; the default follows the credential's type. */
export function readSigningRequest(
  params: Params,
  found: CredentialFacts | undefined,
): SigningRequest {
  const named = optionalString(params, 'algorithm', 64)?.toLowerCase().replaceAll('_', '-')
  const algorithm = named ?? (found?.type === 'signing_key' ? 'ed25519' : 'hmac-sha256')
  const how = ALGORITHMS.get(algorithm)
  if (how === undefined) {
    throw invalid('algorithm', 'is not known', `Use one of ${[...ALGORITHMS.keys()].join(', ')}`)
  }
  return { algorithm, how, data: dataBytes(params, ['data', 'payload'], MAX_DATA_BYTES) }
}

/** @throws VestryError UNUSABLE_CREDENTIAL for hmac-sha1 unless the operator allowed it here. */
export function assertLegacy({ algorithm }: SigningRequest, { settings }: CredentialFacts): void {
  if (algorithm !== 'hmac-sha1' || settings.allow_legacy) return
  throw new VestryError('UNUSABLE_CREDENTIAL', 'hmac-sha1 is not enabled for this credential', {
    hint: 'Ask an operator to set allow_legacy on it, or use hmac-sha256',
  })
}

export function sign(
  { algorithm, how, data }: SigningRequest,
  secret: Secret,
  facts: CredentialFacts,
): Buffer {
  using key = keyBytes(secret, facts)
  if (how.kind === 'mac') return createHmac(how.hash, key.bytes).update(data).digest()
  const privateKey = readPrivateKey(key.bytes, how)
  try {
    return cryptoSign(digestOf(how), data, signingKey(privateKey, how))
  } catch (cause) {
    throw unusable(algorithm, cause)
  }
}

/** @param signatures What the caller's text may stand for: one of them is enough. */
export function verify(
  { how, data }: SigningRequest,
  signatures: readonly Buffer[],
  secret: Secret,
  facts: CredentialFacts,
): boolean {
  using key = keyBytes(secret, facts)
  if (how.kind === 'mac') {
    const expected = createHmac(how.hash, key.bytes).update(data).digest()
    return signatures.some(
      (signature) => expected.length === signature.length && timingSafeEqual(expected, signature),
    )
  }
  const publicKey = signingKey(createPublicKey(readPrivateKey(key.bytes, how)), how)
  return signatures.some((signature) => cryptoVerify(digestOf(how), data, publicKey, signature))
}

/**
 * Base64 or hex, and it need not say which: every reading that is possible counts.
 * @throws VestryError INVALID_PARAMS for text that is neither.
 */
export function readSignatures(params: Params): Buffer[] {
  const text = requiredString(params, 'signature', 16_384)
  const readings = (['hex', 'base64'] as const).flatMap((encoding) => {
    const bytes = tryDecode(text, encoding)
    return bytes === undefined ? [] : [bytes]
  })
  if (readings.length === 0) throw invalid('signature', 'is neither base64 nor hexadecimal')
  return readings
}

/** The credential's bytes as key bytes, by its `key_encoding`; a copy that the caller disposes. */
function keyBytes(
  secret: Secret,
  { settings }: CredentialFacts,
): { bytes: Uint8Array } & Disposable {
  const bytes = decodeKey(secret.bytes, settings.key_encoding)
  return { bytes, [Symbol.dispose]: () => void bytes.fill(0) }
}

function decodeKey(stored: Uint8Array, encoding: 'utf8' | 'hex' | 'base64'): Uint8Array {
  try {
    if (encoding === 'hex') return decodeHexBytes(stored)
    if (encoding === 'base64') return decodeBase64Bytes(stored)
  } catch (cause) {
    throw new VestryError('UNUSABLE_CREDENTIAL', `the credential is not valid ${encoding}`, {
      hint: 'Ask an operator to correct key_encoding',
      cause,
    })
  }
  const copy = unpooled(stored.length)
  copy.set(stored)
  return copy
}

/** PKCS#8 wrapping of a raw 32-byte Ed25519 seed (RFC 8410 §7). */
const ED25519_PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

function readPrivateKey(bytes: Uint8Array, { keyType }: Signature): KeyObject {
  const wrapped =
    keyType === 'ed25519' && bytes.length === 32
      ? Buffer.concat([ED25519_PKCS8_PREFIX, bytes])
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  try {
    const isDer = wrapped[0] === 0x30
    const key = isDer
      ? createPrivateKey({ key: wrapped, format: 'der', type: 'pkcs8' })
      : createPrivateKey({ key: wrapped, format: 'pem' })
    if (key.asymmetricKeyType !== keyType)
      throw new TypeError(`the key is ${key.asymmetricKeyType}`)
    if (keyType === 'ec' && key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
      throw new TypeError('the key is not on P-256')
    }
    return key
  } catch (cause) {
    throw unusable(keyType, cause)
  } finally {
    if (wrapped.length !== bytes.length) wrapped.fill(0)
  }
}

function digestOf({ keyType }: Signature): string | null {
  return keyType === 'ed25519' ? null : 'sha256'
}

function signingKey(key: KeyObject, { keyType, pss }: Signature): KeyObject | SignKeyObjectInput {
  if (keyType !== 'rsa') return key
  return pss === true
    ? {
        key,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      }
    : { key, padding: constants.RSA_PKCS1_PADDING }
}

/** The cause stays out of `message`: key parsers quote what they read. */
function unusable(what: string, cause: unknown): VestryError {
  return new VestryError('UNUSABLE_CREDENTIAL', `the credential is not a usable ${what} key`, {
    hint: 'Ed25519 takes a 32-byte seed or PKCS#8; ECDSA and RSA take PKCS#8 PEM',
    cause,
  })
}
