/**
 * Host patterns (wire contract §8.1): `api.example.com`, `*.example.com` (exactly one more label), `*`, IP
 * literals, each with an optional `:port` and `/path` or `/path-prefix*`. Compares canonical hosts only;
 * when a pattern names a path, a path whose meaning depends on who decodes it never matches.
 *
 * `.example.com` is a domain: the host itself and everything below it, on ports 80 and 443 by either
 * scheme, with `:port` on exactly that port, with `:*` on any. An address has nothing below it.
 */
import { isIP } from 'node:net'
import { VestryError } from '@vestry/contract/errors'

/** Where a request goes, as the platform's URL parser gave it. */
export interface Target {
  scheme: 'http' | 'https'
  /** Canonical: lower case, punycode, no trailing dot; IPv6 with or without brackets. */
  host: string
  port: number
  /** Path without query; begins with `/`. */
  path: string
  /** Of the query, for a person; no rule asks for them. */
  queryNames?: readonly string[]
}

export interface HostPattern {
  text: string
  /**
   * `exact`: `host` is the whole name. `label`: `host` is what follows one label. `any`: every host.
   * `domain`: `host` and everything below it.
   */
  match: 'exact' | 'label' | 'any' | 'domain'
  host: string
  /** Absent: 443 for https, 80 for http; either for a domain. */
  port?: number | 'any'
  path?: { text: string; prefix: boolean }
}

/**
 * @throws VestryError `POLICY_INVALID`; a bare `*` parses, and it is the caller's job to refuse it
 *   where nobody said that they meant it.
 */
