import { expect, test } from 'vitest'
import type { TokenObject } from '../../json/raw-number.ts'
import type { Param } from './rule.ts'
import { subjectOf } from './subject.ts'
import { toolOf } from './test-tool.ts'

function subject(schema: TokenObject, name = 'tool') {
  return subjectOf(toolOf({ name, description: 'A tool.', schema }))
}

function param(name: string, schema: TokenObject, tool = 'tool'): Param {
  const [only] = subject({ properties: { [name]: schema } }, tool).params
  if (only === undefined) throw new Error('no parameter')
  return only
}

test('every text of a tool is a target, with its place and kind', () => {
  const { targets } = subject({
    title: 'Top',
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    'x-hint': { say: ['this'] },
    properties: {
      'a/b': {
        type: 'string',
        description: 'first',
        pattern: '^x$',
        format: 'email',
        default: 'd',
        enum: ['e1', 'e2'],
        examples: [{ key: 'deep' }],
        $comment: 'remark',
      },
      default: { anyOf: [{ const: 'c' }, { $ref: '#/$defs/Name' }] },
      list: { type: 'array', items: { properties: { inner: { title: 'Inner' } } } },
    },
    patternProperties: { '^x-': { description: 'by pattern' } },
    $defs: { Name: { type: 'string', description: 'defined' } },
    required: ['a/b'],
  })
  const found = targets.map(({ location, kind, raw }) => `${location} ${kind} ${raw}`)
  expect(found).toEqual(
    expect.arrayContaining([
      '/name tool_name tool',
      '/description description A tool.',
      '/provider/name provider_name example-provider',
      '/provider/public_key_url provider_url https://example.com/pubkey.pem',
      '/schema/title title Top',
      '/schema/$schema ref https://json-schema.org/draft/2020-12/schema',
      '/schema/x-hint comment x-hint',
      '/schema/x-hint/say comment say',
      '/schema/x-hint/say/0 comment this',
      '/schema/properties/a~1b property_name a/b',
      '/schema/properties/a~1b/description property_description first',
      '/schema/properties/a~1b/pattern pattern ^x$',
      '/schema/properties/a~1b/format format email',
      '/schema/properties/a~1b/default value d',
      '/schema/properties/a~1b/enum/1 value e2',
      '/schema/properties/a~1b/examples/0/key value deep',
      '/schema/properties/a~1b/$comment comment remark',
      '/schema/properties/default property_name default',
      '/schema/properties/default/anyOf/0/const value c',
      '/schema/properties/default/anyOf/1/$ref ref #/$defs/Name',
      '/schema/properties/list/items/properties/inner/title title Inner',
      '/schema/patternProperties/^x- pattern ^x-',
      '/schema/patternProperties/^x-/description property_description by pattern',
      '/schema/$defs/Name title Name',
      '/schema/$defs/Name/description property_description defined',
      '/schema/required/0 value a/b',
    ]),
  )
})

test('properties at every depth are parameters', () => {
  const { params, size, extraKeywords } = subject({
    additionalProperties: false,
    properties: {
      outer: {
        type: 'object',
        properties: { inner: { type: ['string', 'null'], default: null } },
        required: ['inner'],
      },
    },
  })
  expect(params.map(({ name, depth, required, types }) => [name, depth, required, types])).toEqual([
    ['outer', 1, false, ['object']],
    ['inner', 2, true, ['string', 'null']],
  ])
  expect(params[0]?.defaultValue).toBeUndefined()
  expect(params[1]?.defaultValue).toBeNull()
  expect(size).toEqual({ depth: 6, properties: 2, bytes: expect.any(Number) })
  expect(extraKeywords).toEqual(['additionalProperties'])
})

test('a property called __proto__ is a parameter like others', () => {
  const { params, targets } = subject(JSON.parse('{"properties":{"__proto__":{"type":"string"}}}'))
  expect(params.map(({ name }) => name)).toEqual(['__proto__'])
  expect(targets.map(({ location }) => location)).toContain('/schema/properties/__proto__')
})

