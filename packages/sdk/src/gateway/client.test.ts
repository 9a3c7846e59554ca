import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { VERSION } from '../../../contract/src/version.ts'
import { GatewayClient } from './client.ts'
import { AGENT_ID, claimsOf, FakeGateway } from './fake-gateway.test-kit.ts'
import type { GatewayLogEntry } from './log.ts'
import type { GatewayClientOptions } from './options.ts'

const ED = generateKeyPairSync('ed25519')
const PEM = ED.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const SEARCH = { q: 'bakery', engine: 'google' }
const MAIL = { to: 'a@example.org', subject: 'Hi', body: 'Hello' }
const KEYED = { ...MAIL, idempotency_key: 'idemp_1893456000000_key' }

let gateway: FakeGateway
let clients: GatewayClient[]

beforeEach(async () => {
  gateway = await new FakeGateway().start()
  clients = []
})

afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()))
  await gateway[Symbol.asyncDispose]()
})

function open(options: Partial<GatewayClientOptions> = {}): GatewayClient {
  const client = new GatewayClient({
    baseUrl: gateway.url,
    agentId: AGENT_ID,
    agentPrivateKeyPem: PEM,
    retry: { baseDelayMs: 5, maxDelayMs: 5 },
    ...options,
  })
  clients.push(client)
  return client
}

const tokensSent = () => gateway.sent('proxy').map(({ body }) => body['agent_token'])

test('gateway §19.35: the calls of the JavaScript client work as they are written for it', async () => {
  const client = open({ defaultIntent: 'lead_discovery' })
  const token = await client.getToken({
    tools: ['serpapi'],
    permissions: ['read'],
    ttlMinutes: 15,
  })
  expect(await client.proxy('serpapi', 'search', SEARCH, token)).toMatchObject({ echo: SEARCH })
  client.setIntent('outreach')
  await client.proxy('serpapi', 'search', SEARCH)
  const { jobId, job_id } = await client.proxyAsync('gmail_send', 'send', MAIL)
  expect(job_id).toBe(jobId)
  expect((await client.getJob(jobId)).status).toBe('queued')

  const [explicit, implicit, job] = gateway.sent('proxy').map(({ body }) => body)
  expect(explicit).toEqual({
    agent_token: token,
    tool: 'serpapi',
    action: 'search',
    params: SEARCH,
    intent: 'lead_discovery',
  })
  expect(implicit).toMatchObject({ intent: 'outreach' })
  expect(job).toMatchObject({ async: true, params: MAIL })
  expect(claimsOf(token)).toMatchObject({ tools: ['serpapi'], permissions: ['read'] })
})

test('the lifetime of a token may be written either way, and has to be there', async () => {
  const client = open()
  const ask = { tools: ['serpapi'], permissions: ['read'] }
  const before = Date.now()
  await client.getToken({ ...ask, ttl_minutes: 15 })
  const asked = Date.parse(String(gateway.sent('token')[0]?.body['expires_at']))
  expect(asked - before).toBeGreaterThanOrEqual(15 * 60_000)
  expect(asked - before).toBeLessThan(15 * 60_000 + 5_000)
  for (const lifetime of [{}, { ttlMinutes: 0 }, { ttlMinutes: 1, ttl_minutes: 2 }]) {
    const asking = client.getToken({ ...ask, ...lifetime })
    await expect(asking).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  }
})

test('an intent that is empty is not sent', async () => {
  const client = open({ defaultIntent: 'x' })
  client.setIntent('')
  await client.proxy('serpapi', 'search', SEARCH)
  expect(gateway.sent('proxy')[0]?.body).not.toHaveProperty('intent')
})

