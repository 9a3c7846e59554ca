/** How long a throttled caller should wait, from what a provider says: whole seconds from 1 to 60, or nothing. */

const MOST_SECONDS = 60

/**
 * @param headers Names in lower case. A date is measured from the answer's own `date`, so that the
 *                provider's clock is compared with itself.
 * @returns Rounded up; undefined when nothing usable was said.
 */
export function retryAfterOf(headers: Readonly<Record<string, string>>): number | undefined {
  const given = headers['retry-after']?.trim()
  if (given === undefined) return undefined
  if (/^\d+(?:\.\d+)?$/.test(given)) return clamped(Number(given))
  // A date names a day or a month; without that demand `Date.parse` takes "-5" for a year.
  const at = /^[A-Za-z]{3}/.test(given) ? Date.parse(given) : Number.NaN
  if (Number.isNaN(at)) return undefined
  const sent = Date.parse(headers['date'] ?? '')
  return clamped((at - (Number.isNaN(sent) ? Date.now() : sent)) / 1000)
}

/** The `retryDelay` of Google's RetryInfo, e.g. `17.5s`. */
export function delayOf(text: unknown): number | undefined {
  const found = typeof text === 'string' ? /^(\d+(?:\.\d+)?)s$/.exec(text) : null
  return found === null ? undefined : clamped(Number(found[1]))
}

function clamped(seconds: number): number {
  return Math.min(Math.max(Math.ceil(seconds), 1), MOST_SECONDS)
}
