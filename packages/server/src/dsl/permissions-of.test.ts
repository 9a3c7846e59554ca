import { expect, test } from 'vitest'
import { agentOf } from './agent.test-kit.ts'
import type { Permission } from './permissions.ts'
import { declaredOf, permissionsOf } from './permissions-of.ts'

const names = (list: readonly Permission[]) =>
  list.map(({ kind, name, access, conditions }) =>
    [kind, name, access, ...conditions].filter((part) => part !== undefined).join(' '),
  )

const BODY = `call_tool("notes:append", {})
  call_tool("mcp/files:read")
  ask("helper", 1)
  trigger_workflow("nightly")
  let k = secret("token")
  http_request("https://api.example.com/v1", auth: vault://db/password)
  http_request("http://plain.example.com:8080/" + input)
  search_knowledge("x")
  remember("a", 1)
  let t = "notes:drop"
  call_tool(t)
  http_request("https://evil" + input)`

test('runtime §11.6: a program asks for what its body names, and for nothing that is worked out', () => {
  const { allows, notes } = permissionsOf(agentOf({ body: BODY }))
  expect(names(allows)).toEqual([
    'agent helper',
    'credential db/password',
    'host api.example.com',
    'host plain.example.com:8080 cleartext',
    'knowledge own write',
    'knowledge shared read',
    'mcp mcp/files:read',
    'secret token',
    'tool notes:append',
    'workflow nightly',
  ])
  expect(notes.filter((note) => note.includes('worked out'))).toHaveLength(2)
})

test('attributes and capabilities ask, too', () => {
  const agent = agentOf({
    attributes: {
      tools: ['notes', 'mail:send', 'mcp/files', 'http', 'http:get'],
      model: 'OpenAI:gpt-4o',
      hosts: [
        '*.example.com',
        'https://a.example.org/x',
        'not a host',
        'a.com,b.com',
        '.x,evil.com',
      ],
      credentials: ['vault://db/*', '{{bad'],
      knowledge: ['confidential'],
      workflow: 'nightly',
    },
    capabilities: ['classify', 'crm:read', 'http:api.crm.com'],
  })
  const { allows, notes } = permissionsOf(agent)
  expect(names(allows)).toEqual([
    'credential db/*',
    'host *.example.com',
    'host a.example.org',
    'host api.crm.com',
    'knowledge confidential read',
    'mcp mcp/files:*',
    'model openai:gpt-4o',
    'tool crm:read',
    'tool mail:send',
    'tool notes:*',
    'workflow nightly',
  ])
  expect(notes.join('\n')).toMatch(/not a host.*\n.*|http:\*/)
  expect(declaredOf(agent)).toContain('http:a.example.org')
})

test('the program’s own rules narrow what it asks for, and say under which conditions', () => {
  const agent = agentOf({
    body: 'call_tool("notes:append")\n call_tool("mail:send")\n http_request("https://a.com/")',
    attributes: { tools: ['crm'] },
    policies: {
      guard: [
        'allow: "notes:append" if input.n < 3',
        'allow: "crm:read"',
        'deny: http(any)',
        'deny: call_tool("mail:send") if input.n > 5',
        'deny: 1 + 1',
      ],
    },
  })
  const { allows, denies, rules, notes } = permissionsOf(agent)
  expect(names(allows)).toEqual(['tool crm:read', 'tool notes:append guard#1'])
  expect(names(denies).filter((one) => !one.endsWith('*'))).toEqual(['tool mail:send guard#4'])
  expect(names(denies)).toContain('host *')
  expect(names(denies)).toContain('credential *') // of what nobody can read
  expect(rules).toEqual({ 'guard#1': 'input.n < 3', 'guard#4': 'input.n > 5' })
  expect(notes.join('\n')).toMatch(/mail:send" is allowed by no rule/)
})

test('a function of the program’s own is no effect, and names in defaults and lambdas are seen', () => {
  const functions = {
    'call_tool(name: String)': 'name',
    'f(x: String = secret("hidden"))': 'map([1], y => ask("deep", y))',
  }
  const { allows } = permissionsOf(agentOf({ body: 'f(call_tool("notes:append"))', functions }))
  expect(names(allows)).toEqual(['agent deep', 'secret hidden'])
})

test('budgets are read, the least of several holds, and one that cannot be read is an error', () => {
  const { budgets } = permissionsOf(
    agentOf({
      attributes: {
        budget: { max_cost: 0.5, rate: '5/s burst 20' },
        max_cost: '$2',
        quota: '100/24h sliding',
        max_tokens: 500,
        timeout: '2m',
      },
    }),
  )
  expect(budgets).toEqual({
    rate: '5/s burst 20',
    quota: '100/24h sliding',
    costMicros: 500_000,
    maxTokens: 500,
    timeoutSeconds: 120,
  })
  for (const attributes of [
    { rate: 'often' },
    { budget: 'lots' },
    { max_tokens: -1 },
    { timeout: 'x' },
  ])
    expect(() => permissionsOf(agentOf({ attributes }))).toThrow(
      expect.objectContaining({ code: 'DSL_INVALID' }),
    )
})
