/** SPIFFE IDs: which texts are one, and what they are made of. @see sage contract §18.2 step 3 */

export interface SpiffeId {
  readonly trustDomain: string
  /** Begins with a slash. */
  readonly path: string
}

const MAX_BYTES = 2_048
const MAX_DOMAIN_CHARS = 255
const TRUST_DOMAIN = /^[a-z0-9._-]+$/
const SEGMENT = /^[A-Za-z0-9._-]+$/
const SCHEME = 'spiffe://'

/** @returns undefined for whatever is no SPIFFE ID of a workload, one without a path included. */
export function parseSpiffeId(text: unknown): SpiffeId | undefined {
  if (typeof text !== 'string' || !text.startsWith(SCHEME) || text.length > MAX_BYTES)
    return undefined
  const slash = text.indexOf('/', SCHEME.length)
  if (slash === -1) return undefined
  const trustDomain = text.slice(SCHEME.length, slash)
  if (trustDomain.length > MAX_DOMAIN_CHARS || !TRUST_DOMAIN.test(trustDomain)) return undefined
  const path = text.slice(slash)
  // The segments are ASCII, so characters were bytes in the comparison above.
  return path.slice(1).split('/').every(isSegment) ? { trustDomain, path } : undefined
}

function isSegment(segment: string): boolean {
  return SEGMENT.test(segment) && segment !== '.' && segment !== '..'
}
