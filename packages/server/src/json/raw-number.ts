/**
 * Numbers that remember how they were written. `1.0` and `1` are the same number and different signed text, and a
 * whole number beyond 2^53 loses its last digits: such tokens stay text, which `JSON.stringify` writes as it was.
 */

/** What `JSON.rawJSON` makes: one number token. */
export interface RawNumber {
  readonly rawJSON: string
}

export type TokenJson =
  | null
  | boolean
  | number
  | string
  | RawNumber
  | readonly TokenJson[]
  | TokenObject

export interface TokenObject {
  readonly [name: string]: TokenJson
}

export function isRawNumber(value: unknown): value is RawNumber {
  return (JSON as unknown as { isRawJSON(value: unknown): boolean }).isRawJSON(value)
}

/** The value as a double, for who compares and does not sign. */
export function numberOf(value: number | RawNumber): number {
  return typeof value === 'number' ? value : Number(value.rawJSON)
}

export function isTokenObject(value: TokenJson | undefined): value is TokenObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawNumber(value)
}
