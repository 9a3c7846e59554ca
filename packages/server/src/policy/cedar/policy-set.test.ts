import { expect, test } from 'vitest'
import { type CedarRequest, Entity, EntityMap, EvalContext } from './entity.ts'
import { policyJson } from './oracle.test-kit.ts'
import { compilePolicies } from './policy-set.ts'
import { EntityUid, type Value } from './value.ts'

const uid = (type: string, id: string) => new EntityUid(type, id)

function compile(...texts: string[]) {
  return compilePolicies(texts.map((text, index) => ({ id: `p${index}`, json: policyJson(text) })))
}

function request(context: Record<string, Value> = {}): CedarRequest {
  return {
    principal: new Entity(uid('Agent', 'scout'), { ancestors: [uid('Role', 'reader')] }),
    action: new Entity(uid('Action', 'read'), { ancestors: [uid('Action', 'any')] }),
    resource: new Entity(uid('Credential', 'db'), { ancestors: [uid('PathGlob', '*')] }),
    context: new Map(Object.entries(context)),
  }
}

const ids = (policies: readonly { id: string }[]) => policies.map(({ id }) => id)

test('reports satisfied permits, satisfied forbids and failures apart, each in given order', () => {
  const set = compile(
    'forbid(principal, action, resource) when { context.missing };',
    'permit(principal in Role::"reader", action, resource is Credential);',
    'forbid(principal, action, resource in PathGlob::"*");',
    'permit(principal == Agent::"scout", action == Action::"read", resource);',
    'permit(principal, action, resource) when { context.missing == 1 };',
    'permit(principal, action in [Action::"any", Action::"read"], resource);',
    'permit(principal, action, resource) when { false };',
  )
  const { permits, forbids, errors } = set.evaluate(request(), new EntityMap())
  expect(ids(permits)).toEqual(['p1', 'p3', 'p5'])
  expect(ids(forbids)).toEqual(['p2'])
  expect(errors.map(({ policy, message }) => [policy.id, policy.effect, message])).toEqual([
    ['p0', 'forbid', 'the context has no attribute "missing"'],
    ['p4', 'permit', 'the context has no attribute "missing"'],
  ])
})

test('candidates are the policies whose scope matches, whatever their conditions say', () => {
  const set = compile(
    'permit(principal, action, resource) when { false };',
    'permit(principal is Operator, action, resource);',
    'permit(principal, action in [], resource);',
    'forbid(principal is Agent in Role::"reader", action, resource) unless { true };',
    'permit(principal is Operator in Role::"reader", action, resource);',
  )
  expect(ids(set.candidates(request()))).toEqual(['p0', 'p3'])
})

test('conditions can be evaluated one by one', () => {
  const set = compile(
    'permit(principal, action, resource) when { context.n > 1 } unless { context.n > 5 } when { 1 };',
  )
  const context = new EvalContext(request({ n: 7 }), new EntityMap())
  const conditions = set.policies[0]?.conditions ?? []
  expect(conditions.map(({ kind }) => kind)).toEqual(['when', 'unless', 'when'])
  expect(conditions.map((condition) => condition.evaluate(context))).toEqual([true, true, 1])
  expect(conditions.map((condition) => condition.holds(context))).toEqual([
    true,
    false,
    expect.objectContaining({ message: 'type error: expected bool, got long' }),
  ])
  expect(conditions[1]?.json).toMatchObject({ '>': { right: { Value: 5 } } })
})

test('annotations come through, with null for one without a value and no inherited names', () => {
  const [policy] = compile(
    '@rate("5/s") @__proto__("x") @flag permit(principal, action, resource);',
  ).policies
  expect(Object.entries(policy?.annotations ?? {})).toEqual([
    ['__proto__', 'x'],
    ['flag', null],
    ['rate', '5/s'],
  ])
  expect(policy?.annotations['constructor']).toBeUndefined()
})

test('the source is asked about entities that the request does not carry, and only those', () => {
  const set = compile(
    'permit(principal, action, resource) when { context.host in HostGlob::"*.example.com" };',
    'permit(principal, action, resource) when { context.host.port == 443 };',
    'permit(principal, action, resource) when { principal in Role::"reader" };',
    'permit(principal, action, resource) when { principal has port };',
  )
  const asked: string[] = []
  const evaluation = set.evaluate(request({ host: uid('Host', 'api.example.com') }), {
    get: (of) => new Entity(of, { attrs: new Map([['port', 443]]) }),
    isIn: (child, ancestor) => {
      asked.push(`${child} in ${ancestor}`)
      return true
    },
  })
  expect(ids(evaluation.permits)).toEqual(['p0', 'p1', 'p2'])
  expect(asked).toEqual(['Host::"api.example.com" in HostGlob::"*.example.com"'])
})

test('two policies of one name are refused', () => {
  const json = policyJson('permit(principal, action, resource);')
  expect(() =>
    compilePolicies([
      { id: 'same', json },
      { id: 'same', json },
    ]),
  ).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }))
})

test('an empty set satisfies nothing', () => {
  expect(compile().evaluate(request(), new EntityMap())).toEqual({
    permits: [],
    forbids: [],
    errors: [],
  })
})
