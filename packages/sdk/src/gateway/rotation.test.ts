import { generateKeyPairSync } from 'node:crypto'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { GatewayClient } from './client.ts'
import { AGENT_ID, claimsOf, FakeGateway, tokenOf } from './fake-gateway.test-kit.ts'
import type { GatewayClientOptions, TokenRotation } from './options.ts'

const PEM = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
const SEARCH = { q: 'bakery' }
const MAIL = { to: 'a@example.org', subject: 'Hi', body: 'Hello' }
const KEYED = { ...MAIL, idempotencyKey: 'idemp_1893456000000_key' }
const EXPIRED = {
  status: 401,
  headers: { 'X-Token-Rotation-Recommended': 'true' },
  body: { error: 'Token expired', code: 'TOKEN_EXPIRED' },
}

let gateway: FakeGateway
let client: GatewayClient

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  gateway = await new FakeGateway().start()
  client = open()
})

afterEach(async () => {
  vi.useRealTimers()
  await client.close()
  await gateway[Symbol.asyncDispose]()
})

function open(options: Partial<GatewayClientOptions> = {}): GatewayClient {
  return new GatewayClient({
    baseUrl: gateway.url,
    agentId: AGENT_ID,
    agentPrivateKeyPem: PEM.toString(),
    retry: { baseDelayMs: 5, maxDelayMs: 5 },
    ...options,
  })
}

const minutes = (count: number) => count * 60_000
const later = (ms: number) => vi.setSystemTime(Date.now() + ms)
const tokensSent = () => gateway.sent('proxy').map(({ body }) => String(body['agent_token']))
const minted = (count: number) =>
  vi.waitFor(() => expect(gateway.sent('token')).toHaveLength(count))
const getToken = (ttlMinutes: number, from = client) =>
  from.getToken({ tools: ['*'], permissions: ['*'], ttlMinutes })

/** A token that was obtained by somebody else. */
function foreign(claims: Record<string, unknown> = {}): string {
  const now = Date.now()
  return tokenOf({
    issued_at: new Date(now - minutes(11)).toISOString(),
    expires_at: new Date(now + minutes(4)).toISOString(),
    ...claims,
  })
}

test('a token fetched for one call serves the next ones until five minutes before it expires', async () => {
  await client.proxy('serpapi', 'search', SEARCH)
  expect(gateway.sent('token')[0]?.body).toMatchObject({
    agent_id: AGENT_ID,
    tools: ['serpapi'],
    permissions: ['read', 'write'],
    expires_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  })
  later(minutes(4.9))
  await client.proxy('serpapi', 'search', SEARCH)
  expect(new Set(tokensSent()).size).toBe(1)
  later(minutes(0.2))
  await client.proxy('serpapi', 'search', SEARCH)
  expect(new Set(tokensSent()).size).toBe(2)
  expect(gateway.sent('token')).toHaveLength(2)
})

test('it serves its tool and its intent only', async () => {
  await client.proxy('serpapi', 'search', SEARCH)
  await client.proxy('openai', 'chat', { input: 'x' })
  client.setIntent('outreach')
  await client.proxy('serpapi', 'search', SEARCH)
  client.setIntent('')
  await client.proxy('serpapi', 'search', SEARCH)
  const [first, second, third, fourth] = tokensSent()
  expect(new Set([first, second, third]).size).toBe(3)
  expect(fourth).toBe(first)
  expect(claimsOf(second ?? '')).toMatchObject({ tools: ['openai'] })
})

test('ten calls at once fetch one token', async () => {
  const calls = Array.from({ length: 10 }, () => client.proxy('serpapi', 'search', SEARCH))
  await Promise.all(calls)
  expect(gateway.sent('token')).toHaveLength(1)
  expect(new Set(tokensSent()).size).toBe(1)
})

test('a caller that gives up does not take the token from the others', async () => {
  gateway.script('token', { delayMs: 100, proceed: true })
  const controller = new AbortController()
  const gone = client.proxy('serpapi', 'search', SEARCH, undefined, undefined, {
    signal: controller.signal,
  })
  const stays = client.proxy('serpapi', 'search', SEARCH)
  setTimeout(() => controller.abort(new Error('gone')), 20)
  await expect(gone).rejects.toThrow('gone')
  expect(await stays).toMatchObject({ echo: SEARCH })
  expect(gateway.sent('token')).toHaveLength(1)
})

