import { expect, test } from 'vitest'
import { readToolJson } from '../../json/number-tokens.ts'
import type { TokenObject } from '../../json/raw-number.ts'
import type { LiveTool } from '../hub.ts'
import { checkArguments } from './argument-check.ts'

function tool(schema: unknown): LiveTool {
  return {
    server: 'notes',
    name: 'append',
    description: '',
    inputSchema: schema as TokenObject,
    outputSchema: undefined,
    annotations: undefined,
    meta: undefined,
  }
}
/** Milliseconds, for what would take for ever. */
const SOON = 25
const failing = (code: string, message = '') =>
  expect.objectContaining({ code, message: expect.stringContaining(message) })

test('arguments that do not fit the schema are refused with the place and the reason', () => {
  const live = tool({
    type: 'object',
    properties: {
      text: { type: 'string', maxLength: 5 },
      many: { type: 'array', items: { type: 'integer' } },
    },
    required: ['text'],
    additionalProperties: false,
  })
  checkArguments(live, { text: 'short', many: [1, 2] })
  expect(() => checkArguments(live, {})).toThrow(
    failing('INVALID_PARAMS', "required property 'text'"),
  )
  expect(() => checkArguments(live, { text: 'longer' })).toThrow(failing('INVALID_PARAMS', '/text'))
  expect(() => checkArguments(live, { text: 'a', many: [1, 'x'] })).toThrow(
    failing('INVALID_PARAMS', '/many/1'),
  )
  expect(() => checkArguments(live, { text: 'a', extra: 1 })).toThrow(failing('INVALID_PARAMS'))
})

test('numbers that kept their tokens are numbers to the check', () => {
  const schema = readToolJson(Buffer.from('{"type":"object","properties":{"n":{"maximum":1.0}}}'))
  const live = tool(schema)
  checkArguments(live, { n: 1 })
  expect(() => checkArguments(live, { n: 1.5 })).toThrow(failing('INVALID_PARAMS', '/n'))
})

test.each([
  ['draft 4 by name', { $schema: 'http://json-schema.org/draft-04/schema#', type: 'object' }],
  [
    'draft 7',
    {
      $schema: 'http://json-schema.org/draft-07/schema#',
      definitions: { a: {} },
      properties: { x: { $ref: '#/definitions/a' } },
    },
  ],
  [
    '2020-12',
    {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $defs: { a: {} },
      properties: { x: { $ref: '#/$defs/a' } },
    },
  ],
  [
    'an id of its own',
    { $id: 'https://example.com/tool', properties: { x: { format: 'never-heard-of' } } },
  ],
  ['nothing at all', {}],
])('a schema of %s can be used', (_, schema) => {
  checkArguments(tool(schema), { x: 1 })
  checkArguments(tool(schema), { x: 1 })
})

test.each([
  ['a reference to elsewhere', { $ref: 'https://example.com/other.json' }],
  ['a pattern that is none', { properties: { x: { pattern: '(' } } }],
  ['a type that is none', { type: 'no-such' }],
])('%s is told as a fault of the server', (_, schema) => {
  const live = tool(schema)
  for (const _again of [1, 2])
    expect(() => checkArguments(live, { x: 'a' })).toThrow(
      failing('MCP_PROTOCOL_ERROR', '"append"'),
    )
})

test('a schema cannot hang the daemon: neither with a pattern, nor with references, nor by its size', () => {
  const slow = tool({ properties: { x: { pattern: '^(a+)+$' } } })
  expect(() => checkArguments(slow, { x: `${'a'.repeat(40)}!` }, SOON)).toThrow(
    failing('MCP_PROTOCOL_ERROR', 'too long'),
  )
  checkArguments(slow, { x: 'aaa' })
  for (const _ of [2, 3])
    expect(() => checkArguments(slow, { x: `${'a'.repeat(40)}!` }, SOON)).toThrow(
      failing('MCP_PROTOCOL_ERROR'),
    )
  // Three times was enough: it costs nothing any more.
  expect(() => checkArguments(slow, { x: 'aaa' })).toThrow(
    failing('MCP_PROTOCOL_ERROR', 'too long'),
  )

  const $defs: Record<string, unknown> = { d0: { type: 'string' } }
  for (let at = 1; at <= 40; at += 1) {
    const $ref = `#/$defs/d${at - 1}`
    $defs[`d${at}`] = { anyOf: [{ $ref }, { $ref }] }
  }
  const deep = tool({ $defs, properties: { x: { $ref: '#/$defs/d40' } } })
  expect(() => checkArguments(deep, { x: 1 }, SOON)).toThrow(
    failing('MCP_PROTOCOL_ERROR', 'too long'),
  )

  const endless = tool({ $ref: '#' })
  expect(() => checkArguments(endless, {})).toThrow(failing('MCP_PROTOCOL_ERROR'))
})
