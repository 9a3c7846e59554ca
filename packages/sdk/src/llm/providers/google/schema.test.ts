import { expect, test } from 'vitest'
import { reducedSchema } from './schema.ts'

const reduced = (schema: Record<string, unknown>) => reducedSchema(schema, 'schema')
const SCALARS = { anyOf: [{ type: 'STRING' }, { type: 'NUMBER' }, { type: 'BOOLEAN' }] }

test('what Gemini does not know is left out, properties of such names are not', () => {
  const given = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: 'x',
    type: 'object',
    additionalProperties: false,
    default: {},
    properties: {
      default: { type: 'string', format: 'uri', minLength: 1, examples: ['a'] },
      $schema: { type: 'integer', format: 'int64', exclusiveMinimum: 0, minimum: 1 },
    },
    required: ['default', 'gone'],
  }
  expect(reduced(given)).toEqual({
    type: 'OBJECT',
    properties: {
      default: { type: 'STRING', minLength: 1 },
      $schema: { type: 'INTEGER', format: 'int64', minimum: 1 },
    },
    required: ['default'],
  })
})

test('references are inlined, with what stands beside them, also through another', () => {
  const given = {
    type: 'object',
    properties: {
      a: { $ref: '#/$defs/outer', description: 'mine' },
      b: { $ref: '#/definitions/x~1y' },
    },
    $defs: {
      outer: { type: 'array', items: { $ref: '#/$defs/inner' } },
      inner: { type: 'string' },
    },
    definitions: { 'x/y': { type: 'boolean' } },
  }
  expect(reduced(given)).toEqual({
    type: 'OBJECT',
    properties: {
      a: { type: 'ARRAY', description: 'mine', items: { type: 'STRING' } },
      b: { type: 'BOOLEAN' },
    },
  })
})

test.each<[string, unknown, unknown]>([
  ['a list of types', { type: ['string', 'null'] }, { type: 'STRING', nullable: true }],
  [
    'a union with null',
    { anyOf: [{ type: 'string' }, { type: 'null' }], description: 'd' },
    { type: 'STRING', description: 'd', nullable: true },
  ],
  [
    'a union of several with null',
    { oneOf: [{ type: 'string' }, { type: 'number' }, { const: null }] },
    { anyOf: [{ type: 'STRING' }, { type: 'NUMBER' }], nullable: true },
  ],
  ['an enum with null', { enum: ['a', null] }, { type: 'STRING', enum: ['a'], nullable: true }],
  [
    'several types',
    { type: ['string', 'integer'], description: 'd', maxLength: 3 },
    {
      anyOf: [
        { type: 'STRING', maxLength: 3 },
        { type: 'INTEGER', maxLength: 3 },
      ],
      description: 'd',
    },
  ],
  ['a constant', { const: 'a' }, { type: 'STRING', enum: ['a'] }],
  [
    'numbers to choose from',
    { type: 'integer', enum: [1, 2], description: 'Level.' },
    { type: 'INTEGER', description: 'Level. One of: 1, 2.' },
  ],
  ['anything', true, SCALARS],
  ['a list of anything', { type: 'array' }, { type: 'ARRAY', items: SCALARS }],
  [
    'a tuple',
    { prefixItems: [{ type: 'string' }, { type: 'number' }] },
    { type: 'ARRAY', items: { anyOf: [{ type: 'STRING' }, { type: 'NUMBER' }] } },
  ],
  [
    'an object without type',
    { properties: { a: { type: 'string' } } },
    { type: 'OBJECT', properties: { a: { type: 'STRING' } } },
  ],
  [
    'allOf',
    {
      allOf: [
        { properties: { a: { type: 'string' } }, required: ['a'] },
        { properties: { b: { type: 'number' } }, required: ['b'] },
      ],
      type: 'object',
    },
    {
      type: 'OBJECT',
      properties: { a: { type: 'STRING' }, b: { type: 'NUMBER' } },
      required: ['a', 'b'],
    },
  ],
])('%s is expressed in Gemini’s terms', (_what, property, expected) => {
  const schema = { type: 'object', properties: { p: property } }
  expect(reduced(schema)['properties']).toEqual({ p: expected })
})

test('a recursive schema is refused with a word about why', () => {
  const node = { type: 'object', properties: { next: { $ref: '#/$defs/node' } } }
  const refusal = expect.objectContaining({
    code: 'invalid_request',
    message: expect.stringContaining('#/$defs/node'),
  })
  expect(() => reduced({ $ref: '#/$defs/node', $defs: { node } })).toThrow(refusal)
  const own = { type: 'object', properties: { child: { $ref: '#' } } }
  expect(() => reduced(own)).toThrow(/refers to itself/)
  const all = { allOf: [{ $ref: '#/$defs/a' }], $defs: { a: { allOf: [{ $ref: '#/$defs/a' }] } } }
  expect(() => reduced(all)).toThrow(/refers to itself/)
})

test('references to nowhere, and ones that multiply without end, are refused', () => {
  expect(() => reduced({ properties: { a: { $ref: '#/$defs/no' } } })).toThrow(/nowhere/)
  expect(() => reduced({ properties: { a: { $ref: 'https://e.org/s' } } })).toThrow(/nowhere/)
  expect(() => reduced({ properties: { a: { $ref: '#/toString' } } })).toThrow(/nowhere/)
  const $defs: Record<string, unknown> = { d0: { type: 'string' } }
  for (let at = 1; at < 30; at += 1) {
    const below = { $ref: `#/$defs/d${at - 1}` }
    $defs[`d${at}`] = { type: 'object', properties: { a: below, b: below } }
  }
  expect(() => reduced({ $ref: '#/$defs/d29', $defs })).toThrow(/too large/)
})

test('the schema that came is left as it was', () => {
  const given = {
    type: 'object',
    properties: { a: { $ref: '#/$defs/b' } },
    $defs: { b: { enum: ['x'] } },
  }
  const before = structuredClone(given)
  reduced(given)
  expect(given).toEqual(before)
})
