/**
 * Shamir's secret sharing over GF(2^8) with polynomial 0x11b, one random polynomial per secret byte.
 * A share is its y-bytes followed by its x. Any `threshold` shares give the secret back, fewer tell nothing.
 */
import { VestryError } from '@vestry/contract/errors'
import { type Random, randomUnpooled, Secret, unpooled } from './secret.ts'

export const MAX_SHARES = 255

/**
 * @param secret Borrowed.
 * @returns One share per x = 1, 2, …; the caller disposes them.
 * @throws VestryError `INVALID_PARAMS` unless 2 ≤ threshold ≤ shares ≤ 255.
 */
export function splitSecret(
  secret: Uint8Array,
  threshold: number,
  shares: number,
  random: Random = randomUnpooled,
): Secret[] {
  const valid =
    Number.isInteger(threshold) &&
    Number.isInteger(shares) &&
    threshold >= 2 &&
    threshold <= shares &&
    shares <= MAX_SHARES
  if (!valid)
    throw new VestryError(
      'INVALID_PARAMS',
      `Shares need 2 ≤ threshold ≤ shares ≤ ${MAX_SHARES}, not ${threshold} of ${shares}`,
    )
  // One row per degree from 1; row 0 of the polynomial is the secret itself.
  const rows = Array.from({ length: threshold - 1 }, () => Secret.own(random(secret.length)))
  try {
    return Array.from({ length: shares }, (_, index) => evaluate(secret, rows, index + 1))
  } finally {
    for (const row of rows) row[Symbol.dispose]()
  }
}

/**
 * Interpolates at x = 0. Too few or foreign shares give other bytes, not an error: the result proves itself
 * by what it opens.
 *
 * @param shares Of equal length, with different x.
 * @returns The secret; the caller disposes it.
 */
export function combineShares(shares: readonly Uint8Array[]): Secret {
  const length = (shares[0]?.length ?? 1) - 1
  const xs = shares.map((share) => share[length] ?? 0)
  const usable =
    length > 0 &&
    shares.every((share) => share.length === length + 1) &&
    xs.every((x) => x !== 0) &&
    new Set(xs).size === xs.length
  if (!usable) throw new VestryError('INVALID_PARAMS', 'These shares cannot be combined')
  const secret = unpooled(length)
  for (const [index, share] of shares.entries()) {
    const weight = weightAtZero(xs, index)
    for (let at = 0; at < length; at += 1)
      secret[at] = (secret[at] ?? 0) ^ multiply(share[at] ?? 0, weight)
  }
  return Secret.own(secret)
}

/** Horner's rule, from the highest degree down to the secret. */
function evaluate(secret: Uint8Array, rows: readonly Secret[], x: number): Secret {
  const share = unpooled(secret.length + 1)
  share[secret.length] = x
  for (let at = 0; at < secret.length; at += 1) {
    let y = 0
    for (const row of rows.toReversed()) y = multiply(y ^ (row.bytes[at] ?? 0), x)
    share[at] = y ^ (secret[at] ?? 0)
  }
  return Secret.own(share)
}

/** The Lagrange basis polynomial of share `index`, at 0. */
function weightAtZero(xs: readonly number[], index: number): number {
  const own = xs[index] ?? 0
  let weight = 1
  for (const [other, x] of xs.entries())
    if (other !== index) weight = multiply(weight, multiply(x, inverse(x ^ own)))
  return weight
}

/** Without branches or tables that depend on the operands: their bits must not show in timing. */
function multiply(a: number, b: number): number {
  let product = 0
  let factor = a
  for (let bit = 0; bit < 8; bit += 1) {
    product ^= factor & -((b >> bit) & 1)
    factor = ((factor << 1) ^ (0x11b & -(factor >> 7))) & 0xff
  }
  return product
}

/** a^254, which is 1/a in a field of 256 elements. */
function inverse(a: number): number {
  let result = 1
  for (let step = 0; step < 254; step += 1) result = multiply(result, a)
  return result
}
