/** The correlation id of a request: the client's own where it can be trusted as text, else a new one. */
import { randomInt } from 'node:crypto'

const USABLE = /^[A-Za-z0-9._:-]{1,128}$/
const DIGITS = 'abcdefghijklmnopqrstuvwxyz0123456789'

export interface Correlation {
  readonly id: string
  /** The client chose it, and sends it again with each attempt of one call. */
  readonly given: boolean
}

/** @see gateway contract R-4 */
export function correlationOf(
  header: string | readonly string[] | undefined,
  nowMs: number,
): Correlation {
  if (typeof header === 'string' && USABLE.test(header)) return { id: header, given: true }
  let tail = ''
  for (let i = 0; i < 9; i += 1) tail += DIGITS.charAt(randomInt(DIGITS.length))
  return { id: `req_${nowMs}_${tail}`, given: false }
}

const known = new WeakMap<object, Correlation>()

/** Decided once per request. */
export function correlationOfRequest(
  request: { readonly headers: Readonly<Record<string, string | string[] | undefined>> },
  nowMs: number,
): Correlation {
  let correlation = known.get(request)
  if (correlation === undefined) {
    correlation = correlationOf(request.headers['x-correlation-id'], nowMs)
    known.set(request, correlation)
  }
  return correlation
}
