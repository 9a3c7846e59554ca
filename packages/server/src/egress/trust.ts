/** Whom TLS believes: the system's authorities plus the operator's own, TLS 1.2 or newer, and optional pins. */
import { hash, type X509Certificate } from 'node:crypto'
import {
  createSecureContext,
  getCACertificates,
  type SecureContext,
  type TLSSocket,
} from 'node:tls'
import { VestryError } from '@vestry/contract/errors'

/**
 * A source of the one context that all connections share. Reading a few hundred roots takes tens of
 * milliseconds, so it happens once, at the first use.
 *
 * @param caPem Authorities trusted besides the system's, as PEM.
 */
export function trustStore(caPem?: string): () => SecureContext {
  let context: SecureContext | undefined
  return () => {
    context ??= createSecureContext({
      ca: [...systemAuthorities(), ...(caPem === undefined ? [] : [caPem])],
      minVersion: 'TLSv1.2',
    })
    return context
  }
}

/** Slim images have no system store; then the authorities that come with Node stand in. */
function systemAuthorities(): string[] {
  const system = getCACertificates('system')
  return system.length > 0 ? system : getCACertificates('bundled')
}

/**
 * SHA-256 of a public key (SubjectPublicKeyInfo, DER) as hex or base64, in one spelling.
 *
 * @throws VestryError `CONFIG_INVALID` for anything that is not 32 bytes.
 */
export function canonicalPin(text: string): string {
  const pin = text.replace(/^sha256[/:]+/i, '')
  const bytes = /^[0-9a-f]{64}$/i.test(pin) ? Buffer.from(pin, 'hex') : Buffer.from(pin, 'base64')
  if (bytes.length === 32) return bytes.toString('base64')
  throw new VestryError('CONFIG_INVALID', `"${text}" is not a SHA-256 pin`, {
    hint: 'Write the SHA-256 of the public key (SPKI) as hex or base64.',
  })
}

/**
 * True when the peer's own key, or that of an authority which really signed it, is among `pins`.
 * Each signature is checked again here: a peer may send any unrelated certificate along.
 */
export function matchesPin(socket: TLSSocket, pins: readonly string[]): boolean {
  let certificate = socket.getPeerX509Certificate()
  // Chains are a handful deep; the bound only stops a cycle.
  for (let depth = 0; certificate !== undefined && depth < 10; depth += 1) {
    if (pins.includes(keyPin(certificate))) return true
    certificate = signerOf(certificate)
  }
  return false
}

function signerOf(certificate: X509Certificate): X509Certificate | undefined {
  const issuer = certificate.issuerCertificate
  if (issuer === undefined || issuer.fingerprint256 === certificate.fingerprint256) return undefined
  return certificate.verify(issuer.publicKey) ? issuer : undefined
}

/** The pin of one certificate's public key. */
export function keyPin(certificate: X509Certificate): string {
  return hash('sha256', certificate.publicKey.export({ type: 'spki', format: 'der' }), 'base64')
}
