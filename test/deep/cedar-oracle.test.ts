import { expect, test } from 'vitest'
import {
  compareDecisions,
  compareValues,
} from '../../packages/server/src/policy/cedar/differential.test-kit.ts'

// A failure names the seed of the world it happened in: compareDecisions(seed, 40) repeats it.
const LIMIT_MS = 170_000

test('policy: 100 000 random decisions equal those of Cedar in all three sets', {
  timeout: LIMIT_MS,
}, () => {
  let [compared, allowed, forbidden, failed] = [0, 0, 0, 0]
  for (let seed = 10_001; compared < 100_000; seed++) {
    const tally = compareDecisions(seed, 50)
    compared += tally.compared
    allowed += tally.allowed
    forbidden += tally.forbidden
    failed += tally.failed
  }
  for (const share of [allowed, forbidden, failed]) expect(share).toBeGreaterThan(compared / 10)
})

test('policy: 50 000 random expressions have the value that Cedar gives them', {
  timeout: LIMIT_MS,
}, () => {
  let [compared, failed] = [0, 0]
  for (let seed = 500_001; compared < 50_000; seed++) {
    const tally = compareValues(seed, 100)
    compared += tally.compared
    failed += tally.failed
  }
  expect(failed).toBeGreaterThan(compared / 20)
})
