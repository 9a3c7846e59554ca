import { expect, test } from 'vitest'
import { PolicyEngine, type PolicyPrincipal, type PolicyRequest } from './engine.ts'
import { readPolicyFiles } from './policy-file.ts'
import type { KnowledgeResource } from './policy-request.ts'

const LIMITS = { maxTtl: 86_400, understood: false, hostsSupplied: () => true }

async function engineOf(text: string, taint: Record<string, string[]> = {}): Promise<PolicyEngine> {
  const engine = new PolicyEngine((txn) => taint[txn] ?? [])
  const { policies, warnings } = await readPolicyFiles([{ name: 'p.cedar', text }], LIMITS)
  expect(warnings).toEqual([])
  engine.load(policies.map((policy, position) => ({ ...policy, position })))
  return engine
}

const SOME_POLICY = '@id("x") permit (principal, action == Action::"vault:list", resource);'
const agent = (name: string, more: Partial<PolicyPrincipal> = {}): PolicyPrincipal => ({
  kind: 'agent',
  id: `id-${name}`,
  name,
  role: 'agent',
  meta: {},
  ...more,
})

function knowledge(
  owner: string | undefined,
  ...labels: readonly string[]
): { owner: string | undefined; sourceType: string; labels: readonly string[] } {
  return { owner, sourceType: 'document', labels }
}

function asks(
  principal: PolicyPrincipal,
  action: 'search' | 'write',
  about: Omit<KnowledgeResource, 'kind'>,
): PolicyRequest {
  const resource = { kind: 'knowledge' as const, ...about }
  return { principal, action: `knowledge:${action}`, resource, context: { nowMs: 0 } }
}

test('runtime §10.3: an agent sees its own and what is shared, never what is another agent’s', async () => {
  const engine = await engineOf(SOME_POLICY)
  const scout = agent('scout')
  const may = (action: 'search' | 'write', about: Omit<KnowledgeResource, 'kind'>) =>
    engine.decide(asks(scout, action, about)).allow
  expect(may('search', knowledge(undefined))).toBe(true)
  expect(may('write', knowledge(undefined))).toBe(false)
  expect(may('search', knowledge('scout', 'confidential'))).toBe(true)
  expect(may('write', knowledge('scout'))).toBe(true)
  expect(may('search', knowledge('other'))).toBe(false)
  expect(may('search', knowledge(undefined, 'confidential'))).toBe(false)
  const admin: PolicyPrincipal = { ...agent('ada'), kind: 'operator', role: 'admin' }
  expect(engine.decide(asks(admin, 'write', knowledge('other'))).allow).toBe(true)
})

test('no policy makes another agent’s own knowledge visible', async () => {
  const engine = await engineOf(
    '@id("all") permit (principal, action in Action::"knowledge:*", resource is Knowledge);',
  )
  expect(engine.decide(asks(agent('scout'), 'search', knowledge('other')))).toMatchObject({
    allow: false,
    reasonCode: 'not_yours',
  })
})

test('a policy says who may read what has a label', async () => {
  const engine = await engineOf(
    `@id("hr") permit (principal in Role::"people", action == Action::"knowledge:search", resource is Knowledge)
     when { !(resource has owner) && ["hr", "internal"].containsAll(resource.labels) };`,
  )
  const ada = agent('ada', { role: 'people' })
  expect(engine.decide(asks(ada, 'search', knowledge(undefined, 'hr'))).allow).toBe(true)
  expect(engine.decide(asks(ada, 'search', knowledge(undefined, 'hr', 'board'))).allow).toBe(false)
  expect(engine.decide(asks(agent('scout'), 'search', knowledge(undefined, 'hr'))).allow).toBe(
    false,
  )
})

test('what a transaction has read is seen wherever it asks, and only there', async () => {
  const engine = await engineOf(
    `@id("tools") permit (principal, action == Action::"tool:call", resource);
     @id("no-leak") @reason("tainted")
     forbid (principal, action, resource) when { context.taint.contains("confidential") };`,
    { txn_1: ['confidential'] },
  )
  const call = (principal: PolicyPrincipal): PolicyRequest => ({
    principal,
    action: 'tool:call',
    resource: {
      kind: 'tool',
      tool: 'serpapi',
      action: 'search',
      digest: '',
      reviewed: false,
      permissions: [],
      costMicros: 0,
    },
    context: { nowMs: 0 },
  })
  expect(engine.decide(call(agent('scout', { txn: 'txn_1' })))).toMatchObject({
    allow: false,
    reasonCode: 'tainted',
  })
  expect(engine.decide(call(agent('scout', { txn: 'txn_2' })))).toMatchObject({ allow: true })
  expect(engine.decide(call(agent('scout'))).allow).toBe(true)
})

test('conditions that hold for a principal join those of the call', async () => {
  const engine = await engineOf(
    `@id("p") permit (principal, action == Action::"workflow:run", resource)
     when { context.holds.containsAll(["program:1@2", "asked"]) };`,
  )
  const run = (holds: readonly string[]): PolicyRequest => ({
    principal: agent('scout', { holds }),
    action: 'workflow:run',
    resource: { kind: 'workflow', id: 'nightly' },
    context: { nowMs: 0, holds: ['asked'] },
  })
  expect(engine.decide(run(['program:1@2'])).allow).toBe(true)
  expect(engine.decide(run(['program:1@1'])).allow).toBe(false)
})
