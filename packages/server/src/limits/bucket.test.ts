import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type BucketLimit, Buckets } from './bucket.ts'

const limit = (over: Partial<BucketLimit> = {}): BucketLimit => ({
  kind: 'bucket',
  key: 'requests:scout',
  scope: 'requests',
  perSecond: 10,
  burst: 5,
  ...over,
})

function setUp(options: { maxKeys?: number } = {}) {
  const clock = { ms: 1_000 }
  return { clock, buckets: new Buckets({ now: () => clock.ms, ...options }) }
}

test('a burst is admitted at once, and the next request waits for one token', () => {
  const { buckets, clock } = setUp()
  expect([1, 2, 3, 4, 5].map(() => buckets.take(limit()))).toEqual([0, 0, 0, 0, 0])
  expect(buckets.take(limit())).toBe(100)
  clock.ms += 99
  expect(buckets.take(limit())).toBeCloseTo(1)
  clock.ms += 1
  expect(buckets.take(limit())).toBe(0)
})

test('a refusal takes nothing', () => {
  const { buckets, clock } = setUp()
  for (let n = 0; n < 5; n += 1) buckets.take(limit())
  for (let n = 0; n < 50; n += 1) buckets.take(limit())
  clock.ms += 100
  expect(buckets.take(limit())).toBe(0)
})

test('what was given back can be taken again, but never beyond the burst', () => {
  const { buckets } = setUp()
  for (let n = 0; n < 5; n += 1) buckets.take(limit())
  buckets.giveBack(limit())
  expect(buckets.take(limit())).toBe(0)
  for (let n = 0; n < 20; n += 1) buckets.giveBack(limit())
  expect([1, 2, 3, 4, 5, 6].map(() => buckets.take(limit()) === 0)).toEqual([
    ...Array(5).fill(true),
    false,
  ])
})

test('a cost above the burst can never be paid', () => {
  expect(setUp().buckets.take(limit({ cost: 6 }))).toBe(Number.POSITIVE_INFINITY)
})

test('keys do not share tokens', () => {
  const { buckets } = setUp()
  for (let n = 0; n < 6; n += 1) buckets.take(limit())
  expect(buckets.take(limit({ key: 'requests:other' }))).toBe(0)
})

test('a limit that was changed keeps what was used', () => {
  const { buckets } = setUp()
  for (let n = 0; n < 4; n += 1) buckets.take(limit())
  expect(buckets.take(limit({ burst: 10, cost: 6 }))).toBe(0)
  expect(buckets.take(limit({ burst: 10 }))).toBeGreaterThan(0)
})

test('a clock that goes back gives no tokens', () => {
  const { buckets, clock } = setUp()
  for (let n = 0; n < 5; n += 1) buckets.take(limit())
  for (let n = 0; n < 10; n += 1) {
    clock.ms += n % 2 === 0 ? -500 : 500
    expect(buckets.take(limit())).toBeGreaterThan(0)
  }
})

test('idle buckets are dropped as new keys come', () => {
  const { buckets, clock } = setUp()
  for (let n = 0; n < 1_000; n += 1) {
    buckets.take(limit({ key: `k${n}` }))
    clock.ms += 100 // refills the one token that was taken
  }
  expect(buckets.size).toBeLessThan(20)
})

test('beyond the bound on keys, new ones share one bucket of their scope', () => {
  const { buckets } = setUp({ maxKeys: 100 })
  const admitted = Array.from({ length: 1_000 }, (_, n) => buckets.take(limit({ key: `k${n}` })))
  expect(buckets.size).toBeLessThanOrEqual(101)
  expect(admitted.filter((waitMs) => waitMs === 0)).toHaveLength(100 + 5)
})

test('in no stretch of time are more than burst + rate × time admitted', () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 400 }),
    cost: fc.integer({ min: 1, max: 3 }),
  })
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 3, max: 20 }),
      (steps, perSecond, burst) => {
        const { buckets, clock } = setUp()
        const admitted: { atMs: number; cost: number }[] = []
        for (const { afterMs, cost } of steps) {
          clock.ms += afterMs
          const waitMs = buckets.take(limit({ perSecond, burst, cost }))
          if (waitMs === 0) admitted.push({ atMs: clock.ms, cost })
        }
        for (const [start, { atMs: from }] of admitted.entries()) {
          let total = 0
          for (const { atMs, cost } of admitted.slice(start)) {
            total += cost
            expect(total).toBeLessThanOrEqual(burst + ((atMs - from) * perSecond) / 1000 + 1e-6)
          }
        }
      },
    ),
  )
})

test('the waiting time of a refusal is right: then, and not a moment before', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1, max: 20 }),
      (perSecond, burst) => {
        const { buckets, clock } = setUp()
        for (let n = 0; n < burst; n += 1) buckets.take(limit({ perSecond, burst }))
        const waitMs = buckets.take(limit({ perSecond, burst }))
        clock.ms += waitMs * 0.99
        expect(buckets.take(limit({ perSecond, burst }))).toBeGreaterThan(0)
        clock.ms += waitMs * 0.0100001
        expect(buckets.take(limit({ perSecond, burst }))).toBe(0)
      },
    ),
  )
})
