import { createHmac } from 'node:crypto'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { GatewayClient } from './client.ts'
import { claimsOf } from './token.ts'

const MAIL = { to: 'a@example.org', subject: 'Hi', body: 'Hello' }
const never = vi.fn(async () => Promise.reject(new Error('there must be no I/O')))

const open = (query = '', options = {}) =>
  new GatewayClient({
    baseUrl: `mock://localhost${query}`,
    agentId: 'test-agent',
    agentPrivateKeyPem: 'test-key',
    fetch: never,
    ...options,
  })

beforeEach(() => {
  vi.stubGlobal('fetch', never)
})

afterEach(() => {
  vi.unstubAllGlobals()
  expect(never).not.toHaveBeenCalled()
})

test('gateway §19.35: a mock address needs no server, no key and no agent', async () => {
  const warn = vi.spyOn(process, 'emitWarning')
  await using client = open()
  expect(await client.proxy('serpapi', 'search', { q: 'a b', num: 2 })).toEqual({
    source: 'serpapi-mock',
    query: 'a b',
    results: [
      { title: 'Result 1 for a b', url: 'https://example.com/a%20b/1' },
      { title: 'Result 2 for a b', url: 'https://example.com/a%20b/2' },
    ],
    organic_results: [
      {
        position: 1,
        title: 'Result 1 for a b',
        link: 'https://example.com/a%20b/1',
        snippet: 'mock',
      },
      {
        position: 2,
        title: 'Result 2 for a b',
        link: 'https://example.com/a%20b/2',
        snippet: 'mock',
      },
    ],
    search_metadata: { status: 'Success' },
    ts: expect.any(Number),
  })
  expect(warn).not.toHaveBeenCalled()
  warn.mockRestore()
})

test('mock tokens have the form of real ones, signed with a secret that is none', async () => {
  const token = await open().getToken({ tools: ['serpapi'], permissions: ['read'], ttlMinutes: 15 })
  const [payload = '', mac] = token.split('.')
  expect(mac).toBe(createHmac('sha256', 'vestry-mock-tokens').update(payload).digest('hex'))
  const claims: unknown = JSON.parse(Buffer.from(payload, 'base64').toString())
  expect(Object.keys(claims as object)).toEqual([
    'agent_id',
    'agent_name',
    'tools',
    'permissions',
    'expires_at',
    'nonce',
    'issued_at',
  ])
  expect(claimsOf(token)).toMatchObject({ agentId: 'test-agent', tools: ['serpapi'] })
  expect(claimsOf(token)?.ttlMinutes).toBeCloseTo(15, 2)
})

test('each tool answers as the gateway in mock mode does', async () => {
  const client = open()
  const url = 'https://example.com/<a>'
  const page = await client.proxy<Record<string, string>>('http_fetch', 'get', { url })
  expect(page).toMatchObject({ url, status: 200, statusText: 'OK', data: page['body'] })
  expect(page['body']).toContain('<h1>https://example.com/&lt;a&gt;</h1>')
  expect(page['bytes']).toBe(Buffer.byteLength(page['body'] ?? ''))
  const head = await client.proxy<object>('http_fetch', 'head', { url })
  expect(head).toMatchObject({ status: 200, bytes: 120 })
  expect(head).not.toHaveProperty('body')

  const messages = [
    { role: 'user', content: 'first' },
    { role: 'user', content: 'x'.repeat(200) },
    { role: 'assistant', content: 'reply' },
  ]
  const output = `SUMMARY: ${'x'.repeat(120)}`
  expect(await client.proxy('openai', 'chat', { messages })).toMatchObject({
    model: 'gpt-3.5-turbo',
    output,
    tokens_est: 67,
    choices: [{ index: 0, message: { role: 'assistant', content: output }, finish_reason: 'stop' }],
  })
  const prompt = 'y'.repeat(150)
  expect(await client.proxy('openai', 'complete', { prompt })).toMatchObject({
    output: `COMPLETION: ${'y'.repeat(100)}...`,
    choices: [{ text: `COMPLETION: ${'y'.repeat(100)}...` }],
  })
  expect(await client.proxy('gmail_send', 'profile')).toEqual({
    email: 'mock@example.com',
    emailAddress: 'mock@example.com',
    name: 'Mock User',
    status: 'active',
  })
})

