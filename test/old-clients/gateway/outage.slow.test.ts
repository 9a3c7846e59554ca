/** Providers that are slow, down or wrong: what that does to clients that retry everything. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { noPython } from '../client-process.ts'
import { type Mood, PROVIDER_SECRET, type ProviderRequest } from './fake-providers.ts'
import type { Outcome } from './gateway-process.ts'
import {
  type Connection,
  type GatewayWorld,
  type Language,
  startGatewayWorld,
  type WorldOptions,
} from './gateway-world.ts'
import { result } from './journeys.ts'

// They wait far more than they work.
vi.setConfig({ maxConcurrency: 32 })
const concurrent = { concurrent: true }
const absent = noPython !== undefined

const DOWN = { status: 503 }
const letterTo = (name: string) => ({ to: `${name}@example.org`, subject: 'Hi', body: 'Hello' })

/** One provider in many moods: what it is asked decides. */
let outage: Mood = DOWN
const CHATS: Record<string, () => Mood> = {
  outage: () => outage,
  hang: () => 'hang',
  slow: () => ({ slowMs: 9_000 }),
  'an answer of 503': () => DOWN,
  'an answer of 500': () => ({ status: 500 }),
  'an answer of 401': () => ({ status: 401 }),
  'an answer of 403': () => ({ status: 403 }),
  'a connection that breaks': () => 'drop',
  'an answer that is no JSON': () => 'garbage',
}
const chatMood = ({ body }: ProviderRequest): Mood =>
  CHATS[JSON.parse(body).messages[0].content]?.() ?? 'fine'
const isFor = (name: string) => (request: ProviderRequest) =>
  letterOf(request).includes(`${name}@example.org`)
const mailMood = (request: ProviderRequest): Mood =>
  isFor('broken')(request) ? 'drop' : { slowMs: 9_000 }

function letterOf({ body }: ProviderRequest): string {
  return Buffer.from(JSON.parse(body).raw, 'base64url').toString('utf8')
}

interface Stage {
  readonly world: GatewayWorld
  readonly agent: string
  connect(language: Language): Promise<Connection>
}

const open: GatewayWorld[] = []

/** Live, with one agent that may do anything, and a JavaScript process for each connection. */
async function stage(gateway: object, options: WorldOptions = {}): Promise<Stage> {
  const world = await startGatewayWorld({ live: true, gateway, ...options })
  open.push(world)
  world.providers.become('openai', chatMood)
  world.providers.become('gmail_send', mailMood)
  const agent = await world.createAgent('demo')
  await world.allow(agent, { scopes: ['*'], guards: { allowedDomains: [world.providers.host] } })
  return {
    world,
    agent,
    connect: (language) => world.connect(language, agent, { own: language === 'JS' }),
  }
}

// One agent's failures must not open the circuit for the others.
const patient = { cb_fail_threshold: 10_000, cb_bulkhead_concurrency: 100 }
let main: Stage
let unguarded: Stage
let broken: Stage
let locked: Stage
let stopping: Stage

beforeAll(async () => {
  ;[main, unguarded, broken, locked, stopping] = await Promise.all([
    stage(patient, { unconfigured: ['serpapi'] }),
    stage({ ...patient, js_abort_guard: false }),
    stage({ cb_fail_threshold: 1, cb_open_ms: 60_000 }),
    stage(patient),
    stage(patient),
  ])
  const { status } = await once(broken, 'openai', 'chat', { input: 'outage' })
  expect(status).toBe(502)
  await locked.world.seal()
})
/** A call without any client, which nobody repeats. */
async function once({ world, agent }: Stage, tool: string, action: string, params: object) {
  const expires_at = new Date(Date.now() + 60_000).toISOString()
  const wish = { agent_id: agent, tools: [tool], permissions: ['write'], expires_at }
  const { json } = await world.http('POST', '/api/generate-token', wish)
  const { agent_token } = json
  return world.http('POST', '/api/proxy-request', { agent_token, tool, action, params })
}

afterAll(async () => {
  await Promise.all(open.map((world) => world[Symbol.asyncDispose]()))
})

const proxied = ({ attempts }: Outcome) =>
  attempts.filter(({ path }) => path === '/api/proxy-request')

test.skipIf(absent)(
  'gateway §19.9: in an outage of more than eight seconds PY ends with GatewayUpstreamError after four attempts',
  concurrent,
  async () => {
    const { client } = await main.connect('PY')
    const outcome = await client.proxy('openai', 'chat', { input: 'an answer of 503' })
    expect(outcome.raised).toMatchObject({
      class: 'GatewayUpstreamError',
      code: 'UPSTREAM_ERROR',
      status: 502,
    })
    const calls = proxied(outcome)
    expect(calls).toHaveLength(4)
    expect(new Set(calls.map(({ correlation_id }) => correlation_id)).size).toBe(1)
  },
)

test.concurrent('gateway §19.9: an outage of more than eight seconds leaves a JS process alive', async () => {
  const { client, process } = await main.connect('JS')
  const downUntilMs = Date.now() + 8_500
  const insist = async (...call: [tool: string, action: string, params: object]) => {
    while (Date.now() < downUntilMs) {
      const { raised } = await client.proxy(...call)
      expect(raised).toMatchObject({ class: 'GatewayError', status: 424 })
    }
  }
  await Promise.all([
    insist('openai', 'chat', { input: 'outage' }),
    insist('openai', 'chat', { input: 'hang' }),
    insist('gmail_send', 'send', letterTo('broken')),
    sleep(8_500),
  ])
  expect(process.running).toBe(true)
  outage = 'fine'
  const heard = await result(client.proxy('openai', 'chat', { input: 'outage' }))
  expect(heard.choices[0].message.content).toBe('heard outage')
})

