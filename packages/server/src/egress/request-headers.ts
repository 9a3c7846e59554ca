/**
 * Which of the agent's headers go upstream (wire contract §8.4): those that steer the connection are dropped, the
 * slot that carries the credential is never the agent's to fill.
 */
import { VestryError } from '@vestry/contract/errors'

export type HeaderPairs = readonly (readonly [name: string, value: string])[]

export interface HeaderFilter {
  /** The header that will carry the credential. */
  slot: string | undefined
  /** Let the agent's `Authorization` and `Cookie` pass beside a credential elsewhere. */
  allowAgentAuth: boolean
  userAgent: string
  /** What the reply reader can undo, unless told. */
  acceptEncoding?: string
}

const MAX_HEADERS = 64
const MAX_BYTES = 16 * 1024

/** Hop-by-hop, or set by the daemon itself. */
const DROPPED = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'host',
  'content-length',
  'accept-encoding',
  'expect',
  'forwarded',
  'via',
  // Some upstreams let these stand in for what policy was asked about: method, path and host.
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
  'x-original-host',
  'x-host',
])
const DROPPED_PREFIXES = ['proxy-', 'x-forwarded-']

/** What the reply reader can undo. */
const ACCEPT_ENCODING = 'gzip, deflate, br'

/** @throws VestryError `INVALID_PARAMS` for names or values no header can have, or too many of them. */
export function requestHeaders(headers: HeaderPairs, filter: HeaderFilter): [string, string][] {
  check(headers)
  const perConnection = connectionOptions(headers)
  const slot = filter.slot?.toLowerCase()
  const agentAuth = slot === 'authorization' || filter.allowAgentAuth
  const kept = headers.filter(([name]) => {
    const lower = name.toLowerCase()
    if (lower === slot || DROPPED.has(lower) || perConnection.has(lower)) return false
    if (DROPPED_PREFIXES.some((prefix) => lower.startsWith(prefix))) return false
    return agentAuth || (lower !== 'authorization' && lower !== 'cookie')
  })
  const result = kept.map(([name, value]): [string, string] => [name, value])
  if (!has(result, 'user-agent') && slot !== 'user-agent') {
    result.push(['User-Agent', filter.userAgent])
  }
  if (!has(result, 'accept') && slot !== 'accept') result.push(['Accept', '*/*'])
  result.push(['Accept-Encoding', filter.acceptEncoding ?? ACCEPT_ENCODING])
  return result
}

/** RFC 9110 §5.6.2 token. */
export function isHeaderName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)
}

function check(headers: HeaderPairs): void {
  if (headers.length > MAX_HEADERS) {
    throw invalid(`There are ${headers.length} headers; at most ${MAX_HEADERS} may be set`)
  }
  let bytes = 0
  for (const [name, value] of headers) {
    if (!isHeaderName(name)) throw invalid('A header name is not valid')
    // Tab and visible Latin-1; everything else is either forbidden or read differently by each server.
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
      throw invalid(`Header "${name}" has a value that no header can carry`)
    }
    bytes += name.length + value.length
  }
  if (bytes > MAX_BYTES) throw invalid(`The headers exceed ${MAX_BYTES} bytes`)
}

/** Names listed in `Connection` are hop-by-hop as well (RFC 9110 §7.6.1). */
function connectionOptions(headers: HeaderPairs): Set<string> {
  const values = headers.filter(([name]) => name.toLowerCase() === 'connection')
  return new Set(
    values.flatMap(([, value]) => value.split(',').map((name) => name.trim().toLowerCase())),
  )
}

function has(headers: HeaderPairs, name: string): boolean {
  return headers.some(([known]) => known.toLowerCase() === name)
}

function invalid(message: string): VestryError {
  return new VestryError('INVALID_PARAMS', message)
}
