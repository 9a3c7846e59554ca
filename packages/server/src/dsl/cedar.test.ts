import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { expect, test } from 'vitest'
import { parsePolicies, validate } from '../policy/cedar/parse.ts'
import { CEDAR_SCHEMA } from '../policy/cedar-schema.ts'
import { PolicyEngine, type PolicyRequest } from '../policy/engine.ts'
import { mcpToolResource } from '../policy/mcp-resource.ts'
import { agentOf } from './agent.test-kit.ts'
import { programHold, programPolicies } from './cedar.ts'
import type { Permission, Permissions } from './permissions.ts'
import { permissionsOf } from './permissions-of.ts'

const NONE: Permissions = { allows: [], denies: [], budgets: {}, rules: {}, notes: [] }
const HOLD = programHold('scout', 3)

const permission = (kind: Permission['kind'], name: string, more: Partial<Permission> = {}) => {
  return { kind, name, conditions: [], line: 1, ...more }
}

async function engineOf(permissions: Permissions, agentName = 'scout', deploymentId = 'd1') {
  const policies = programPolicies({ agentName, deploymentId, version: 3, permissions })
  const parsed = await parsePolicies(policies.map(({ text }) => text).join('\n'))
  expect(parsed.map(({ id }) => id)).toEqual(policies.map(({ id }) => id))
  // Cedar warns of scripts that mix, which is right, and no error.
  const warnings = (await validate(parsed, CEDAR_SCHEMA)).map(({ message }) => message)
  expect(warnings.filter((text) => !/mixed scripts|not a printable ASCII/.test(text))).toEqual([])
  const engine = new PolicyEngine()
  engine.load(
    parsed.map(({ id, json }, position) => {
      const canonical = canonicalJson(json)
      return { id, json: canonical, digest: hash('sha256', canonical), enabled: 1, position }
    }),
  )
  return engine
}

const tool = (name: string): PolicyRequest['resource'] => {
  const [group = '', action = ''] = name.split(/:(.*)/s)
  return {
    kind: 'tool',
    tool: group,
    action,
    digest: '',
    reviewed: false,
    permissions: [],
    costMicros: 0,
  }
}
const mcp = (server: string, name: string) =>
  mcpToolResource(server, name, { digest: '', reviewed: true })
const credential = (path: string) => ({ kind: 'credential' as const, path, type: null, tags: [] })
const target = (host: string, scheme: 'http' | 'https' = 'https') => {
  return { scheme, host, port: scheme === 'https' ? 443 : 80, path: '/' }
}
const knowledge = (owner: string | undefined, ...labels: string[]) => {
  return { kind: 'knowledge' as const, owner, sourceType: 'document', labels }
}

/** Built-in policies ask for a run that has the model; its own grant is not what is tested here. */
function inRun(resource: PolicyRequest['resource']): Partial<PolicyRequest['context']> {
  return resource.kind === 'model' ? { runModels: [`${resource.provider}:${resource.model}`] } : {}
}

function ask(
  engine: PolicyEngine,
  action: string,
  resource: PolicyRequest['resource'],
  context: Partial<PolicyRequest['context']> = {},
  who: { name?: string; holds?: readonly string[] } = {},
): boolean {
  const { name = 'scout', holds = [HOLD] } = who
  const principal = {
    kind: 'agent' as const,
    id: `id-${name}`,
    name,
    role: 'agent',
    meta: {},
    holds,
  }
  return engine.decide({ principal, action, resource, context: { nowMs: 0, ...context } }).allow
}

