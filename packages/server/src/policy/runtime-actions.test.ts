import { expect, test } from 'vitest'
import { PolicyEngine, type PolicyPrincipal, type PolicyRequest } from './engine.ts'
import { mcpToolResource } from './mcp-resource.ts'
import { readPolicyFiles } from './policy-file.ts'
import type { AgentResource } from './policy-request.ts'

const LIMITS = { maxTtl: 86_400, understood: false, hostsSupplied: () => true }

async function engineOf(text = ''): Promise<PolicyEngine> {
  const engine = new PolicyEngine()
  const { policies, warnings } = await readPolicyFiles([{ name: 'p.cedar', text }], LIMITS)
  expect(warnings).toEqual([])
  engine.load(policies.map((policy, position) => ({ ...policy, position })))
  return engine
}

const agent = (name: string, role = 'agent'): AgentResource => ({
  kind: 'agent',
  id: `id-${name}`,
  name,
  role,
  meta: {},
})
const operator = (role: string): PolicyPrincipal => ({
  kind: 'operator',
  id: 'op-1',
  name: 'ada',
  role,
  meta: {},
})
const REVIEWED = { digest: 'sha256:1', reviewed: true }

function call(
  principal: PolicyPrincipal,
  server: string,
  tool: string,
  context: Partial<PolicyRequest['context']> = {},
): PolicyRequest {
  const resource = mcpToolResource(server, tool, REVIEWED)
  return { principal, action: 'mcp:call', resource, context: { nowMs: 0, ...context } }
}

const run = (principal: PolicyPrincipal, resource: AgentResource): PolicyRequest => ({
  principal,
  action: 'agent:run',
  resource,
  context: { nowMs: 0 },
})

test('nobody but owners and admins may call MCP tools and run agents without a policy', async () => {
  const engine = await engineOf(
    '@id("x") permit (principal, action == Action::"vault:list", resource);',
  )
  for (const [role, allowed] of [
    ['owner', true],
    ['admin', true],
    ['auditor', false],
    ['approver', false],
  ] as const) {
    expect(engine.decide(call(operator(role), 'notes', 'append')).allow, role).toBe(allowed)
    expect(engine.decide(run(operator(role), agent('scout'))).allow, role).toBe(allowed)
  }
  expect(engine.decide(call(agent('scout'), 'notes', 'append'))).toMatchObject({
    allow: false,
    reasonCode: 'no_matching_rule',
  })
  expect(engine.decide(run(agent('owner', 'owner'), agent('scout'))).allow).toBe(false)
})

test('the key of an agent starts that agent and no other, unless a policy forbids it', async () => {
  const engine = await engineOf(
    '@id("sleeping") @reason("asleep") forbid (principal, action == Action::"agent:run", resource in Role::"night");',
  )
  const scout = agent('scout')
  expect(engine.decide(run(scout, scout)).permits).toEqual(['builtin:run-itself'])
  expect(engine.decide(run(scout, agent('other'))).allow).toBe(false)
  const owl = agent('owl', 'night')
  expect(engine.decide(run(owl, owl))).toMatchObject({ allow: false, reasonCode: 'asleep' })
  expect(engine.decide(run(operator('owner'), owl)).allow).toBe(false)
})

test('policies speak of an MCP server, of its tools, and of the arguments', async () => {
  const engine = await engineOf(`
    @id("notes") permit (principal in Role::"writer", action == Action::"mcp:call", resource in Tool::"mcp/notes")
    when { resource.reviewed };
    @id("short") @reason("too_long") forbid (principal, action == Action::"mcp:call", resource == Tool::"mcp/notes:append")
    when { context has args && context.args.hasTag("/text") && context.args.getTag("/text") == "secret" };
    @id("tools") permit (principal in Role::"writer", action == Action::"tool:call", resource in Tool::"mcp");
  `)
  const writer = agent('ada', 'writer')
  expect(engine.decide(call(writer, 'notes', 'append')).permits).toEqual(['notes'])
  expect(engine.decide(call(writer, 'mail', 'append')).allow).toBe(false)
  expect(engine.decide(call(agent('dana'), 'notes', 'append')).allow).toBe(false)
  const secret = call(writer, 'notes', 'append', { args: { '/text': 'secret' } })
  expect(engine.decide(secret)).toMatchObject({ allow: false, reasonCode: 'too_long' })
})

test('no two tools of MCP servers are one to policies, whatever they are called', async () => {
  const engine = await engineOf(
    '@id("one") permit (principal, action == Action::"mcp:call", resource == Tool::"mcp/a:b:c");',
  )
  expect(engine.decide(call(agent('x'), 'a', 'b:c')).allow).toBe(true)
  expect(engine.decide(call(agent('x'), 'a:b', 'c')).allow).toBe(false)
})

test('what a key or a token covers narrows MCP calls and runs, too', async () => {
  const engine = await engineOf(
    '@id("all") permit (principal, action in [Action::"mcp:*", Action::"agent:*"], resource);',
  )
  const ada = agent('ada')
  expect(engine.decide(call(ada, 'notes', 'append')).allow).toBe(true)
  const narrowed = (context: Partial<PolicyRequest['context']>) =>
    engine.decide(call(ada, 'notes', 'append', context)).allow
  expect(narrowed({ scope: ['mcp:*'] })).toBe(true)
  expect(narrowed({ scope: ['agent:*'] })).toBe(false)
  expect(narrowed({ tokenTools: ['mcp/notes'], tokenPermissions: ['write'] })).toBe(true)
  expect(narrowed({ tokenTools: ['mcp/mail'], tokenPermissions: ['write'] })).toBe(false)
  expect(narrowed({ tokenTools: ['*'], tokenPermissions: ['read'] })).toBe(false)
  const scoped = { ...run(ada, ada), context: { nowMs: 0, scope: ['mcp:call'] } }
  expect(engine.decide(scoped)).toMatchObject({ allow: false, reasonCode: 'outside_scope' })
})
