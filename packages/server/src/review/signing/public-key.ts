/** Public keys of signers: P-256 and nothing else, whatever way their PEM was written. */
import { createPublicKey, hash, type KeyObject } from 'node:crypto'

export interface PublicKey {
  readonly key: KeyObject
  /** `PUBLIC KEY`, `\n` line ends and one at its end. */
  readonly pem: string
  /** `sha256:` and 64 hex digits, over the DER of the SubjectPublicKeyInfo. */
  readonly fingerprint: string
}

export const FINGERPRINT = /^sha256:[0-9a-f]{64}$/

const PEM = /^-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END PUBLIC KEY-----\s*$/
const MAX_PEM_CHARS = 4_096

/** @returns undefined for what is no P-256 public key in PEM; a private key or certificate is none either. */
export function readPublicKey(pem: string): PublicKey | undefined {
  const text = pem.trimStart()
  if (text.length > MAX_PEM_CHARS || !PEM.test(text)) return undefined
  try {
    return publicKeyOf(createPublicKey({ key: text.replaceAll('\r\n', '\n'), format: 'pem' }))
  } catch {
    return undefined
  }
}

/** @returns undefined unless the key is one on P-256. */
export function publicKeyOf(given: KeyObject): PublicKey | undefined {
  const { namedCurve } = given.asymmetricKeyDetails ?? {}
  if (given.asymmetricKeyType !== 'ec' || namedCurve !== 'prime256v1') return undefined
  const point = given.type === 'private' ? createPublicKey(given) : given
  // One key has one fingerprint: compressed points and spelt-out curves come back in the common form.
  const key = createPublicKey({ key: point.export({ format: 'jwk' }), format: 'jwk' })
  return {
    key,
    pem: key.export({ type: 'spki', format: 'pem' }).toString(),
    fingerprint: `sha256:${hash('sha256', key.export({ type: 'spki', format: 'der' }))}`,
  }
}
