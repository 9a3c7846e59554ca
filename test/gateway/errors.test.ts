import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { temporaryHome } from '../harness/boot.ts'
import { advance } from '../harness/clock.ts'
import {
  type Mood,
  PROVIDER_SECRET,
  type ProviderName,
  type Providers,
  startProviders,
} from '../old-clients/gateway/fake-providers.ts'
import { ALL_TOOLS, type GatewayNode, type HttpAnswer, LETTER, startNode } from './world.ts'

const home = temporaryHome()
let providers: Providers
let node: GatewayNode
let id: string
let token: string
beforeAll(async () => {
  providers = await startProviders()
  node = await startNode(home, {
    providers,
    gateway: {
      retry_max_retries: 0,
      cb_fail_threshold: 1_000,
      tools: {
        unset: {
          description: 'has no credential',
          base_url: providers.url,
          credential: {},
          actions: { find: { method: 'GET', path: '/' } },
        },
        slow: {
          description: 'gives up early',
          base_url: providers.baseUrl('page'),
          actions: { find: { method: 'GET', path: '/slow', timeout_ms: 300 } },
        },
      },
    },
  })
  const guards = { allowedDomains: [providers.host] }
  ;({ id, token } = await node.caller({ scopes: ['*'], guards }))
})
afterAll(async () => {
  await node[Symbol.asyncDispose]()
  await providers[Symbol.asyncDispose]()
  home[Symbol.dispose]()
})

interface Expected {
  readonly status: number
  readonly code: string
  readonly error?: string | RegExp
  /** Members besides. */
  readonly more?: object
  readonly retryAfter?: true
}

function expectError({ status, json, headers }: HttpAnswer, expected: Expected): void {
  expect({ status, code: json.code }).toEqual({ status: expected.status, code: expected.code })
  expect(json.error).toEqual(expect.stringMatching(/./))
  if (expected.error !== undefined) expect(json.error).toMatch(expected.error)
  if (expected.more !== undefined) expect(json).toMatchObject(expected.more)
  const seconds = headers.get('retry-after')
  if (expected.retryAfter === true || status === 429) {
    expect(seconds).toMatch(/^[1-9]\d*$/)
    expect(json.retry_after).toBe(Number(seconds))
  }
  expect(json.correlation_id).toBe(headers.get('x-correlation-id'))
  expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
  if (status === 400 && !json.code.startsWith('POLICY_'))
    expect(json.error).not.toMatch(/policy|scope/i)
  expect(JSON.stringify(json)).not.toContain(PROVIDER_SECRET)
}

const post = (path: string, body: unknown) => node.http('POST', path, body)
const PROXY = '/api/proxy-request'
const MINT = '/api/generate-token'

describe('what a body must be', () => {
  const mintBody = (more: object = {}) => ({
    agent_id: id,
    tools: ['serpapi'],
    permissions: ['read'],
    expires_at: new Date(Date.now() + 600_000).toISOString(),
    ...more,
  })
  const callBody = (more: object = {}) => ({
    agent_token: token,
    tool: 'serpapi',
    action: 'search',
    params: { q: 'a' },
    ...more,
  })

  test.each([PROXY, MINT])('no JSON, no object or nothing is a BAD_REQUEST (%s)', async (path) => {
    for (const body of ['', '{', 'null', '[]', '"text"', '7', '{"a":1,"a":2}', '{"__proto__":{}}'])
      expectError(await post(path, body), { status: 400, code: 'BAD_REQUEST' })
    expectError(await node.http('POST', path), { status: 400, code: 'BAD_REQUEST' })
  })

  test('a field that is missing is named', async () => {
    for (const field of ['agent_token', 'tool', 'action', 'params'])
      expectError(await post(PROXY, callBody({ [field]: undefined })), {
        status: 400,
        code: 'MISSING_FIELDS',
        more: { details: [expect.stringContaining(field)] },
      })
    for (const field of ['agent_id', 'tools', 'permissions', 'expires_at'])
      expectError(await post(MINT, mintBody({ [field]: null })), {
        status: 400,
        code: 'MISSING_FIELDS',
      })
  })

  test('tools and permissions are lists of texts', async () => {
    for (const field of ['tools', 'permissions'])
      for (const value of ['serpapi', [7], [['a']], {}, [null]])
        expectError(await post(MINT, mintBody({ [field]: value })), {
          status: 400,
          code: 'INVALID_FIELD',
        })
    expect((await post(MINT, mintBody({ tools: [] }))).status).toBe(201)
  })

  test('fields of a call are of their kinds', async () => {
    const wrong = [
      { params: [] },
      { params: 'q' },
      { tool: 7 },
      { tool: 'Serp API' },
      { action: '../search' },
      { intent: 7 },
      { intent: 'x'.repeat(129) },
      { async: 1 },
    ]
    for (const more of wrong)
      expectError(await post(PROXY, callBody(more)), { status: 400, code: 'INVALID_FIELD' })
    // Clients grow.
    expect((await post(PROXY, callBody({ scope: 'x', policy: 1 }))).status).toBe(200)
  })

  test('an end that is past, or no time at all', async () => {
    for (const expires_at of [
      'yesterday',
      '2020-01-01T00:00:00Z',
      '2030-13-01T00:00:00Z',
      '2030-01-01',
    ])
      expectError(await post(MINT, mintBody({ expires_at })), {
        status: 400,
        code: 'INVALID_EXPIRY',
      })
  })

  test('an unknown agent gets no token', async () => {
    expectError(await post(MINT, mintBody({ agent_id: randomUUID() })), {
      status: 404,
      code: 'AGENT_NOT_FOUND',
    })
  })
})

