/** When the transport tries again, and how long it pauses before. Pure. */
import type { ResponseHeaders } from './response.ts'

/** A server may ask for more; nobody waits longer. */
const MAX_RETRY_AFTER_SECONDS = 60

/**
 * Seconds to wait as a `Retry-After` says, as a number or as a date, clamped to 0…60.
 *
 * @returns Undefined when the header is missing or says neither.
 */
export function retryAfterSeconds(headers: ResponseHeaders, nowMs: number): number | undefined {
  const value = headers['retry-after']?.trim()
  if (value === undefined || value === '') return undefined
  const seconds = /^-?\d+(?:\.\d+)?$/.test(value)
    ? Number(value)
    : // Without a letter, Date.parse would make a year out of almost anything.
      /[A-Za-z]{3}/.test(value)
      ? (Date.parse(value) - nowMs) / 1000
      : Number.NaN
  if (Number.isNaN(seconds)) return undefined
  return Math.min(Math.max(seconds, 0), MAX_RETRY_AFTER_SECONDS)
}

export interface Backoff {
  backoffMs: number
  /** From 0 to, but not, 1. */
  random: () => number
}

/** The pause before retry number `n`, counted from 0: doubling, with one `backoffMs` of jitter. */
export function backoffDelayMs(n: number, { backoffMs, random }: Backoff): number {
  return backoffMs * 2 ** n + random() * backoffMs
}

/** 429 and 503 may say themselves how long. */
export function answerDelayMs(
  n: number,
  answer: { status: number; headers: ResponseHeaders },
  backoff: Backoff,
  nowMs: number,
): number {
  const named =
    answer.status === 429 || answer.status === 503
      ? retryAfterSeconds(answer.headers, nowMs)
      : undefined
  return named === undefined ? backoffDelayMs(n, backoff) : named * 1000
}
