import { expect, test } from 'vitest'
import { newTimeOrderedId } from './ids.ts'

test('time-ordered ids sort as their times do and never come twice', () => {
  const times = [0, 1, 31, 32, 1_900_000_000_000, 1_900_000_000_001, 2 ** 48 - 1]
  const ids = times.map((ms) => newTimeOrderedId('rev', ms))
  expect([...ids].sort()).toEqual(ids)
  for (const id of ids) expect(id).toMatch(/^rev_[0-7][0-9a-hjkmnp-tv-z]{25}$/)
  const many = Array.from({ length: 1_000 }, () => newTimeOrderedId('exe', 5))
  expect(new Set(many).size).toBe(1_000)
})
