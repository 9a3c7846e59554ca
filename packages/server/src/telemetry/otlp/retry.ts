/** When a request is sent again, and after how long. Pure. */

export const MAX_ATTEMPTS = 5
const FIRST_MS = 1_000
const FACTOR = 1.5
const LONGEST_MS = 5_000
const JITTER = 0.2
/** A receiver that asks for more than this is asked again all the same. */
const MAX_RETRY_AFTER_MS = 300_000

const RETRYABLE = new Set([429, 502, 503, 504])

export function isRetryable(status: number): boolean {
  return RETRYABLE.has(status)
}

/** @param attempt 1 after the first one failed. @param random 0 … 1. */
export function backoffMs(attempt: number, random: number): number {
  const base = Math.min(FIRST_MS * FACTOR ** (attempt - 1), LONGEST_MS)
  return Math.round(base * (1 - JITTER + 2 * JITTER * random))
}

/** @param header Seconds or a date (RFC 9110 §10.2.3). @returns undefined for anything else. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined
  const trimmed = header.trim()
  const asked = /^\d{1,9}$/.test(trimmed) ? Number(trimmed) * 1000 : dateIn(trimmed) - nowMs
  return Number.isNaN(asked) ? undefined : Math.min(Math.max(asked, 0), MAX_RETRY_AFTER_MS)
}

/** Dates begin with the day of the week; the platform would take "-5" and "1.5" for dates, too. */
function dateIn(text: string): number {
  return /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(text) ? Date.parse(text) : Number.NaN
}

/** Between two series of attempts, when a whole series has failed. @param series 1 after the first. */
export function pauseMs(series: number): number {
  return Math.min(1_000 * 2 ** Math.min(series - 1, 10), 30_000)
}
