import { expect, test } from 'vitest'
import { isPlainSchema } from './plain-schema.ts'

test('schemas whose check cannot take long are told from all others', () => {
  const plain = [
    {},
    { type: 'object', properties: { a: { type: 'string', maxLength: 9 } }, required: ['a'] },
    { type: 'object', additionalProperties: false, properties: { b: { enum: ['x', 1, null] } } },
    { properties: { list: { type: 'array', items: { type: 'integer', minimum: 0 } } } },
  ]
  for (const schema of plain) expect(isPlainSchema(schema)).toBe(true)
  const deep = (depth: number): object => (depth === 0 ? {} : { items: deep(depth - 1) })
  const wide = Object.fromEntries(Array.from({ length: 600 }, (_, at) => [`p${at}`, {}]))
  const others = [
    null,
    [],
    { properties: { a: { pattern: '(a+)+$' } } },
    { properties: { a: { $ref: '#' } } },
    { patternProperties: { '(a+)+$': {} } },
    { items: { uniqueItems: true } },
    { items: [{}, {}] },
    { anyOf: [{}, {}] },
    { contains: {} },
    { enum: [{ a: 1 }] },
    { enum: Array.from({ length: 300 }, (_, at) => at) },
    { somethingNew: {} },
    deep(20),
    { properties: wide },
  ]
  for (const schema of others) expect(isPlainSchema(schema)).toBe(false)
})