test('a proof goes along as text, with exactly the token that was passed', async () => {
  const client = open()
  const token = await client.getToken({ tools: ['*'], permissions: ['*'], ttlMinutes: 4 })
  await client.proxy('serpapi', 'search', SEARCH, token, { agent_id: AGENT_ID })
  await client.proxy('serpapi', 'search', SEARCH, token, '{"a": 1}')
  expect(gateway.sent('proxy').map(({ body }) => body['proof_payload'])).toEqual([
    JSON.stringify({ agent_id: AGENT_ID }),
    '{"a": 1}',
  ])
  expect(gateway.sent('token')).toHaveLength(1) // although the gateway advised to rotate
})

test('the headers say what we are, and one correlation id covers all attempts of a call', async () => {
  gateway.script('proxy', { status: 503, body: { error: 'no' } }, { drop: 'before' })
  const client = open()
  await client.proxy('serpapi', 'search', SEARCH)
  await client.proxy('serpapi', 'search', SEARCH)
  const sent = gateway.sent('proxy')
  expect(sent).toHaveLength(4)
  const ids = sent.map(({ headers }) => headers['x-correlation-id'])
  expect(new Set(ids.slice(0, 3)).size).toBe(1)
  expect(ids[3]).not.toBe(ids[0])
  expect(new Set(sent.slice(0, 3).map(({ text }) => text)).size).toBe(1)
  for (const { headers } of gateway.seen) {
    expect(headers['user-agent']).toBe(`vestry-sdk/${VERSION}`)
    expect(headers['content-type']).toBe('application/json')
    expect(headers['x-correlation-id']).toMatch(/^req_\d+_[a-z0-9]{9}$/)
  }
})

test('gateway §19.35: what may be repeated is tried four times, and then fails with the last answer', async () => {
  const down = { status: 502, body: { error: 'Upstream service error', code: 'UPSTREAM_FAILED' } }
  gateway.script('proxy', down, down, down, down)
  await expect(open().proxy('serpapi', 'search', SEARCH)).rejects.toMatchObject({
    name: 'GatewayUpstreamError',
    statusCode: 502,
    code: 'UPSTREAM_ERROR',
    errorCode: 'UPSTREAM_FAILED',
  })
  expect(gateway.sent('proxy')).toHaveLength(4)
})

test('gateway §19.35: an e-mail without a key is never sent again, whatever went wrong', async () => {
  const client = open({ timeoutMs: 300 })
  for (const fault of [
    { status: 502, body: { error: 'no' } },
    { status: 500, body: 'a crash page' },
    { drop: 'after' },
    { delayMs: 600 },
  ] as const) {
    gateway.script('proxy', fault)
    await expect(client.proxy('gmail_send', 'send', MAIL)).rejects.toMatchObject({
      name: expect.stringMatching(/^Gateway/),
    })
  }
  expect(gateway.sent('proxy')).toHaveLength(4)
})

test('gateway §19.35: an e-mail with a key is sent again, and executed once', async () => {
  gateway.script('proxy', { drop: 'after' }, { status: 503, body: { error: 'no' } })
  await open().proxy('gmail_send', 'send', KEYED)
  expect(gateway.sent('proxy')).toHaveLength(3)
  expect(gateway.executed).toEqual(['gmail_send:send'])
})

test('a job is submitted again under the same rule', async () => {
  const client = open()
  gateway.script('proxy', { drop: 'after' })
  await expect(client.proxyAsync('gmail_send', 'send', MAIL)).rejects.toMatchObject({
    code: 'NETWORK_ERROR',
  })
  gateway.script('proxy', { drop: 'after' })
  await client.proxyAsync('gmail_send', 'send', KEYED)
  expect(gateway.sent('proxy')).toHaveLength(3)
})

test('tokens and job states are asked for again after a failure', async () => {
  const client = open()
  gateway.script('token', { drop: 'before' }, { status: 500, body: { error: 'no' } })
  const { jobId } = await client.proxyAsync('gmail_send', 'send', MAIL)
  gateway.script('job', { drop: 'before' }, { status: 504, body: { error: 'no' } })
  expect((await client.getJob(jobId)).status).toBe('queued')
  expect(gateway.sent('token')).toHaveLength(3)
  expect(gateway.sent('job')).toHaveLength(3)
})

