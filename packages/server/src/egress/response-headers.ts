/** The headers of a reply as the agent may see them (wire contract §8.7): scrubbed, without logins, bounded. */
import { isUtf8 } from 'node:buffer'
import type { HeaderPairs } from './request-headers.ts'
import type { Scrubber } from './scrub.ts'

export interface ResponseHeaders {
  /** Lower-case names; repeated headers joined with `, `. */
  headers: Record<string, string>
  /** Headers left out because the rest already filled 64 KiB. */
  dropped: number
}

const MAX_BYTES = 64 * 1024

/** They open sessions or carry logins; shown only where the rule lists them. */
const SENSITIVE = new Set([
  'set-cookie',
  'authorization',
  'proxy-authenticate',
  'authentication-info',
])

/** Between the upstream and us; meaningless to the agent. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'trailer',
  'te',
])

export function responseHeaders(
  raw: HeaderPairs,
  scrubber: Scrubber,
  allow: readonly string[],
): ResponseHeaders {
  const allowed = new Set(allow.map((name) => name.toLowerCase()))
  const found = new Map<string, string>()
  let bytes = 0
  let dropped = 0
  for (const [rawName, rawValue] of raw) {
    const lower = rawName.toLowerCase()
    if (HOP_BY_HOP.has(lower) || (SENSITIVE.has(lower) && !allowed.has(lower))) continue
    const name = clean(lower, scrubber, 'header-name')
    const value = clean(rawValue, scrubber, name === lower ? `header:${name}` : 'header')
    const size = name.length + Buffer.byteLength(value)
    if (bytes + size > MAX_BYTES) {
      dropped += 1
      continue
    }
    bytes += size
    const before = found.get(name)
    // Joining may complete a secret that was cut in two, so the whole is looked at again.
    found.set(name, before === undefined ? value : scrubber.text(`${before}, ${value}`, 'header'))
  }
  return { headers: Object.fromEntries(found), dropped }
}

/** @param latin1 One character per byte, as the parser read it. */
function clean(latin1: string, scrubber: Scrubber, place: string): string {
  const bytes = Buffer.from(latin1, 'latin1')
  const scrubbed = Buffer.from(scrubber.bytes(bytes, place))
  return scrubbed.toString(isUtf8(scrubbed) ? 'utf8' : 'latin1')
}
