/**
 * SchemaPin signatures over canonical text: ECDSA on P-256 in DER, as standard Base64. Two ways to make them are in
 * use, and which one matched is told.
 */
import { createHash, type KeyObject, sign, verify } from 'node:crypto'

/** `A` signs the SHA-256 of the text as the message, `B` the text itself. */
export const PROFILES = ['A', 'B'] as const
export type Profile = (typeof PROFILES)[number]

export const SIGNATURE_ALGORITHM = 'ECDSA_P256'
export const CANONICALIZATION = 'schemapin-v1'

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
/** Two integers of 33 bytes and their frames have 72 bytes. */
const MAX_SIGNATURE_CHARS = 96

/** @returns Base64 with padding, on one line. */
export function signText(text: string, privateKey: KeyObject, profile: Profile): string {
  const key = { key: privateKey, dsaEncoding: 'der' as const }
  return sign('sha256', messageOf(text, profile), key).toString('base64')
}

/**
 * @param profiles Tried in this order.
 * @returns The first that the signature is valid under; undefined when it is under none.
 */
export function verifyText(
  text: string,
  signature: string,
  publicKey: KeyObject,
  profiles: readonly Profile[] = PROFILES,
): Profile | undefined {
  const der = derOf(signature)
  if (der === undefined) return undefined
  const key = { key: publicKey, dsaEncoding: 'der' as const }
  return profiles.find((profile) => verify('sha256', messageOf(text, profile), key, der))
}

function messageOf(text: string, profile: Profile): Uint8Array {
  return profile === 'A'
    ? createHash('sha256').update(text, 'utf8').digest()
    : Buffer.from(text, 'utf8')
}

function derOf(signature: string): Buffer | undefined {
  if (signature.length > MAX_SIGNATURE_CHARS || !BASE64.test(signature)) return undefined
  const der = Buffer.from(signature, 'base64')
  // Bits that stand for nothing must be zero, else one signature would have several texts.
  return der.toString('base64') === signature ? der : undefined
}
