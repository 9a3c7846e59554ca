/** The stand-ins themselves: that they do to a gateway what the published clients are known to do. */
import { describe, expect, test, vi } from 'vitest'
import { noPython } from '../client-process.ts'
import { type Answer, envelope, startFakeGateway } from './fake-gateway.ts'
import {
  type ClientOptions,
  type GatewayClient,
  jsClient,
  pyClient,
  startJavaScript,
  startPython,
} from './gateway-process.ts'

// They wait far more than they work.
vi.setConfig({ maxConcurrency: 32 })

const AGENT = '3f0c8f0e-6a51-4c39-9d5a-0a4e5d1b7c22'
const STALE = `e30=.${Buffer.from(JSON.stringify({ iat: 1_600_000_000 })).toString('base64')}.00`
const search = { q: 'site:linkedin.com Montréal', engine: 'google' }
const failing = (status: number, body: unknown = { error: 'broken' }) => ({ status, body })

interface Kind {
  readonly name: 'PY' | 'JS'
  with<T>(
    options: Pick<ClientOptions, 'baseUrl'> & Partial<ClientOptions>,
    use: (client: GatewayClient) => Promise<T>,
  ): Promise<T>
}

const PY: Kind = {
  name: 'PY',
  async with(options, use) {
    await using python = startPython()
    return await use(await pyClient(python, { agentId: AGENT, ...options }))
  },
}
const JS: Kind = {
  name: 'JS',
  async with(options, use) {
    await using node = startJavaScript()
    return await use(await jsClient(node, { agentId: AGENT, ...options }))
  },
}
const KINDS = [...(noPython === undefined ? [PY] : []), JS]

describe.each(KINDS)('$name', ({ name, with: withClient }) => {
  test.concurrent('a call without token mints one for its tool, and nothing is signed or cached', async () => {
    await using gateway = await startFakeGateway(({ path }) =>
      path === '/api/generate-token'
        ? { status: 201, body: { agent_token: 'minted' } }
        : envelope([1]),
    )
    await withClient({ baseUrl: `${gateway.url}/`, defaultIntent: 'a' }, async (client) => {
      expect((await client.proxy('serpapi', 'search', search)).ok).toEqual([1])
      await client.setIntent('b')
      await client.proxy('serpapi', 'search', search)
      await client.proxy('serpapi', 'search', search, 'mine', { agent_id: 'é' })
    })
    const bodies = gateway.requests.map(({ body }) => JSON.parse(body))
    expect(bodies[0]).toEqual({
      agent_id: AGENT,
      tools: ['serpapi'],
      permissions: ['read', 'write'],
      expires_at: expect.stringMatching(name === 'PY' ? /T[\d:]{8}(\.\d{6})?$/ : /\.\d{3}Z$/),
    })
    expect(bodies[1]).toEqual({
      agent_token: 'minted',
      tool: 'serpapi',
      action: 'search',
      params: search,
      intent: 'a',
    })
    expect(bodies[3]).toMatchObject({ intent: 'b' })
    expect(bodies[4]).toMatchObject({
      agent_token: 'mine',
      proof_payload: name === 'PY' ? '{"agent_id": "\\u00e9"}' : '{"agent_id":"é"}',
    })
    const ids = gateway.requests.map(({ headers }) => headers['x-correlation-id'] as string)
    expect(new Set(ids).size).toBe(5)
    for (const id of ids)
      expect(id).toMatch(name === 'PY' ? /^req_\d{13}_[a-z0-9]{9}$/ : /^req_\d{13}_[a-z0-9]{0,13}$/)
    const sent = gateway.requests[1]?.headers
    expect(sent).toMatchObject({
      'user-agent': name === 'PY' ? 'runrgateway/1.0.0' : '@4runr/gateway/1.0.0',
      'content-type': 'application/json',
      accept: '*/*',
      'accept-encoding': name === 'PY' ? 'gzip, deflate' : 'gzip, deflate, br',
      connection: 'keep-alive',
    })
    for (const header of [
      'authorization',
      'idempotency-key',
      'x-agent-intent',
      'x-agent-signature',
    ])
      expect(sent).not.toHaveProperty(header)
  })

  test.concurrent('a status decides the class of an error, with one look for two words', async () => {
    const root = name === 'PY' ? 'Exception' : 'Error'
    const rows: [number, string, string, string | null][] = [
      [401, 'x', 'GatewayAuthError', 'AUTH_ERROR'],
      [403, 'Policy denied', 'GatewayAuthError', 'AUTH_ERROR'],
      [400, 'a policy violation', 'GatewayPolicyError', 'POLICY_ERROR'],
      [400, 'token scope', 'GatewayPolicyError', 'POLICY_ERROR'],
      [400, 'Policy', name === 'PY' ? 'GatewayPolicyError' : 'GatewayError', null],
      [400, 'bad', 'GatewayError', null],
      [404, 'x', 'GatewayError', null],
      [409, 'x', 'GatewayError', null],
      [413, 'x', 'GatewayError', null],
      [422, 'x', 'GatewayError', null],
      [424, 'x', 'GatewayError', null],
      [429, 'x', 'GatewayRateLimitError', 'RATE_LIMIT_ERROR'],
    ]
    await using gateway = await startFakeGateway((_, n) => {
      const [status = 0, error] = rows[n] ?? []
      return { status, body: { error }, ...(status === 429 && { headers: { 'retry-after': '7' } }) }
    })
    await withClient({ baseUrl: gateway.url }, async (client) => {
      for (const [status, message, expected, code] of rows) {
        const { raised, attempts } = await client.proxy('serpapi', 'search', search, 'token')
        expect(raised).toMatchObject({ class: expected, status, message })
        expect(raised?.bases).toContain(expected === 'GatewayError' ? root : 'GatewayError')
        if (code !== null) expect(raised?.code).toBe(code)
        if (status === 429) expect(raised?.retry_after).toBe(7)
        expect(attempts).toHaveLength(1)
      }
    })
  })

  test.concurrent('only the second segment of a token tells its age, and only a synchronous call looks', async () => {
    await using gateway = await startFakeGateway(() => ({ body: { job_id: 'job_1' } }))
    await withClient({ baseUrl: gateway.url }, async (client) => {
      const { raised, attempts } = await client.proxy('serpapi', 'search', search, STALE)
      expect(raised).toMatchObject({ class: 'GatewayTokenError', code: 'TOKEN_ERROR' })
      expect(attempts).toEqual([])
      expect((await client.proxyAsync('serpapi', 'search', search, STALE)).ok).toBe('job_1')
    })
  })

  test.concurrent('rotation is a notice, and the data comes all the same', async () => {
    await using gateway = await startFakeGateway(() => ({
      ...envelope('data'),
      headers: { 'x-token-rotation-recommended': 'true' },
    }))
    await withClient({ baseUrl: gateway.url }, async (client) => {
      const { ok, notices, attempts } = await client.proxy('serpapi', 'search', search, 'token')
      expect({ ok, notices: notices.length, attempts: attempts.length }).toEqual({
        ok: 'data',
        notices: 1,
        attempts: 1,
      })
    })
  })
})

