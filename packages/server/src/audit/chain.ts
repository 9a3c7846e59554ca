/** The hash chain (telemetry contract §10.3): how records are linked and how a head is signed. Pure. */
import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'

/** `prev` of the first record of a chain. */
export const GENESIS = '0'.repeat(64)

const LINK_DOMAIN = 'envpod-audit-v1\0'
const HEAD_DOMAIN = 'envpod-audit-head-v1\0'
const TOMBSTONE_DOMAIN = 'envpod-audit-tombstone-v1\0'

const PREFIX = LINK_DOMAIN.length + 32
// Reused between calls, which is safe because hashing is synchronous; one allocation per record
// would cost more than the hash.
let scratch = Buffer.alloc(65_536)
scratch.write(LINK_DOMAIN, 'latin1')

/**
 * SHA-256(domain ‖ prev ‖ head ‖ rest).
 *
 * @param prev 64 hex digits, hashed as 32 raw bytes.
 * @param head With `rest` the RFC 8785 form of the record without `hash`; cut where `hash` would stand, so
 *   that the writer need not join the text twice.
 * @returns 64 hex digits.
 */
export function linkHash(prev: string, head: string, rest: string): string {
  const most = PREFIX + (head.length + rest.length) * 3
  if (most > scratch.length) {
    scratch = Buffer.alloc(most * 2)
    scratch.write(LINK_DOMAIN, 'latin1')
  }
  scratch.write(prev, LINK_DOMAIN.length, 'hex')
  let end = PREFIX + scratch.write(head, PREFIX)
  end += scratch.write(rest, end)
  return hash('sha256', scratch.subarray(0, end), 'hex')
}

/** Position of a chain: its last record. */
export interface Head {
  seq: number
  hash: string
}

/** What a checkpoint and `audit.head` hold. `signature` is base64, `key_id` names the signing key. */
export interface SignedHead extends Head {
  chain: string
  timestamp: string
  key_id: string
  signature: string
}

export interface Signer {
  privateKey: KeyObject
  /** SHA-256 of the public key, hex. */
  id: string
}

type Claim = Pick<SignedHead, 'chain' | 'seq' | 'hash' | 'timestamp'>

export function signHead(signer: Signer, claim: Claim): SignedHead {
  return signClaim(HEAD_DOMAIN, signer, claim)
}

/** Says that every record up to and including `seq` was deleted on purpose. */
export function signTombstone(signer: Signer, claim: Claim): SignedHead {
  return signClaim(TOMBSTONE_DOMAIN, signer, claim)
}

/** @param key Public Ed25519 key. */
export function headHolds(head: SignedHead, key: KeyObject): boolean {
  return claimHolds(HEAD_DOMAIN, head, key)
}

export function tombstoneHolds(head: SignedHead, key: KeyObject): boolean {
  return claimHolds(TOMBSTONE_DOMAIN, head, key)
}

function signClaim(domain: string, signer: Signer, claim: Claim): SignedHead {
  const signature = sign(null, claimBytes(domain, claim), signer.privateKey).toString('base64')
  return { ...claim, key_id: signer.id, signature }
}

function claimHolds(domain: string, head: SignedHead, key: KeyObject): boolean {
  return verify(null, claimBytes(domain, head), key, Buffer.from(head.signature, 'base64'))
}

function claimBytes(domain: string, { chain, seq, hash, timestamp }: Claim): Buffer {
  return Buffer.from(domain + canonicalJson({ chain, seq, hash, timestamp }))
}

/** @returns undefined when `value` does not have the shape of a signed head. */
export function asSignedHead(value: unknown): SignedHead | undefined {
  if (value === null || typeof value !== 'object') return undefined
  const { chain, seq, hash, timestamp, key_id, signature } = value as Record<string, unknown>
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq)) return undefined
  if (typeof chain !== 'string' || typeof hash !== 'string' || typeof timestamp !== 'string')
    return undefined
  if (typeof key_id !== 'string' || typeof signature !== 'string') return undefined
  return { chain, seq, hash, timestamp, key_id, signature }
}

export type PublicKey = KeyObject | Uint8Array

/** Public keys by id. @param keys Ed25519 keys, raw 32 bytes or key objects. */
export function keysById(keys: readonly PublicKey[]): Map<string, KeyObject> {
  return new Map(
    keys.map((key) => {
      const raw = key instanceof Uint8Array ? key : rawPublicKey(key)
      return [hash('sha256', raw), key instanceof Uint8Array ? publicKey(raw) : key] as const
    }),
  )
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url')
}

function publicKey(raw: Uint8Array): KeyObject {
  const x = Buffer.from(raw).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}
