import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addLongs, divideLong, multiplyLongs, negateLong, subtractLongs, toLong } from './long.ts'
import { CedarError, type Long } from './value.ts'

const MIN = -(2n ** 63n)
const MAX = 2n ** 63n - 1n

const big = fc.oneof(
  fc.bigInt({ min: MIN, max: MAX }),
  fc.bigInt({ min: -(2n ** 54n), max: 2n ** 54n }),
  fc.constantFrom(0n, 1n, -1n, MIN, MAX, 2n ** 53n, 2n ** 53n - 1n, -(2n ** 53n) + 1n),
)

function long(value: bigint): Long {
  return toLong(value) ?? 0
}

/** The only correct outcome: normalised inside i64, an error outside. */
function check(ours: Long | CedarError, exact: bigint): void {
  const expected = toLong(exact)
  if (expected === undefined) expect(ours).toBeInstanceOf(CedarError)
  else expect(Object.is(ours, expected)).toBe(true)
}

test('arithmetic is exact over all of i64, normalised, and an error beyond it', () => {
  fc.assert(
    fc.property(big, big, (a, b) => {
      check(addLongs(long(a), long(b)), a + b)
      check(subtractLongs(long(a), long(b)), a - b)
      check(multiplyLongs(long(a), long(b)), a * b)
      check(negateLong(long(a)), -a)
    }),
    { numRuns: 5_000 },
  )
})

test('division rounds toward zero and is exact next to whole multiples', () => {
  fc.assert(
    fc.property(big, fc.constantFrom(1_000, 60_000, 3_600_000, 86_400_000), (a, by) => {
      check(divideLong(long(a), by), a / BigInt(by))
      const near = (a / BigInt(by)) * BigInt(by) - 1n
      if (near > MIN) check(divideLong(long(near), by), near / BigInt(by))
    }),
    { numRuns: 5_000 },
  )
})

test('a value has one form only: a number as far as numbers are safe', () => {
  expect(toLong(2n ** 53n - 1n)).toBe(2 ** 53 - 1)
  expect(toLong(2n ** 53n)).toBe(2n ** 53n)
  expect(addLongs(2n ** 53n, -1)).toBe(2 ** 53 - 1)
  expect(multiplyLongs(0, -1)).toBe(0)
  expect(toLong(2n ** 63n)).toBeUndefined()
})
