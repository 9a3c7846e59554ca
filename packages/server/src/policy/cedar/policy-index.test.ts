import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type CedarRequest, Entity } from './entity.ts'
import type { ActionScope, CompiledPolicy, EntityScope } from './policy.ts'
import { PolicyIndex } from './policy-index.ts'
import { EntityUid } from './value.ts'

const uid = fc
  .tuple(fc.constantFrom('A', 'B'), fc.constantFrom('1', '2', '3'))
  .map(([type, id]) => new EntityUid(type, id))
const scope: fc.Arbitrary<EntityScope> = fc.oneof(
  fc.constant({ op: 'all' as const }),
  uid.map((entity) => ({ op: 'eq' as const, entity })),
  uid.map((entity) => ({ op: 'in' as const, entity })),
  fc.constantFrom('A', 'B').map((type) => ({ op: 'is' as const, type })),
  uid.map((entity) => ({ op: 'isIn' as const, type: 'A', entity })),
)
const action: fc.Arbitrary<ActionScope> = fc.oneof(
  fc.constant({ op: 'all' as const }),
  uid.map((entity) => ({ op: 'eq' as const, entity })),
  fc.array(uid, { maxLength: 3 }).map((entities) => ({ op: 'in' as const, entities })),
)
const policies = fc
  .array(fc.record({ principal: scope, action, resource: scope }), { maxLength: 60 })
  .map((scopes) => scopes.map((one, ordinal) => policy(one, ordinal)))
const entity = fc
  .tuple(uid, fc.array(uid, { maxLength: 4 }))
  .map(([own, ancestors]) => new Entity(own, { ancestors }))

function policy(scopes: CompiledPolicy['scope'], ordinal: number): CompiledPolicy {
  const annotations = Object.create(null)
  return {
    id: `p${ordinal}`,
    effect: 'permit',
    annotations,
    scope: scopes,
    conditions: [],
    ordinal,
  }
}

/** What a scope means, without any index. */
function matches(one: EntityScope | ActionScope, entity: Entity): boolean {
  const within = (other: EntityUid) => entity.uid.is(other) || entity.isUnder(other)
  switch (one.op) {
    case 'all':
      return true
    case 'eq':
      return entity.uid.is(one.entity)
    case 'is':
      return entity.uid.type === one.type
    case 'isIn':
      return entity.uid.type === one.type && within(one.entity)
    case 'in':
      return 'entities' in one ? one.entities.some(within) : within(one.entity)
  }
}

test('the index finds exactly the policies whose scope matches, each once', () => {
  fc.assert(
    fc.property(policies, entity, entity, entity, (all, principal, act, resource) => {
      const request: CedarRequest = { principal, action: act, resource, context: new Map() }
      const expected = all.filter(
        ({ scope }) =>
          matches(scope.principal, principal) &&
          matches(scope.action, act) &&
          matches(scope.resource, resource),
      )
      const index = new PolicyIndex(all)
      for (let again = 0; again < 2; again++) {
        const found = index.find(request).sort((a, b) => a.ordinal - b.ordinal)
        expect(found.map(({ id }) => id)).toEqual(expected.map(({ id }) => id))
      }
    }),
    { numRuns: 1_500 },
  )
})
