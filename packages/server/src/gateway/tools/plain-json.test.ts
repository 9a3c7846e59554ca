import { expect, test } from 'vitest'
import { NotPlain, plainJson } from './plain-json.ts'

const LIMITS = { depth: 3, values: 10, items: 4, unsafe: 'refuse' } as const

test('plain data is copied', () => {
  const value = { a: [1, 'x', null, true], b: { c: 1.5 } }
  const copy = plainJson(value, LIMITS)
  expect(copy).toEqual(value)
  expect(copy).not.toBe(value)
})

test('members named like prototypes are dropped or refused, at any depth', () => {
  const hostile: unknown = JSON.parse('{"a":{"__proto__":{"admin":true},"constructor":1,"b":2}}')
  const copy = plainJson(hostile, { ...LIMITS, unsafe: 'drop' }) as { a: Record<string, unknown> }
  expect(Object.keys(copy.a)).toEqual(['b'])
  expect(copy.a['admin']).toBeUndefined()
  expect(() => plainJson(hostile, LIMITS)).toThrow(NotPlain)
})

test.each<[string, unknown]>([
  ['depth', [[[[]]]]],
  ['values', [1, 2, 3, [1, 2, 3, [1, 2, 3]]]],
  ['items', [1, 2, 3, 4, 5]],
  ['undefined', { a: undefined }],
  ['a date', { a: new Date(0) }],
  ['a map', new Map()],
  ['NaN', Number.NaN],
  ['a bigint', 1n],
  ['half a surrogate pair', 'x\ud800'],
  ['half a surrogate pair in a name', { '\udc00': 1 }],
])('%s is refused', (_name, value) => {
  expect(() => plainJson(value, LIMITS)).toThrow(NotPlain)
})