const python = noPython === undefined ? test.concurrent : test.concurrent.skip

python(
  'PY: four attempts with one id and one body, 1, 2 and 4 seconds apart within an eighth',
  async () => {
    await using gateway = await startFakeGateway(() => failing(503))
    await PY.with({ baseUrl: gateway.url }, async (client) => {
      const { raised, attempts } = await client.proxy('serpapi', 'search', search, 'token')
      expect(raised).toMatchObject({ class: 'GatewayUpstreamError', code: 'UPSTREAM_ERROR' })
      expect(attempts.map(({ status }) => status)).toEqual([503, 503, 503, 503])
    })
    const { requests } = gateway
    for (const [n, seconds] of [1, 2, 4].entries()) {
      const waited = requests[n + 1]!.atMs - requests[n]!.atMs
      expect(waited).toBeGreaterThan(seconds * 875 - 10)
      expect(waited).toBeLessThan(seconds * 1125 + 500)
    }
    expect(new Set(requests.map(({ body }) => body)).size).toBe(1)
    expect(new Set(requests.map(({ headers }) => headers['x-correlation-id'])).size).toBe(1)
  },
)

python.each<[string, Answer | 'drop', string, string | null]>([
  ['a body that is no JSON', failing(400, 'Bad Request'), 'JSONDecodeError', null],
  ['an error that is no string', failing(400, { error: { a: 1 } }), 'AttributeError', null],
  ['a body that is a list', failing(404, ['x']), 'AttributeError', null],
  [
    'a date to retry after',
    { ...failing(429), headers: { 'retry-after': 'Fri, 31 Dec 1999 23:59:59 GMT' } },
    'ValueError',
    null,
  ],
  ['a connection that breaks', 'drop', 'GatewayError', 'NETWORK_ERROR'],
  ['a plain server error', failing(500), 'GatewayError', null],
])('PY: %s is tried four times and then raised as it is', async (_, answer, expected, code) => {
  await using gateway = await startFakeGateway(() => answer)
  await PY.with({ baseUrl: gateway.url }, async (client) => {
    const { raised, attempts } = await client.proxy('serpapi', 'search', search, 'token')
    expect(raised).toMatchObject({ class: expected, code, gateway: expected === 'GatewayError' })
    expect(attempts).toHaveLength(4)
  })
})

