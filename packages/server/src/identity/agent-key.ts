/** The public keys of an agent: which are admitted, how they are written down, which still count. */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { exportPublicKey, fingerprint, importPublicKey } from './ed25519.ts'

/** `active` counts; `retiring` counts until `expiresAt` (epoch ms); `retired` is history. */
export const AgentKey = z.strictObject({
  alg: z.enum(['ed25519', 'rsa']),
  /** Ed25519: 64 hex digits of the raw key. RSA: SPKI PEM. */
  publicKey: z.string(),
  createdAt: z.int(),
  expiresAt: z.int().optional(),
  status: z.enum(['active', 'retiring', 'retired']),
})
export type AgentKey = Readonly<z.output<typeof AgentKey>>

const HEX_KEY = /^[0-9a-fA-F]{64}$/
const MIN_RSA_BITS = 2048
/** Verification cost grows with the modulus; beyond this it is a load on us, not a gain for them. */
const MAX_RSA_BITS = 8192

/**
 * @param text 64 hex digits of a raw Ed25519 key, or an SPKI PEM of an Ed25519 or RSA key.
 * @throws VestryError `INVALID_PARAMS` for weak keys, private keys and everything else.
 */
export function acceptKey(text: string, nowMs: number): AgentKey {
  const trimmed = text.trim()
  if (HEX_KEY.test(trimmed)) return ed25519Key(Buffer.from(trimmed, 'hex'), nowMs)
  // createPublicKey would also take a private key and derive from it; such input is a mistake to name.
  if (!trimmed.startsWith('-----BEGIN PUBLIC KEY-----'))
    throw refused('expected 64 hex digits or an SPKI PEM', undefined)
  const key = parsePem(trimmed)
  if (key.asymmetricKeyType === 'ed25519') return ed25519Key(exportPublicKey(key), nowMs)
  if (key.asymmetricKeyType !== 'rsa') throw refused(`type ${key.asymmetricKeyType}`, undefined)
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS)
    throw refused(`RSA with ${modulusLength} bits, expected 2048 to 8192`, undefined)
  // With e = 1 the signature is the padded message itself: anyone can write one.
  if (publicExponent < 3n || publicExponent % 2n === 0n)
    throw refused(`RSA with exponent ${publicExponent}`, undefined)
  return {
    alg: 'rsa',
    publicKey: key.export({ format: 'pem', type: 'spki' }).toString(),
    createdAt: nowMs,
    status: 'active',
  }
}

function ed25519Key(raw: Uint8Array, nowMs: number): AgentKey {
  importPublicKey(raw)
  const publicKey = Buffer.from(raw).toString('hex')
  return { alg: 'ed25519', publicKey, createdAt: nowMs, status: 'active' }
}

/** A key object for verifying; keep it, importing is slow. */
export function keyObject(key: AgentKey): KeyObject {
  return key.alg === 'ed25519'
    ? importPublicKey(Buffer.from(key.publicKey, 'hex'))
    : createPublicKey(key.publicKey)
}

/** SPKI PEM, whatever the algorithm. */
export function publicKeyPem(key: AgentKey): string {
  return keyObject(key).export({ format: 'pem', type: 'spki' }).toString()
}

/** `ed25519:…` over the raw key, `rsa:…` over the SPKI DER; 32 hex digits of SHA-256 each. */
export function keyFingerprint(key: AgentKey): string {
  if (key.alg === 'ed25519') return fingerprint(Buffer.from(key.publicKey, 'hex'))
  const der = createPublicKey(key.publicKey).export({ format: 'der', type: 'spki' })
  return `rsa:${createHash('sha256').update(der).digest('hex').slice(0, 32)}`
}

/** Whether the key may prove an identity now. */
export function counts(key: AgentKey, nowMs: number): boolean {
  if (key.status === 'active') return true
  return key.status === 'retiring' && key.expiresAt !== undefined && nowMs < key.expiresAt
}

/** The key as it stands after a successor arrived. A retiring key is not prolonged by a second one. */
export function retire(key: AgentKey, overlapMs: number, nowMs: number): AgentKey {
  if (key.status === 'retired') return key
  if (key.status === 'active' && overlapMs > 0)
    return { ...key, status: 'retiring', expiresAt: nowMs + overlapMs }
  return { ...key, status: 'retired', expiresAt: Math.min(key.expiresAt ?? nowMs, nowMs) }
}

function parsePem(text: string): KeyObject {
  try {
    return createPublicKey({ key: text, format: 'pem', type: 'spki' })
  } catch (cause) {
    throw refused('not a readable PEM', cause)
  }
}

function refused(what: string, cause: unknown): VestryError {
  return new VestryError('INVALID_PARAMS', `Public key refused: ${what}`, {
    hint: 'Give the raw Ed25519 key as 64 hex digits, or an RSA key of 2048 bits or more as PEM.',
    cause,
  })
}