describe('what a token must be', () => {
  const use = (agent_token: unknown) =>
    post(PROXY, { agent_token, tool: 'serpapi', action: 'search', params: { q: 'a' } })

  test('text of two segments, signed by us', async () => {
    const [body = '', signature = ''] = token.split('.')
    const flipped = signature.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
    const rows: [string, string][] = [
      ['none', 'TOKEN_MALFORMED'],
      [`${body}.`, 'TOKEN_MALFORMED'],
      [`.${signature}`, 'TOKEN_MALFORMED'],
      [`${token}.${signature}`, 'TOKEN_MALFORMED'],
      ['x'.repeat(20_000), 'TOKEN_MALFORMED'],
      [`${body}.${flipped}`, 'TOKEN_SIGNATURE'],
      [`f${body.slice(1)}.${signature}`, 'TOKEN_SIGNATURE'],
    ]
    for (const [text, code] of rows) expectError(await use(text), { status: 401, code })
    expectError(await use(7), { status: 400, code: 'INVALID_FIELD' })
  })
})

describe('what a tool must be', () => {
  const call = (called: `${string}:${string}`, params: object = {}, fields = {}) =>
    node.call(token, called, params, fields)

  test('known, once policy allows it', async () => {
    for (const called of ['nothing:here', 'serpapi:nothing'] as const)
      expectError(await call(called), { status: 400, code: 'UNKNOWN_TOOL' })
  })

  test('called with params that fit', async () => {
    expectError(await call('serpapi:search', { scope: 'policy', q: 7, policy: { scope: 1 } }), {
      status: 400,
      code: 'INVALID_PARAMS',
      error: 'Parameter validation failed',
      more: { details: expect.arrayContaining([expect.stringMatching(/^q: /)]) },
    })
    expectError(await call('gmail_send:send', { ...LETTER, body: '' }), {
      status: 400,
      code: 'INVALID_PARAMS',
      error: 'Parameter validation failed',
      more: { details: [expect.stringMatching(/^body: /)] },
    })
  })

  test('configured', async () => {
    expectError(await call('unset:find'), { status: 503, code: 'TOOL_NOT_CONFIGURED' })
  })
})

describe('what a provider makes of it', () => {
  const SEARCH = ['serpapi:search', { q: 'a' }] as const
  const CHAT = ['openai:chat', { input: 'a' }] as const
  const MAIL = ['gmail_send:send', LETTER] as const
  const failed = { status: 502, code: 'UPSTREAM_FAILED' }
  const rows: [Mood, Expected][] = [
    [{ status: 500 }, failed],
    [{ status: 503, headers: { 'retry-after': '9' } }, failed],
    [{ status: 401 }, { status: 502, code: 'UPSTREAM_AUTH' }],
    [{ status: 403 }, { status: 502, code: 'UPSTREAM_AUTH' }],
    [{ status: 407 }, { status: 502, code: 'UPSTREAM_AUTH' }],
    [
      { status: 429, headers: { 'retry-after': '17' } },
      {
        status: 429,
        code: 'UPSTREAM_RATE_LIMITED',
        more: { retry_after: 17 },
      },
    ],
    [{ status: 429 }, { status: 429, code: 'UPSTREAM_RATE_LIMITED' }],
    [{ status: 404 }, { status: 422, code: 'UPSTREAM_REJECTED', more: { upstream_status: 404 } }],
    [{ status: 400 }, { status: 422, code: 'UPSTREAM_REJECTED', more: { upstream_status: 400 } }],
    ['drop', failed],
  ]

  describe.each<[ProviderName, typeof SEARCH | typeof CHAT | typeof MAIL]>([
    ['serpapi', SEARCH],
    ['openai', CHAT],
    ['gmail_send', MAIL],
  ])('%s', (provider, [called, params]) => {
    test.each(rows)('%j', async (mood, expected) => {
      providers.become(provider, mood)
      expectError(await node.call(token, called, params), expected)
    })
  })

  test('an answer that is none of its kind', async () => {
    providers.become('serpapi', 'garbage')
    expectError(await node.call(token, ...SEARCH), failed)
  })

  test('silence is a 504', async () => {
    providers.become('page', 'hang')
    expectError(await node.call(token, 'slow:find', {}), { status: 504, code: 'UPSTREAM_TIMEOUT' })
    const url = `${providers.url}/page/x`
    const answer = await node.call(token, 'http_fetch:get', { url, timeout: 1_000 })
    expectError(answer, { status: 504, code: 'UPSTREAM_TIMEOUT' })
  })

  test('R-13: a page’s own status below 500 is a page, from 500 on a failure', async () => {
    const url = `${providers.url}/page/x`
    for (const status of [200, 401, 403, 404, 407, 429, 499]) {
      providers.become('page', { status })
      const answer = await node.call(token, 'http_fetch:get', { url })
      expect(answer).toMatchObject({ status: 200, json: { success: true, data: { status } } })
      expect(answer.headers.get('retry-after')).toBeNull()
    }
    providers.become('page', { status: 503 })
    expectError(await node.call(token, 'http_fetch:get', { url }), failed)
  })
})

