import { expect, test } from 'vitest'
import {
  futureMoment,
  integer,
  jsonObject,
  list,
  moment,
  oneOf,
  pairs,
  seconds,
} from './option-value.ts'

const usage = (text: string) =>
  expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(text) })

test('whole numbers have bounds, and the refusal names them', () => {
  const port = integer('--port', 0, 65_535)
  expect(port('0')).toBe(0)
  for (const text of ['', '-1', '65536', '1.5', '0x10', '1e3', ' 1', '9'.repeat(30)]) {
    expect(() => port(text), text).toThrow(usage('--port expects a whole number from 0 to 65535'))
  }
})

test.each([
  ['2026-05-02T09:14:07Z', Date.UTC(2026, 4, 2, 9, 14, 7)],
  ['2026-05-02t09:14:07.5z', Date.UTC(2026, 4, 2, 9, 14, 7, 500)],
  ['2026-05-02 11:14:07+02:00', Date.UTC(2026, 4, 2, 9, 14, 7)],
  ['2026-05-02', Date.UTC(2026, 4, 2)],
  ['90m', 1_000_000_000 - 5_400_000],
  ['7d', 1_000_000_000 - 604_800_000],
])('the moment %s', (text, ms) => {
  expect(moment('--since', () => 1_000_000_000)(text)).toBe(ms)
})

test('a time without an offset is refused: the machine’s zone must not decide', () => {
  for (const text of ['2026-05-02T09:14:07', 'yesterday', '2026-13-40', '1699999999', '7y']) {
    expect(() => moment('--since')(text), text).toThrow(usage('--since expects a time'))
  }
  expect(() => futureMoment('--expires')('7d')).toThrow(usage('--expires'))
})

test('seconds take a number or a duration', () => {
  expect(seconds('--overlap', 86_400)('30')).toBe(30)
  expect(seconds('--overlap', 86_400)('2h')).toBe(7_200)
  expect(() => seconds('--overlap', 86_400)('2d')).toThrow(usage('up to 86400 s'))
  expect(() => seconds('--overlap', 86_400)('soon')).toThrow(usage('--overlap'))
})

test('choices, lists, pairs and objects', () => {
  expect(oneOf('--kind', ['a', 'b'])('b')).toBe('b')
  expect(() => oneOf('--kind', ['a', 'b'])('c')).toThrow(usage('one of a, b'))
  expect(list('y', ['x'])).toEqual(['x', 'y'])
  const meta = pairs('--meta')
  expect(meta('b=2=3', meta('a=1', undefined))).toEqual({ a: '1', b: '2=3' })
  expect(() => meta('=x', undefined)).toThrow(usage('KEY=VALUE'))
  expect(jsonObject('--op-params')('{"url":"x"}')).toEqual({ url: 'x' })
  expect(() => jsonObject('--op-params')('[1]')).toThrow(usage('a JSON object'))
  expect(() => jsonObject('--op-params')('{')).toThrow(usage('expects JSON'))
})
