/** What a provider publishes of its key, read: discovery and revocation documents, bare keys, TXT records. Pure. */
import { readToolJson } from '../../json/number-tokens.ts'
import { isTokenObject, type TokenJson, type TokenObject } from '../../json/raw-number.ts'
import { FINGERPRINT, type PublicKey, readPublicKey } from '../signing/public-key.ts'
import { Unverified } from './unverified.ts'

export interface Discovery {
  readonly key: PublicKey
  readonly developerName: string | undefined
  /** Fingerprints. */
  readonly revokedKeys: ReadonlySet<string>
  readonly revocationEndpoint: string | undefined
}

/** A release of the protocol this side of 2. */
const VERSION = /^1(?:\.\d{1,3}){0,2}$/
const MAX_NAME_CHARS = 256

/**
 * @param body A discovery document, or nothing but a public key in PEM.
 * @throws Unverified `DISCOVERY_INVALID`
 */
export function readDiscovery(body: Uint8Array): Discovery {
  const text = Buffer.from(body).toString('utf8').trim()
  if (text.startsWith('-----BEGIN')) {
    return {
      key: keyIn(text),
      developerName: undefined,
      revokedKeys: new Set(),
      revocationEndpoint: undefined,
    }
  }
  const document = objectIn(body, 'the discovery document')
  const version = document['schema_version']
  if (typeof version !== 'string' || !VERSION.test(version))
    throw invalid('the discovery document has no schema_version that is known')
  const pem = document['public_key_pem']
  if (typeof pem !== 'string' || pem === '')
    throw invalid('the discovery document has no public_key_pem')
  const name = document['developer_name'] ?? undefined
  const endpoint = document['revocation_endpoint'] ?? undefined
  // What cannot be read might have revoked the very key.
  if (endpoint !== undefined && typeof endpoint !== 'string')
    throw invalid('revocation_endpoint is no text')
  return {
    key: keyIn(pem),
    developerName: typeof name === 'string' ? name.slice(0, MAX_NAME_CHARS) : undefined,
    revokedKeys: new Set(revokedIn(document['revoked_keys'] ?? [])),
    revocationEndpoint: endpoint === '' ? undefined : endpoint,
  }
}

/**
 * @param domain Whose document it has to be.
 * @returns Fingerprints.
 * @throws Unverified `DISCOVERY_INVALID`
 */
export function readRevocations(body: Uint8Array, domain: string): ReadonlySet<string> {
  const document = objectIn(body, 'the revocation document')
  const named = document['domain'] ?? undefined
  if (named !== undefined && (typeof named !== 'string' || !isSameDomain(named, domain)))
    throw invalid('the revocation document is that of another domain')
  const keys = document['revoked_keys']
  if (!Array.isArray(keys)) throw invalid('the revocation document has no revoked_keys')
  return new Set(revokedIn(keys))
}

/**
 * @param records All TXT records of `_schemapin.<domain>`.
 * @returns Fingerprints that the domain vouches for; undefined when it says nothing.
 * @throws Unverified `DISCOVERY_INVALID` for a record of ours that cannot be read.
 */
export function readTxt(records: readonly string[]): ReadonlySet<string> | undefined {
  const ours = records.filter((record) => /^\s*v\s*=\s*schemapin/i.test(record))
  if (ours.length === 0) return undefined
  return new Set(ours.map(fingerprintIn))
}

export function isFingerprint(text: unknown): text is string {
  return typeof text === 'string' && FINGERPRINT.test(text.toLowerCase())
}

function fingerprintIn(record: string): string {
  const fields = new Map(
    record.split(';').flatMap((part): [string, string][] => {
      const [, key, value] = /^\s*([a-z]+)\s*=\s*(\S+)\s*$/i.exec(part) ?? []
      return key === undefined || value === undefined ? [] : [[key.toLowerCase(), value]]
    }),
  )
  const fingerprint = fields.get('fp')
  if (fields.get('v') === 'schemapin1' && isFingerprint(fingerprint))
    return fingerprint.toLowerCase()
  throw invalid('the TXT record of the domain cannot be read')
}

/** Entries are fingerprints, or objects that name one. */
function revokedIn(value: TokenJson): string[] {
  if (!Array.isArray(value)) throw invalid('revoked_keys is no list')
  return value.map((entry: TokenJson) => {
    const fingerprint = isTokenObject(entry) ? entry['fingerprint'] : entry
    // One that cannot be read might stand for the very key.
    if (!isFingerprint(fingerprint)) throw invalid('revoked_keys holds what is no fingerprint')
    return fingerprint.toLowerCase()
  })
}

/** A document of `example.com` serves `example.com:8443`, which has no other name. */
function isSameDomain(named: string, domain: string): boolean {
  const wanted = domain.toLowerCase()
  return [wanted, wanted.replace(/:\d+$/, '')].includes(named.toLowerCase())
}

function objectIn(body: Uint8Array, what: string): TokenObject {
  let value: TokenJson
  try {
    value = readToolJson(body)
  } catch {
    throw invalid(`${what} is not JSON`)
  }
  if (!isTokenObject(value)) throw invalid(`${what} is no object`)
  return value
}

function keyIn(pem: string): PublicKey {
  const key = readPublicKey(pem)
  if (key === undefined) throw invalid('what is published is no P-256 public key')
  return key
}

function invalid(message: string): Unverified {
  return new Unverified('DISCOVERY_INVALID', message)
}
