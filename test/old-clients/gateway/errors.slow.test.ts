import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ALL, auth, limited, plain, ROWS, SEARCH, stageOf, tokenOf } from './error-rows.ts'
import { PROVIDER_SECRET } from './fake-providers.ts'
import type { Raised } from './gateway-process.ts'
import { type GatewayWorld, LANGUAGES, startGatewayWorld } from './gateway-world.ts'
import { result } from './journeys.ts'

describe('in mock mode', () => {
  let world: GatewayWorld
  beforeAll(async () => {
    world = await startGatewayWorld()
  })
  afterAll(() => world?.[Symbol.asyncDispose]())

  describe.each(LANGUAGES)('%s', (language) => {
    test.each(ROWS)('gateway §19.5: $what raises $expected.class', async ({ go, expected }) => {
      const { raised, attempts } = await go(stageOf(world, language))
      expect(raised).toMatchObject(expected)
      const last = attempts.at(-1)
      // None of these is retried, and each tells which call it was.
      expect(attempts.filter(({ path }) => path === last?.path)).toHaveLength(1)
      expect(last?.headers).toMatchObject({
        'content-type': 'application/json; charset=utf-8',
        'x-correlation-id': last?.correlation_id,
      })
    })

    test('gateway §19.7: no params, tool or token makes another 400 look like a policy error', async () => {
      const stage = stageOf(world, language)
      const { client } = await stage.demo({ scopes: ['*'] })
      const token = await tokenOf(client)
      const hostile = { policy: 'scope', scope: ['policy'], 'policy.scope': { policy: 'scope' } }
      const calls = await Promise.all([
        client.proxy('policy', 'scope', hostile, token),
        client.proxy('Policy/Scope', 'scope:policy', {}, token),
        client.proxy('serpapi', 'search', hostile, token),
        client.proxy('serpapi', 'search', { q: 'a', engine: 'policy scope', ...hostile }, token),
        client.proxy('http_fetch', 'get', { url: 'policy://scope', ...hostile }, token),
        client.proxy('http_fetch', 'get', { url: 'a', headers: { scope: 'policy' } }, token),
        client.proxy('openai', 'chat', { messages: [{ role: 'policy', content: 'scope' }] }, token),
        client.proxy('gmail_send', 'send', { to: 'policy', subject: 'scope', ...hostile }, token),
        client.proxy('serpapi', 'search', { q: 'a', idempotency_key: 'policy scope' }, token),
        client.getToken({ tools: ['policy'], permissions: ['scope'], minutes: -2_000 }),
      ])
      for (const { raised } of calls) expect(raised).toMatchObject(plain(400))
    })

    test('gateway §19.8: a client reads its own correlation id in answers and in errors', async () => {
      const { client } = await stageOf(world, language).demo()
      const calls = [await client.proxy(...SEARCH), await client.proxy(...SEARCH, 'bad')]
      const ids = calls.flatMap(({ attempts }) =>
        attempts.map(({ headers, correlation_id }) => {
          expect(headers?.['x-correlation-id']).toBe(correlation_id)
          return correlation_id
        }),
      )
      expect(new Set(ids).size).toBe(3)
    })
  })

  test('gateway §19.5: JS: tools that are no list of texts raise GatewayError', async () => {
    const { client } = await stageOf(world, 'JS').demo()
    for (const tools of ['serpapi', [1], { a: 1 }, [null]]) {
      const wish = { tools, permissions: ['read'], ttlMinutes: 10 }
      expect((await client.call('getToken', wish)).raised).toMatchObject(plain(400))
    }
  })
})

test.each(LANGUAGES)(
  'gateway §19.5: %s: a rate limit raises GatewayRateLimitError with whole seconds',
  async (language) => {
    await using world = await startGatewayWorld({ gateway: { rate_limit_points: 2 } })
    const { client } = await stageOf(world, language).demo()
    await result(client.proxy('serpapi', 'search', { q: 'a' }))
    await result(client.proxy('serpapi', 'search', { q: 'b' }))
    const third = await client.proxy('serpapi', 'search', { q: 'c' })
    expect(third.raised).toMatchObject(limited(/^Rate limit exceeded$/))
    expect(third.raised?.retry_after).toBeLessThanOrEqual(60)
    expect(third.attempts.at(-1)?.headers?.['retry-after']).toBe(String(third.raised?.retry_after))
  },
)

test('gateway §19.5: with the defaults of production the sixth call in a minute is limited', async () => {
  await using world = await startGatewayWorld({ production: true, gateway: { mode: 'mock' } })
  for (const language of LANGUAGES) {
    const { client } = await stageOf(world, language).of('scraper')
    for (const q of ['1', '2', '3', '4', '5'])
      await result(client.proxy('serpapi', 'search', { q }))
    const { raised } = await client.proxy('serpapi', 'search', { q: '6' })
    expect(raised).toMatchObject(limited(/^Rate limit exceeded$/))
  }
})

test.each(LANGUAGES)(
  'gateway §19.5: %s: a deployment may answer denials with 403, which reads as failed authentication',
  async (language) => {
    await using world = await startGatewayWorld({ gateway: { policy_denial_status: 403 } })
    const { client } = await stageOf(world, language).of('nobody')
    expect((await client.proxy(...SEARCH)).raised).toMatchObject(auth(403, /^Policy denied/))
  },
)

describe('with providers', () => {
  let world: GatewayWorld
  beforeAll(async () => {
    world = await startGatewayWorld({ live: true, gateway: { cb_fail_threshold: 1_000 } })
  })
  afterAll(() => world?.[Symbol.asyncDispose]())

  const moods: [number, Record<string, string> | undefined, Partial<Raised>][] = [
    [429, { 'retry-after': '30' }, { ...limited(/./), retry_after: 30 }],
    [429, undefined, limited(/./)],
    [400, undefined, plain(422)],
    [404, undefined, plain(422)],
    [409, undefined, plain(422)],
  ]
  const rows = LANGUAGES.flatMap((language) =>
    moods.map(([status, headers, expected]) => ({ language, status, headers, expected })),
  )

  test.each(rows)(
    'gateway §19.5: $language: a provider that answers $status raises $expected.class',
    async ({ language, status, headers, expected }) => {
      const { client } = await stageOf(world, language).demo()
      world.providers.become('openai', { status, ...(headers !== undefined && { headers }) })
      const { raised } = await client.proxy('openai', 'chat', { input: randomUUID() })
      expect(raised).toMatchObject(expected)
      expect(raised?.message).not.toContain(PROVIDER_SECRET)
    },
  )

  test('gateway §19.5: statuses of fetched pages are data, not errors', async () => {
    for (const language of LANGUAGES) {
      const { client } = await stageOf(world, language).demo({
        scopes: ALL,
        guards: { allowedDomains: [world.providers.host] },
      })
      for (const status of [401, 403, 404, 429]) {
        world.providers.become('page', { status })
        const url = `${world.providers.baseUrl('page')}/${randomUUID()}`
        const page = await result(client.proxy('http_fetch', 'get', { url }))
        expect(page).toMatchObject({ status })
      }
    }
  })
})