test('a refused connection is tried again even for an e-mail: nothing was sent', async () => {
  const vacant = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => vacant.once('listening', resolve))
  const { port } = vacant.address() as AddressInfo
  await new Promise((resolve) => vacant.close(resolve))
  const logged: GatewayLogEntry[] = []
  const client = open({
    baseUrl: `http://127.0.0.1:${port}`,
    logger: (entry) => logged.push(entry),
  })
  const sending = client.proxy('gmail_send', 'send', MAIL, 'any.token')
  await expect(sending).rejects.toMatchObject({
    name: 'GatewayNetworkError',
    code: 'NETWORK_ERROR',
    maybeSent: false,
    message: expect.stringContaining('ECONNREFUSED'),
    correlationId: expect.stringMatching(/^req_/),
  })
  expect(logged.filter(({ event }) => event === 'request')).toHaveLength(4)
})

test('an unknown host and an address that refuses on every family count as nothing sent', async () => {
  const unknown = Object.assign(new Error('lookup'), { code: 'ENOTFOUND', syscall: 'getaddrinfo' })
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED', syscall: 'connect' })
  const lost = Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' })
  for (const [cause, attempts] of [
    [unknown, 4],
    [new AggregateError([refused, refused]), 4],
    [new AggregateError([refused, lost]), 1],
    [lost, 1],
  ] as const) {
    const fetch = vi.fn(async () => Promise.reject(new TypeError('fetch failed', { cause })))
    const sending = open({ fetch }).proxy('gmail_send', 'send', MAIL, 'any.token')
    await expect(sending).rejects.toMatchObject({ maybeSent: attempts === 1 })
    expect(fetch).toHaveBeenCalledTimes(attempts)
  }
})

test('each attempt has a time-out of its own, and the next one a fresh start', async () => {
  gateway.script('proxy', { delayMs: 400, proceed: true })
  const client = open({ timeoutMs: 200 })
  expect(await client.proxy('serpapi', 'search', SEARCH)).toMatchObject({ echo: SEARCH })
  expect(gateway.sent('proxy')).toHaveLength(2)
})

test('an answer that stops in the middle is a time-out, too', async () => {
  const body = new ReadableStream({ start: (stream) => stream.enqueue(Buffer.from('{"data":')) })
  const client = open({ timeoutMs: 50, fetch: async () => new Response(body) })
  await expect(client.proxy('gmail_send', 'send', MAIL, 'any.token')).rejects.toMatchObject({
    code: 'NETWORK_ERROR',
    message: 'The gateway did not answer in time',
  })
})

test('all attempts together take no longer than the time-out times four', async () => {
  gateway.script('proxy', ...Array.from({ length: 9 }, () => ({ delayMs: 2_000 })))
  const client = open({ timeoutMs: 100, retry: { maxRetries: 3, baseDelayMs: 60, maxDelayMs: 60 } })
  const token = await client.getToken({ tools: ['serpapi'], permissions: ['read'], ttlMinutes: 15 })
  const started = performance.now()
  const searching = client.proxy('serpapi', 'search', SEARCH, token)
  await expect(searching).rejects.toMatchObject({ code: 'NETWORK_ERROR' })
  expect(performance.now() - started).toBeLessThan(1_500)
  expect(gateway.sent('proxy').length).toBeLessThan(4)
})

