import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { type JsonValue, schemapinCanonical } from './schemapin.ts'

const sha256 = (text: string) => createHash('sha256').update(text, 'utf8').digest('hex')
const canonicalOf = (json: string) => schemapinCanonical(JSON.parse(json) as JsonValue)

describe('the vectors of runtime §7.6', () => {
  test('V1: a whole tool with integer-like keys', () => {
    const tool = {
      schema: {
        type: 'object',
        required: ['start', 'end'],
        properties: {
          start: { type: 'string', maxLength: 120 },
          end: { type: 'string', maxLength: 120 },
          mode: { type: 'string', enum: ['short', 'flat'] },
          '9': { type: 'boolean' },
          '10': { type: 'integer', minimum: 0 },
        },
      },
      provider: { public_key_url: null, name: 'maps.example' },
      name: 'route_finder',
      description: 'Plans a walking route – café stops optional 🔧',
    }
    const text = schemapinCanonical(tool)
    expect(Buffer.byteLength(text)).toBe(407)
    expect(sha256(text)).toBe('b296146220f45d41e77ccd61119198f8997dfebb5129f0b0c97858b290e56812')
    const padded = schemapinCanonical({ ...tool, description: `${tool.description} ` })
    expect(sha256(padded)).toBe('a9d5c9f93231bd634f7c9854ee262860fa1217e6792c57fc93eebb4a7be77fa0')
  })

  test('V2: the sample schema of the upstream libraries', () => {
    const number = (description: string) => ({ type: 'number', description })
    const schema = {
      name: 'calculate_sum',
      description: 'Calculates the sum of two numbers',
      parameters: {
        type: 'object',
        properties: { a: number('First number'), b: number('Second number') },
        required: ['a', 'b'],
      },
    }
    expect(sha256(schemapinCanonical(schema))).toBe(
      'ba3964fa77ca4342ded7340c87fcbd726b525a520a1fc2283c091b193ef2b1af',
    )
  })

  test('V3: the sample of the Go library', () => {
    const text = canonicalOf(
      '{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}',
    )
    expect(text).toBe(
      '{"properties":{"name":{"type":"string"}},"required":["name"],"type":"object"}',
    )
    expect(sha256(text)).toBe('098974972159a1c508b6fed6baed3bba04cd70d4ee9bbe30f926fb1db0188008')
  })

  test.each([
    ['{}', '{}', '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'],
    [
      '{"10":1,"9":2,"2":3,"a":4}',
      '{"10":1,"2":3,"9":2,"a":4}',
      'd250e1c3e2e3e9714e18a58e2905e6f01157ca543eae4fb4aa8436970d90a86f',
    ],
    [
      '{"z":[{"b":1,"a":[true,false,null]}],"a":{}}',
      '{"a":{},"z":[{"a":[true,false,null],"b":1}]}',
      'db71710a8126265112330b25bf3bfe8d057947385dd23021ba74e9443a18a41b',
    ],
    [
      '{"d":"caf\\u00e9 \\ud83d\\udd27"}',
      '{"d":"café 🔧"}',
      'bf71c3711a073e22fff0e96b5eeac8620043efe586be7427efe605db9dd02fee',
    ],
    [
      '{"\\uffff":1,"\\ud83d\\ude00":2,"z":3,"\\u00e9":4}',
      '{"z":3,"é":4,"\uffff":1,"😀":2}',
      '56e6b2b700190cde4766a848e9671d7e313acb0a81364b78d117f92acf1f4b7b',
    ],
    [
      '{"a":"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\\u007f\\"\\\\/"}',
      '{"a":"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\u007f\\"\\\\/"}',
      'b23fd830710a849b79eb93d614ba40d974589d761f45ec1b0a5f4c57fed8d2ee',
    ],
    [
      '{"a":"<b>&\\u2028\\u2029"}',
      '{"a":"<b>&\u2028\u2029"}',
      'bb74c2128b37056f8600920fd21d7fdb13f321b0cffcb104bba90fea1e836f3f',
    ],
  ])('V4: %s', (json, canonical, digest) => {
    expect(canonicalOf(json)).toBe(canonical)
    expect(sha256(canonical)).toBe(digest)
  })
})