export function parseHostPattern(text: string): HostPattern {
  if (text === '') throw invalid(text, 'is empty')
  if (text.startsWith('.')) return parseDomainPattern(text)
  if (/[\s,\\?#@]|:\/\//.test(text)) {
    throw invalid(text, 'is not a host pattern', 'Write host[:port][/path*] without a scheme.')
  }
  const slash = text.indexOf('/')
  const authority = slash < 0 ? text : text.slice(0, slash)
  const { name, port } = splitPort(authority, text)
  const path = slash < 0 ? undefined : parsePath(text.slice(slash), text)
  return {
    text,
    ...parseName(name, text),
    ...(port === undefined ? {} : { port }),
    ...(path === undefined ? {} : { path }),
  }
}

/** A `HostGlob` entity id: one pattern or several separated by commas. */
export function parseHostPatterns(text: string): HostPattern[] {
  return text.split(',').map((part) => parseHostPattern(part.trim()))
}

/** @throws VestryError `POLICY_INVALID` */
function parseDomainPattern(text: string): HostPattern {
  if (/[\s\\?#@/]/.test(text)) throw invalid(text, 'is not a domain', 'Write .example.com[:port].')
  const anyPort = text.endsWith(':*')
  const authority = anyPort ? text.slice(1, -2) : text.slice(1)
  const { name, port = anyPort ? 'any' : undefined } = splitPort(authority, text)
  const host = canonicalHost(name.startsWith('[') ? name.slice(1, -1) : name, text)
  if (host.split('.').includes('')) throw invalid(text, 'has an empty label')
  return { text, match: 'domain', host, ...(port === undefined ? {} : { port }) }
}

export function hostMatches(pattern: HostPattern, target: Target): boolean {
  return (
    portMatches(pattern, target) &&
    nameMatches(pattern, bareHost(target.host)) &&
    (pattern.path === undefined || pathMatches(pattern.path, target.path))
  )
}

/** True when the pattern names this very host: what an IP literal or a one-label name needs (8.2). */
export function isExactHost(pattern: HostPattern, target: Target): boolean {
  const names = pattern.match === 'exact' || pattern.match === 'domain'
  return names && pattern.host === bareHost(target.host) && hostMatches(pattern, target)
}

function portMatches({ match, port }: HostPattern, target: Target): boolean {
  if (port === 'any') return true
  if (port !== undefined) return port === target.port
  if (match === 'domain') return target.port === 443 || target.port === 80
  return target.port === (target.scheme === 'https' ? 443 : 80)
}

function nameMatches(pattern: HostPattern, host: string): boolean {
  switch (pattern.match) {
    case 'any':
      return true
    case 'exact':
      return pattern.host === host
    case 'label': {
      const dot = host.indexOf('.')
      return dot > 0 && host.slice(dot + 1) === pattern.host && isIP(host) === 0
    }
    case 'domain':
      return host === pattern.host || (isIP(host) === 0 && host.endsWith(`.${pattern.host}`))
  }
}

/**
 * Refuses encoded slashes, back-slashes and dot segments, doubly encoded ones too: an upstream that
 * decodes once more than we do would see another path. So would one that reads over-long UTF-8 as the
 * character it stands for, or stops at a NUL.
 */
function pathMatches(pattern: { text: string; prefix: boolean }, path: string): boolean {
  if (/%(25)*(2f|5c|2e|[01][0-9a-f]|7f)|\\/i.test(path.replace(/%2e/gi, '.'))) return false
  if (!isUtf8(path)) return false
  const plain = decodeUnreserved(path)
  // `..;x` is a dot segment to servers that know path parameters.
  if (/(^|\/)\.\.?(;|\/|$)/.test(plain) || plain.includes('/..')) return false
  return pattern.prefix ? plain.startsWith(pattern.text) : plain === pattern.text
}

function isUtf8(path: string): boolean {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}

function decodeUnreserved(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (encoded, hex: string) => {
    const char = String.fromCharCode(Number.parseInt(hex, 16))
    return /[A-Za-z0-9._~-]/.test(char) ? char : encoded.toUpperCase()
  })
}

/** The form compared here: no brackets, lower case, at most one trailing dot gone. */
export function bareHost(host: string): string {
  const lower = host.toLowerCase()
  if (lower.startsWith('[') && lower.endsWith(']')) return lower.slice(1, -1)
  return lower.endsWith('.') ? lower.slice(0, -1) : lower
}

function splitPort(authority: string, text: string): { name: string; port?: number } {
  // A bare IPv6 literal has colons of its own; only the bracketed form can carry a port.
  if (isIP(authority) === 6) return { name: authority }
  const colon = authority.lastIndexOf(':')
  if (colon < 0 || authority.endsWith(']')) return { name: authority }
  const digits = authority.slice(colon + 1)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  if (port < 1 || port > 65_535) throw invalid(text, `has no valid port: "${digits}"`)
  return { name: authority.slice(0, colon), port }
}

function parseName(name: string, text: string): Pick<HostPattern, 'match' | 'host'> {
  if (name === '*') return { match: 'any', host: '' }
  if (name.startsWith('*.')) {
    const host = canonicalHost(name.slice(2), text)
    if (isIP(host) !== 0) throw invalid(text, 'puts a wildcard before an address')
    return { match: 'label', host }
  }
  return { match: 'exact', host: canonicalHost(name, text) }
}

function canonicalHost(name: string, text: string): string {
  if (name.includes('*')) {
    throw invalid(text, 'has a misplaced wildcard', 'Use *.example.com or list the hosts.')
  }
  const url = isIP(name) === 6 ? `https://[${name}]/` : `https://${name}/`
  const host = name === '' || !URL.canParse(url) ? '' : bareHost(new URL(url).hostname)
  if (host === '' || host.endsWith('.') || host.includes('%'))
    throw invalid(text, 'has no valid host')
  // "1.2.3" or "0x7f.1" would quietly become another address.
  if (isIP(host) === 4 && isIP(name) !== 4) throw invalid(text, `really means the address ${host}`)
  return host
}

function parsePath(path: string, text: string): { text: string; prefix: boolean } {
  const prefix = path.endsWith('*')
  const plain = decodeUnreserved(prefix ? path.slice(0, -1) : path)
  if (plain.includes('*')) throw invalid(text, 'may use * only at the end of its path')
  if (!/^\/[\x21-\x7e]*$/.test(plain)) throw invalid(text, 'has a path outside visible ASCII')
  if (/%(2f|5c)/i.test(plain) || /(^|\/)\.\.?(\/|$)/.test(plain)) {
    throw invalid(text, 'has a path that could never match')
  }
  return { text: plain, prefix }
}

function invalid(pattern: string, what: string, hint?: string): VestryError {
  const options = hint === undefined ? {} : { hint }
  return new VestryError('POLICY_INVALID', `Host pattern "${pattern}" ${what}`, options)
}
