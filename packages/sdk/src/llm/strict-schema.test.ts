import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { ConfigurationError } from '../sage/errors.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { strictSchema } from './strict-schema.ts'

const text = { type: 'string' }
const closed = (properties: JsonObject, more: JsonObject = {}): JsonObject => ({
  ...more,
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
})

/** Normalises, and holds the result to what is promised of every result. */
function strict(schema: JsonObject): JsonObject {
  const before = structuredClone(schema)
  const result = strictSchema(schema)
  expect(schema, 'the input is not modified').toEqual(before)
  expect(strictSchema(result), 'twice is once').toEqual(result)
  expect(JSON.stringify(result)).not.toMatch(/"\$ref":"(?!#(?:"|\/\$defs\/))/)
  for (const [, name] of JSON.stringify(result).matchAll(/"\$ref":"#\/\$defs\/([^"]+)"/g)) {
    expect(Object.keys(result['$defs'] ?? {}), `${name} is there`).toContain(name)
  }
  return result
}

test('sage §21.28: objects are closed and name all their properties; titles and defaults go', () => {
  const schema = {
    title: 'Finding',
    type: 'object',
    properties: { rule: { title: 'Rule', type: 'string', default: 'x', description: 'The rule' } },
    required: ['rule'],
  }
  expect(strict(schema)).toEqual(closed({ rule: { type: 'string', description: 'The rule' } }))
})

test('sage §21.28: a property named title, default, $ref or $defs stays', () => {
  const properties = { title: text, default: text, $ref: text, $defs: text, properties: text }
  expect(strict({ type: 'object', properties, required: Object.keys(properties) })).toEqual(
    closed(properties),
  )
})

test('sage §21.28: references inside of what was written out are written out as well', () => {
  const schema = {
    type: 'object',
    properties: { report: { $ref: '#/$defs/Report' } },
    required: ['report'],
    $defs: {
      Report: {
        type: 'object',
        properties: { all: { type: 'array', items: { $ref: '#/$defs/Finding' } } },
        required: ['all'],
      },
      Finding: { type: 'object', properties: { at: { $ref: '#/$defs/At' } }, required: ['at'] },
      At: { type: 'object', properties: { line: { type: 'integer' } }, required: ['line'] },
    },
  }
  const finding = closed({ at: closed({ line: { type: 'integer' } }) })
  expect(strict(schema)).toEqual(
    closed({ report: closed({ all: { type: 'array', items: finding } }) }),
  )
})

test('sage §21.28: a recursive schema keeps its definition, whatever it was kept under', () => {
  for (const holder of ['$defs', 'definitions']) {
    const ref = { $ref: `#/${holder}/Node` }
    const node = { type: 'object', properties: { next: ref, name: text }, required: ['name'] }
    const kept = closed({
      next: { anyOf: [{ $ref: '#/$defs/Node' }, { type: 'null' }] },
      name: text,
    })
    const properties = { root: ref }
    const schema = { type: 'object', properties, required: ['root'], [holder]: { Node: node } }
    expect(strict(schema)).toEqual({
      ...closed({ root: { $ref: '#/$defs/Node' } }),
      $defs: { Node: kept },
    })
    expect(strict({ ...ref, [holder]: { Node: node } })).toEqual({ ...kept, $defs: { Node: kept } })
  }
})

test('sage §21.28: a schema that refers to its own root, and two definitions that refer to each other', () => {
  const tree = {
    type: 'object',
    properties: { children: { type: 'array', items: { $ref: '#' } } },
    required: ['children'],
  }
  expect(strict(tree)).toEqual(closed(tree.properties))
  const schema = {
    type: 'object',
    properties: { a: { $ref: '#/$defs/A' } },
    required: ['a'],
    $defs: {
      A: { type: 'object', properties: { b: { $ref: '#/$defs/B' } }, required: ['b'] },
      B: { type: 'object', properties: { a: { $ref: '#/$defs/A' } } },
      Unused: { type: 'object', properties: { x: { $ref: '#/$defs/Unused' } } },
    },
  }
  expect(strict(schema)['$defs']).toEqual({
    A: closed({ b: { $ref: '#/$defs/B' } }),
    B: closed({ a: { anyOf: [{ $ref: '#/$defs/A' }, { type: 'null' }] } }),
  })
})

test('sage §21.28: what stands beside a reference stays', () => {
  const schema = {
    type: 'object',
    properties: {
      plain: { $ref: '#/$defs/Level', description: 'near' },
      folded: { allOf: [{ $ref: '#/$defs/Level' }], description: 'near', default: 'high' },
      again: { $ref: '#', description: 'recursive' },
    },
    required: ['plain', 'folded', 'again'],
    $defs: { Level: { enum: ['high', 'low'], type: 'string', description: 'far' } },
  }
  const level = { enum: ['high', 'low'], type: 'string', description: 'near' }
  expect(strict(schema)['properties']).toEqual({
    plain: level,
    folded: level,
    again: { description: 'recursive', anyOf: [{ $ref: '#' }] },
  })
})

