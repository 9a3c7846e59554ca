/** Arithmetic on Cedar's 64-bit integers: exact, and an error where the result leaves i64. */
import { CedarError, type Long, type Value } from './value.ts'

const MIN = -(2n ** 63n)
const MAX = 2n ** 63n - 1n

export function isLong(value: Value | CedarError): value is Long {
  return typeof value === 'number' || typeof value === 'bigint'
}

// A float sum or product of safe integers is exact whenever it is itself a safe integer.

export function addLongs(a: Long, b: Long): Long | CedarError {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b
    if (Number.isSafeInteger(sum)) return sum
  }
  return toLong(BigInt(a) + BigInt(b)) ?? new CedarError('integer overflow in addition')
}

export function subtractLongs(a: Long, b: Long): Long | CedarError {
  if (typeof a === 'number' && typeof b === 'number') {
    const difference = a - b
    if (Number.isSafeInteger(difference)) return difference
  }
  return toLong(BigInt(a) - BigInt(b)) ?? new CedarError('integer overflow in subtraction')
}

export function multiplyLongs(a: Long, b: Long): Long | CedarError {
  if (typeof a === 'number' && typeof b === 'number') {
    const product = a * b + 0 // turns −0 into 0
    if (Number.isSafeInteger(product)) return product
  }
  return toLong(BigInt(a) * BigInt(b)) ?? new CedarError('integer overflow in multiplication')
}

export function negateLong(a: Long): Long | CedarError {
  if (typeof a === 'number') return 0 - a
  return toLong(-a) ?? new CedarError('integer overflow in negation')
}

/** The normalised form; undefined outside i64. */
export function toLong(value: bigint): Long | undefined {
  if (value < MIN || value > MAX) return undefined
  const small = Number(value)
  return Number.isSafeInteger(small) ? small : value
}

/** Integer division toward zero, as `toSeconds` and its kin round. */
export function divideLong(a: Long, by: number): Long {
  // Exact: for a safe integer the quotient's rounding error is below 1/by.
  if (typeof a === 'number') return Math.trunc(a / by) + 0
  const quotient = a / BigInt(by)
  return toLong(quotient) ?? quotient
}
