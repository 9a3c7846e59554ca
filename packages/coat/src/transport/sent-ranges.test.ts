import { expect, test } from 'vitest'
import { SentRanges } from './sent-ranges.ts'

test('what is acknowledged is no longer lost, to the event', () => {
  const sent = new SentRanges()
  for (let seq = 1; seq <= 10; seq += 1) sent.add(seq, false)
  sent.add(15, true)
  expect(sent.confirm(4)).toBe(4)
  expect(sent.confirm(4)).toBe(0)
  expect(sent.confirm(12)).toBe(6)
  expect(sent.lose()).toEqual({ lifecycle: 0, detail: 1 })
  expect(sent.lose()).toEqual({ lifecycle: 0, detail: 0 })
})

test('the account stays bounded, and its sum exact, when no two events follow each other', () => {
  const sent = new SentRanges()
  for (let seq = 1; seq <= 20_000; seq += 2) sent.add(seq, false)
  const confirmed = sent.confirm(9_999)
  expect(confirmed + sent.lose().lifecycle).toBe(10_000)
})
