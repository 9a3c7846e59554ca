import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Secret } from './secret.ts'
import { combineShares, splitSecret } from './shamir.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const plain = (shares: readonly Secret[]) => shares.map(({ bytes }) => bytes)

test('vault §28.38: the Shamir vector of 26.7', () => {
  const random = () => Uint8Array.from([0x11, 0x22, 0x33, 0x44])
  const shares = plain(splitSecret(Buffer.from('c0ffee42', 'hex'), 2, 3, random))
  expect(shares.map(hex)).toEqual(['d1dddd0601', 'e2bb88ca02', 'f399bb8e03'])
  for (const [one, other] of [
    [0, 1],
    [1, 2],
    [2, 0],
  ] as const)
    expect(hex(combineShares([shares[one]!, shares[other]!]).bytes)).toBe('c0ffee42')
})

test('vault §28.46: any threshold subset gives the secret back, fewer do not', () => {
  const plan = fc.integer({ min: 2, max: 9 }).chain((shares) =>
    fc.record({
      shares: fc.constant(shares),
      threshold: fc.integer({ min: 2, max: shares }),
      secret: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      order: fc.shuffledSubarray(
        Array.from({ length: shares }, (_, at) => at),
        { minLength: shares },
      ),
    }),
  )
  fc.assert(
    fc.property(plan, ({ shares, threshold, secret, order }) => {
      const split = plain(splitSecret(secret, threshold, shares))
      const shuffled = order.map((at) => split[at]!)
      expect(hex(combineShares(shuffled.slice(0, threshold)).bytes)).toBe(hex(secret))
      expect(hex(combineShares(shuffled.slice(-threshold)).bytes)).toBe(hex(secret))
      expect(hex(combineShares(shuffled).bytes)).toBe(hex(secret))
      // 256 random bits agree by chance never.
      const fewer = combineShares(shuffled.slice(0, threshold - 1))
      expect(hex(fewer.bytes)).not.toBe(hex(secret))
    }),
    { numRuns: 150 },
  )
})

test('vault §28.46: one share short, every secret is equally possible', () => {
  // With threshold 2 and one share (x = 1, y) known, the coefficient that explains secret s is y ^ s:
  // every one of the 256 secrets has exactly one.
  const share = 0x5a
  const explained = new Set<number>()
  for (let coefficient = 0; coefficient < 256; coefficient += 1) {
    const secret = share ^ coefficient
    const [first] = splitSecret(Uint8Array.of(secret), 2, 2, () => Uint8Array.of(coefficient))
    expect(hex(first!.bytes)).toBe('5a01')
    explained.add(secret)
  }
  expect(explained.size).toBe(256)
})

test('thresholds and counts out of range are refused', () => {
  for (const [threshold, shares] of [
    [1, 3],
    [4, 3],
    [2, 256],
    [2.5, 3],
    [2, 3.5],
    [0, 0],
  ] as const)
    expect(() => splitSecret(new Uint8Array(32), threshold, shares)).toThrow(
      expect.objectContaining({ code: 'INVALID_PARAMS' }),
    )
  expect(splitSecret(new Uint8Array(1), 255, 255)).toHaveLength(255)
})

test('shares that cannot be points of one polynomial are refused', () => {
  const refused = expect.objectContaining({ code: 'INVALID_PARAMS' })
  const share = Uint8Array.of(1, 2, 3)
  expect(() => combineShares([])).toThrow(refused)
  expect(() => combineShares([share, share])).toThrow(refused)
  expect(() => combineShares([share, Uint8Array.of(1, 2)])).toThrow(refused)
  expect(() => combineShares([share, Uint8Array.of(1, 2, 0)])).toThrow(refused)
  expect(() => combineShares([Uint8Array.of(1)])).toThrow(refused)
})