python('PY: a time-out is per attempt: the second one gets the answer', async () => {
  await using gateway = await startFakeGateway((_, n) => (n === 0 ? 'hang' : envelope('late')))
  await PY.with({ baseUrl: gateway.url, timeoutMs: 300 }, async (client) => {
    const { ok, attempts } = await client.proxy('serpapi', 'search', search, 'token')
    expect(ok).toBe('late')
    expect(attempts.map(({ failed }) => failed !== undefined)).toEqual([true, false])
  })
})

python.each<[string, unknown]>([
  ['no data', { success: true, metadata: {} }],
  ['no metadata', { success: true, data: 1 }],
  ['null for metadata', { success: true, data: 1, metadata: null }],
  ['no success', { data: 1, metadata: {} }],
])('PY: an answer with %s is refused at once', async (_, body) => {
  await using gateway = await startFakeGateway(() => ({ body }))
  await PY.with({ baseUrl: gateway.url }, async (client) => {
    const { raised, attempts } = await client.proxy('serpapi', 'search', search, 'token')
    expect(raised).toMatchObject({ class: 'ValidationError', gateway: false })
    expect(attempts).toHaveLength(1)
  })
})

python(
  'PY: missing fields, a dictionary for options and an object for a job’s error are exceptions of Python’s own',
  async () => {
    await using gateway = await startFakeGateway(({ path }) => ({
      body: path.startsWith('/api/jobs') ? { status: 'failed', error: { code: 1 } } : {},
    }))
    await PY.with({ baseUrl: gateway.url }, async (client) => {
      const wish = { tools: ['serpapi'], permissions: ['read'], minutes: 5 }
      expect((await client.getToken(wish)).raised?.class).toBe('KeyError')
      expect((await client.proxyAsync('a', 'b', {}, 'token')).raised?.class).toBe('KeyError')
      expect((await client.getJob('job_1')).raised?.class).toBe('ValidationError')
      const dictionary = await client.call('get_token_with_dict', { tools: [], permissions: [] })
      expect(dictionary.raised?.class).toBe('AttributeError')
      expect(dictionary.attempts).toEqual([])
    })
  },
)

python('PY: redirects are errors, and null is data', async () => {
  await using gateway = await startFakeGateway((_, n) =>
    n === 0
      ? { status: 308, headers: { location: '/elsewhere' }, body: { error: 'moved' } }
      : envelope(null),
  )
  await PY.with({ baseUrl: gateway.url }, async (client) => {
    const first = await client.proxy('serpapi', 'search', search, 'token')
    expect(first.raised).toMatchObject({ class: 'GatewayError', status: 308 })
    expect(await client.proxy('serpapi', 'search', search, 'token')).toMatchObject({ ok: null })
  })
  expect(gateway.requests.map(({ path }) => path)).not.toContain('/elsewhere')
})

python(
  'PY: an expiry has no zone and no fraction on the full second; old libraries write JSON with spaces',
  async () => {
    await using gateway = await startFakeGateway(() => ({
      status: 201,
      body: { agent_token: 'a' },
    }))
    await using python = startPython({ TZ: 'Asia/Kathmandu' })
    const client = await pyClient(python, {
      baseUrl: gateway.url,
      agentId: AGENT,
      jsonStyle: 'spaced',
      microsecond: 0,
    })
    await client.getToken({ tools: ['é'], permissions: [], minutes: 15 })
    const { body } = gateway.requests[0]!
    expect(body).toMatch(
      /^\{"agent_id": "[^"]+", "tools": \["\\u00e9"\], "permissions": \[\], "expires_at": "[^".]{19}"\}$/,
    )
    const aheadMs = Date.parse(`${JSON.parse(body).expires_at}Z`) - Date.now()
    expect(Math.round(aheadMs / 60_000)).toBe(5 * 60 + 45 + 15)
  },
)