test('an e-mail’s id comes from its key, or is new each time', async () => {
  const client = open()
  const idOf = async (params: object) =>
    (await client.proxy<{ message_id: string }>('gmail_send', 'send', { ...MAIL, ...params }))
      .message_id
  const key = { idempotency_key: 'idemp_1' }
  expect(await idOf(key)).toBe(await idOf(key))
  expect(await idOf({})).not.toBe(await idOf({}))
  expect(await client.proxy('gmail_send', 'send', MAIL)).toMatchObject({
    success: true,
    to: 'a@example.org',
    subject_len: 2,
    body_len: 5,
    status: 'queued',
    id: expect.stringMatching(/^mock_[0-9a-f]{16}$/),
  })
})

test('parameters and tools that the gateway would refuse are refused', async () => {
  const client = open()
  for (const [tool, action, params] of [
    ['serpapi', 'search', {}],
    ['serpapi', 'search', { q: 'a', num: 0 }],
    ['http_fetch', 'get', { url: 'file:///etc/passwd' }],
    ['openai', 'chat', { messages: [] }],
    ['openai', 'complete', {}],
    ['gmail_send', 'send', { ...MAIL, to: '' }],
  ] as const) {
    await expect(client.proxy(tool, action, params)).rejects.toMatchObject({
      name: 'GatewayError',
      statusCode: 400,
      errorCode: 'INVALID_PARAMS',
      details: [expect.stringMatching(/^\w+: /)],
    })
  }
  await expect(client.proxy('telnet', 'open')).rejects.toMatchObject({ errorCode: 'UNKNOWN_TOOL' })
})

test('jobs run in memory, forward only, and the same key is the same job', async () => {
  const client = open('?latencyMs=60')
  const keyed = { ...MAIL, idempotency_key: 'idemp_1' }
  const { jobId } = await client.proxyAsync('gmail_send', 'send', keyed)
  expect((await client.proxyAsync('gmail_send', 'send', keyed)).jobId).toBe(jobId)
  const states = new Set<string>()
  const done = await vi.waitFor(async () => {
    const job = await client.getJob(jobId)
    states.add(job.status)
    expect(job.status).toBe('done')
    return job
  })
  expect([...states].join()).toMatch(/^(queued,)?(running,)?done$/)
  expect(done.result).toMatchObject({ status: 'queued', subject_len: 2 })
  await expect(client.getJob('job_0123456789abcdef')).rejects.toMatchObject({ statusCode: 404 })
  const other = await open().proxyAsync('gmail_send', 'send', MAIL)
  expect(other.jobId).not.toBe(jobId)
})

test('the query forces an outcome, at once', async () => {
  for (const [fail, name, statusCode] of [
    ['401', 'GatewayAuthError', 401],
    ['policy', 'GatewayPolicyError', 400],
    ['429', 'GatewayRateLimitError', 429],
    ['500', 'GatewayError', 500],
    ['503', 'GatewayUpstreamError', 503],
    ['network', 'GatewayNetworkError', undefined],
  ] as const) {
    const client = open(`?fail=${fail}`)
    const started = performance.now()
    const searching = client.proxy('serpapi', 'search', { q: 'a' })
    await expect(searching).rejects.toMatchObject({ name, statusCode })
    await expect(client.proxyAsync('serpapi', 'search', { q: 'a' })).rejects.toMatchObject({ name })
    expect(performance.now() - started).toBeLessThan(900)
  }
  const limited = open('?fail=429').proxy('serpapi', 'search', { q: 'a' })
  await expect(limited).rejects.toMatchObject({ retryAfter: 1 })
})

test('the query sets a latency, which time-outs and signals cut short', async () => {
  const started = performance.now()
  await open('?latencyMs=30').proxy('serpapi', 'search', { q: 'a' })
  expect(performance.now() - started).toBeGreaterThanOrEqual(55) // a token and a call
  const slow = open('?latencyMs=5000', { timeoutMs: 20 })
  await expect(slow.proxy('serpapi', 'search', { q: 'a' })).rejects.toMatchObject({
    code: 'NETWORK_ERROR',
  })
})

test('a query that forces nothing known is refused', () => {
  for (const query of ['?fail=200', '?fail=maybe', '?latencyMs=-1', '?latency=5']) {
    expect(() => open(query)).toThrow(expect.objectContaining({ code: 'INVALID_PARAMS' }))
  }
})
