import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Needles } from '../../egress/needles.ts'
import { Scrubber } from '../../egress/scrub.ts'
import { Secret } from '../../seal/secret.ts'
import { EventStream, type StreamEvent } from './event-stream.ts'
import { LineReader } from './line-reader.ts'
import { readMessages } from './message.ts'
import { StderrLog } from './stderr-log.ts'

const bytes = (text: string) => Buffer.from(text)

/** Cuts at places that the generator chose. */
function* pieces(whole: Buffer, cuts: readonly number[]): Generator<Buffer> {
  const places = [...new Set(cuts.map((cut) => cut % (whole.length + 1)))].sort((a, b) => a - b)
  let from = 0
  for (const to of [...places, whole.length]) {
    yield whole.subarray(from, to)
    from = to
  }
}
const Cuts = fc.array(fc.nat(), { maxLength: 8 })

test('lines come out as they went in, wherever the chunks were cut', () => {
  const line = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !/[\r\n]/.test(text))
  fc.assert(
    fc.property(fc.array(line), Cuts, (lines, cuts) => {
      const reader = new LineReader(1_000)
      const found: string[] = []
      for (const piece of pieces(bytes(lines.map((text) => `${text}\r\n`).join('')), cuts))
        for (const one of reader.push(Buffer.from(piece)) ?? [])
          found.push(Buffer.from(one).toString())
      expect(found).toEqual(lines)
    }),
  )
})

test('a line longer than it may be ends the reading, in one chunk or in many', () => {
  expect(new LineReader(4).push(bytes('12345\n'))).toBeUndefined()
  expect(new LineReader(4).push(bytes('1234\n5'))).toHaveLength(1)
  const reader = new LineReader(4)
  expect(reader.push(bytes('123'))).toEqual([])
  expect(reader.push(bytes('45'))).toBeUndefined()
})

test('a line that comes in pieces holds on to none of them', () => {
  const reader = new LineReader(100)
  for (const text of ['a', 'b']) {
    const piece = bytes(text)
    reader.push(piece)
    piece.fill(0)
  }
  expect(reader.push(bytes('c\n'))?.map((line) => Buffer.from(line).toString())).toEqual(['abc'])
})

test('what a stream left half said does not become part of the stream that takes it up', () => {
  const stream = new EventStream(100)
  stream.push(bytes('id: 1\ndata: first\n\nid: 2\ndata: half of the sec'))
  stream.reconnected()
  expect(stream.lastEventId).toBe('1')
  expect(stream.push(bytes('data: second\n\n'))).toEqual([{ type: 'message', data: 'second' }])
  expect(stream.lastEventId).toBe('1')
})

test('events come out as they went in, with every kind of line end', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((one) => !/[\r\n\0]/.test(one))
  fc.assert(
    fc.property(
      fc.array(fc.array(text, { minLength: 1, maxLength: 3 }), { maxLength: 5 }),
      fc.constantFrom('\n', '\r', '\r\n'),
      Cuts,
      (events, end, cuts) => {
        const written = events
          .map(
            (lines) => `: note${end}${lines.map((line) => `data: ${line}${end}`).join('')}${end}`,
          )
          .join('')
        const stream = new EventStream(1_000)
        const found: StreamEvent[] = []
        for (const piece of pieces(bytes(written), cuts)) found.push(...(stream.push(piece) ?? []))
        // A lone CR at the end may be half of a CRLF; the event is complete either way.
        expect(found.map(({ data }) => data)).toEqual(events.map((lines) => lines.join('\n')))
      },
    ),
  )
})

test('event types, ids and pauses are understood; ids that no header can carry are not', () => {
  const stream = new EventStream(100)
  expect(stream.push(bytes('event: endpoint\nid: 7\nretry: 250\ndata: /here\n\n'))).toEqual([
    { type: 'endpoint', data: '/here' },
  ])
  expect([stream.lastEventId, stream.retryMs]).toEqual(['7', 250])
  expect(stream.push(bytes('id: ü\r\nretry: soon\ndata\n\ndata: not complete'))).toEqual([
    { type: 'message', data: '' },
  ])
  expect([stream.lastEventId, stream.retryMs]).toEqual(['7', 250])
  expect(stream.push(bytes('x'.repeat(100)))).toBeUndefined()
})