test('a program may do what it asks for, while it runs, as its agent, and nothing else', async () => {
  const engine = await engineOf({
    ...NONE,
    allows: [
      permission('tool', 'notes:append'),
      permission('tool', 'crm:*'),
      permission('tool', 'mail:send*'),
      permission('mcp', 'mcp/files:read'),
      permission('model', 'openai:gpt-4o'),
      permission('model', 'anthropic:*'),
      permission('credential', 'db/password'),
      permission('host', 'api.example.com'),
      permission('host', 'plain.example.com', { access: 'cleartext' }),
      permission('agent', 'helper'),
      permission('workflow', 'nightly'),
      permission('knowledge', 'confidential', { access: 'read' }),
      permission('knowledge', 'hr', { access: 'read' }),
    ],
    budgets: { rate: '5/s burst 20', quota: '100/24h sliding', maxTokens: 500 },
  })
  const model = (provider: string, name: string) => ({
    kind: 'model' as const,
    provider,
    model: name,
  })
  const agent = (name: string) => ({
    kind: 'agent' as const,
    id: name,
    name,
    role: 'agent',
    meta: {},
  })
  const to = (host: string, scheme?: 'http' | 'https') => ({ target: target(host, scheme) })
  const table: [boolean, string, PolicyRequest['resource'], Partial<PolicyRequest['context']>?][] =
    [
      [true, 'tool:call', tool('notes:append')],
      [false, 'tool:call', tool('notes:drop')],
      [true, 'tool:call', tool('crm:anything')],
      [false, 'tool:call', tool('crm2:anything')],
      [true, 'tool:call', tool('mail:send_all')],
      [false, 'tool:call', tool('mail:read')],
      [true, 'mcp:call', mcp('files', 'read')],
      [false, 'mcp:call', mcp('files', 'write')],
      [false, 'tool:call', mcp('files', 'read')],
      [true, 'llm:chat', model('openai', 'gpt-4o')],
      [false, 'llm:chat', model('openai', 'gpt-4')],
      [true, 'llm:embed', model('anthropic', 'x')],
      [true, 'vault:use:sign', credential('db/password')],
      [false, 'vault:use:sign', credential('db/other')],
      [false, 'vault:retrieve', credential('db/password')],
      [false, 'vault:use:http_header', credential('db/password')],
      [true, 'vault:use:http_request', credential('db/password'), to('api.example.com')],
      [false, 'vault:use:http_request', credential('db/password'), to('evil.com')],
      [false, 'vault:use:http_request', credential('db/password')],
      [true, 'tool:call', tool('http:get'), to('api.example.com')],
      [false, 'tool:call', tool('http:get'), to('api.example.com', 'http')],
      [true, 'tool:call', tool('http:get'), to('plain.example.com', 'http')],
      [false, 'tool:call', tool('http:get'), to('evil.com')],
      [false, 'tool:call', tool('http:get')],
      [true, 'agent:run', agent('helper')],
      [false, 'agent:run', agent('other')],
      [true, 'workflow:run', { kind: 'workflow', id: 'nightly' }],
      [false, 'workflow:run', { kind: 'workflow', id: 'daily' }],
      [true, 'knowledge:search', knowledge(undefined, 'confidential')],
      [true, 'knowledge:search', knowledge(undefined, 'confidential', 'hr')],
      [false, 'knowledge:search', knowledge(undefined, 'confidential', 'board')],
      [false, 'knowledge:search', knowledge('other', 'confidential')],
      [false, 'knowledge:write', knowledge(undefined, 'confidential')],
    ]
  for (const [allowed, action, resource, context] of table) {
    const what = JSON.stringify([action, resource, context])
    expect(ask(engine, action, resource, { ...inRun(resource), ...context }), what).toBe(allowed)
    expect(ask(engine, action, resource, context, { holds: [] }), what).toBe(false)
    expect(ask(engine, action, resource, context, { holds: ['program:scout@2'] }), what).toBe(false)
    expect(ask(engine, action, resource, context, { name: 'other' }) && allowed, what).toBe(false)
  }
})

