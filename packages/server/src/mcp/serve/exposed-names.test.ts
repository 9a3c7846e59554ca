import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exposedNames } from './exposed-names.ts'

const named = (id: string, wanted = id) => ({ id, wanted })

test('a plain name stays; one that two tools want, or clients cannot take, gets a mark', () => {
  const names = exposedNames([
    named('mcp/notes:append', 'notes__append'),
    named('mcp/serpapi:search', 'serpapi__search'),
    named('serpapi:search', 'serpapi__search'),
    named('mcp/a.b:c', 'a.b__c'),
    named('long', 'x'.repeat(65)),
  ])
  expect(names.get('mcp/notes:append')).toBe('notes__append')
  expect(names.get('mcp/serpapi:search')).toMatch(/^serpapi__search_[0-9a-f]{16}$/)
  expect(names.get('serpapi:search')).toMatch(/^serpapi__search_[0-9a-f]{16}$/)
  expect(names.get('mcp/a.b:c')).toMatch(/^a_b__c_[0-9a-f]{16}$/)
  expect(names.get('long')).toHaveLength(64)
})

test('a tool that takes the marked name of another gets a mark of its own', () => {
  const marked = exposedNames([named('one', 'a.b')]).get('one') ?? ''
  const names = exposedNames([named('one', 'a.b'), named('thief', marked)])
  expect(names.get('one')).toBe(marked)
  expect(names.get('thief')).not.toBe(marked)
})

test('no two tools share a name, every name is one that clients take, and order does not matter', () => {
  const tool = fc.record({
    id: fc.string({ minLength: 1, maxLength: 8 }),
    wanted: fc.oneof(fc.constantFrom('a__b', 'a.b', 'a_b'), fc.string({ maxLength: 90 })),
  })
  fc.assert(
    fc.property(fc.uniqueArray(tool, { selector: ({ id }) => id, maxLength: 12 }), (tools) => {
      const names = exposedNames(tools)
      expect(new Set(names.values()).size).toBe(names.size)
      expect(names.size).toBe(tools.length)
      for (const name of names.values()) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/)
      const turned = exposedNames(tools.toReversed())
      for (const { id } of tools) expect(turned.get(id)).toBe(names.get(id))
    }),
    { numRuns: 200 },
  )
})