test('the clocks of the two sides may differ: a lifetime counts from the request', async () => {
  const issued = Date.now() + minutes(120)
  const agent_token = foreign()
  gateway.script('token', {
    status: 201,
    body: {
      agent_token,
      issued_at: new Date(issued).toISOString(),
      expires_at: new Date(issued + minutes(10)).toISOString(),
    },
  })
  await client.proxy('serpapi', 'search', SEARCH)
  later(minutes(5.1))
  await client.proxy('serpapi', 'search', SEARCH)
  expect(tokensSent()[0]).toBe(agent_token)
  expect(tokensSent()[1]).not.toBe(agent_token)
})

test('gateway §19.35: after a success with the advice to rotate, a new token is fetched and nothing is executed twice', async () => {
  const rotations: TokenRotation[] = []
  client = open({ onTokenRotated: (rotation) => rotations.push(rotation) })
  const token = await getToken(4)
  await client.proxy('gmail_send', 'send', MAIL, token)
  await vi.waitFor(() => expect(rotations).toHaveLength(1))
  expect(gateway.executed).toEqual(['gmail_send:send'])
  expect(gateway.sent('proxy')).toHaveLength(1)

  await client.proxy('gmail_send', 'send', MAIL, token)
  const replacement = gateway.sent('proxy')[1]?.body['agent_token']
  expect(rotations).toEqual([
    { previous: token, token: replacement, expiresAtMs: expect.any(Number) },
  ])
  const [first, second] = gateway.sent('token').map(({ body }) => body)
  expect(second).toMatchObject({ tools: first?.['tools'], permissions: first?.['permissions'] })
})

test('the answer is not held up by the rotation, which is fetched once for all calls', async () => {
  const token = await getToken(4)
  gateway.script('token', { delayMs: 200, proceed: true })
  const calls = Array.from({ length: 5 }, () => client.proxy('serpapi', 'search', SEARCH, token))
  await Promise.all(calls)
  await client.proxy('serpapi', 'search', SEARCH, token)
  expect(new Set(tokensSent())).toEqual(new Set([token]))
  expect(gateway.sent('token')).toHaveLength(2)
})

test('a rotation that fails leaves the token in use, and is tried with the next answer', async () => {
  const events: string[] = []
  client = open({ logger: ({ event }) => events.push(event), retry: { maxRetries: 0 } })
  const token = await getToken(4)
  gateway.script('token', { status: 429, body: { error: 'Rate limit exceeded' } })
  await client.proxy('serpapi', 'search', SEARCH, token)
  await vi.waitFor(() => expect(events).toContain('rotation-failed'))
  await client.proxy('serpapi', 'search', SEARCH, token)
  await vi.waitFor(() => expect(events).toContain('rotation'))
  expect(tokensSent()).toEqual([token, token])
})

test('tokens that are always about to expire are replaced every half minute at most', async () => {
  const token = await getToken(4)
  await client.proxy('serpapi', 'search', SEARCH, token)
  await minted(2)
  for (let n = 0; n < 3; n += 1) await client.proxy('serpapi', 'search', SEARCH, token)
  expect(gateway.sent('token')).toHaveLength(2)
  later(31_000)
  await client.proxy('serpapi', 'search', SEARCH, token)
  await minted(3)
})

test('a refused token is replaced and the call repeated once, under the same id and key', async () => {
  const token = await getToken(15)
  gateway.script('proxy', EXPIRED)
  await client.proxy('gmail_send', 'send', KEYED, token)
  const [refused, repeated] = gateway.sent('proxy')
  expect(repeated?.body['params']).toEqual(refused?.body['params'])
  expect(repeated?.body['agent_token']).not.toBe(token)
  expect(repeated?.headers['x-correlation-id']).toBe(refused?.headers['x-correlation-id'])
  expect(gateway.executed).toEqual(['gmail_send:send'])
})

