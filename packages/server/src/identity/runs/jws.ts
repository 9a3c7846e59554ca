/**
 * Compact JWS (RFC 7515): read strictly, sign, verify. The reader never chooses: which key and which algorithm
 * count is the caller's decision, and a key of the wrong kind verifies nothing. There is no `none` and no HMAC.
 */
import { constants, type KeyObject, type SignKeyObjectInput, sign, verify } from 'node:crypto'
import { readStrictJson } from '../../json/strict-json.ts'

interface Algorithm {
  readonly digest: 'sha256' | 'sha384' | 'sha512' | null
  readonly keyType: 'rsa' | 'ec' | 'ed25519'
  /** OpenSSL's name of the curve. */
  readonly curve?: string
  readonly pss?: true
}

const ALGORITHMS = {
  RS256: { digest: 'sha256', keyType: 'rsa' },
  RS384: { digest: 'sha384', keyType: 'rsa' },
  RS512: { digest: 'sha512', keyType: 'rsa' },
  PS256: { digest: 'sha256', keyType: 'rsa', pss: true },
  PS384: { digest: 'sha384', keyType: 'rsa', pss: true },
  PS512: { digest: 'sha512', keyType: 'rsa', pss: true },
  ES256: { digest: 'sha256', keyType: 'ec', curve: 'prime256v1' },
  ES384: { digest: 'sha384', keyType: 'ec', curve: 'secp384r1' },
  ES512: { digest: 'sha512', keyType: 'ec', curve: 'secp521r1' },
  EdDSA: { digest: null, keyType: 'ed25519' },
} as const satisfies Record<string, Algorithm>

export type JwsAlgorithm = keyof typeof ALGORITHMS

/** What the JWT-SVID standard permits; EdDSA is not among them. */
export const SVID_ALGORITHMS: ReadonlySet<string> = new Set(
  Object.keys(ALGORITHMS).filter((name) => name !== 'EdDSA'),
)

export type JsonObject = Readonly<Record<string, unknown>>

export interface ParsedJws {
  readonly header: JsonObject
  /** Not to be believed before the signature was verified. */
  readonly payload: JsonObject
  /** What is signed: the first two parts with their dot. */
  readonly signed: Buffer
  readonly signature: Buffer
}

const MIN_RSA_BITS = 2_048
const BASE64URL = /^[A-Za-z0-9_-]+$/

export function isJwsAlgorithm(name: unknown): name is JwsAlgorithm {
  return typeof name === 'string' && Object.hasOwn(ALGORITHMS, name)
}

/** @returns undefined unless the text is three parts of canonical base64url, the first two strict JSON objects. */
export function parseJws(text: string): ParsedJws | undefined {
  const parts = text.split('.')
  const [first, second, third] = parts
  if (parts.length !== 3 || first === undefined || second === undefined || third === undefined)
    return undefined
  const header = jsonObject(decode(first))
  const payload = jsonObject(decode(second))
  const signature = decode(third)
  if (header === undefined || payload === undefined || signature === undefined) return undefined
  return { header, payload, signed: Buffer.from(`${first}.${second}`, 'latin1'), signature }
}

/** @param privateKey Must fit `alg`. */
export function signJws(
  alg: JwsAlgorithm,
  privateKey: KeyObject,
  header: JsonObject,
  payload: JsonObject,
): string {
  const input = `${encode({ alg, ...header })}.${encode(payload)}`
  const signature = sign(ALGORITHMS[alg].digest, Buffer.from(input), keyInput(alg, privateKey))
  return `${input}.${signature.toString('base64url')}`
}

/** false for a wrong signature, and for a key that is not made for `alg`. */
export function verifyJws(
  alg: JwsAlgorithm,
  publicKey: KeyObject,
  { signed, signature }: ParsedJws,
): boolean {
  if (!fits(alg, publicKey)) return false
  try {
    return verify(ALGORITHMS[alg].digest, signed, keyInput(alg, publicKey), signature)
  } catch {
    return false // a signature of impossible form
  }
}

/** Whether a key is of the type, curve and strength that `alg` needs. */
export function fits(alg: JwsAlgorithm, key: KeyObject): boolean {
  const { keyType, curve }: Algorithm = ALGORITHMS[alg]
  if (key.asymmetricKeyType !== keyType) return false
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  return keyType === 'rsa' ? modulusLength >= MIN_RSA_BITS : namedCurve === curve
}

function keyInput(alg: JwsAlgorithm, key: KeyObject): KeyObject | SignKeyObjectInput {
  const { keyType, pss }: Algorithm = ALGORITHMS[alg]
  if (keyType === 'ec') return { key, dsaEncoding: 'ieee-p1363' }
  if (pss !== true) return key
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants
  return { key, padding, saltLength }
}

function encode(value: JsonObject): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/** Only the one spelling that an encoder writes: else one token would have several hashes. */
function decode(part: string): Buffer | undefined {
  if (!BASE64URL.test(part)) return undefined
  const bytes = Buffer.from(part, 'base64url')
  return bytes.toString('base64url') === part ? bytes : undefined
}

function jsonObject(bytes: Buffer | undefined): JsonObject | undefined {
  if (bytes === undefined) return undefined
  try {
    const value = readStrictJson(bytes)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
