/** Which pages of other origins may read answers: those that are listed, nobody else. */

const METHODS = 'GET, POST, PUT, PATCH, DELETE'
const REQUEST_HEADERS = 'authorization, content-type, idempotency-key, traceparent'
const EXPOSED =
  'X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, Idempotent-Replay'
const PREFLIGHT_SECONDS = 600

/** @returns undefined where the origin is not listed, or there is none. */
export function corsHeaders(
  origin: string | undefined,
  listed: readonly string[],
): Record<string, string> | undefined {
  // Settings are URLs, whose text may end in a slash; an origin has none.
  if (origin === undefined || !listed.some((one) => one.replace(/\/+$/, '') === origin))
    return undefined
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': EXPOSED,
    vary: 'Origin',
  }
}

export const PREFLIGHT_HEADERS: Readonly<Record<string, string>> = {
  'access-control-allow-methods': METHODS,
  'access-control-allow-headers': REQUEST_HEADERS,
  'access-control-max-age': String(PREFLIGHT_SECONDS),
}
