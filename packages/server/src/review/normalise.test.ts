import { VestryError } from '@vestry/contract/errors'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readToolJson } from '../json/number-tokens.ts'
import type { TokenJson } from '../json/raw-number.ts'
import { digestOf, documentJson, documentOf, toolDocument, withDefaults } from './normalise.ts'

const given = (tool: unknown): TokenJson => readToolJson(Buffer.from(JSON.stringify(tool)))
const tide = {
  name: 'tide_table',
  description: 'Looks up tide times for a harbour',
  tool_schema: {
    type: 'object',
    properties: { harbour: { type: 'string', enum: ['north', 'south'] } },
    required: ['harbour'],
  },
  provider: { name: 'sea.example', public_key_url: null },
}

/** Path and problem of each, as the client is told. */
function problems(tool: unknown): unknown {
  try {
    toolDocument(given(tool))
  } catch (error) {
    if (!(error instanceof VestryError)) throw error
    expect(error.code).toBe('VALIDATION_ERROR')
    return error.context['fields']
  }
  return []
}
const problem = (path: string, text: unknown) => [{ path, problem: text }]

describe('a tool as clients send it', () => {
  test('becomes the four members that are signed', () => {
    const { tool_schema: schema, ...rest } = tide
    const document = toolDocument(given(tide))
    expect(document).toEqual({ ...rest, schema })
    expect(toolDocument(given({ ...rest, schema }))).toEqual(document)
    expect(toolDocument(given({ ...tide, schema }))).toEqual(document)
  })

  test('has missing optional members filled in, and null is missing', () => {
    const whole = { type: 'object', properties: {}, required: [] }
    for (const schema of [{}, { type: null, properties: null, required: null }]) {
      const provider = { name: 'p' }
      const document = toolDocument(given({ name: 'n', description: '', provider, schema }))
      expect(document.schema).toEqual(whole)
      expect(document.provider).toEqual({ name: 'p', public_key_url: null })
    }
    expect(toolDocument(given({ ...tide, schema: null, version: null }))).toEqual(
      toolDocument(given(tide)),
    )
  })

  test('is not rewritten: no trimming, no Unicode normalisation, all keywords stay', () => {
    const schema = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: { 'e\u0301 ': { type: 'string', description: ' \u200bx ' } },
      required: [],
      additionalProperties: false,
      'x-own': { anything: [null] },
    }
    const tool = { name: ' n ', description: '\u{e0041} ', provider: { name: ' p' }, schema }
    const document = toolDocument(given(tool))
    expect(document).toMatchObject({ name: ' n ', description: '\u{e0041} ' })
    expect(document.schema).toEqual(schema)
  })

  test('keeps a property called __proto__, and the numbers as written', () => {
    const text =
      '{"name":"n","description":"","provider":{"name":"p"},"schema":{"properties":{"__proto__":{"type":"number","maximum":1.0}}}}'
    const document = toolDocument(readToolJson(Buffer.from(text)))
    expect(documentJson(document)).toBe(
      '{"description":"","name":"n","provider":{"name":"p","public_key_url":null},"schema":{"properties":{"__proto__":{"maximum":1.0,"type":"number"}},"required":[],"type":"object"}}',
    )
  })
})

