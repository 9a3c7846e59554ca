import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LineSplitter } from './line-splitter.ts'

function linesOf(chunks: readonly Buffer[], maxBytes: number): (string | 'too_long')[] {
  const splitter = new LineSplitter(maxBytes)
  const lines: string[] = []
  for (const chunk of chunks) {
    for (let at = 0; ; ) {
      const next = splitter.next(chunk, at)
      at = next.at
      if (next.line === undefined) break
      lines.push(next.line === 'too_long' ? 'too_long' : next.line.toString('latin1'))
    }
  }
  return lines
}

test('however the bytes are cut, the lines are the same', () => {
  const text = fc.array(fc.constantFrom('a', 'bc', '\n', '\n\n', 'x'.repeat(9)), { maxLength: 40 })
  fc.assert(
    fc.property(text, fc.array(fc.nat(60), { maxLength: 12 }), (parts, cuts) => {
      const all = Buffer.from(parts.join(''))
      const places = [0, ...cuts.filter((at) => at < all.length).sort((a, b) => a - b), all.length]
      const chunks = places.slice(1).map((end, i) => all.subarray(places[i], end))
      const whole = all.toString('latin1').split('\n').slice(0, -1)
      const told = whole.map((line) => (line.length + 1 > 10 ? 'too_long' : line))
      expect(linesOf(chunks, 10)).toEqual(told)
    }),
  )
})

test('a line that is too long is told once, and the next one is read', () => {
  const chunks = ['aaaa', 'aaaaaaaaa', 'aaaa', 'a\nok\n'].map((text) => Buffer.from(text))
  expect(linesOf(chunks, 8)).toEqual(['too_long', 'ok'])
})

test('a line that does not end is unfinished', () => {
  const splitter = new LineSplitter(8)
  splitter.next(Buffer.from('abc'), 0)
  expect(splitter.unfinished).toBe(true)
  splitter.next(Buffer.from('\n'), 0)
  expect(splitter.unfinished).toBe(false)
  splitter.next(Buffer.from('0123456789'), 0)
  expect(splitter.unfinished).toBe(true)
})
