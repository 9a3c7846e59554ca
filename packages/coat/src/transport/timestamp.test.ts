import { expect, test } from 'vitest'
import { timestamp } from './timestamp.ts'

test('times read as Date writes them, whatever order they come in', () => {
  for (const ms of [
    0, 999, 1000, 1_777_713_247_481, 1_777_713_247_482.9, -1, -1001, 253_402_300_799_999,
  ])
    expect(timestamp(ms)).toBe(new Date(Math.floor(ms)).toISOString())
})

test('what is no time a date can hold becomes now', () => {
  const before = Date.now()
  for (const ms of [Number.NaN, Number.POSITIVE_INFINITY, 1e18, -1e18])
    expect(Date.parse(timestamp(ms))).toBeGreaterThanOrEqual(before)
})