test('a caller’s signal ends the call with its own reason and takes the deadline’s place', async () => {
  const client = open({ timeoutMs: 100, retry: { maxRetries: 3, baseDelayMs: 80, maxDelayMs: 80 } })
  const token = await client.getToken({ tools: ['serpapi'], permissions: ['read'], ttlMinutes: 15 })
  const slow = { delayMs: 150 }
  gateway.script('proxy', slow, slow, slow)
  const { signal } = new AbortController()
  const call = client.proxy('serpapi', 'search', SEARCH, token, undefined, { signal })
  expect(await call).toMatchObject({ echo: SEARCH }) // fourth attempt, after more than 400 ms

  gateway.script('proxy', { delayMs: 1_000 })
  const reason = new Error('changed my mind')
  const controller = new AbortController()
  const given = { signal: controller.signal }
  const second = client.proxy('serpapi', 'search', SEARCH, token, undefined, given)
  setTimeout(() => controller.abort(reason), 20)
  await expect(second).rejects.toBe(reason)
})

test('4xx answers become their classes at once, with what the gateway said', async () => {
  const client = open()
  const token = await client.getToken({ tools: ['serpapi'], permissions: ['read'], ttlMinutes: 15 })
  const call = () => client.proxy('serpapi', 'search', SEARCH, token)
  gateway.script('proxy', {
    status: 429,
    headers: { 'Retry-After': '37' },
    body: { error: 'Rate limit exceeded', code: 'RATE_LIMITED', retry_after: 37 },
  })
  await expect(call()).rejects.toMatchObject({
    name: 'GatewayRateLimitError',
    retryAfter: 37,
    correlationId: expect.stringMatching(/^req_/),
  })
  const denial = 'Policy denied: policy violation (TOKEN_SCOPE)'
  gateway.script('proxy', { status: 400, body: { error: denial, reason: 'not covered' } })
  await expect(call()).rejects.toMatchObject({ name: 'GatewayPolicyError', reason: 'not covered' })
  gateway.script('proxy', { status: 403, body: { error: 'Token has been revoked' } })
  await expect(call()).rejects.toMatchObject({ name: 'GatewayAuthError', statusCode: 403 })
  expect(gateway.sent('proxy')).toHaveLength(3)
})

test('a redirect is an error and is not followed', async () => {
  gateway.script('proxy', { status: 307, headers: { location: `${gateway.url}/elsewhere` } })
  await expect(open().proxy('serpapi', 'search', SEARCH)).rejects.toMatchObject({
    name: 'GatewayError',
    statusCode: 307,
  })
  expect(gateway.seen.map(({ path }) => path)).not.toContain('/elsewhere')
})

test('a success that cannot be read is an error and is not repeated', async () => {
  const client = open()
  gateway.script('proxy', { body: 'OK' }, { body: { success: true } })
  for (let n = 0; n < 2; n += 1) {
    await expect(client.proxy('serpapi', 'search', SEARCH)).rejects.toMatchObject({
      message: "The gateway's answer has no usable data",
    })
  }
  gateway.script('proxy', { body: { success: true, data: null, metadata: {} } })
  expect(await client.proxy('serpapi', 'search', SEARCH)).toBeNull()
  expect(gateway.sent('proxy')).toHaveLength(3)
})

test('gateway §19.35: a token older than 24 hours raises the token error before any request', async () => {
  const issued_at = new Date(Date.now() - 24 * 3_600_000 - 1_000).toISOString()
  const old = `${Buffer.from(JSON.stringify({ issued_at })).toString('base64')}.mac`
  const client = open()
  for (const call of [
    client.proxy('serpapi', 'search', SEARCH, old),
    client.proxyAsync('gmail_send', 'send', MAIL, old),
  ]) {
    await expect(call).rejects.toMatchObject({ name: 'GatewayTokenError', code: 'TOKEN_ERROR' })
  }
  expect(gateway.seen).toEqual([])
})

test('token requests are signed afresh on each attempt, over the exact bytes that are sent', async () => {
  gateway.publicKey = ED.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  gateway.script('token', { status: 500, body: { error: 'no' } })
  await open().proxy('serpapi', 'search', SEARCH)
  const [first, second] = gateway.sent('token').map(({ headers }) => headers['x-agent-nonce'])
  expect(second).not.toBe(first)
  expect(gateway.sent('proxy')[0]?.headers).not.toHaveProperty('x-agent-signature')
})

