import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Entry, Ring } from './ring.ts'
import type { Part } from './sink.ts'

function ring(events: number, bytes = 1e9) {
  const evicted: number[] = []
  const made = new Ring({ events, bytes }, (entry) => evicted.push(entry.seq))
  let seq = 0
  const add = (part: Part, spanId = '', detail = false, text = 'x\n') =>
    made.add(++seq, text, detail, part, spanId)
  const left = () => {
    const seqs: number[] = []
    made.clear((entry) => seqs.push(entry.seq))
    return seqs
  }
  return { ring: made, add, evicted, left }
}

test('when it is full the oldest detail goes; with none left the newest event is refused', () => {
  const { add, evicted, left } = ring(3)
  add('start', 'a')
  add('point', '', true)
  add('point', '', true)
  expect(add('start', 'b')).toBe(true)
  expect(evicted).toEqual([2])
  expect(add('start', 'c')).toBe(true)
  expect(evicted).toEqual([2, 3])
  expect(add('start', 'd')).toBe(false)
  expect(add('point', '', true)).toBe(false)
  expect(left()).toEqual([1, 4, 5])
})

test('an end whose start was sent takes the place of a detail, or of a start that was not', () => {
  const { ring: made, add, evicted, left } = ring(3)
  add('start', 'sent')
  made.take(1e9)
  made.written(1, false)
  made.releaseWritten(1)
  add('start', 'b')
  add('start', 'c')
  add('point', '', true)
  expect(add('end', 'sent')).toBe(true)
  expect(evicted).toEqual([4])
  expect(add('end', 'b')).toBe(true)
  // The newest start, but not that of the span itself.
  expect(evicted).toEqual([4, 3])
  expect(left()).toEqual([2, 5, 6])
})

test('an end whose start was lost has no such right', () => {
  const { add } = ring(2)
  add('start', 'a')
  add('start', 'b')
  expect(add('start', 'c')).toBe(false)
  expect(add('end', 'c')).toBe(false)
})

test('what was written goes first of all: it has most likely arrived', () => {
  const { ring: made, add, evicted } = ring(3)
  add('start', 'a')
  made.take(1e9)
  made.written(1, false)
  add('point', '', true)
  add('point', '', true)
  expect(add('start', 'b')).toBe(true)
  expect(evicted).toEqual([1])
})

test('the bound in bytes holds too, and an event beyond it empties nothing', () => {
  const { ring: made, add, evicted } = ring(100, 10)
  add('point', '', true, 'xxxx\n')
  add('point', '', true, 'xxxx\n')
  expect(add('start', 'a', false, 'xxxxxxxxxxxx\n')).toBe(false)
  expect(evicted).toEqual([])
  expect(add('start', 'a', false, 'xxxxxxx\n')).toBe(true)
  expect(evicted).toEqual([1, 2])
  expect(made.bytes).toBe(8)
})

test('a batch takes at least one event, and else no more than it may', () => {
  const { ring: made, add } = ring(10)
  for (const text of ['aaaa\n', 'bb\n', 'cc\n', 'dd\n']) add('point', '', false, text)
  expect(made.take(3)).toEqual({ text: 'aaaa\n', lastSeq: 1 })
  expect(made.take(6)).toEqual({ text: 'bb\ncc\n', lastSeq: 3 })
  expect(made.waiting).toBe(1)
  made.rewind()
  expect(made.take(100)).toEqual({ text: 'aaaa\nbb\ncc\ndd\n', lastSeq: 4 })
})

test('of a batch that was cut short, the whole lines that left count as written', () => {
  const { ring: made, add } = ring(10)
  for (const text of ['aaaa\n', 'bb\n', 'cc\n']) add('point', '', false, text)
  made.take(100)
  expect(made.writtenBytes(9)).toBe(2)
  expect(made.releaseWritten(3)).toBe(2)
  expect(made.isUnsent(3)).toBe(true)
})

test('whatever happens, counts agree with contents, order is kept and nothing is both kept and given up', () => {
  const action = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constantFrom('start', 'end', 'point', 'detail'),
        span: fc.integer({ min: 0, max: 5 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant('take'), span: fc.integer({ min: 1, max: 20 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constantFrom('written', 'release', 'rewind', 'releaseAll'),
        span: fc.integer({ min: 0, max: 60 }),
      }),
    },
  )
  fc.assert(
    fc.property(fc.array(action, { maxLength: 120 }), (actions) => {
      const gone = new Set<number>()
      const refused = new Set<number>()
      const made = new Ring({ events: 8, bytes: 24 }, (entry) => gone.add(entry.seq))
      let seq = 0
      let taken = 0
      let released = 0
      for (const { do: what, span } of actions) {
        if (what === 'take') taken = made.take(span)?.lastSeq ?? taken
        else if (what === 'written') made.written(Math.min(taken, span), false)
        else if (what === 'release') released += made.releaseWritten(span)
        else if (what === 'releaseAll') released += made.releaseAll(span)
        else if (what === 'rewind') made.rewind()
        else {
          seq += 1
          const part = what === 'detail' ? 'point' : (what as Part)
          if (!made.add(seq, 'xxx\n', what === 'detail', part, String(span))) refused.add(seq)
        }
        expect(made.events).toBeLessThanOrEqual(8)
        expect(made.bytes).toBe(made.events * 4)
        expect(made.waitingBytes).toBe(made.waiting * 4)
      }
      const events = made.events
      const kept: Entry[] = []
      made.clear((entry) => kept.push(entry))
      expect(kept.length).toBe(events)
      expect(kept.length + gone.size + refused.size + released).toBe(seq)
      expect(kept.map((entry) => entry.seq)).toEqual(
        kept.map((entry) => entry.seq).sort((one, other) => one - other),
      )
      expect(kept.some(({ seq: one }) => gone.has(one) || refused.has(one))).toBe(false)
      expect([made.events, made.bytes, made.waiting]).toEqual([0, 0, 0])
    }),
    { numRuns: 2000 },
  )
})