test.each([
  [100.5, '100.5'],
  [0.1, '0.1'],
  [0.0001, '0.0001'],
  [0.00001, '1e-05'],
  [0.000012, '1.2e-05'],
  [1e-7, '1e-07'],
  [-1.5e-7, '-1.5e-07'],
  [5e-324, '5e-324'],
  [123456789.5, '123456789.5'],
  [-0, '0'],
  [-7, '-7'],
  [9007199254740991, '9007199254740991'],
])('the number %d is written as Python writes it', (value, text) => {
  expect(schemapinCanonical(value)).toBe(text)
})

/** As `JSON.rawJSON` makes it, on any Node. */
const token = (rawJSON: string) => Object.freeze(Object.assign(Object.create(null), { rawJSON }))

test.each([
  ['1.0', '1.0'],
  ['1e3', '1000.0'],
  ['100.5', '100.5'],
  ['1e15', '1000000000000000.0'],
  ['1e16', '1e+16'],
  ['1.5e16', '1.5e+16'],
  ['1e21', '1e+21'],
  ['1e100', '1e+100'],
  ['0.0001', '0.0001'],
  ['0.00001', '1e-05'],
  ['1e-7', '1e-07'],
  ['1.5E-7', '1.5e-07'],
  ['-2.50', '-2.5'],
  ['0.0', '0.0'],
  ['-0.0', '-0.0'],
  ['1e-999', '0.0'],
  ['-0', '0'],
  ['9007199254740993', '9007199254740993'],
  ['-12345678901234567890', '-12345678901234567890'],
])('the number token %s becomes %s, as Python writes it', (given, text) => {
  expect(schemapinCanonical([token(given)])).toBe(`[${text}]`)
})

it('takes nothing for a number token but what is one', () => {
  for (const given of ['', '01', '+1', '1.', '.5', '0x1', 'NaN', '1 ', '"a"', '1e309'])
    expect(() => schemapinCanonical(token(given)), given).toThrow('no canonical')
  // A document can hold a member of that name.
  expect(canonicalOf('{"rawJSON":"1.0"}')).toBe('{"rawJSON":"1.0"}')
  expect(schemapinCanonical(Object.freeze({ rawJSON: '1.0' }))).toBe('{"rawJSON":"1.0"}')
})

it('keeps a member named __proto__, which must not go unsigned', () => {
  expect(canonicalOf('{"__proto__":{"x":1},"a":2}')).toBe('{"__proto__":{"x":1},"a":2}')
})

it('refuses what has no canonical form', () => {
  const nested = (depth: number): JsonValue => (depth === 0 ? 1 : [nested(depth - 1)])
  expect(schemapinCanonical(nested(64))).toHaveLength(129)
  const bad = [nested(65), Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 1e21, '\ud800']
  for (const value of [...bad, { '\udc00': 1 }, { a: undefined as unknown as JsonValue }]) {
    expect(() => schemapinCanonical(value)).toThrow(
      expect.objectContaining({ code: 'INVALID_PARAMS' }),
    )
  }
})

test('any value comes out as JSON that means the same, with keys in the order of their UTF-8 bytes', () => {
  const anyKey = fc.string({ unit: 'binary' })
  fc.assert(
    fc.property(fc.dictionary(anyKey, fc.integer()), (value) => {
      const text = schemapinCanonical(value)
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)))
      const sorted = Object.keys(value).sort((a, b) =>
        Buffer.compare(Buffer.from(a), Buffer.from(b)),
      )
      expect(text).toBe(
        `{${sorted.map((key) => `${JSON.stringify(key)}:${value[key]}`).join(',')}}`,
      )
    }),
  )
})