test.each<[string, TokenObject, string]>([
  ['cmd', {}, 'command'],
  ['shellCommand', {}, 'command'],
  ['source_code', {}, 'code'],
  ['file_path', {}, 'path'],
  ['outputDir', {}, 'path'],
  ['webhook-url', {}, 'url'],
  ['hostname', {}, 'host'],
  ['ip_address', {}, 'host'],
  ['recipients', {}, 'email'],
  ['sql', {}, 'query'],
  ['query', {}, 'query'],
  ['body_template', {}, 'template'],
  ['api_key', {}, 'credential'],
  ['accessToken', {}, 'credential'],
  ['раth', {}, 'path'],
  ['target', { description: 'Absolute path to the file to read.' }, 'path'],
  ['target', { description: 'The URL of the page.' }, 'url'],
  ['target', { description: 'Shell command to run.' }, 'command'],
  ['target', { description: 'Python code to execute.' }, 'code'],
  ['target', { description: 'SQL query to run.' }, 'query'],
  ['target', { description: 'The API key of the account.' }, 'credential'],
])('%s %j is used as a %s', (name, schema, sink) => {
  expect([...param(name, { type: 'string', ...schema }).sinks]).toContain(sink)
})

test.each<[string, TokenObject]>([
  ['country_code', {}],
  ['zipCode', {}],
  ['page_token', {}],
  ['max_tokens', {}],
  ['file_size', {}],
  ['url_count', {}],
  ['path_id', {}],
  ['password_length', {}],
  ['template_name', {}],
  ['name', { description: 'Name of the person that the URL belongs to.' }],
  ['query', { description: 'Words to search for.' }],
])('%s %j is used as nothing special', (name, schema) => {
  expect([...param(name, { type: 'string', ...schema }).sinks]).toEqual([])
})

test('what query means depends on the tool', () => {
  expect([...param('query', { type: 'string' }, 'web_search').sinks]).toEqual([])
  expect([...param('query', { type: 'string' }, 'search_sql').sinks]).toEqual(['query'])
})

const NARROW: TokenObject = { type: 'string', pattern: '^[a-z]{1,20}$' }

test.each<[boolean, TokenObject]>([
  [false, { type: 'string' }],
  [false, {}],
  [false, { type: 'string', maxLength: 20 }],
  [false, { type: 'string', pattern: '^.*$', maxLength: 20 }],
  [false, { type: 'string', pattern: '^[a-z]+$' }],
  [false, { type: 'string', pattern: '^[a-z]+$', maxLength: 5000 }],
  [false, { type: 'string', format: 'uri' }],
  [false, { type: 'string', format: 'made-up', maxLength: 20 }],
  [false, { type: 'array', items: { type: 'string' } }],
  [false, { type: 'array' }],
  [false, { type: 'object' }],
  [false, { anyOf: [NARROW, { type: 'string' }] }],
  [false, { $ref: '#/properties/x' }],
  [false, { $ref: '#/nowhere' }],
  [true, NARROW],
  [true, { type: 'string', pattern: '^[a-z]+$', maxLength: 200 }],
  [true, { type: 'string', enum: ['a', 'b'] }],
  [true, { const: 'a' }],
  [true, { type: 'string', format: 'date-time' }],
  [true, { type: 'string', format: 'uri', maxLength: 200 }],
  [true, { type: 'integer' }],
  [true, { type: ['boolean', 'null'] }],
  [true, { type: 'array', items: NARROW }],
  [true, { type: 'object', properties: { a: { type: 'string' } } }],
  [true, { anyOf: [NARROW, { type: 'null' }] }],
  [true, { allOf: [{ type: 'string' }, NARROW] }],
])('constrained is %s for %j', (constrained, schema) => {
  expect(param('x', schema).constrained).toBe(constrained)
})

test('a reference is followed to what it means', () => {
  const { params } = subject({
    properties: { way: { $ref: '#/$defs/Way' } },
    $defs: { Way: { $ref: '#/$defs/Real' }, Real: { enum: ['up', 'down'], type: 'string' } },
  })
  expect(params[0]).toMatchObject({ types: ['string'], hasEnum: true, constrained: true })
})

test('a text longer than a view is looked at in pieces that overlap', () => {
  const marker = 'MARKER'
  const at = 64 * 1024 - 3
  const text = `${'x '.repeat(at / 2).slice(0, at)}${marker}${' y'.repeat(50_000)}`
  const pieces = subject({ properties: { a: { description: text } } }).targets.filter(
    ({ kind }) => kind === 'property_description',
  )
  expect(pieces.length).toBeGreaterThan(2)
  expect(Math.max(...pieces.map(({ raw }) => raw.length))).toBeLessThanOrEqual(64 * 1024)
  expect(pieces.some(({ raw }) => raw.includes(marker))).toBe(true)
  expect(pieces.every(({ location }) => location === '/schema/properties/a/description')).toBe(true)
  expect(pieces.at(-1)?.raw.endsWith(' y')).toBe(true)
})
