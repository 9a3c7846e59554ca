import { describe, expect, it, test } from 'vitest'
import { paramCheck } from './param-schema.ts'
import type { JsonObject } from './tool.ts'

const object = (properties: JsonObject, more: JsonObject = {}): JsonObject => ({
  type: 'object',
  properties,
  ...more,
})
const problems = (schema: JsonObject, params: JsonObject) => paramCheck(schema)(params).problems

test('defaults are filled in', () => {
  const check = paramCheck(object({ a: { type: 'integer', default: 3 } }))
  expect(check({})).toEqual({ params: { a: 3 }, problems: [] })
})

test.each<[JsonObject, JsonObject, string]>([
  [object({ a: { type: ['string', 'null'] } }), { a: 1 }, 'a: must be text or null'],
  [
    object({ a: { type: 'string', minLength: 2 } }),
    { a: 'x' },
    'a: must have at least 2 characters',
  ],
  [object({ a: { enum: [1, 2] } }), { a: 3 }, 'a: must be one of 1, 2'],
  [object({ a: { enum: ['scope:read'] } }), { a: 3 }, 'a: is not one of the accepted values'],
  [object({ a: { const: 'x' } }), { a: 'y' }, 'a: must be x'],
  [object({ a: { exclusiveMinimum: 0 } }), { a: 0 }, 'a: must be more than 0'],
  [object({ a: { exclusiveMaximum: 0 } }), { a: 0 }, 'a: must be less than 0'],
  [object({ a: { multipleOf: 5 } }), { a: 3 }, 'a: must be a multiple of 5'],
  [object({ a: { uniqueItems: true } }), { a: [1, 1] }, 'a: must not repeat an item'],
  [object({ a: { type: 'array', minItems: 2 } }), { a: [] }, 'a: must have at least 2 items'],
  [object({ a: { items: { type: 'integer' } } }), { a: [1, 'x'] }, 'a[1]: must be a whole number'],
  [
    object({}, { additionalProperties: false }),
    { secret: 1 },
    'params: has a member that is not known',
  ],
  [
    object({}, { propertyNames: { maxLength: 1 } }),
    { secret: 1 },
    'params: has a member whose name is not allowed',
  ],
  [object({}, { maxProperties: 0 }), { secret: 1 }, 'params: must have at most 0 members'],
  [object({ a: { anyOf: [{ const: 1 }] } }), { a: 2 }, 'a: is not of an accepted form'],
  [object({}, { required: ['a'] }), {}, 'a: is required'],
  [object({ a: {}, b: {} }, { dependentRequired: { a: ['b'] } }), { a: 1 }, 'b: is required'],
])('%j says of %j: %s', (schema, params, problem) => {
  expect(problems(schema, params)).toContain(problem)
})

test('gateway §19.7: names a caller made up, and names with the words of a denial, are not repeated', () => {
  const open = object(
    {},
    { additionalProperties: { type: 'object', additionalProperties: { type: 'string' } } },
  )
  expect(problems(open, { 'Policy denied': 5, x: { scope: 1 } })).toEqual([
    '*: must be an object',
    '*.*: must be text',
  ])
  expect(problems(object({ scope: { type: 'string' } }, { required: ['scope'] }), {})).toEqual([
    '*: is required',
  ])
})

test('each pattern of a schema is its own', () => {
  const schema = object({
    a: { type: 'string', pattern: '^x' },
    b: { type: 'string', pattern: '^y' },
  })
  expect(problems(schema, { a: 'x', b: 'y' })).toEqual([])
  expect(problems(schema, { a: 'y', b: 'y' })).toEqual(['a: does not have the required form'])
  expect(problems(schema, { a: 'x', b: 'x' })).toEqual(['b: does not have the required form'])
})

test('a text too long for its pattern does not match, however simple the pattern', () => {
  const schema = object({ a: { type: 'string', pattern: '^x*$' } })
  expect(problems(schema, { a: 'x'.repeat(4_096) })).toEqual([])
  expect(problems(schema, { a: 'x'.repeat(4_097) })).toHaveLength(1)
})

test('names of prototypes are not there unless they are given', () => {
  const schema = object({ toString: { type: 'string' } }, { required: ['toString'] })
  expect(problems(schema, {})).toEqual(['toString: is required'])
})

test('problems are bounded', () => {
  const schema = object({ a: { items: { type: 'string' } } })
  expect(problems(schema, { a: Array(1_000).fill(1) })).toHaveLength(20)
})

describe('schemas', () => {
  it('are read as draft 2020-12, or as draft 7 if they say so', () => {
    const tuple = { type: 'array', items: [{ type: 'string' }] }
    const draft7 = object({ a: tuple }, { $schema: 'http://json-schema.org/draft-07/schema#' })
    expect(problems(draft7, { a: [1] })).toEqual(['a[0]: must be text'])
    const prefix = object(
      { a: { type: 'array', prefixItems: [{ type: 'string' }] } },
      { $schema: 'https://json-schema.org/draft/2020-12/schema' },
    )
    expect(problems(prefix, { a: [1] })).toEqual(['a[0]: must be text'])
    expect(() => paramCheck(object({ a: tuple }))).toThrow()
  })

  it.each<[string, JsonObject]>([
    ['another dialect', object({}, { $schema: 'http://json-schema.org/draft-04/schema#' })],
    ['another type', { type: 'array' }],
    ['no type', {}],
    ['a misspelt keyword', object({ a: { type: 'string', maxLenght: 5 } })],
    ['an unknown type', object({ a: { type: 'text' } })],
    ['a bad pattern', object({ a: { type: 'string', pattern: '(' } })],
    ['a remote reference', object({ a: { $ref: 'https://evil.example/schema' } })],
    ['a local reference that leads nowhere', object({ a: { $ref: '#/$defs/x' } })],
    ['an asynchronous schema', object({}, { $async: true })],
    ['a default that would be ignored', object({}, { anyOf: [object({ a: { default: 1 } })] })],
  ])('with %s are refused', (_name, schema) => {
    expect(() => paramCheck(schema)).toThrow(Error)
  })

  it('may refer to themselves and name formats for readers', () => {
    const schema = object(
      { next: { $ref: '#' }, mail: { type: 'string', format: 'email' } },
      { additionalProperties: false },
    )
    expect(problems(schema, { next: { next: {} }, mail: 'not checked' })).toEqual([])
    expect(problems(schema, { next: { x: 1 } })).toEqual(['next: has a member that is not known'])
  })

  it('with the same $id do not meet', () => {
    const one = object({ a: { type: 'string' } }, { $id: 'https://x.example/s' })
    const two = object({ a: { type: 'integer' } }, { $id: 'https://x.example/s' })
    expect(problems(one, { a: 'x' })).toEqual([])
    expect(problems(two, { a: 1 })).toEqual([])
  })
})