describe('what else there is', () => {
  test('an unknown path, another method and a body that is too large', async () => {
    const rows: [string, string, unknown, number][] = [
      ['GET', '/api/nothing', undefined, 404],
      ['GET', '/nothing', undefined, 404],
      ['GET', PROXY, undefined, 404],
      ['PUT', PROXY, {}, 404],
      ['POST', '/api/jobs/job_0123456789abcdef', {}, 404],
      ['POST', `${PROXY}/`, {}, 404],
      ['POST', PROXY, 'x'.repeat(1_048_577), 413],
      ['POST', MINT, 'x'.repeat(1_048_577), 413],
    ]
    for (const [method, path, body, status] of rows) {
      const answer = await node.http(method, path, body)
      expect([method, path, answer.status]).toEqual([method, path, status])
      expect(answer.json.error).toEqual(expect.stringMatching(/./))
      expect(answer.headers.get('x-correlation-id')).toBeTruthy()
    }
  })

  test('rate limited, by default after five calls in a minute', async () => {
    using other = temporaryHome()
    await using strict = await startNode(other, { production: true })
    const caller = await strict.caller({ scopes: ['serpapi:search'] })
    const search = () => strict.call(caller.token, 'serpapi:search', { q: 'a' })
    for (let n = 0; n < 5; n += 1) expect((await search()).status).toBe(200)
    expectError(await search(), {
      status: 429,
      code: 'RATE_LIMITED',
      error: 'Rate limit exceeded',
      retryAfter: true,
    })
    // Another agent has its own five.
    const sibling = await strict.caller({ scopes: ['serpapi:search'] })
    expect((await strict.call(sibling.token, 'serpapi:search', { q: 'a' })).status).toBe(200)
    // Asking for tokens has its own bound, and guessing one too.
    const mints = await Promise.all(Array.from({ length: 40 }, () => strict.mint(caller.id)))
    const refused = mints.filter(({ status }) => status !== 201)
    expect(refused.length).toBeGreaterThanOrEqual(9)
    for (const answer of refused) expectError(answer, { status: 429, code: 'RATE_LIMITED' })
    const guesses: number[] = []
    for (let n = 0; n < 70; n += 1)
      guesses.push((await strict.call(`guess${n}.x`, 'serpapi:search', {})).status)
    expect(new Set(guesses.slice(0, 60))).toEqual(new Set([401]))
    expect(guesses.at(-1)).toBe(429)
    // Which keeps nobody out who has a good one.
    expect((await strict.call(sibling.token, 'serpapi:search', { q: 'b' })).status).toBe(200)
  })

  test('a circuit that is open says for how long', async () => {
    using other = temporaryHome()
    await using fragile = await startNode(other, {
      providers,
      gateway: { retry_max_retries: 0, cb_fail_threshold: 2, cb_open_ms: 20_000 },
    })
    const caller = await fragile.caller({ scopes: ALL_TOOLS })
    const search = () => fragile.call(caller.token, 'serpapi:search', { q: 'a' })
    providers.become('serpapi', { status: 500 })
    for (let n = 0; n < 2; n += 1) expect((await search()).status).toBe(502)
    const open = await search()
    expectError(open, { status: 503, code: 'CIRCUIT_OPEN', retryAfter: true })
    expect(open.json.retry_after).toBeGreaterThan(18)
    providers.become('serpapi', 'fine')
    advance(20_000)
    expect((await search()).status).toBe(200)
  })

  test('a daemon that stops takes nothing new and ends what runs', async () => {
    using other = temporaryHome()
    const stopping = await startNode(other, { providers })
    const caller = await stopping.caller({ scopes: ALL_TOOLS })
    const before = providers.requests('gmail_send').length
    providers.become('gmail_send', { slowMs: 600 })
    const running = stopping.call(caller.token, 'gmail_send:send', LETTER)
    await vi.waitFor(() => expect(providers.requests('gmail_send')).toHaveLength(before + 1))
    const stopped = stopping[Symbol.asyncDispose]()
    const call = await stopping.call(caller.token, 'serpapi:search', { q: 'a' })
    const mint = await stopping.mint(caller.id)
    for (const answer of [call, mint])
      expectError(answer, { status: 503, code: 'SHUTTING_DOWN', retryAfter: true })
    expect(call.json.retry_after).toBe(1)
    expect(await running).toMatchObject({ status: 200, json: { data: { status: 'sent' } } })
    await stopped
  })
})
