/** Masking by key name of what a log hook is shown. A net only: tokens and keys never get this far. */

export const MASK = '***MASKED***'

/** The names themselves, and as the last word of a longer name: `access_token`, `X-Api-Key`, `apiKey`. */
const SENSITIVE =
  /(?:^|[_-])(?:password|token|key|secret|api_key)$|[a-z\d](?:Password|Token|Key|Secret)$/
const SENSITIVE_ANY_CASE = /(?:^|[_-])(?:password|token|key|secret|api_key)$/i

/** A copy of JSON data in which the values of sensitive keys are replaced, at any depth. */
export function masked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(masked)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, isSensitive(key) ? MASK : masked(member)]),
  )
}

function isSensitive(key: string): boolean {
  return SENSITIVE_ANY_CASE.test(key) || SENSITIVE.test(key)
}
