import { afterEach, expect, test } from 'vitest'
import { type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import type { RawReply } from './raw-http.ts'

const CHAT = '/v1/chat/completions'

let world: LlmWorld
afterEach(() => world[Symbol.asyncDispose]())

const ask = (run: RunHeaders, model = 'gpt-4o', content = 'hi') =>
  world.post(
    CHAT,
    { model, messages: [{ role: 'user', content }] },
    { ...tokens(run), 'X-Provider': model.startsWith('claude') ? 'anthropic' : 'openai' },
  )

function errorOf({ body }: RawReply): { code: string; message: string } {
  return (JSON.parse(body) as { error: { code: string; message: string } }).error
}

test('an operator’s policy narrows what a run may do, and says why', async () => {
  world = await startLlmWorld()
  const run = await world.run()
  await world.addPolicy(
    '@id("no-anthropic") @reason("contract ended") forbid (principal, action in Action::"llm:*", resource in Model::"anthropic");',
  )
  const reply = await ask(run, 'claude-sonnet-4-5')
  expect([reply.status, errorOf(reply).code]).toEqual([403, 'model_not_allowed'])
  expect(errorOf(reply).message).toContain('contract ended')
  expect((await ask(run)).status).toBe(200)
})

test('an operator’s permit does not widen what a run was registered for', async () => {
  world = await startLlmWorld()
  const run = await world.run()
  await world.addPolicy('@id("all") permit (principal, action in Action::"llm:*", resource);')
  const reply = await ask(run, 'gpt-4.1')
  expect([reply.status, errorOf(reply).code]).toEqual([403, 'model_not_allowed'])
  expect(world.fakes.openai.requests).toEqual([])
})

test('rates and quotas of policies are waits of whole seconds, a minute at most', async () => {
  world = await startLlmWorld()
  const run = await world.run()
  await world.addPolicy(
    '@id("few") @quota("2/24h") permit (principal, action == Action::"llm:chat", resource in Model::"openai");',
  )
  expect([(await ask(run)).status, (await ask(run)).status]).toEqual([200, 200])
  const third = await ask(run)
  expect([third.status, errorOf(third).code, third.headers['retry-after']]).toEqual([
    429,
    'rate_limited',
    '60',
  ])
  expect((await ask(run, 'claude-sonnet-4-5')).status).toBe(200)
})

test('what needs an approval waits for one, bound to this very request', async () => {
  world = await startLlmWorld()
  const run = await world.run()
  await world.addPolicy(
    '@id("ask") @approve("operator") permit (principal, action == Action::"llm:chat", resource == Model::"openai:o3");',
  )
  const refused = await ask(run, 'o3', 'may I?')
  expect(refused.status).toBe(403)
  expect(errorOf(refused).message).toContain('approval')
  const { approvals } = world.parts.vault.stations
  const [open] = await approvals.list('pending')
  await approvals.decide(open?.id ?? '', 'allowed', 'ada', 'once')
  expect((await ask(run, 'o3', 'something else')).status).toBe(403)
  expect((await ask(run, 'o3', 'may I?')).status).toBe(200)
})