describe('refused, with path and problem', () => {
  test.each([
    [{ ...tide, name: '' }, 'tool.name', 'must not be empty'],
    [{ ...tide, name: 'x'.repeat(129) }, 'tool.name', 'must be at most 128 characters'],
    [{ ...tide, name: undefined }, 'tool.name', 'required'],
    [{ ...tide, name: 5 }, 'tool.name', 'must be a string'],
    [{ ...tide, description: null }, 'tool.description', 'required'],
    [
      { ...tide, description: 'x'.repeat(20_001) },
      'tool.description',
      'must be at most 20000 characters',
    ],
    [{ ...tide, provider: undefined }, 'tool.provider', 'required'],
    [{ ...tide, provider: 'sea' }, 'tool.provider', 'must be an object'],
    [{ ...tide, provider: { name: '' } }, 'tool.provider.name', 'must not be empty'],
    [
      { ...tide, provider: { name: 'p', public_key_url: 7 } },
      'tool.provider.public_key_url',
      'must be a string',
    ],
    [
      { ...tide, provider: { name: 'p', key: 'k' } },
      'tool.provider.key',
      'is not a member of a tool',
    ],
    [{ ...tide, version: '2' }, 'tool.version', 'is not a member of a tool'],
    [{ ...tide, tool_schema: undefined }, 'tool.schema', 'required'],
    [{ ...tide, tool_schema: [] }, 'tool.tool_schema', 'must be an object'],
    [{ ...tide, schema: {} }, 'tool.tool_schema', 'must equal schema when both are given'],
    [{ ...tide, tool_schema: { type: 'array' } }, 'tool.tool_schema.type', 'must be "object"'],
    [
      { ...tide, tool_schema: { properties: [] } },
      'tool.tool_schema.properties',
      'must be an object',
    ],
    [
      { ...tide, tool_schema: { properties: { a: { type: 'text' } } } },
      'tool.tool_schema.properties.a.type',
      'must be a type of JSON Schema, or an array of different ones',
    ],
    [
      { ...tide, tool_schema: { properties: { a: { anyOf: [] } } } },
      'tool.tool_schema.properties.a.anyOf',
      'must be an array of schemas, and not empty',
    ],
    [
      { ...tide, tool_schema: { properties: { a: 'string' } } },
      'tool.tool_schema.properties.a',
      'must be a schema: an object, true or false',
    ],
    [
      { ...tide, tool_schema: { required: ['a', 'a'] } },
      'tool.tool_schema.required',
      'must be an array of different strings',
    ],
    [
      { ...tide, tool_schema: { properties: { a: { maxLength: -1 } } } },
      'tool.tool_schema.properties.a.maxLength',
      'must be a whole number from 0',
    ],
  ])('%#: %j', (tool, path, text) => {
    expect(problems(tool)).toEqual(problem(path, text))
  })

  test('a schema that is too large or too deep, and no tool at all', () => {
    const large = { properties: { a: { description: 'x'.repeat(262_144) } } }
    expect(problems({ ...tide, tool_schema: large })).toEqual(
      problem('tool.tool_schema', 'must be at most 262144 bytes'),
    )
    let deep: object = {}
    for (let level = 1; level < 32; level += 1) deep = { not: deep }
    expect(problems({ ...tide, tool_schema: deep })).toEqual([])
    expect(problems({ ...tide, tool_schema: { not: deep } })).toEqual(
      problem('tool.tool_schema', 'must not be nested deeper than 32 levels'),
    )
    expect(() => toolDocument([])).toThrow('tool: must be an object')
  })

  test('every field at once, and no more than can be read', () => {
    expect(problems({})).toHaveLength(4)
    const names = Array.from({ length: 100 }, (_, n) => [`p${n}`, 1])
    const found = problems({ ...tide, tool_schema: { properties: Object.fromEntries(names) } })
    expect(found).toHaveLength(20)
  })

  test('as people count: 128 astral characters are 128', () => {
    expect(problems({ ...tide, name: '🔧'.repeat(128) })).toEqual([])
    expect(problems({ ...tide, name: '🔧'.repeat(129) })).not.toEqual([])
  })
})

test('schemas in use are taken: booleans, drafts, references, foreign keywords', () => {
  const schema = {
    $id: 'https://example.com/s',
    $defs: { id: { type: 'integer', exclusiveMinimum: 0, minimum: 1.0 } },
    properties: {
      a: true,
      b: { $ref: '#/$defs/id' },
      c: { type: ['string', 'null'], default: null, const: null, examples: [], deprecated: true },
      d: { type: 'array', items: [{ type: 'string' }], additionalItems: false, uniqueItems: true },
      e: { type: 'array', prefixItems: [{}], items: false, contains: {}, minContains: 0 },
      f: { type: 'number', minimum: 0, exclusiveMinimum: true, multipleOf: 0.01 },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      g: { if: {}, then: {}, else: {}, not: {}, propertyNames: {}, format: 'uuid' },
    },
    patternProperties: { '^x-': {} },
    dependencies: { a: ['b'], c: {} },
    dependentRequired: { a: ['b'] },
  }
  expect(problems({ ...tide, tool_schema: schema })).toEqual([])
})

test('a document comes back from its text as it was, and has one digest', () => {
  const member = fc.jsonValue({ maxDepth: 3, stringUnit: 'grapheme' })
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), member, (description, extra) => {
      const document = withDefaults({
        name: 'n',
        description,
        provider: { name: 'p' },
        schema: given({ 'x-own': extra }) as { readonly [key: string]: TokenJson },
      })
      const text = documentJson(document)
      expect(documentJson(documentOf(text))).toBe(text)
      expect(digestOf(documentOf(text))).toBe(digestOf(document))
    }),
  )
})
