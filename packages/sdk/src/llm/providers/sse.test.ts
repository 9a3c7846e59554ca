import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SseParser } from './sse.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const read = (text: string) => new SseParser().push(bytes(text))

test('LF, CR and CRLF end lines, also mixed', () => {
  const events = [
    { event: '', data: 'a' },
    { event: '', data: 'b' },
    { event: '', data: 'c' },
  ]
  expect(read('data: a\n\ndata: b\r\n\r\ndata: c\r\r')).toEqual(events)
})

test('a byte order mark, comments, unknown fields and a missing space are taken in stride', () => {
  expect(read('\uFEFF: hello\nid: 1\nretry: 5\nevent: x\ndata:a\ndata:  b\n\n')).toEqual([
    { event: 'x', data: 'a\n b' },
  ])
})

test('an event without data is none, and its name does not stick to the next', () => {
  expect(read('event: x\n\ndata: a\n\n')).toEqual([{ event: '', data: 'a' }])
})

test('what no blank line ended is not an event', () => {
  expect(read('data: a\n\ndata: half')).toEqual([{ event: '', data: 'a' }])
})

test('the same events come out wherever the bytes were cut', () => {
  const wire = bytes('\uFEFFevent: é\r\ndata: 🦜 a\r\ndata: b\r\n\r\n: c\rdata: ü\r\rdata: z\n\n')
  const whole = new SseParser().push(wire)
  expect(whole).toHaveLength(3)
  for (let cut = 0; cut <= wire.length; cut += 1) {
    const parser = new SseParser()
    const events = [...parser.push(wire.subarray(0, cut)), ...parser.push(wire.subarray(cut))]
    expect(events, `cut at ${cut}`).toEqual(whole)
  }
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 80 }), (sizes) => {
      const parser = new SseParser()
      let rest = wire
      const events = sizes.flatMap((size) => {
        const piece = rest.subarray(0, size)
        rest = rest.subarray(size)
        return parser.push(piece)
      })
      expect([...events, ...parser.push(rest)]).toEqual(whole)
    }),
    { numRuns: 30 },
  )
})

test('bytes that are not UTF-8 are refused', () => {
  const fault = expect.objectContaining({ code: 'provider_error' })
  expect(() => new SseParser().push(new Uint8Array([0x64, 0xff, 0xfe]))).toThrow(fault)
})

test('an event that does not end is refused at the bound, as one line or as many', () => {
  const fault = expect.objectContaining({ code: 'provider_error' })
  const line = new SseParser({ maxCharacters: 1000 })
  expect(() => line.push(bytes(`data: ${'x'.repeat(1000)}`))).toThrow(fault)
  const lines = new SseParser({ maxCharacters: 1000 })
  expect(() => lines.push(bytes('data: xxxxxxxx\n'.repeat(200)))).toThrow(fault)
  const events = new SseParser({ maxCharacters: 1000 })
  expect(events.push(bytes('data: xxxxxxxx\n\n'.repeat(200)))).toHaveLength(200)
})