test('conditions and denials of the file bind', async () => {
  const engine = await engineOf({
    ...NONE,
    allows: [
      permission('tool', '*'),
      permission('mcp', 'mcp/files:*', { conditions: ['guard#1'] }),
    ],
    denies: [
      permission('tool', 'notes:drop'),
      permission('tool', 'mail:*', { conditions: ['guard#2'] }),
      permission('secret', '*'),
      permission('knowledge', '*'),
      permission('host', '*'),
    ],
  })
  expect(ask(engine, 'tool:call', tool('notes:append'))).toBe(true)
  expect(ask(engine, 'tool:call', tool('notes:drop'))).toBe(false)
  expect(ask(engine, 'tool:call', tool('mail:send'))).toBe(true)
  expect(ask(engine, 'tool:call', tool('mail:send'), { holds: ['dsl:guard#2'] })).toBe(false)
  expect(ask(engine, 'mcp:call', mcp('files', 'read'))).toBe(false)
  expect(ask(engine, 'mcp:call', mcp('files', 'read'), { holds: ['dsl:guard#1'] })).toBe(true)
  // "any tool" is not "any host".
  expect(ask(engine, 'tool:call', tool('http:get'), { target: target('evil.com') })).toBe(false)
  expect(ask(engine, 'knowledge:search', knowledge('scout'))).toBe(false)
  expect(ask(engine, 'knowledge:search', knowledge('scout'), {}, { holds: [] })).toBe(true)
})

const HOSTILE = [
  'x"); permit(principal, action, resource); //',
  'x\\',
  'x\\" || true || "',
  '*/ permit(principal,action,resource);',
  'a::b',
  "'; --",
  `$${'{x}'}`,
  'é中😀',
]

test('no name from a source reaches out of its literal', async () => {
  for (const name of HOSTILE) {
    const permissions = {
      ...NONE,
      allows: [
        permission('tool', `notes:${name.replaceAll('*', '')}`),
        permission('workflow', name.replaceAll('*', '')),
        permission('knowledge', name.replaceAll('*', ''), { access: 'read', conditions: [name] }),
      ],
      denies: [permission('agent', name.replaceAll('*', ''))],
    }
    const engine = await engineOf(permissions, 'scout', name)
    expect(engine.size).toBe(4)
    expect(ask(engine, 'tool:call', tool('anything:else')), name).toBe(false)
    expect(ask(engine, 'tool:call', tool(`notes:${name.replaceAll('*', '')}`)), name).toBe(true)
    expect(ask(engine, 'workflow:run', { kind: 'workflow', id: 'other' }), name).toBe(false)
    expect((await engineOf(permissions, name)).size).toBe(4)
  }
})

test('a name that no policy can hold is refused before it closes the engine', () => {
  for (const [kind, name] of [
    ['host', 'a.com,evil.com'],
    ['host', '.x,evil.com'],
    ['host', 'not a host'],
    ['credential', 'a,b'],
    ['credential', '{{x'],
    ['tool', 'notes'],
    ['tool', '*:x'],
    ['tool', 'http:get'],
    ['tool', 'a:b\nc'],
    ['agent', 'scou*'],
    ['workflow', ''],
    ['model', 'open*:x'],
    ['workflow', '\u202e'],
  ] as const) {
    const permissions = { ...NONE, allows: [permission(kind, name)] }
    expect(
      () => programPolicies({ agentName: 'a', deploymentId: 'd', version: 1, permissions }),
      name,
    ).toThrow(expect.objectContaining({ code: 'DSL_INVALID' }))
  }
})

test('what a source asks for becomes policies that load, budgets included', async () => {
  const permissions = permissionsOf(
    agentOf({
      body: 'call_tool("notes:append")\n http_request("https://api.example.com/")\n secret("k")',
      attributes: { model: 'openai:gpt-4o', rate: '5/s', max_tokens: 100 },
      policies: { guard: ['allow: any if input.n < 3', 'deny: secret(any)'] },
    }),
  )
  const given = { agentName: 'scout', deploymentId: 'd1', version: 3, permissions }
  const texts = programPolicies(given).map(({ text }) => text)
  expect(texts.join('\n')).toMatch(/@rate\("5\/s"\)[\s\S]*@cap\("max_tokens 100"\)/)
  expect(texts.join('\n')).toMatch(
    /@description\("line \d+ of the program asks for tool notes:append"\)/,
  )
  const engine = await engineOf(permissions)
  expect(ask(engine, 'tool:call', tool('notes:append'))).toBe(false)
  expect(ask(engine, 'tool:call', tool('notes:append'), { holds: ['dsl:guard#1'] })).toBe(true)
})