test('a base URL keeps its prefix, and the signature covers the path behind it', async () => {
  gateway.publicKey = ED.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  await open({ baseUrl: `${gateway.url}/prefix//` }).proxy('serpapi', 'search', SEARCH)
  expect(gateway.seen.map(({ path }) => path)).toEqual([
    '/prefix/api/generate-token',
    '/prefix/api/proxy-request',
  ])
})

test('a private key that is none signs nothing, is never sent, and is warned of once', async () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const client = open({ agentPrivateKeyPem: 'no-such-key' })
  for (const tool of ['serpapi', 'openai']) await client.proxy(tool, 'search', SEARCH)
  expect(warn.mock.calls.map(([, options]) => options)).toEqual([
    { code: 'VESTRY_GATEWAY_UNSIGNED' },
  ])
  warn.mockRestore()
  expect(gateway.sent('token')).toHaveLength(2)
  for (const { headers } of gateway.seen) expect(headers).not.toHaveProperty('x-agent-signature')
  expect(JSON.stringify(gateway.seen)).not.toContain('no-such-key')
})

test('a hook sees masked parameters and no token, and its failures stay its own', async () => {
  const logged: GatewayLogEntry[] = []
  const client = open({
    logger: (entry) => {
      logged.push(entry)
      throw new Error('a broken hook')
    },
  })
  gateway.script('proxy', { status: 500, body: { error: 'no', code: 'INTERNAL' } })
  const params = { q: 'bakery', password: 'hunter2', nested: { client_secret: 'hunter3' } }
  await client.proxy('serpapi', 'search', params)
  const proxied = logged.filter(({ operation }) => operation === 'proxy-request')
  expect(proxied.map(({ event }) => event)).toEqual([
    'request',
    'failure',
    'retry',
    'request',
    'answer',
  ])
  expect(proxied[0]).toMatchObject({ tool: 'serpapi', action: 'search', attempt: 0 })
  expect(proxied[0]?.params).toEqual({
    q: 'bakery',
    password: '***MASKED***',
    nested: { client_secret: '***MASKED***' },
  })
  expect(proxied[1]).toMatchObject({ statusCode: 500, code: 'INTERNAL' })
  const text = JSON.stringify(logged)
  expect(text).not.toContain('hunter')
  for (const token of tokensSent()) expect(text).not.toContain(token)
  expect(gateway.sent('proxy')[1]?.body['params']).toEqual(params)
})

test('the client prints neither key nor token', async () => {
  const client = open()
  const token = await client.getToken({ tools: ['serpapi'], permissions: ['read'], ttlMinutes: 15 })
  await client.proxy('serpapi', 'search', SEARCH)
  const printed = `${inspect(client, { depth: 9, showHidden: true })} ${JSON.stringify(client)}`
  expect(printed).toContain('[secret]')
  for (const secret of [token, ...tokensSent(), 'PRIVATE KEY', PEM.slice(30, 60), AGENT_ID]) {
    expect(printed).not.toContain(secret)
  }
})

test('waiting for a job ends with done or failed, or with a time-out that leaves it alone', async () => {
  const client = open()
  const { jobId } = await client.proxyAsync('gmail_send', 'send', KEYED)
  expect(await client.waitForJob(jobId, { pollMs: 1 })).toMatchObject({
    jobId,
    job_id: jobId,
    status: 'done',
    result: { echo: KEYED },
  })
  const failed = { status: 'failed', error: 'interrupted', error_code: 'X', error_status: 409 }
  gateway.script('job', { body: { job_id: jobId, ...failed } })
  expect(await client.waitForJob(jobId)).toMatchObject({
    status: 'failed',
    error: 'interrupted',
    errorCode: 'X',
    errorStatus: 409,
  })
  const running = { body: { job_id: jobId, status: 'running' } }
  gateway.script('job', ...Array.from({ length: 50 }, () => running))
  const waiting = client.waitForJob(jobId, { timeoutMs: 30, pollMs: 10 })
  await expect(waiting).rejects.toMatchObject({ code: 'TIMEOUT' })
  const signal = AbortSignal.timeout(20)
  const ended = client.waitForJob(jobId, { pollMs: 10, signal })
  await expect(ended).rejects.toMatchObject({ name: 'TimeoutError' })
})

