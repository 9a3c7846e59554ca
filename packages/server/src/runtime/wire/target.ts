/**
 * What a request line asks for. Paths are taken apart before they are decoded, once, so that no encoded slash or
 * dot ever reaches another resource.
 */

export interface Target {
  /** Below the prefix, decoded; never empty, none is `.` or `..` or holds a slash. */
  readonly segments: readonly string[]
  readonly query: URLSearchParams
}

export const PREFIX = '/api/v1'
/** Longer than any id. */
const MAX_SEGMENT = 256
/** Names of secrets have sixteen. */
const MAX_SEGMENTS = 32
const ORIGIN = /^https?:\/\/[^/?#]*/i

/** @returns undefined for what can be no route: it is answered as one that does not exist. */
export function parseTarget(url: string): Target | undefined {
  const target = url.replace(ORIGIN, '')
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  if (!path.startsWith(`${PREFIX}/`)) return undefined
  const raw = path.slice(PREFIX.length + 1).split('/')
  // Clients whose base URL and whose paths both carry the prefix send it twice.
  if (raw[0] === 'api' && raw[1] === 'v1' && raw.length > 2) raw.splice(0, 2)
  if (raw.length > MAX_SEGMENTS) return undefined
  const segments: string[] = []
  for (const part of raw) {
    const segment = decode(part)
    if (segment === undefined) return undefined
    segments.push(segment)
  }
  return { segments, query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)) }
}

function decode(part: string): string | undefined {
  let segment: string
  try {
    segment = decodeURIComponent(part)
  } catch {
    return undefined
  }
  if (segment === '' || segment === '.' || segment === '..') return undefined
  if (segment.length > MAX_SEGMENT || /[/\\\p{Cc}]/u.test(segment)) return undefined
  return segment
}