test.concurrent('gateway §19.9: without the guard the same outage ends that process', async () => {
  const { client, process } = await unguarded.connect('JS')
  await Promise.allSettled([client.proxy('openai', 'chat', { input: 'an answer of 503' })])
  const { code, stderr } = await process.ended()
  expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('AbortError') })
})

test.skipIf(absent)(
  'gateway §19.10: a provider that needs nine seconds is called once, and the one call of PY succeeds',
  concurrent,
  async () => {
    const { client } = await main.connect('PY')
    const [chat, mail] = await Promise.all([
      client.proxy('openai', 'chat', { messages: [{ role: 'user', content: 'slow' }] }),
      client.proxy('gmail_send', 'send', letterTo('patient')),
    ])
    expect(chat.ok?.choices[0].message.content).toBe('heard slow')
    expect(mail.ok?.message_id).toMatch(/^msg_/)
    for (const outcome of [chat, mail])
      expect(proxied(outcome).map(({ status }) => status)).toEqual([undefined, 200])
    const { providers } = main.world
    expect(providers.requests('openai').filter(({ body }) => body.includes('slow'))).toHaveLength(1)
    expect(providers.requests('gmail_send').filter(isFor('patient'))).toHaveLength(1)
  },
)

test.concurrent('gateway §19.9: a provider that needs nine seconds gives JS an error in time, and the result to the next call with its key', async () => {
  const { client, process } = await main.connect('JS')
  const keyed = { ...letterTo('hasty'), idempotencyKey: `idemp_${randomUUID()}` }
  const first = await client.proxy('gmail_send', 'send', keyed)
  expect(first.raised).toMatchObject({ class: 'GatewayError', status: 424 })
  expect(proxied(first)).toHaveLength(1)
  expect(first.ms).toBeGreaterThan(5_000)
  const second = await client.proxy('gmail_send', 'send', keyed)
  expect(second.ok?.message_id).toMatch(/^msg_/)
  expect(main.world.providers.requests('gmail_send').filter(isFor('hasty'))).toHaveLength(1)
  expect(process.running).toBe(true)
})

interface Row {
  readonly what: string
  readonly status: number
  /** Defaults to a chat of these very words in the common world. */
  readonly at?: () => Stage
  readonly call?: readonly [tool: string, action: string, params: object]
  readonly waits?: true
}

const ROWS: Row[] = [
  { what: 'an answer of 500', status: 502 },
  { what: 'an answer of 401', status: 502 },
  { what: 'an answer of 403', status: 502 },
  { what: 'a connection that breaks', status: 502 },
  { what: 'an answer that is no JSON', status: 502 },
  { what: 'a missing credential', status: 503, call: ['serpapi', 'search', { q: 'a' }] },
  { what: 'an open circuit', status: 503, waits: true, at: () => broken },
  { what: 'a sealed vault', status: 503, waits: true, at: () => locked },
]

async function provoke({ what, at, call }: Row, language: Language) {
  const { client, process } = await (at ?? (() => main))().connect(language)
  const [tool, action, params] = call ?? ['openai', 'chat', { input: what }]
  const outcome = await client.proxy(tool, action, params)
  expect(outcome.raised?.message).not.toContain(PROVIDER_SECRET)
  return { outcome, process }
}

test.skipIf(absent).each(ROWS)(
  'gateway §19.5: PY: $what raises GatewayUpstreamError after four attempts',
  concurrent,
  async (row) => {
    const { outcome } = await provoke(row, 'PY')
    const { status } = row
    expect(outcome.raised).toMatchObject({
      class: 'GatewayUpstreamError',
      code: 'UPSTREAM_ERROR',
      status,
    })
    const last = outcome.attempts.slice(-4)
    expect(last.map((attempt) => attempt.status)).toEqual([status, status, status, status])
    if (row.waits === true) {
      for (const { headers } of last) expect(headers?.['retry-after']).toMatch(/^[1-9]\d*$/)
    }
  },
)

test.concurrent.each(ROWS)(
  'gateway §19.5: JS: $what raises GatewayError with 424 before it can end the process',
  async (row) => {
    const { outcome, process } = await provoke(row, 'JS')
    expect(outcome.raised).toMatchObject({ class: 'GatewayError', status: 424 })
    expect(outcome.attempts.at(-1)?.status).toBe(424)
    expect(process.running).toBe(true)
  },
)

test.concurrent('gateway §19.5: JS: a daemon that is stopping says so while it drains, and the process stays alive', async () => {
  const { world, connect } = stopping
  const [waiting, asking] = [await connect('JS'), await connect('JS')]
  waiting.client.proxy('openai', 'chat', { input: 'hang' }).catch(() => undefined)
  await vi.waitUntil(() => world.providers.requests('openai').length > 0, { timeout: 10_000 })
  world.stop().catch(() => undefined)
  const { raised, attempts } = await asking.client.proxy('openai', 'chat', { input: 'a' })
  expect(attempts[0]).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
  expect(raised).toMatchObject({ class: 'GatewayError', status: 424 })
  expect(asking.process.running).toBe(true)
})

test.concurrent('gateway §19.5: a page that never comes is a 504', async () => {
  const { world } = main
  world.providers.become('page', 'hang')
  const params = { url: world.providers.baseUrl('page'), timeout: 1_000 }
  const { status, json } = await once(main, 'http_fetch', 'get', params)
  expect({ status, code: json.code }).toEqual({ status: 504, code: 'UPSTREAM_TIMEOUT' })
})