test('an id that is no job id is not found, without a request', async () => {
  for (const id of ['', '../generate-token', 'a/b', 'job?x=1']) {
    await expect(open().getJob(id)).rejects.toMatchObject({
      statusCode: 404,
      errorCode: 'JOB_NOT_FOUND',
    })
  }
  expect(gateway.seen).toEqual([])
  await expect(open().getJob('job_unknown_0123456789')).rejects.toMatchObject({ statusCode: 404 })
})

test('closing ends what is under way and refuses what comes later', async () => {
  gateway.script('proxy', { delayMs: 1_000 })
  const client = open()
  const call = client.proxy('serpapi', 'search', SEARCH)
  setTimeout(() => void client.close(), 50)
  await expect(call).rejects.toMatchObject({ code: 'CLIENT_CLOSED' })
  await expect(client.proxy('serpapi', 'search', SEARCH)).rejects.toMatchObject({
    code: 'CLIENT_CLOSED',
  })
  await client.close()
})

test('leaving the block closes the client', async () => {
  let kept: GatewayClient | undefined
  {
    await using client = open()
    await client.proxy('serpapi', 'search', SEARCH)
    kept = client
  }
  await expect(kept.getJob('job_0123456789abcdef')).rejects.toMatchObject({ code: 'CLIENT_CLOSED' })
})

test('options that are missing, malformed or misspelt are refused', () => {
  for (const [wrong, named] of [
    [{ baseUrl: 'gateway' }, 'baseUrl'],
    [{ baseUrl: 'ftp://gateway' }, 'baseUrl'],
    [{ baseUrl: 'https://user:pass@gateway' }, 'password'],
    [{ baseUrl: 'https://gateway/?a=1' }, 'baseUrl'],
    [{ agentId: '' }, 'agentId'],
    [{ timeoutMs: 0 }, 'timeoutMs'],
    [{ retry: { maxRetries: -1 } }, 'maxRetries'],
    [{ base_url: 'https://gateway' }, 'base_url'],
    [{ logger: 'console' }, 'logger'],
  ] as const) {
    const options = { baseUrl: 'https://gateway', agentId: AGENT_ID, agentPrivateKeyPem: PEM }
    const made = () => new GatewayClient({ ...options, ...(wrong as object) })
    expect(made).toThrow(expect.objectContaining({ code: 'INVALID_PARAMS' }))
    expect(made).toThrow(named)
  }
})

test('the environment gives address, agent and key; newlines of the key may be escaped', async () => {
  gateway.publicKey = ED.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const env = {
    GATEWAY_URL: gateway.url,
    AGENT_ID,
    AGENT_PRIVATE_KEY: PEM.replaceAll('\n', '\\n'),
  }
  await using client = GatewayClient.fromEnvironment(env, { defaultIntent: 'x' })
  expect(await client.proxy('serpapi', 'search', SEARCH)).toMatchObject({ echo: SEARCH })
  for (const name of Object.keys(env)) {
    const partial = { ...env, [name]: undefined }
    expect(() => GatewayClient.fromEnvironment(partial)).toThrow(`${name} is not set`)
  }
  vi.stubEnv('GATEWAY_URL', 'mock://localhost')
  vi.stubEnv('AGENT_ID', 'a')
  vi.stubEnv('AGENT_PRIVATE_KEY', 'k')
  expect(GatewayClient.fromEnvironment().toJSON()).toMatchObject({
    baseUrl: 'mock://localhost',
    timeoutMs: 6_000,
  })
  vi.unstubAllEnvs()
})
