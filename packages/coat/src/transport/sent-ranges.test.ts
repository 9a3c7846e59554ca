import { expect, test } from 'vitest'
import { SentRanges } from './sent-ranges.ts'

test('what is acknowledged is no longer lost, to the event', () => {
  const sent = new SentRanges()
  for (let seq = 1; seq <= 10; seq += 1) sent.add(seq, 'lifecycle')
  sent.add(15, 'detail')
  expect(sent.confirm(4)).toBe(4)
  expect(sent.confirm(4)).toBe(0)
  expect(sent.confirm(12)).toBe(6)
  expect(sent.lose()).toEqual({ lifecycle: 0, detail: 1, spilled: 0 })
  expect(sent.lose()).toEqual({ lifecycle: 0, detail: 0, spilled: 0 })
})

test('the account stays bounded, and its sum exact, when no two events follow each other', () => {
  const sent = new SentRanges()
  for (let seq = 1; seq <= 20_000; seq += 2) sent.add(seq, 'lifecycle')
  const confirmed = sent.confirm(9_999)
  expect(confirmed + sent.lose().lifecycle).toBe(10_000)
})

test('the order in which they left the ring does not matter', () => {
  const sent = new SentRanges()
  for (const seq of [20, 22, 21, 3, 4, 9]) sent.add(seq, seq === 22 ? 'spilled' : 'detail')
  expect(sent.confirm(8)).toBe(2)
  expect(sent.confirm(20)).toBe(2)
  expect(sent.lose()).toEqual({ lifecycle: 0, detail: 1, spilled: 1 })
})
