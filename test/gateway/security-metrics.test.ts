/** What the gateway counts, and how it behaves while a provider is ill. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Family, parsePrometheus, total } from './security-prometheus.ts'
import { type SecurityWorld, startSecurityWorld } from './security-world.ts'
import { LETTER } from './world.ts'

let world: SecurityWorld
let agent: { id: string; token: string }
/** Before anything was asked. */
let atStart: Map<string, Family>

const scrape = async (path = '/metrics'): Promise<Map<string, Family>> => {
  const response = await fetch(world.node.url + path)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return parsePrometheus(await response.text())
}

beforeAll(async () => {
  world = await startSecurityWorld({ cb_fail_threshold: 5, cb_open_ms: 600, retry_max_retries: 1 })
  atStart = await scrape()
  agent = await world.node.caller({ scopes: ['*'] })
})
afterAll(() => world[Symbol.asyncDispose]())

const FAMILIES: [name: string, type: string, labels: string[]][] = [
  ['gateway_process_start_time_seconds', 'gauge', []],
  ['gateway_requests_total', 'counter', ['tool', 'action', 'code']],
  ['gateway_request_duration_ms', 'histogram', ['tool', 'action']],
  ['gateway_cache_hits_total', 'counter', ['tool', 'action']],
  ['gateway_cache_misses_total', 'counter', ['tool', 'action']],
  ['gateway_retries_total', 'counter', ['tool', 'action', 'reason']],
  ['gateway_breaker_fastfail_total', 'counter', ['tool']],
  ['gateway_breaker_state', 'gauge', ['tool']],
  ['gateway_token_generations_total', 'counter', []],
  ['gateway_token_validations_total', 'counter', ['success']],
  ['gateway_token_expirations_total', 'counter', []],
  ['gateway_policy_denials_total', 'counter', ['tool', 'action', 'reason']],
  ['gateway_agent_creations_total', 'counter', []],
  ['gateway_chaos_injections_total', 'counter', ['tool', 'error_type']],
  ['gateway_chaos_clearings_total', 'counter', ['tool']],
  ['gateway_errors_total', 'counter', ['error_type']],
  ['gateway_token_rotations_total', 'counter', []],
  ['gateway_security_events_total', 'counter', ['event_type']],
  ['gateway_jobs', 'gauge', ['status']],
  ['gateway_jobs_total', 'counter', ['status']],
  ['gateway_idempotent_replays_total', 'counter', []],
]

test.each(FAMILIES)(
  'gateway §19.31: %s is there from the start, a %s, with a sample',
  (name, type, labels) => {
    const family = atStart.get(name)
    expect(family?.type).toBe(type)
    const samples = [...(family?.samples.values() ?? [])]
    expect(samples.length).toBeGreaterThan(0)
    for (const sample of samples)
      expect([...sample.labels.keys()].filter((label) => label !== 'le')).toEqual(labels)
  },
)

test('gateway §19.31: the buckets are those of the dashboards, and both paths show one page', async () => {
  const duration = (await scrape('/api/metrics')).get('gateway_request_duration_ms')
  const bounds = [...(duration?.samples.values() ?? [])]
    .filter(({ labels }) => labels.get('tool') === 'serpapi')
    .flatMap(({ labels }) => labels.get('le') ?? [])
  expect(bounds).toEqual(['25', '50', '100', '200', '400', '800', '1600', '3200', '6400', '+Inf'])
})

test.each<[kind: string, status: number, send: () => Promise<{ status: number }>]>([
  ['a success', 200, () => world.node.call(agent.token, 'crm:find', { q: 'a' })],
  ['a job', 202, () => world.node.call(agent.token, 'crm:find', { q: 'b' }, { async: true })],
  ['a mistake', 400, () => world.node.call(agent.token, 'crm:find', { q: 7 })],
  ['no JSON', 400, () => world.node.http('POST', '/api/proxy-request', '{"tool":')],
  [
    'too much',
    413,
    () => world.node.http('POST', '/api/proxy-request', `"${'x'.repeat(1_100_000)}"`),
  ],
  ['nothing', 400, () => world.node.http('POST', '/api/proxy')],
  ['an unknown tool', 400, () => world.node.call(agent.token, 'nosuch:tool', {})],
  [
    'a denial',
    400,
    async () => {
      const narrow = await world.node.token(agent.id, { tools: ['serpapi'] })
      return world.node.call(narrow, 'crm:find', {})
    },
  ],
  ['a token that is none', 401, () => world.node.call('x.y', 'crm:find', {})],
  [
    'a provider that is ill',
    502,
    async () => {
      world.upstreamDoes((_request, reply) => void reply.writeHead(500).end())
      const answer = await world.node.call(agent.token, 'crm:add', {})
      world.upstreamDoes((_request, reply) => void reply.end('{}'))
      return answer
    },
  ],
])(
  'gateway §19.31: %s adds exactly one request, with the status that was sent',
  async (_kind, status, send) => {
    const before = await scrape()
    expect((await send()).status).toBe(status)
    await sleep(20) // counted when the answer is out
    const after = await scrape()
    const added = (labels: Record<string, string>, name = 'gateway_requests_total') =>
      total(after, name, labels) - total(before, name, labels)
    expect(added({})).toBe(1)
    expect(added({ code: String(status) })).toBe(1)
    expect(added({}, 'gateway_request_duration_ms_count')).toBe(1)
  },
)

