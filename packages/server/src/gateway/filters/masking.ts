/** Masks the values that keys give away as secrets, for whatever is logged (gateway contract §10.5). */

export const LOG_MASK = '***MASKED***'

/** The whole key, or its last part after `_`, `-` or a small letter: `password`, `crm_token`, `apiKey`. */
const SECRET_KEY =
  /^(?:password|token|key|secret|api_key)$|[_-](?:password|token|key|secret|api_key)$/i
const SECRET_CAMEL = /[a-z0-9](?:Password|Token|Key|Secret)$/

/** Beyond it nothing is shown. */
const MAX_DEPTH = 64

export function isSecretKey(key: string): boolean {
  return SECRET_KEY.test(key) || SECRET_CAMEL.test(key)
}

/** A copy with the values of secret keys masked, at any depth. */
export function maskSecrets(value: unknown): unknown {
  return mask(value, 0)
}

function mask(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth >= MAX_DEPTH) return LOG_MASK
  if (Array.isArray(value)) return value.map((item) => mask(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      isSecretKey(key) ? LOG_MASK : mask(member, depth + 1),
    ]),
  )
}
