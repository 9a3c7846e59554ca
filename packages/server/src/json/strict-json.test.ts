import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_JSON_DEPTH, ONLY_PROTO, readStrictJson } from './strict-json.ts'

const read = (text: string) => readStrictJson(Buffer.from(text))

/** What the reader says of a text: `accepted`, or why not. */
function verdict(bytes: Uint8Array): string {
  try {
    readStrictJson(bytes)
    return 'accepted'
  } catch (error) {
    expect(error).toMatchObject({ name: 'VestryError', code: 'BAD_REQUEST' })
    expect(error).not.toHaveProperty('cause')
    return (error as Error).message
  }
}
const verdictOf = (text: string) => verdict(Buffer.from(text))

/** Names that only the check of prototypes cares about. */
const isForbidden = (key: string) => ['__proto__', 'constructor', 'prototype'].includes(key)

const jsonValue = fc
  .jsonValue({ depthSize: 'medium', stringUnit: 'grapheme' })
  .filter((value) => !keysOf(value).some(isForbidden))

function keysOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(keysOf)
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, member]) => [key, ...keysOf(member)])
}

describe('valid texts', () => {
  test('are read as JSON.parse reads them, spaced or escaped', () => {
    fc.assert(
      fc.property(jsonValue, fc.constantFrom(0, 1, '\t', ' \n\r'), (value, space) => {
        const text = JSON.stringify(value, null, space)
        expect(read(text)).toEqual(JSON.parse(text))
        const escaped = text.replace(
          /[\u0080-\uffff]/g,
          (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
        )
        expect(read(escaped)).toEqual(JSON.parse(text))
      }),
      { numRuns: 500 },
    )
  })

  test('may be bare values, and hold anything that looks like structure inside strings', () => {
    for (const text of [
      ' null ',
      'true',
      '-0',
      '1e308',
      '""',
      '"{\\"a\\":1,\\"a\\":2}"',
      '{"a":":","b":"\\\\"}',
      '{"":{"":[":",{"":1}]}}',
      '[{"a":1},{"a":2}]',
      '{"a":{"a":{"a":1}}}',
      '"\\ud83d\\ude00"',
      '"\u2028\u2029\u007f"',
    ]) {
      expect(read(text), text).toEqual(JSON.parse(text))
    }
    expect(Object.getPrototypeOf(read('{"a":1}'))).toBe(Object.prototype)
  })

  test('nest as deep as the bound and no deeper', () => {
    const arrays = (depth: number) => `${'['.repeat(depth)}1${']'.repeat(depth)}`
    const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
    expect(verdictOf(arrays(MAX_JSON_DEPTH))).toBe('accepted')
    expect(verdictOf(objects(MAX_JSON_DEPTH))).toBe('accepted')
    for (const text of [arrays(65), objects(65), '['.repeat(1_000_000), arrays(100_000)]) {
      expect(verdictOf(text)).toBe('The body is nested deeper than 64 levels')
    }
    expect(verdictOf(`[${'[[]],'.repeat(1_000)}"${'['.repeat(99)}"]`)).toBe('accepted')
  })
})

describe('refused', () => {
  test('a key that comes twice, wherever and however it is written', () => {
    for (const text of [
      '{"a":1,"a":1}',
      '{"a":1,"\\u0061":2}',
      '{"\\/":1,"/":2}',
      '{"ä":1,"\\u00e4":2}',
      '{"a":{"b":1,"c":2,"b":3}}',
      '[1,{"x":[{"y":1,"y":[{"z":1}]}]}]',
      '{"1":1,"1":2}',
      '{"a":{"deep":{"deep":1}},"b":1,"a":2}',
      '{"":1,"":2}',
    ]) {
      expect(verdictOf(text), text).toBe('The body holds a key twice')
    }
  })

  test('a key that comes twice in a generated object', () => {
    const key = fc.string().filter((text) => !isForbidden(text))
    fc.assert(
      fc.property(jsonValue, key, jsonValue, jsonValue, (around, name, one, other) => {
        const member = (value: unknown) => `${JSON.stringify(name)}:${JSON.stringify(value)}`
        const twice = `{${member(one)}, "between, the\\" {two}":0 ,${member(other)}}`
        expect(verdictOf(`[${JSON.stringify(around)},${twice}]`)).toMatch(
          name === 'between, the" {two}' ? /./ : /^The body holds a key twice$/,
        )
      }),
    )
  })

  test('keys of prototypes, escaped too, but not as values', () => {
    for (const key of [
      '__proto__',
      'constructor',
      'prototype',
      '\\u005f_proto__',
      'proto\\u0074ype',
    ]) {
      for (const text of [
        `{"${key}":1}`,
        `[{"a":{"${key}":{"x":1}}}]`,
        `{"${key}":1,"${key}":2}`,
      ]) {
        expect(verdictOf(text), text).toBe('The body holds a key that is not allowed')
      }
    }
    expect(read('["__proto__",{"a":"constructor"}]')).toEqual(['__proto__', { a: 'constructor' }])
    expect(verdictOf('{"__PROTO__":1,"proto":2}')).toBe('accepted')
  })

  test('half a surrogate pair, raw or escaped, in keys and values', () => {
    for (const half of ['\\ud800', '\\udc00', '\\ud800x', '\\ude00\\ud83d', '\\ud83d\\ud83d']) {
      for (const text of [`"${half}"`, `{"${half}":1}`, `[{"a":["x${half}"]}]`]) {
        expect(verdictOf(text), text).toBe('The body holds an unpaired surrogate')
      }
    }
    expect(verdictOf('"\\\\ud800"')).toBe('accepted')
    expect(verdict(Buffer.of(0x22, 0xed, 0xa0, 0x80, 0x22))).toBe('The body is not valid UTF-8')
  })

  test('numbers that no double holds', () => {
    for (const text of ['1e309', '-1e400', `[{"a":${'9'.repeat(400)}}]`, '{"a":1E+999}']) {
      expect(verdictOf(text)).toBe('The body holds a number that is out of range')
    }
    expect(verdictOf('[1e-999,1.7976931348623157e308]')).toBe('accepted')
  })

  test('bytes that are not UTF-8: overlong, cut, beyond Unicode, another encoding', () => {
    const quoted = (...bytes: number[]) => Buffer.from([0x22, ...bytes, 0x22])
    for (const bytes of [
      quoted(0xc0, 0xaf),
      quoted(0xe4),
      quoted(0xf4, 0x90, 0x80, 0x80),
      quoted(0xff),
      Buffer.from('"ä"', 'latin1'),
    ]) {
      expect(verdict(bytes)).toBe('The body is not valid UTF-8')
    }
    expect(verdict(Buffer.from('"text"', 'utf16le'))).toBe('The body is not valid JSON')
  })

  test('what is not JSON', () => {
    for (const text of [
      '',
      ' ',
      '\ufeff{}',
      '{}{}',
      '{"a":1,}',
      "{'a':1}",
      '{a:1}',
      '[1,]',
      '01',
      '+1',
      'NaN',
      'Infinity',
      '"tab\there"',
      '"\\x41"',
      '// c\n1',
      '"open',
      '"open\\',
      ']]]][[[[',
      'undefined',
    ]) {
      expect(verdictOf(text), text).toBe('The body is not valid JSON')
    }
  })
})

test('whatever arrives, the reader accepts a part of what JSON.parse accepts, and agrees with it', () => {
  const soup = fc.string({
    unit: fc.constantFrom(...'{}[]:,"\\u0d8a1e-.+ \n', 'null', 'true', '"a"', '"a":1', '\ud83d'),
    maxLength: 40,
  })
  fc.assert(
    fc.property(fc.oneof(soup, fc.json(), fc.string({ unit: 'binary' })), (text) => {
      const bytes = Buffer.from(text)
      if (verdict(bytes) === 'accepted') {
        expect(readStrictJson(bytes)).toEqual(JSON.parse(bytes.toString()))
      }
    }),
    { numRuns: 3_000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      verdict(bytes)
    }),
    { numRuns: 1_000 },
  )
})

test('no reason repeats what was sent', () => {
  for (const text of ['{"s3cr3t":', 's3cr3t', '{"s3cr3t":1,"s3cr3t":2}', '["s3cr3t\\ud800"]']) {
    expect(verdictOf(text)).not.toContain('s3cr3t')
  }
})

test('a view into a larger buffer is read alone', () => {
  const whole = Buffer.from('xx{"a":1}yy')
  expect(readStrictJson(whole.subarray(2, 9))).toEqual({ a: 1 })
})

test('readers that allow it get members called like those of prototypes, but never __proto__', () => {
  const schema = '{"properties":{"constructor":{"type":"string"},"prototype":{}}}'
  expect(() => readStrictJson(Buffer.from(schema))).toThrow('not allowed')
  expect(readStrictJson(Buffer.from(schema), ONLY_PROTO)).toEqual(JSON.parse(schema))
  for (const text of ['{"__proto__":{}}', '{"a":[{"\\u005f_proto__":1}]}'])
    expect(() => readStrictJson(Buffer.from(text), ONLY_PROTO), text).toThrow('not allowed')
})
