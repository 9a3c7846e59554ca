/** Keys that tools are signed with: what is known of one, and how one is read and made. Pure. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { openRecord, type RecordKeys, sealRecord } from '../../seal/record.ts'
import type { Tables } from '../../store/schema.ts'
import { type PublicKey, publicKeyOf } from './public-key.ts'

export const KEY_ID = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/
export const DEFAULT_KEY = 'default'

export const REVOKE_REASONS = [
  'key_compromise',
  'superseded',
  'cessation_of_operation',
  'privilege_withdrawn',
] as const
export type RevokeReason = (typeof REVOKE_REASONS)[number]

export interface SigningKey {
  readonly id: string
  /** Where others find the public key: `https://<domain>/.well-known/schemapin.json`. */
  readonly domain: string
  readonly developerName: string
  readonly publicKeyPem: string
  readonly fingerprint: string
  readonly createdAt: number
  readonly revoked: { readonly at: number; readonly reason: RevokeReason } | undefined
}

export type SigningKeyRow = Tables['signing_key']

export function newPrivateKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
}

/** @returns undefined for what is no PKCS #8 key on P-256 in PEM. */
export function readPrivateKey(pem: Buffer): KeyObject | undefined {
  // The library would also take older forms of private keys.
  if (!pem.includes('-----BEGIN PRIVATE ')) return undefined
  try {
    const key = createPrivateKey({ key: pem, format: 'pem' })
    return publicKeyOf(key) === undefined ? undefined : key
  } catch {
    return undefined
  }
}

/** @param key On P-256. */
export function publicHalf(key: KeyObject): PublicKey {
  const half = publicKeyOf(key)
  if (half === undefined) throw new VestryError('INTERNAL_ERROR', 'a signing key is not on P-256')
  return half
}

export function sealPrivateKey(keys: RecordKeys, id: string, key: KeyObject): Uint8Array {
  const der = key.export({ format: 'der', type: 'pkcs8' })
  try {
    return sealRecord(keys, placeOf(id), der)
  } finally {
    der.fill(0)
  }
}

/** @throws VestryError `SEAL_BROKEN` */
export function openPrivateKey(keys: RecordKeys, id: string, record: Uint8Array): KeyObject {
  using opened = openRecord(keys, placeOf(id), record)
  const { buffer, byteOffset, length } = opened.bytes
  return createPrivateKey({
    key: Buffer.from(buffer, byteOffset, length),
    format: 'der',
    type: 'pkcs8',
  })
}

/** @param row Whose MAC was checked. */
export function keyOf(row: SigningKeyRow): SigningKey {
  return {
    id: row.id,
    domain: row.domain,
    developerName: row.developer_name,
    publicKeyPem: row.public_key_pem,
    fingerprint: row.fingerprint,
    createdAt: row.created_at,
    revoked:
      row.status === 'active'
        ? undefined
        : { at: row.revoked_at ?? 0, reason: row.revoked_reason as RevokeReason },
  }
}

function placeOf(id: string) {
  return { path: id, version: 1, kind: 'signing-key' }
}