test('gateway §19.31: a replay is one more request, and one more replay', async () => {
  world.upstreamDoes((_request, reply) => void reply.end('{"id":"m1"}'))
  const before = await scrape()
  const keyed = () =>
    world.node.call(agent.token, 'gmail_send:send', { ...LETTER, idempotency_key: 'key-of-31' })
  await keyed()
  await keyed()
  await sleep(20)
  const after = await scrape()
  const added = (name: string) => total(after, name) - total(before, name)
  expect(added('gateway_requests_total')).toBe(2)
  expect(added('gateway_idempotent_replays_total')).toBe(1)
})

test('gateway §19.31: what callers write never becomes a label, nor do agents', async () => {
  const { node } = world
  for (let n = 0; n < 50; n += 1) {
    await node.call(agent.token, `evil_${n}:act_${n}`, {})
    await node.call(agent.token, `crm:act_${n}`, {})
  }
  const families = await scrape()
  const page = await (await fetch(`${node.url}/metrics`)).text()
  expect(page).not.toMatch(/evil_|act_/)
  expect(page).not.toContain(agent.id)
  expect(total(families, 'gateway_requests_total', { tool: 'unknown' })).toBeGreaterThanOrEqual(100)
})

test('gateway §19.32: five faults open the breaker, one probe is let in, and its success closes it', async () => {
  const { node, upstream } = world
  const state = async () => total(await scrape(), 'gateway_breaker_state', { tool: 'gmail_send' })
  const send = (n: number) =>
    node.call(agent.token, 'gmail_send:send', { ...LETTER, subject: `letter ${n}` })

  // Mistakes of callers, and refusals of their content, say nothing of the provider's health.
  for (let n = 0; n < 7; n += 1)
    expect((await node.call(agent.token, 'gmail_send:send', { to: 'a' })).status).toBe(400)
  world.upstreamDoes((_request, reply) => void reply.writeHead(400).end('{}'))
  for (let n = 0; n < 7; n += 1) expect((await send(n)).status).toBe(422)
  world.upstreamDoes((_request, reply) => void reply.writeHead(401).end('{}'))
  for (let n = 10; n < 17; n += 1) expect((await send(n)).json.code).toBe('UPSTREAM_AUTH')
  expect(await state()).toBe(0)

  world.upstreamDoes((_request, reply) => void reply.writeHead(503).end('{}'))
  for (let n = 20; n < 25; n += 1) expect((await send(n)).status).toBe(502)
  expect(await state()).toBe(2)
  const before = upstream.seen.length
  const fast = await send(30)
  expect([fast.status, fast.json.code]).toEqual([503, 'CIRCUIT_OPEN'])
  expect(fast.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
  expect(fast.json.retry_after).toBe(Number(fast.headers.get('retry-after')))
  expect(upstream.seen.length).toBe(before)
  expect(total(await scrape(), 'gateway_breaker_fastfail_total', { tool: 'gmail_send' })).toBe(1)
  // Only this tool: others go on.
  world.upstreamDoes((_request, reply) => void reply.end('{}'))
  expect((await node.call(agent.token, 'crm:find', {})).status).toBe(200)

  await sleep(650)
  expect(await state()).toBe(1)
  world.upstreamDoes((_request, reply) => void setTimeout(() => reply.writeHead(503).end(), 100))
  const failing = await Promise.all([31, 32, 33, 34].map(send))
  expect(failing.map(({ status }) => status).sort()).toEqual([502, 503, 503, 503])
  expect(await state()).toBe(2)

  await sleep(650)
  world.upstreamDoes((_request, reply) => void setTimeout(() => reply.end('{"id":"1"}'), 100))
  const probing = await Promise.all([41, 42, 43].map(send))
  expect(probing.map(({ status }) => status).sort()).toEqual([200, 503, 503])
  expect(await state()).toBe(0)
  expect((await Promise.all([51, 52, 53].map(send))).map(({ status }) => status)).toEqual([
    200, 200, 200,
  ])
})
