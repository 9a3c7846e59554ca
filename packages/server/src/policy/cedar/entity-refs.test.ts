import { expect, test } from 'vitest'
import { entityRefs } from './entity-refs.ts'
import { policyJson } from './oracle.test-kit.ts'

test('finds every literal of a type, in the scope and in conditions, each once', () => {
  const json = policyJson(`
    permit(
      principal is Agent in Glob::"scope-p",
      action in [Action::"a", Action::"b"],
      resource in Glob::"scope-r"
    )
    when { context.host in Glob::"one" || context.host in [Glob::"two", Glob::"one"] }
    unless { {a: {b: Glob::"three"}} has a && principal is Agent in Glob::"four" };`)
  expect(entityRefs(json, 'Glob')).toEqual(['scope-p', 'scope-r', 'one', 'two', 'three', 'four'])
  expect(entityRefs(json, 'Action')).toEqual(['a', 'b'])
  expect(entityRefs(json, 'Agent')).toEqual([])
})

test('a record with fields named type and id is no entity', () => {
  const json = policyJson(
    'permit(principal, action, resource) when { context.x == {type: "Glob", id: "no"} };',
  )
  expect(entityRefs(json, 'Glob')).toEqual([])
  expect(entityRefs({ Value: { x: { type: 'Glob', id: 'no' } } }, 'Glob')).toEqual([])
})
