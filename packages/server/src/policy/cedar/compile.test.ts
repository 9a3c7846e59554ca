import { expect, test } from 'vitest'
import { compileExpression } from './compile.ts'
import { fixture } from './differential.test-kit.ts'
import { Place } from './est.ts'
import { permitWhen, policyJson } from './oracle.test-kit.ts'
import { compilePolicy } from './policy.ts'

const base = {
  effect: 'permit',
  principal: { op: 'All' },
  action: { op: 'All' },
  resource: { op: 'All' },
  conditions: [],
}

function when(body: unknown): unknown {
  return { ...base, conditions: [{ kind: 'when', body }] }
}

const REFUSED: [string, unknown][] = [
  ['a slot in the scope', { ...base, principal: { op: '==', slot: '?principal' } }],
  [
    'a slot below a type',
    { ...base, resource: { op: 'is', entity_type: 'A', in: { slot: '?resource' } } },
  ],
  ['a slot in a condition', when({ Slot: '?principal' })],
  ['an unknown scope', { ...base, principal: { op: 'like' } }],
  ['an unknown effect', { ...base, effect: 'allow' }],
  ['an unknown member', { ...base, Conditions: [] }],
  [
    'an unknown kind of condition',
    { ...base, conditions: [{ kind: 'if', body: { Value: true } }] },
  ],
  ['a scope without an entity', { ...base, action: { op: 'in' } }],
  ['a missing scope', { ...base, resource: undefined }],
  ['an unknown operator', when({ '<=>': { left: { Value: 1 }, right: { Value: 1 } } })],
  ['a function of partial evaluation', when({ unknown: [{ Value: 'x' }] })],
  ['a function named like an object member', when({ constructor: [{ Value: 'x' }] })],
  ['two operators in one node', when({ Value: true, Var: 'context' })],
  ['an operator with a member too many', when({ '!': { arg: { Value: true }, left: 1 } })],
  ['an operator with a member missing', when({ '&&': { left: { Value: true } } })],
  ['too many arguments', when({ ip: [{ Value: '::1' }, { Value: '::1' }] })],
  ['too few arguments', when({ isInRange: [{ Value: 1 }] })],
  ['an unknown variable', when({ Var: 'world' })],
  ['null', when({ Value: null })],
  ['a fraction', when({ Value: 1.5 })],
  ['an integer that JSON rounds', when({ Value: 9007199254740992 })],
  ['a negative integer that JSON rounds', when({ Value: -9007199254740992 })],
  ['a lone surrogate in a literal', when({ Value: 'a\ud800' })],
  ['a lone surrogate in an entity id', when({ Value: { __entity: { type: 'A', id: '\udc00' } } })],
  [
    'a lone surrogate in a pattern',
    when({ like: { left: { Value: '' }, pattern: [{ Literal: '\ud83d' }] } }),
  ],
  [
    'a lone surrogate in an attribute name',
    when({ '.': { left: { Var: 'context' }, attr: '\ud83d' } }),
  ],
  ['a type name with a quote', { ...base, principal: { op: 'is', entity_type: 'A"' } }],
  ['an extension literal that does not parse', when({ Value: { __extn: { fn: 'ip', arg: 'x' } } })],
  ['`has` without an attribute', when({ has: { left: { Var: 'context' }, attr: [] } })],
  ['a policy that is a list', []],
]

test.for(REFUSED)('refuses %s, naming the policy', ([, json]) => {
  expect(() => compilePolicy('p1', json)).toThrow(
    expect.objectContaining({
      code: 'POLICY_INVALID',
      message: expect.stringContaining('"p1"'),
      context: { policy: 'p1' },
    }),
  )
})

test('refuses an integer that the JSON form of a written policy has rounded', () => {
  const json = policyJson(permitWhen('context.n == 9007199254740993'))
  expect(() => compilePolicy('p', json)).toThrow(/cannot be kept exactly/)
})

test('says where in the policy the trouble is', () => {
  const json = when({ '!': { arg: { Value: 0.5 } } })
  expect(() => compilePolicy('p', json)).toThrow('Policy "p" at /conditions/0/!/Value: a number')
})

test('nesting is bounded, whichever way it leans', () => {
  let deep: unknown = { Value: true }
  for (let level = 0; level < 600; level++) deep = { '!': { arg: deep } }
  expect(() => compilePolicy('p', when({ '!': { arg: deep } }))).not.toThrow(RangeError)
  for (const side of ['left', 'right']) {
    let tree: unknown = { Value: true }
    for (let level = 0; level < 20_000; level++) {
      tree = { '||': { left: { Value: false }, right: { Value: false }, [side]: tree } }
    }
    expect(() => compilePolicy('p', when(tree))).toThrow(/nests too deeply/)
  }
})

test('a chain of 400 terms compiles and stops at the first that decides', () => {
  const { context } = fixture()
  const terms = Array.from({ length: 400 }, (_, index) => `context.n == ${index}`)
  const [condition] = policyJson(permitWhen(terms.join(' || '))).conditions
  expect(compileExpression(condition?.body, new Place('p')).run(context)).toBe(true)
})

test('both written forms of a literal set, record and extension value are understood', () => {
  const { context } = fixture()
  const run = (json: unknown) => compileExpression(json, new Place('p')).run(context)
  const folded = { Value: [1, { a: { __extn: { fn: 'ip', arg: '::1' } } }] }
  const written = { Set: [{ Value: 1 }, { Record: { a: { ip: [{ Value: '::1' }] } } }] }
  expect(run({ '==': { left: folded, right: written } })).toBe(true)
})

test('a literal that fails to parse fails only when it is reached', () => {
  const { context } = fixture()
  const bad = { isIpv4: [{ ip: [{ Value: 'x' }] }] }
  const run = (left: boolean) =>
    compileExpression({ '&&': { left: { Value: left }, right: bad } }, new Place('p')).run(context)
  expect(run(false)).toBe(false)
  expect(run(true)).toMatchObject({ message: 'ip: not an address' })
})
