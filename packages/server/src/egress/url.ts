/**
 * Turns the URL an agent wrote into the one canonical target that policy, resolver and connector all use
 * (wire contract §8.2). Parses once, with the platform's WHATWG parser; what would mean different hosts to
 * different readers is refused.
 */
import { VestryError } from '@vestry/contract/errors'
import { parseAddress } from './addresses.ts'

export type Scheme = 'http' | 'https'

/** Where a request goes. Every part is canonical. */
export interface Target {
  scheme: Scheme
  /** Lower case, punycode, no trailing dot; IPv6 literals in brackets, as in a URL. */
  host: string
  port: number
  /** Begins with `/`; no query. */
  path: string
  /** Empty, or begins with `?`. */
  query: string
  /** Names of the query parameters, without values, each once: what audit may record. */
  queryNames: readonly string[]
  /** The whole URL, without fragment. */
  href: string
  /** The bytes of the host when it is an IP literal. */
  literal: Uint8Array | undefined
  /** Why policy must list this very host before it may be reached; undefined for ordinary names. */
  exactOnly: string | undefined
}

const MAX_LENGTH = 16_384

/** Special-use names: reachable only where policy lists the host itself. */
const SPECIAL = ['local', 'internal', 'localhost', 'home.arpa', 'onion']

/** Never reachable, whatever policy says. */
const NEVER = new Set(['metadata.google.internal'])

/**
 * @param raw Absolute http or https URL.
 * @throws VestryError `INVALID_PARAMS` for a URL that cannot be used, `SSRF_BLOCKED` for a host that is never
 *   allowed. The text of `raw` is not repeated: it may hold user info.
 */
export function parseTarget(raw: string): Target {
  checkText(raw)
  const scheme = /^(https?):\/\//i.exec(raw)
  if (scheme === null) throw invalid('must begin with https:// or http://')
  // Parsed URLs cannot tell `https://@host` from `https://host`, so the text is asked.
  const authority = raw.slice(scheme[0].length).split(/[/\\?#]/, 1)[0] ?? ''
  if (authority.includes('@'))
    throw invalid('carries user info', 'Store the login as a credential.')
  if (!URL.canParse(raw)) throw invalid('is not a valid URL')
  return canonical(new URL(raw))
}

/** The target of a redirect; `location` may be relative. @throws as {@link parseTarget} */
export function parseLocation(location: string, base: Target): Target {
  checkText(location)
  if (!URL.canParse(location, base.href)) throw invalid('is not a valid URL')
  return canonical(new URL(location, base.href))
}

/** Same scheme, host and port. */
export function sameOrigin(one: Target, other: Target): boolean {
  return one.scheme === other.scheme && one.host === other.host && one.port === other.port
}

function checkText(raw: string): void {
  if (raw.length > MAX_LENGTH) throw invalid(`is longer than ${MAX_LENGTH} characters`)
  // The parser removes tabs and newlines silently, and trims: what was checked must be what is used.
  if (/[\p{Cc}\p{Z}]/u.test(raw)) throw invalid('contains spaces or control characters')
  if (!raw.isWellFormed()) throw invalid('contains half a surrogate pair')
}

function canonical(url: URL): Target {
  const scheme = schemeOf(url)
  if (url.username !== '' || url.password !== '') throw invalid('carries user info')
  const host = canonicalHost(url.hostname)
  const port = url.port === '' ? (scheme === 'https' ? 443 : 80) : Number(url.port)
  if (port === 0) throw invalid('names port 0')
  const literal = parseAddress(host.startsWith('[') ? host.slice(1, -1) : host)
  const authority = url.port === '' ? host : `${host}:${port}`
  return {
    scheme,
    host,
    port,
    path: url.pathname,
    query: url.search,
    queryNames: [...new Set(url.searchParams.keys())],
    href: `${scheme}://${authority}${url.pathname}${url.search}`,
    literal,
    exactOnly: literal === undefined ? specialName(host) : 'it is an IP address',
  }
}

function schemeOf(url: URL): Scheme {
  if (url.protocol === 'https:') return 'https'
  if (url.protocol === 'http:') return 'http'
  throw invalid('must begin with https:// or http://')
}

function canonicalHost(hostname: string): string {
  if (hostname.startsWith('[')) return hostname
  const host = hostname.endsWith('.') ? hostname.slice(0, -1) : hostname
  const labels = host.split('.')
  if (labels.includes('')) throw invalid('has a host with an empty label')
  if (host.length > 253 || labels.some((label) => label.length > 63)) {
    throw invalid('has a host that is too long')
  }
  if (!/^[a-z0-9._-]+$/.test(host)) throw invalid('has a host with characters no host name has')
  if (NEVER.has(host)) {
    throw new VestryError('SSRF_BLOCKED', `Host "${host}" is never allowed`, { context: { host } })
  }
  return host
}

function specialName(host: string): string | undefined {
  const special = SPECIAL.find((name) => host === name || host.endsWith(`.${name}`))
  if (special !== undefined) return `names under .${special} are special-use`
  return host.includes('.') ? undefined : 'it is a name of one label'
}

function invalid(what: string, hint?: string): VestryError {
  return new VestryError('INVALID_PARAMS', `The URL ${what}`, hint === undefined ? {} : { hint })
}
