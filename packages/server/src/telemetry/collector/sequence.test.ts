import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Sequence } from './sequence.ts'

test('whatever order numbers come in, each is taken once and the missing ones are counted', () => {
  const numbers = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 120 })
  fc.assert(
    fc.property(numbers, (given) => {
      const sequence = new Sequence(1)
      const seen = new Set<number>()
      for (const seq of given) {
        expect(sequence.take(seq)).toBe(!seen.has(seq))
        seen.add(seq)
      }
      const highest = Math.max(0, ...seen)
      expect(sequence).toMatchObject({
        highest,
        seen: seen.size,
        missing: highest - seen.size,
      })
    }),
  )
})

test('where the beginning is not known, the first that comes is the beginning', () => {
  const sequence = new Sequence()
  expect(sequence.highest).toBe(0)
  expect(sequence.take(500)).toBe(true)
  expect(sequence.take(499)).toBe(false)
  expect(sequence.take(502)).toBe(true)
  expect(sequence).toMatchObject({ first: 500, highest: 502, missing: 1 })
})

test('holes are remembered up to a bound, and counted beyond it', () => {
  const sequence = new Sequence(1)
  for (let seq = 2; seq <= 2_000; seq += 2) sequence.take(seq)
  expect(sequence.missing).toBe(1_000)
  // An old hole is forgotten: what comes late from it is taken for a repetition, and stays missing.
  expect(sequence.take(1)).toBe(false)
  expect(sequence.take(1_999)).toBe(true)
  expect(sequence.missing).toBe(999)
})

test('one number that is far ahead costs no memory', () => {
  const sequence = new Sequence(1)
  expect(sequence.take(Number.MAX_SAFE_INTEGER)).toBe(true)
  expect(sequence.missing).toBe(Number.MAX_SAFE_INTEGER - 1)
})
