/** Correlation ids: one per operation, the same on all its attempts, and in the gateway's log rows. */
import { randomInt } from 'node:crypto'

/** Response headers as `fetch` has them, or as a plain object. */
export type HeaderSource =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>

const RANDOM_CHARACTERS = 9

/** `req_<epoch ms>_<9 characters of a-z and 0-9>`. */
export function generateCorrelationId(nowMs: number = Date.now()): string {
  const random = Array.from({ length: RANDOM_CHARACTERS }, () => randomInt(36).toString(36))
  return `req_${nowMs}_${random.join('')}`
}

/** The value of `X-Correlation-Id`, whatever the letters' case. */
export function extractCorrelationId(headers: HeaderSource): string | undefined {
  return headerOf(headers, 'x-correlation-id')
}

/** @param name In lower case. */
export function headerOf(headers: HeaderSource, name: string): string | undefined {
  if (hasGet(headers)) return headers.get(name) ?? undefined
  const [, value] = Object.entries(headers).find(([key]) => key.toLowerCase() === name) ?? []
  return typeof value === 'string' ? value : value?.[0]
}

function hasGet(headers: HeaderSource): headers is { get(name: string): string | null } {
  return 'get' in headers && typeof headers.get === 'function'
}