test('messages are told apart, and what is none is not taken for one', () => {
  const kinds = (text: string) => readMessages(bytes(text))?.map(({ kind }) => kind)
  // Ids are kept until there is an answer; one that is a message of its own gets none.
  expect(kinds(`{"jsonrpc":"2.0","id":"${'x'.repeat(257)}","method":"ping"}`)).toEqual([
    'notification',
  ])
  expect(kinds('{"jsonrpc":"2.0","id":1,"result":{}}')).toEqual(['answer'])
  expect(kinds('{"jsonrpc":"2.0","id":1,"method":"ping"}')).toEqual(['request'])
  expect(kinds('[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":"x","error":{}}]')).toEqual([
    'notification',
    'answer',
  ])
  for (const text of [
    '',
    'Welcome!',
    '{}',
    '[]',
    '"x"',
    'null',
    '{"jsonrpc":"2.0"}',
    '{"jsonrpc":"2.0","id":1,"result":5}',
  ])
    expect(kinds(text)).toBeUndefined()
})

test('an answer that is too deep, not UTF-8 or listed with a key twice becomes an error of its request', () => {
  const deep = `{"jsonrpc":"2.0","result":{"id":5,"x":${'['.repeat(80)}${']'.repeat(80)}},"id": 42}`
  expect(readMessages(bytes(deep))).toMatchObject([
    { message: { id: 42, error: { code: -32700 } } },
  ])
  const twice = '{"jsonrpc":"2.0","id":3,"result":{"tools":[{"a":1,"a":2}]}}'
  expect(readMessages(bytes(twice))).toMatchObject([{ message: { id: 3, error: {} } }])
  const broken = Buffer.concat([
    bytes('{"jsonrpc":"2.0","id":4,"result":{"x":"'),
    Buffer.from([0xff]),
    bytes('"}}'),
  ])
  expect(readMessages(broken)).toMatchObject([{ message: { id: 4, error: {} } }])
  expect(readMessages(bytes('['.repeat(100_000)))).toBeUndefined()
})

test('whatever a server sends is read without an exception', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (data) => void readMessages(data)))
  fc.assert(fc.property(fc.json(), (data) => void readMessages(bytes(data))))
})

test('the log of a server is bounded in size and rate, and a gap shows no half of a secret', () => {
  const secret = 'tok-4f1e77c2b90d'
  using own = Secret.copy(bytes(secret))
  let nowMs = 0
  const log = new StderrLog(new Scrubber(Needles.of([own])), () => nowMs)
  log.push(bytes('begin\n'))
  log.push(Buffer.alloc(200_000, 'a'))
  log.push(bytes(`\n${secret.slice(0, 8)}`))
  log.push(Buffer.alloc(100_000, 'b'))
  expect(log.dropped).toBe(100_000)
  nowMs += 10_000
  log.push(bytes(`${secret.slice(8)}\nthe next line has ${secret} too\nlast`))
  log.end()
  const text = log.text()
  expect(text.length).toBeLessThanOrEqual(65_536)
  expect(text).toContain('the next line has [REDACTED] too')
  expect(text).toContain('left out')
  expect(text).not.toContain(secret.slice(8))
  expect(text).not.toContain(secret.slice(0, 8))
  expect(log.tail(20)).toBe('last')
})

test('what stands on standard output by mistake is searched for secrets before it is cut', () => {
  const secret = 'tok-4f1e77c2b90d'
  using own = Secret.copy(bytes(secret))
  const log = new StderrLog(new Scrubber(Needles.of([own])), () => 0)
  log.stray(bytes(`${'x'.repeat(190)}${secret} and so on`))
  expect(log.text()).toBe(`[stdout] ${'x'.repeat(190)}[REDACTED]\n`)
})

test('the last words are whole lines without what steers a terminal', () => {
  const log = new StderrLog(new Scrubber(Needles.none()), () => 0)
  log.push(bytes('one\ntwo \u001b[31mred\u001b[0m\n'))
  expect(log.tail(100)).toBe('one\ntwo [31mred[0m')
  expect(log.tail(20)).toBe('two [31mred[0m')
})
