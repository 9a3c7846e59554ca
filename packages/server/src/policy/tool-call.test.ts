import { expect, test } from 'vitest'
import { type PolicyContext, PolicyEngine } from './engine.ts'
import { ask, targetOf } from './gateway.test-kit.ts'
import { readPolicyFiles } from './policy-file.ts'

const LIMITS = { maxTtl: 86_400, understood: false, hostsSupplied: () => true }

async function engineOf(text: string): Promise<PolicyEngine> {
  const { policies, warnings } = await readPolicyFiles([{ name: 'p.cedar', text }], LIMITS)
  expect(warnings).toEqual([])
  const engine = new PolicyEngine()
  engine.load(policies.map((policy, position) => ({ ...policy, position })))
  return engine
}

const to = (url: string): Partial<PolicyContext> => ({ target: targetOf(url) })
const GET = 'http_fetch:get'

test('a permit written in Cedar speaks of a tool by its group, and of what the tool is', async () => {
  const engine = await engineOf(`
    @id("search") permit (principal in Role::"scraper", action == Action::"tool:call", resource in Tool::"serpapi")
    when { resource.reviewed && resource.digest == "sha256:1" && resource.cost_micros < 10 };
  `)
  expect(engine.decide(ask('serpapi:search')).permits).toEqual(['search'])
  expect(engine.decide(ask('openai:chat')).reasonCode).toBe('SCOPE_NOT_ALLOWED')
  const request = ask('serpapi:search')
  const resource = { ...request.resource, reviewed: false } as typeof request.resource
  expect(engine.decide({ ...request, resource })).toMatchObject({
    allow: false,
    closest: { policy: 'search', clause: 'condition 1' },
  })
})

test('a permit that names no domain does not let a tool fetch', async () => {
  const engine = await engineOf(
    '@id("all") permit (principal, action == Action::"tool:call", resource);',
  )
  const refused = engine.decide(ask(GET, to('https://a.test/')))
  expect(refused).toMatchObject({ allow: false, reasonCode: 'DOMAIN_NOT_ALLOWED', rank: 62 })
  expect(engine.decide(ask(GET)).reasonCode).toBe('DOMAIN_NOT_ALLOWED')
  const listed = { ...to('https://a.test/'), holds: ['domain_listed'] }
  expect(engine.decide(ask(GET, listed)).allow).toBe(true)
  expect(engine.decide(ask('serpapi:search')).allow).toBe(true)
})

test('a permit that names the domain does', async () => {
  const engine = await engineOf(`
    @id("a") permit (principal, action == Action::"tool:call", resource in Tool::"http_fetch")
    when { context has host && context.host in HostGlob::".a.test" };
  `)
  expect(engine.decide(ask(GET, to('https://x.a.test/'))).allow).toBe(true)
  expect(engine.decide(ask(GET, to('https://b.test/'))).allow).toBe(false)
})

test('open data given as a function is asked for once, and only when a policy looks', async () => {
  const engine = await engineOf(`
    @id("all") permit (principal, action == Action::"tool:call", resource in Tool::"serpapi");
    @id("long") @reason("GUARD") forbid (principal, action == Action::"tool:call", resource == Tool::"serpapi:search")
    when { context.args.hasTag("/q") && context.args.getTag("/q") == "bad" };
  `)
  let asked = 0
  const args = (q: string) => () => {
    asked += 1
    return { '/q': q }
  }
  expect(engine.decide(ask('serpapi:search', { args: args('good') })).allow).toBe(true)
  expect(asked).toBe(1)
  expect(engine.decide(ask('serpapi:search', { args: args('bad') })).reasonCode).toBe('GUARD')
  asked = 0
  engine.decide(ask('serpapi:other', { args: args('bad') }))
  expect(asked).toBe(0)
})