test.each([
  [text, { type: ['string', 'null'] }],
  [{ type: ['string', 'null'] }, { type: ['string', 'null'] }],
  [
    { type: 'string', enum: ['a'] },
    { type: ['string', 'null'], enum: ['a', null] },
  ],
  [{ enum: ['a'] }, { anyOf: [{ enum: ['a'] }, { type: 'null' }] }],
  [{ const: 'a', type: 'string' }, { anyOf: [{ const: 'a', type: 'string' }, { type: 'null' }] }],
  [{ anyOf: [text] }, { anyOf: [text, { type: 'null' }] }],
  [{ anyOf: [text, { type: 'null' }] }, { anyOf: [text, { type: 'null' }] }],
  [
    { oneOf: [text], description: 'd' },
    { description: 'd', anyOf: [{ oneOf: [text] }, { type: 'null' }] },
  ],
  [{ type: 'null' }, { type: 'null' }],
  [{}, {}],
])('sage §21.28: the optional property %j may be null', (given, wanted) => {
  expect(strict({ type: 'object', properties: { x: given } })).toEqual(closed({ x: wanted }))
})

test.each([
  { type: 'object' },
  { type: 'object', additionalProperties: text },
  { type: 'object', additionalProperties: true, properties: { a: text } },
  { type: ['object', 'null'], additionalProperties: {} },
  { type: 'object', properties: {}, patternProperties: { '^x': text } },
])('sage §21.28: the map %j is refused, with what to do instead', (map) => {
  const schema = { type: 'object', properties: { list: { type: 'array', items: map } } }
  expect(() => strictSchema(schema)).toThrow(ConfigurationError)
  expect(() => strictSchema(schema)).toThrow(/#\/properties\/list\/items .*strict: false/)
})

test('an object without properties that says it is closed is no map', () => {
  const schema = { type: 'object', additionalProperties: false }
  expect(strict(schema)).toEqual(closed({}))
})

test('allOf of objects is one object, unless they disagree', () => {
  const part = (name: string, schema: JsonObject = text) => ({
    type: 'object',
    properties: { [name]: schema },
    required: [name],
  })
  expect(strict({ allOf: [part('a'), part('b')], description: 'both' })).toEqual(
    closed({ a: text, b: text }, { description: 'both' }),
  )
  expect(strict({ allOf: [part('a'), part('a', { type: 'integer' })] })).toHaveProperty('allOf')
})

test.each([
  ['elsewhere', { $ref: 'https://example.com/x.json' }],
  ['nowhere', { $ref: '#/$defs/Missing' }],
])('a reference that leads %s is refused', (_where, schema) => {
  expect(() => strictSchema(schema)).toThrow(ConfigurationError)
})

test('a schema that is no plain JSON, or holds itself, is refused in bounded time', () => {
  expect(() => strictSchema({ properties: { x: () => 1 } })).toThrow(ConfigurationError)
  const round: JsonObject = { type: 'object' }
  round['properties'] = { round }
  expect(() => strictSchema(round)).toThrow(ConfigurationError)
  const doubling = Object.fromEntries(
    Array.from({ length: 40 }, (_, at) => {
      const next = { $ref: `#/$defs/D${at + 1}` }
      return [`D${at}`, { type: 'object', properties: { a: next, b: next } }]
    }),
  )
  const schema = { $ref: '#/$defs/D0', $defs: { ...doubling, D40: text } }
  expect(() => strictSchema(schema)).toThrow(ConfigurationError)
})

test('what zod writes is understood', () => {
  const Finding = z.object({
    rule: z.string().default('none'),
    level: z.enum(['high', 'low']).optional(),
    at: z.object({ line: z.int() }).nullable(),
  })
  expect(strict(z.toJSONSchema(Finding, { io: 'input' }) as JsonObject)).toEqual(
    closed({
      rule: { type: ['string', 'null'] },
      level: { type: ['string', 'null'], enum: ['high', 'low', null] },
      at: {
        anyOf: [
          closed({
            line: { type: 'integer', minimum: expect.any(Number), maximum: expect.any(Number) },
          }),
          { type: 'null' },
        ],
      },
    }),
  )
})

const names = fc.constantFrom('title', 'default', 'a', 'b', '$ref')
const { schema: anySchema } = fc.letrec<{ schema: JsonObject }>((tie) => ({
  schema: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<JsonObject>(
      text,
      { type: 'integer', title: 'T', default: 1 },
      { enum: ['a', 1] },
      { $ref: '#/$defs/A' },
      { $ref: '#/$defs/B', description: 'd' },
      { $ref: '#' },
    ),
    fc.record({ type: fc.constant('array'), items: tie('schema') }),
    fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ allOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
    fc.record({
      type: fc.constant('object'),
      properties: fc.dictionary(names, tie('schema'), { maxKeys: 3 }),
      required: fc.subarray(['title', 'a']),
    }),
  ),
}))

test('sage §21.28: twice is once, no reference dangles and the input stays, for any schema', () => {
  void fc.assert(
    fc.property(anySchema, anySchema, anySchema, (root, A, B) => {
      strict({ ...root, $defs: { A, B } })
    }),
    { numRuns: 300, seed: 7 },
  )
})
