import { expect, test } from 'vitest'
import { schemaProblems } from './schema-check.ts'

const deep = (levels: number): unknown =>
  Array.from({ length: levels }).reduce<unknown>((inner) => [inner], 1)

test.each([
  [{ type: 'string' }, 'a', []],
  [{ type: 'string' }, 1, ['the answer: must be string']],
  [{ type: ['string', 'null'] }, null, []],
  [{ type: 'integer' }, 1.5, ['the answer: must be integer']],
  [{ type: 'number' }, 1.5, []],
  [{ type: 'boolean' }, false, []],
  [{ enum: ['a', { b: [1] }] }, { b: [1] }, []],
  [{ enum: ['a'] }, 'b', ['the answer: must be one of ["a"]']],
  [{ const: null }, null, []],
  [{ const: 1 }, 2, ['the answer: must be 1']],
  [{ minimum: 1, maximum: 3 }, 4, ['the answer: must be at most 3']],
  [{ exclusiveMinimum: 1 }, 1, ['the answer: must be more than 1']],
  [{ exclusiveMaximum: 1 }, 1, ['the answer: must be less than 1']],
  [{ multipleOf: 5 }, 7, ['the answer: must be a multiple of 5']],
  [{ multipleOf: 0.01 }, 19.99, []],
  [{ multipleOf: 0.01 }, 19.999, ['the answer: must be a multiple of 0.01']],
  [{ minLength: 2 }, '💥', ['the answer: must have at least 2 characters']],
  [{ maxLength: 1 }, '💥', []],
  [{ pattern: '^a' }, 'b', ['the answer: must match ^a']],
  [{ pattern: '(?<=' }, 'b', []],
  [{ minItems: 1 }, [], ['the answer: must have at least 1 items']],
  [{ maxItems: 0 }, [1], ['the answer: must have at most 0 items']],
  [{ uniqueItems: true }, [1, 1], ['the answer: must not hold the same item twice']],
  [{ items: { type: 'string' } }, ['a', 1], ['/1: must be string']],
  [{ prefixItems: [{ type: 'string' }], items: false }, ['a', 1], ['/1: must not be there']],
  [{ required: ['a'] }, {}, ['/a: is missing']],
  [{ properties: { a: { type: 'string' } } }, { a: 1, b: 2 }, ['/a: must be string']],
  [{ properties: {}, additionalProperties: false }, { b: 2 }, ['/b: must not be there']],
  [{ additionalProperties: { type: 'string' } }, { b: 2 }, ['/b: must be string']],
  [{ anyOf: [{ type: 'string' }, { minimum: 5 }] }, 3, ['the answer: must be string']],
  [{ oneOf: [{ minimum: 1 }, { minimum: 2 }] }, 3, [expect.stringContaining('more than one')]],
  [{ oneOf: [{ minimum: 1 }, { minimum: 2 }] }, 1, []],
  [{ allOf: [{ minimum: 1 }, { maximum: 2 }] }, 3, ['the answer: must be at most 2']],
  [{ not: { type: 'string' } }, 'a', ['the answer: is what it must not be']],
  [true as never, 'a', []],
])('%j says of %j: %j', (schema, value, problems) => {
  expect(schemaProblems(schema as Record<string, unknown>, value)).toEqual(problems)
})

test('references are followed, what stands beside them counts, and depth is bounded', () => {
  const list = {
    $ref: '#/$defs/List',
    maxItems: 1,
    $defs: { List: { anyOf: [{ type: 'array', items: { $ref: '#/$defs/List' } }, { const: 1 }] } },
  }
  expect(schemaProblems(list, deep(5))).toEqual([])
  expect(schemaProblems(list, [1, 1])).toEqual(['the answer: must have at most 1 items'])
  expect(schemaProblems(list, deep(5_00))).not.toEqual([])
})

test('of many problems the first ten are told', () => {
  expect(schemaProblems({ items: { type: 'string' } }, Array.from({ length: 50 }))).toHaveLength(10)
})