test('any 401 or 403 with the advice to rotate counts as one', async () => {
  for (const status of [401, 403]) {
    gateway.script('proxy', { ...EXPIRED, status, body: { error: 'no' } })
    expect(await client.proxy('serpapi', 'search', SEARCH)).toMatchObject({ echo: SEARCH })
  }
  expect(gateway.sent('proxy')).toHaveLength(4)
})

test('a second refusal is final', async () => {
  gateway.script('proxy', EXPIRED, EXPIRED, EXPIRED)
  await expect(client.proxy('serpapi', 'search', SEARCH)).rejects.toMatchObject({
    name: 'GatewayAuthError',
    errorCode: 'TOKEN_EXPIRED',
  })
  expect(gateway.sent('proxy')).toHaveLength(2)
})

test('an e-mail without a key is not repeated even then, but the next call has a new token', async () => {
  gateway.script('proxy', EXPIRED)
  await expect(client.proxy('gmail_send', 'send', MAIL)).rejects.toMatchObject({ statusCode: 401 })
  expect(gateway.sent('proxy')).toHaveLength(1)
  await client.proxy('gmail_send', 'send', MAIL)
  expect(new Set(tokensSent()).size).toBe(2)
})

test('a token of its own that the gateway refuses for another reason is not kept', async () => {
  gateway.script('proxy', { status: 401, body: { error: 'no', code: 'TOKEN_UNREGISTERED' } })
  await expect(client.proxy('serpapi', 'search', SEARCH)).rejects.toMatchObject({ statusCode: 401 })
  expect(gateway.sent('proxy')).toHaveLength(1)
  await client.proxy('serpapi', 'search', SEARCH)
  expect(new Set(tokensSent()).size).toBe(2)
})

test('calls that are refused together share one new token', async () => {
  const token = await getToken(15)
  gateway.script('proxy', EXPIRED, EXPIRED, EXPIRED)
  const calls = Array.from({ length: 3 }, () => client.proxy('serpapi', 'search', SEARCH, token))
  await Promise.all(calls)
  expect(gateway.sent('token')).toHaveLength(2)
})

test('a token this client obtained is renewed before a call that would come too late', async () => {
  const token = await getToken(15)
  later(minutes(16))
  await client.proxy('gmail_send', 'send', MAIL, token)
  expect(tokensSent()).toHaveLength(1)
  expect(tokensSent()[0]).not.toBe(token)
})

test('a token from elsewhere is left alone', async () => {
  const token = foreign()
  await client.proxy('serpapi', 'search', SEARCH, token)
  gateway.script('proxy', EXPIRED)
  await expect(client.proxy('serpapi', 'search', SEARCH, token)).rejects.toMatchObject({
    errorCode: 'TOKEN_EXPIRED',
  })
  expect(gateway.sent('token')).toEqual([])
})

test('with autoRotate it is replaced by one that says the same', async () => {
  const onTokenRotated = vi.fn()
  client = open({ autoRotate: true, onTokenRotated })
  const token = foreign({ tools: ['serpapi', 'openai'], permissions: ['search'] })
  await client.proxy('serpapi', 'search', SEARCH, token)
  await vi.waitFor(() => expect(onTokenRotated).toHaveBeenCalledTimes(1))
  const asked = gateway.sent('token')[0]?.body
  expect(asked).toMatchObject({ tools: ['serpapi', 'openai'], permissions: ['search'] })
  const lifetime = Date.parse(String(asked?.['expires_at'])) - Date.now()
  expect(lifetime / minutes(1)).toBeCloseTo(15, 1)
  await client.proxy('serpapi', 'search', SEARCH, token)
  expect(tokensSent()[1]).not.toBe(token)
})

test('nobody’s token but this agent’s is replaced, and none that cannot be read', async () => {
  client = open({ autoRotate: true })
  gateway.script('proxy', EXPIRED, EXPIRED)
  for (const token of [foreign({ agent_id: 'another' }), 'c2VhbGVk.mac']) {
    await expect(client.proxy('serpapi', 'search', SEARCH, token)).rejects.toMatchObject({
      statusCode: 401,
    })
  }
  expect(gateway.sent('token')).toEqual([])
})
