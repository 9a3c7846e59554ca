import { expect, test } from 'vitest'
import { ACTION_GROUPS } from './actions.ts'
import { BUILTIN_CEDAR } from './builtin.cedar.ts'
import { BUILTIN_POLICIES } from './builtin-json.ts'
import { loadCedar, parsePolicies, validate } from './cedar/parse.ts'
import { CEDAR_SCHEMA } from './cedar-schema.ts'
import { type PolicyContext, PolicyEngine } from './engine.ts'

const engine = new PolicyEngine()
engine.load([])

function decide(role: string, action: string, context: Partial<PolicyContext> = {}) {
  return engine.decide({
    principal: { kind: 'operator', id: 'op-1', name: 'ada', role, meta: {} },
    action,
    resource: { kind: 'system' },
    context: { nowMs: 0, ...context },
  })
}

test('the compiled form is what Cedar makes of the text', async () => {
  const parsed = await parsePolicies(BUILTIN_CEDAR)
  expect(parsed.map(({ id, json }) => ({ id, json }))).toEqual(BUILTIN_POLICIES)
})

test('the text passes strict validation without a warning', async () => {
  expect(await validate(await parsePolicies(BUILTIN_CEDAR), CEDAR_SCHEMA)).toEqual([])
})

test('the schema and the table of actions name the same actions and groups', () => {
  const answer = loadCedar().schemaToJson(CEDAR_SCHEMA)
  if (answer.type === 'failure') throw new Error('schema')
  const [namespace] = Object.values(answer.json)
  const declared = Object.entries(namespace?.actions ?? {}).flatMap(([name, action]) =>
    (action.memberOf ?? []).map(({ id }): [string, string] => [name, id]),
  )
  expect(declared.sort()).toEqual([...ACTION_GROUPS].sort())
})

test.each([
  ['owner', ['admin:approve', 'admin:read', 'admin:seal', 'admin:write']],
  ['admin', ['admin:approve', 'admin:read', 'admin:write']],
  ['auditor', ['admin:read']],
  ['approver', ['admin:approve']],
  ['nobody', []],
])('an operator with role %s may %j', (role, expected) => {
  const actions = ['admin:approve', 'admin:read', 'admin:seal', 'admin:write']
  expect(actions.filter((action) => decide(role, action).allow)).toEqual(expected)
})

test('an agent whose role is called owner is no owner', () => {
  const principal = { kind: 'agent', id: 'a', name: 'x', role: 'owner', meta: {} } as const
  const resource = { kind: 'system' } as const
  const request = { principal, resource, action: 'admin:read', context: { nowMs: 0 } }
  expect(engine.decide(request)).toMatchObject({ allow: false, reasonCode: 'no_matching_rule' })
})

test('an operator can do nothing on the vault as an agent would', () => {
  const principal = { kind: 'operator', id: 'o', name: 'ada', role: 'owner', meta: {} } as const
  const resource = { kind: 'credential', path: 'a', type: null, tags: [] } as const
  const request = { principal, resource, action: 'vault:retrieve', context: { nowMs: 0 } }
  expect(engine.decide(request).allow).toBe(false)
})

test('what a key covers only narrows what its owner may do', () => {
  expect(decide('owner', 'admin:read', { scope: ['admin:read'] }).allow).toBe(true)
  expect(decide('owner', 'admin:write', { scope: ['admin:*'] }).allow).toBe(true)
  const refused = decide('owner', 'admin:write', { scope: ['admin:read'] })
  expect(refused).toMatchObject({ allow: false, reasonCode: 'outside_scope' })
  expect(decide('auditor', 'admin:write', { scope: ['admin:write'] }).allow).toBe(false)
})