python(
  'PY: its keys made of data sort the keys, JavaScript’s build for modules makes none',
  async () => {
    await using python = startPython()
    await using node = startJavaScript()
    const call = 'generate_idempotency_key_from_data'
    const args = ['serpapi', 'search', { q: 'a', engine: 'google' }]
    expect((await python.send({ call, args })).ok).toBe('idemp_9f2308aa6b5fe7a4')
    expect((await node.send({ call, args })).raised?.message).toContain('Dynamic require')
    const made = /^idemp_\d{13}_[0-9a-f-]{36}$/
    expect((await python.send({ call: 'generate_idempotency_key' })).ok).toMatch(made)
    expect((await node.send({ call: 'generate_idempotency_key' })).ok).toMatch(made)
  },
)

test.concurrent('JS: a retry after the shared six seconds ends the process', async () => {
  await using gateway = await startFakeGateway(() => failing(503))
  await using node = startJavaScript()
  const client = await jsClient(node, { baseUrl: gateway.url, agentId: AGENT })
  const call = client.proxy('serpapi', 'search', search, 'token')
  // Its last attempt fails and ends the process, in whichever order.
  await Promise.allSettled([call])
  expect(await node.ended()).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('AbortError'),
  })
  expect(gateway.requests).toHaveLength(3)
})

test.concurrent('JS: an answer slower than the deadline does so too, at the next attempt', async () => {
  await using gateway = await startFakeGateway(() => 'hang')
  await using node = startJavaScript()
  const client = await jsClient(node, { baseUrl: gateway.url, agentId: AGENT, timeoutMs: 200 })
  await expect(client.proxy('serpapi', 'search', search, 'token')).rejects.toThrow('AbortError')
  expect(gateway.requests).toHaveLength(1)
})

test.concurrent('JS: polling has no body, so it only fails', async () => {
  await using gateway = await startFakeGateway(() => 'hang')
  await using node = startJavaScript()
  const client = await jsClient(node, { baseUrl: gateway.url, agentId: AGENT, timeoutMs: 200 })
  const { raised, attempts } = await client.getJob('job_1')
  expect(raised).toMatchObject({ class: 'GatewayError', code: 'NETWORK_ERROR' })
  expect(attempts).toHaveLength(4)
  expect(node.running).toBe(true)
})

test.concurrent('JS: errors below 500 are safe whenever they come, and text for a body is tolerated', async () => {
  await using gateway = await startFakeGateway((_, n) =>
    n < 2 ? failing(502) : failing(424, 'plain'),
  )
  await using node = startJavaScript()
  const client = await jsClient(node, { baseUrl: gateway.url, agentId: AGENT })
  const { raised, attempts } = await client.proxy('serpapi', 'search', search, 'token')
  expect(raised).toMatchObject({ class: 'GatewayError', status: 424, message: 'HTTP 424' })
  expect(attempts).toHaveLength(3)
  expect(node.running).toBe(true)
})

test.concurrent('JS: an error of a 400 that is no string counts as a broken network, and a date to wait for as none', async () => {
  await using gateway = await startFakeGateway((_, n) =>
    n === 0
      ? { ...failing(429), headers: { 'retry-after': 'Fri, 31 Dec 1999 23:59:59 GMT' } }
      : failing(400, { error: { a: 1 } }),
  )
  await using node = startJavaScript()
  const client = await jsClient(node, { baseUrl: gateway.url, agentId: AGENT, timeoutMs: 60_000 })
  const limited = await client.proxy('serpapi', 'search', search, 'token')
  // Not a number, which JSON writes as null.
  expect(limited.raised).toMatchObject({ class: 'GatewayRateLimitError', retry_after: null })
  const odd = await client.proxy('serpapi', 'search', search, 'token')
  expect(odd.raised).toMatchObject({ class: 'GatewayError', code: 'NETWORK_ERROR' })
  expect(odd.attempts).toHaveLength(4)
})

test.concurrent('JS: redirects are followed', async () => {
  await using gateway = await startFakeGateway(({ path }) =>
    path === '/elsewhere'
      ? envelope('there')
      : { status: 307, headers: { location: '/elsewhere' } },
  )
  await using node = startJavaScript()
  const client = await jsClient(node, { baseUrl: gateway.url, agentId: AGENT })
  expect(await client.proxy('serpapi', 'search', search, 'token')).toMatchObject({ ok: 'there' })
  expect(gateway.requests[1]?.method).toBe('POST')
})
