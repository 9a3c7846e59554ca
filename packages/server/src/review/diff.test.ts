import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { TokenObject } from '../json/raw-number.ts'
import { toolChanges } from './diff.ts'
import { digestOf } from './normalise.ts'
import type { ToolDocument } from './tool-document.ts'

function tool(schema: TokenObject = {}, more: Partial<ToolDocument> = {}): ToolDocument {
  return {
    name: 'ping',
    description: 'Pings.',
    provider: { name: 'example-provider', public_key_url: null },
    schema: { type: 'object', properties: {}, required: [], ...schema },
    ...more,
  }
}

const raw = (text: string) => (JSON as unknown as { rawJSON(text: string): never }).rawJSON(text)

test('runtime §20.11: each difference is told with its place, before and after', () => {
  const before = tool({
    properties: { host: { type: 'string' }, 'a/b': { type: 'integer' } },
    required: ['host'],
  })
  const after = tool(
    {
      properties: { host: { type: 'string', maxLength: 9 }, 'x~y': { type: 'null' } },
      required: ['host', 'x~y'],
    },
    {
      description: 'Pings!',
      provider: { name: 'example-provider', public_key_url: 'https://a.example' },
    },
  )
  expect(toolChanges(before, after)).toEqual([
    { pointer: '/description', kind: 'changed', before: 'Pings.', after: 'Pings!' },
    {
      pointer: '/provider/public_key_url',
      kind: 'changed',
      before: null,
      after: 'https://a.example',
    },
    { pointer: '/schema/properties/a~1b', kind: 'removed', before: { type: 'integer' } },
    { pointer: '/schema/properties/host/maxLength', kind: 'added', after: 9 },
    { pointer: '/schema/properties/x~0y', kind: 'added', after: { type: 'null' } },
    { pointer: '/schema/required/1', kind: 'added', after: 'x~y' },
  ])
})

test('order of members is no difference; another number token is one', () => {
  expect(toolChanges(tool({ a: { b: 1, c: 2 } }), tool({ a: { c: 2, b: 1 } }))).toEqual([])
  expect(toolChanges(tool({ a: raw('1.0') }), tool({ a: raw('1.0') }))).toEqual([])
  expect(toolChanges(tool({ a: raw('1.0') }), tool({ a: 1 }))).toHaveLength(1)
  expect(toolChanges(tool({ a: [] }), tool({ a: {} }))).toHaveLength(1)
})

test('a member called __proto__ is compared like others', () => {
  const before = tool({ properties: JSON.parse('{"__proto__":{"type":"string"}}') })
  expect(toolChanges(before, tool())).toEqual([
    { pointer: '/schema/properties/__proto__', kind: 'removed', before: { type: 'string' } },
  ])
})

test('runtime §20.11: documents differ exactly where their digests do', () => {
  const schema = fc.dictionary(
    fc.constantFrom('a', 'b', '__proto__', '10'),
    fc.jsonValue({ maxDepth: 2, noUnicodeString: true } as object).map(whole),
    { maxKeys: 3 },
  )
  fc.assert(
    fc.property(schema, schema, (one, other) => {
      const [before, after] = [tool({ properties: one }), tool({ properties: other })]
      expect(toolChanges(before, after).length === 0).toBe(digestOf(before) === digestOf(after))
    }),
    { numRuns: 100 },
  )
})

/** Doubles beyond 2^53 have no canonical form unless they are tokens. */
function whole(value: unknown): never {
  const json = JSON.stringify(value, (_key, part) =>
    typeof part === 'number' ? Math.trunc(part % 1000) + 0 || 0 : part,
  )
  return JSON.parse(json) as never
}
