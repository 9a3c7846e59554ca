/** What is published of the signing keys of a domain (runtime contract §7.7). Pure. */
import { DEFAULT_KEY, type SigningKey } from './signing-key.ts'

export const DISCOVERY_PATH = '/.well-known/schemapin.json'
export const REVOCATIONS_PATH = '/.well-known/schemapin-revocations.json'

const SCHEMA_VERSION = '1.4'

export function discoveryUrl(domain: string): string {
  return `https://${domain}${DISCOVERY_PATH}`
}

/**
 * @param host As the request named it, with or without a port.
 * @returns The domain of keys whose documents are meant: the one named, else that of the default key, else the only one.
 */
export function domainFor(
  keys: readonly SigningKey[],
  host: string | undefined,
): string | undefined {
  const domains = [...new Set(keys.map(({ domain }) => domain))]
  const asked = host?.toLowerCase()
  const name = asked?.replace(/:\d+$/, '')
  const named = domains.find((domain) => [asked, name].includes(domain.toLowerCase()))
  return named ?? keys.find(({ id }) => id === DEFAULT_KEY)?.domain ?? domains[0]
}

/** @returns undefined while no key of the domain is in force. */
export function discoveryDocument(
  keys: readonly SigningKey[],
  domain: string,
): Record<string, unknown> | undefined {
  const own = keys.filter((key) => key.domain === domain)
  const active = own.filter(({ revoked }) => revoked === undefined)
  // One document has one key: what is signed unless told otherwise, else the newest.
  const key = active.find(({ id }) => id === DEFAULT_KEY) ?? active.at(-1)
  if (key === undefined) return undefined
  return {
    schema_version: SCHEMA_VERSION,
    developer_name: key.developerName,
    public_key_pem: key.publicKeyPem,
    revoked_keys: own.flatMap(({ revoked, fingerprint }) => (revoked ? [fingerprint] : [])),
    // Verifiers must reach what is declared here, and nobody reaches a name of one label.
    ...(domain.includes('.') && { revocation_endpoint: `https://${domain}${REVOCATIONS_PATH}` }),
  }
}

/** @param sinceMs When the first key was made, for a document without revocations. */
export function revocationDocument(
  keys: readonly SigningKey[],
  domain: string,
): Record<string, unknown> {
  const own = keys.filter((key) => key.domain === domain)
  const times = own.map(({ revoked, createdAt }) => revoked?.at ?? createdAt)
  return {
    schemapin_version: SCHEMA_VERSION,
    domain,
    updated_at: new Date(Math.max(0, ...times)).toISOString(),
    revoked_keys: own.flatMap(({ revoked, fingerprint }) =>
      revoked === undefined
        ? []
        : [
            {
              fingerprint,
              revoked_at: new Date(revoked.at).toISOString(),
              reason: revoked.reason,
            },
          ],
    ),
  }
}
