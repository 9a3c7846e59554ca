import { expect, test } from 'vitest'
import { compareDecisions, compareValues } from './differential.test-kit.ts'

// The long form, 100 000 decisions and as many values, is test/deep/cedar-oracle.test.ts.

test('on random policies, entities and requests all three sets equal those of Cedar', () => {
  let [compared, allowed, forbidden, failed] = [0, 0, 0, 0]
  for (let seed = 1; seed <= 60; seed++) {
    const tally = compareDecisions(seed, 40)
    compared += tally.compared
    allowed += tally.allowed
    forbidden += tally.forbidden
    failed += tally.failed
  }
  expect(compared).toBe(2_400)
  // The comparison is worth nothing if one outcome hardly occurs.
  for (const share of [allowed, forbidden, failed]) expect(share).toBeGreaterThan(compared / 10)
})

test('random expressions have the value Cedar gives them, and fail where it fails', () => {
  let [compared, failed] = [0, 0]
  for (let seed = 1; seed <= 100; seed++) {
    const tally = compareValues(seed, 50)
    compared += tally.compared
    failed += tally.failed
  }
  expect(compared).toBe(5_000)
  expect(failed).toBeGreaterThan(compared / 20)
})
