import { schemapinCanonical } from '@vestry/contract/schemapin'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readToolJson } from './number-tokens.ts'
import { isRawNumber, isTokenObject, numberOf, type TokenJson } from './raw-number.ts'

const read = (text: string) => readToolJson(Buffer.from(text))
const refusal = (bytes: Uint8Array | string) => {
  try {
    readToolJson(Buffer.from(bytes))
  } catch (error) {
    expect(error).toMatchObject({ name: 'VestryError', code: 'INVALID_JSON' })
    return (error as Error).message
  }
  return 'accepted'
}

test('numbers that a double would change stay as they were written', () => {
  const text = '{"a":1.0,"b":1e3,"c":-0,"d":12345678901234567890,"e":7,"f":-7,"g":0.5,"h":1E5}'
  const value = read(text) as Record<string, TokenJson>
  const kept = Object.entries(value).flatMap(([key, member]) =>
    isRawNumber(member) ? [[key, member.rawJSON]] : [],
  )
  expect(Object.fromEntries(kept)).toEqual({
    a: '1.0',
    b: '1e3',
    c: '-0',
    d: '12345678901234567890',
    g: '0.5',
    h: '1E5',
  })
  expect([value['e'], value['f']]).toEqual([7, -7])
  expect(numberOf(value['b'] as number)).toBe(1000)
  expect(JSON.stringify(value)).toBe(text)
})

test('whole numbers keep their digits beyond the range of doubles, fractions have none there', () => {
  const digits = `-${'9'.repeat(400)}`
  expect(schemapinCanonical(read(`[${digits}]`))).toBe(`[${digits}]`)
  expect(refusal('[1e309]')).toBe('The body holds a number that is out of range')
  expect(refusal('[-1.5e400]')).toBe('The body holds a number that is out of range')
})

test('every member is kept, __proto__ and rawJSON included', () => {
  const text = '{"__proto__":{"a":1},"constructor":{},"x":{"__proto__":null,"rawJSON":"1"}}'
  const value = read(text)
  expect(JSON.stringify(value)).toBe(text)
  expect(Object.keys(value as object)).toEqual(['__proto__', 'constructor', 'x'])
  // An object whose only member is called as that of a number token is an object.
  const posing = read('{"rawJSON":"1"}')
  expect(isTokenObject(posing)).toBe(true)
  expect(schemapinCanonical(posing)).toBe('{"rawJSON":"1"}')
})

test('what could be read in two ways is refused', () => {
  expect(refusal('{"a":1.0,"\\u0061":1}')).toBe('The body holds a key twice')
  expect(refusal('{"__proto__":1,"__proto__":2}')).toBe('The body holds a key twice')
  expect(refusal('["\\ud800"]')).toBe('The body holds an unpaired surrogate')
  expect(refusal('{"\\ud800":1}')).toBe('The body holds an unpaired surrogate')
  expect(refusal('\ufeff{}')).toBe('The body is not valid JSON')
  expect(refusal('')).toBe('The body is not valid JSON')
  expect(refusal('NaN')).toBe('The body is not valid JSON')
  expect(refusal(Buffer.of(0x22, 0xff, 0x22))).toBe('The body is not valid UTF-8')
  const nested = (depth: number) => `${'['.repeat(depth)}1.5${']'.repeat(depth)}`
  expect(refusal(nested(64))).toBe('accepted')
  expect(refusal(nested(65))).toBe('The body is nested deeper than 64 levels')
})

test('reads what JSON.parse reads, and writes it as it was', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), (value) => {
      const text = JSON.stringify(value)
      expect(JSON.stringify(read(text))).toBe(text)
      expect(JSON.parse(JSON.stringify(read(text)))).toEqual(JSON.parse(text))
    }),
  )
})
