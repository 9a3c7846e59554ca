import { inspect } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { DirectProviderClient } from './direct-provider-client.ts'
import { ConfigurationError, SpiffeAuthError, TraTExpiredError } from './errors.ts'
import {
  type Answer,
  type FakeServer,
  fakeClock,
  fakeServer,
  fakeTcpServer,
  refuse,
  respond,
  svid,
  trat,
} from './fake-server.test-kit.ts'
import { configureLogging } from './log.ts'
import { SpiffeGatewayClient } from './spiffe-gateway-client.ts'
import { TransactionToken } from './transaction-token.ts'

let server: FakeServer | undefined

afterEach(async () => {
  configureLogging()
  await server?.close()
  server = undefined
})

const EXP = 4_000_000_000

/** Tokens that are different at every call after `invalidate`. */
function sources() {
  let generation = 1
  const invalidate = (): void => {
    generation += 1
  }
  return {
    jwtSource: { getToken: async () => svid(EXP, { generation }), invalidate() {} },
    tratClient: {
      getToken: async () => TransactionToken.parse(trat(EXP, { generation })),
      invalidate,
    },
  }
}

async function client(answer: Answer) {
  configureLogging({ write: () => {} })
  server = await fakeServer(answer)
  const http = { clock: fakeClock() }
  return {
    client: new SpiffeGatewayClient({ ...sources(), socketPath: server.socketPath, http }),
    requests: server.requests,
  }
}

const POST = { provider: 'openai', body: {} }

describe('a request through the gateway', () => {
  test('sage §9: carries both tokens and the provider, in this order, and further headers', async () => {
    const { client: gateway, requests } = await client((request) =>
      respond(request, 200, { ok: true }),
    )
    const answer = await gateway.request('POST', '/v1/chat/completions', {
      provider: 'anthropic',
      headers: { 'X-Sage-Category': 'analysis' },
      body: { model: 'm' },
    })
    expect(answer.json()).toEqual({ ok: true })
    expect(requests[0]?.head.split('\r\n').slice(2, 6)).toEqual([
      `Authorization: Bearer ${svid(EXP, { generation: 1 })}`,
      `Txn-Token: ${trat(EXP, { generation: 1 })}`,
      'X-Provider: anthropic',
      'X-Sage-Category: analysis',
    ])
  })

  test.each([
    [400, 'invalid_json', 'GatewayError', 30],
    [400, 'context_length_exceeded', 'GatewayError', 30],
    [400, 'content_filter', 'GatewayError', 30],
    [401, 'identity_missing', 'SpiffeAuthError', 11],
    [401, 'identity_invalid', 'SpiffeAuthError', 11],
    [401, 'identity_expired', 'SpiffeAuthError', 11],
    [401, 'txn_missing', 'TraTAcquisitionError', 12],
    [401, 'txn_invalid', 'TraTAcquisitionError', 12],
    [401, 'txn_expired', 'TraTExpiredError', 13],
    [403, 'identity_txn_mismatch', 'ForbiddenError', 20],
    [403, 'run_closed', 'ForbiddenError', 20],
    [403, 'dlp_blocked', 'ForbiddenError', 20],
    [403, 'budget_exhausted', 'ForbiddenError', 20],
    [403, 'provider_key_missing', 'ForbiddenError', 20],
    [403, 'model_not_allowed', 'ModelNotAuthorizedError', 21],
    [403, 'category_not_allowed', 'ModelNotAuthorizedError', 21],
    [403, 'provider_not_allowed', 'ModelNotAuthorizedError', 21],
    [403, 'scope_not_allowed', 'ScopeNotAuthorizedError', 22],
    [404, 'route_not_found', 'GatewayError', 30],
    [404, 'model_not_found', 'ModelNotAvailableError', 61],
    [405, 'method_not_allowed', 'GatewayError', 30],
    [413, 'request_too_large', 'GatewayError', 30],
    [415, 'unsupported_media_type', 'GatewayError', 30],
    [429, 'rate_limited', 'RateLimitError', 31],
    [429, 'provider_rate_limited', 'RateLimitError', 31],
    [431, 'headers_too_large', 'GatewayError', 30],
    [500, 'internal_error', 'GatewayError', 30],
    [500, 'provider_auth_failed', 'GatewayError', 30],
    [502, 'provider_error', 'GatewayError', 30],
    [503, 'gateway_overloaded', 'GatewayError', 30],
    [504, 'provider_timeout', 'GatewayError', 30],
    [401, 'something_new', 'AuthError', 10],
    [403, 'something_new', 'ForbiddenError', 20],
    [418, 'something_new', 'GatewayError', 30],
    [403, 'constructor', 'ForbiddenError', 20],
  ])('sage §14.3: %i %s is a %s (%i), streamed or not', async (status, code, name, exitCode) => {
    const { client: gateway } = await client((request) => refuse(request, status, code))
    const expected = {
      name,
      exitCode,
      status,
      code,
      requestId: 'req_1',
      message: expect.stringContaining(`because of ${code}`),
    }
    await expect(gateway.request('POST', '/x', POST)).rejects.toMatchObject(expected)
    await expect(gateway.requestStream('POST', '/x', POST)).rejects.toMatchObject(expected)
  })

  test.each(['txn_expired', 'identity_expired'])(
    'sage §21.18: %s is followed by one silent attempt with new tokens',
    async (code) => {
      const { client: gateway, requests } = await client((request, n) =>
        n === 1 ? refuse(request, 401, code) : respond(request, 200, {}),
      )
      await gateway.request('POST', '/x', POST)
      expect(requests.map(({ headers }) => headers['txn-token'])).toEqual([
        trat(EXP, { generation: 1 }),
        trat(EXP, { generation: 2 }),
      ])
      expect(requests[0]?.headers['idempotency-key']).toBe(requests[1]?.headers['idempotency-key'])
    },
  )

  test('sage §21.18: a token that came meanwhile is not dropped because an older one was refused', async () => {
    const invalidated: unknown[] = []
    const tokens = sources()
    const tratClient = { ...tokens.tratClient, invalidate: (raw?: string) => invalidated.push(raw) }
    server = await fakeServer((request, n) =>
      n === 1 ? refuse(request, 401, 'txn_expired') : respond(request, 200, {}),
    )
    const { socketPath } = server
    const gateway = new SpiffeGatewayClient({ ...tokens, tratClient, socketPath })
    await gateway.request('POST', '/x', POST)
    expect(invalidated).toEqual([trat(EXP, { generation: 1 })])
  })

  test('an answer that repeats a token as its code or request id is quoted without it', async () => {
    const { client: gateway } = await client((request) => {
      const token = request.headers['txn-token'] ?? ''
      const error = { code: `a ${token}`, message: token, request_id: token }
      respond(request, 403, { error })
    })
    const error = await gateway.request('POST', '/x', POST).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'a [secret]', requestId: '[secret]' })
    expect(inspect(error) + JSON.stringify(error)).not.toContain('eyJ')
  })

  test('sage §21.18: and only one', async () => {
    const { client: gateway, requests } = await client((request) =>
      refuse(request, 401, 'txn_expired'),
    )
    await expect(gateway.request('POST', '/x', POST)).rejects.toBeInstanceOf(TraTExpiredError)
    expect(requests).toHaveLength(2)
    await expect(gateway.requestStream('POST', '/x', POST)).rejects.toBeInstanceOf(TraTExpiredError)
    expect(requests).toHaveLength(4)
  })

  test('sage §20.7: every attempt has the tokens of its moment', async () => {
    const { client: gateway, requests } = await client((request, n) => {
      if (n === 1) gateway.invalidate()
      respond(request, n === 1 ? 503 : 200, {})
    })
    await gateway.request('POST', '/x', POST)
    expect(requests.map(({ headers }) => headers['txn-token'])).toEqual([
      trat(EXP, { generation: 1 }),
      trat(EXP, { generation: 2 }),
    ])
  })

  test('sage §20.13: an error body that repeats the tokens is quoted without them, and cut', async () => {
    const { client: gateway } = await client((request) => {
      const { authorization, 'txn-token': txn } = request.headers
      respond(
        request,
        403,
        `${authorization} ${txn} ${authorization?.slice(7)} ${'x'.repeat(9000)}`,
      )
    })
    const error = await gateway.request('POST', '/x', POST).catch((one) => one)
    expect(error.message).toContain('[secret]')
    expect(error.message).not.toContain('eyJ')
    expect(error.message.length).toBeLessThan(2200)
  })

  test('an SVID that cannot be read ends the call before anything is sent', async () => {
    server = await fakeServer((request) => respond(request, 200, {}))
    const jwtSource = {
      getToken: async () => Promise.reject(new SpiffeAuthError('gone')),
      invalidate() {},
    }
    const gateway = new SpiffeGatewayClient({
      ...sources(),
      jwtSource,
      socketPath: server.socketPath,
    })
    await expect(gateway.request('POST', '/x', POST)).rejects.toMatchObject({ exitCode: 11 })
    expect(server.requests).toEqual([])
  })

  test('knows its endpoint, its token and its health', async () => {
    const { client: gateway, requests } = await client((request) => respond(request, 200, {}))
    expect(gateway.isGatewayMode).toBe(true)
    expect(gateway.getEndpoint('google')).toBe(`unix://${server?.socketPath}`)
    expect((await gateway.getTrat()).txn).toBe('run_1')
    expect(await gateway.checkHealth()).toBe(true)
    expect(requests[0]).toMatchObject({ method: 'GET', path: '/health' })
    const { spiffeJwt, trat: txn } = await gateway.getCredentials()
    expect([spiffeJwt, txn]).toEqual([svid(EXP, { generation: 1 }), trat(EXP, { generation: 1 })])
  })
})

describe('sage §3.1: without a socket', () => {
  const env = (base: string, name = 'OPENAI_BASE_URL') => ({
    SPIFFE_JWT_PATH: '/svid',
    SAGE_SANCTUM_ALLOW_TCP: '1',
    [name]: base,
  })

  test.each([
    ['openai', 'OPENAI_BASE_URL'],
    ['anthropic', 'ANTHROPIC_BASE_URL'],
    ['google', 'GOOGLE_BASE_URL'],
    ['unheard-of', 'OPENAI_BASE_URL'],
  ])('%s goes to host and port of %s, without its path', async (provider, name) => {
    const { port, requests, close } = await fakeTcpServer((request) => respond(request, 200, {}))
    const url = `http://127.0.0.1:${port}/some/path`
    const gateway = new SpiffeGatewayClient({ ...sources(), env: env(url, name) })
    await gateway.request('POST', '/v1/embeddings', { provider, body: {} })
    expect(requests).toMatchObject([{ path: '/v1/embeddings' }])
    expect(gateway.getEndpoint(provider)).toBe(url)
    await close()
  })

  test.each([
    ['', 'http://gateway:8080/v1'],
    ['http://h', 'http://h'],
    ['http://h:80/v1', 'http://h:80/v1'],
  ])('base URL %j gives %s', (base, endpoint) => {
    expect(SpiffeGatewayClient.fromEnvironment(env(base)).getEndpoint('openai')).toBe(endpoint)
  })

  test.each(['https://h:443/v1', 'https://h', 'ftp://h', 'h:80', 'http://', 'not a url'])(
    'sage §20.20: base URL %j is refused: 43',
    (base) => {
      expect(() => SpiffeGatewayClient.fromEnvironment(env(base))).toThrow(ConfigurationError)
    },
  )

  test('sage §1.3 C3: plain TCP has to be asked for', () => {
    const { SAGE_SANCTUM_ALLOW_TCP: _, ...without } = env('http://h')
    expect(() => SpiffeGatewayClient.fromEnvironment(without)).toThrow(/LLM_GATEWAY_SOCKET/)
    expect(() =>
      SpiffeGatewayClient.fromEnvironment({ ...without, SAGE_SANCTUM_ALLOW_TCP: '0' }),
    ).toThrow(ConfigurationError)
    expect(() =>
      SpiffeGatewayClient.fromEnvironment({ ...env('http://h'), SPIFFE_JWT_PATH: '' }),
    ).toThrow(/SPIFFE_JWT_PATH/)
  })
})

describe('direct mode', () => {
  test.each(['nonsense', 'ftp://host', 'https://user:hunter22@host/v1'])(
    'the base URL %s is 43, and is not repeated',
    (url) => {
      const env = { OPENAI_BASE_URL: url }
      const direct = new DirectProviderClient({ env, allowDirect: true })
      expect(() => direct.getEndpoint('openai')).toThrow(ConfigurationError)
      expect(() => direct.getEndpoint('openai')).toThrow(/^OPENAI_BASE_URL (?!.*hunter22)/)
    },
  )

  test('sage §19: without permission it cannot be made: 43', () => {
    for (const value of [undefined, '', '0', 'false', 'no', 'yes', '2']) {
      expect(() => new DirectProviderClient({ env: { SAGE_SANCTUM_ALLOW_DIRECT: value } })).toThrow(
        ConfigurationError,
      )
    }
    for (const value of ['1', 'true', 'TRUE', 'True']) {
      expect(
        new DirectProviderClient({ env: { SAGE_SANCTUM_ALLOW_DIRECT: value } }).isGatewayMode,
      ).toBe(false)
    }
  })

  test('has empty credentials, no token, and the provider’s own address', async () => {
    const direct = new DirectProviderClient({
      env: { ANTHROPIC_BASE_URL: 'http://localhost:1' },
      allowDirect: true,
    })
    expect(await direct.getCredentials()).toMatchObject({ spiffeJwt: '', trat: '' })
    expect(await direct.getTrat()).toBeUndefined()
    expect(direct.getEndpoint('openai')).toBe('https://api.openai.com/v1')
    expect(direct.getEndpoint('google')).toBe('https://generativelanguage.googleapis.com')
    expect(direct.getEndpoint('anthropic')).toBe('http://localhost:1')
  })

  test('a missing key is 43 and names its variable; an unknown provider uses OpenAI’s, aloud', () => {
    const lines: string[] = []
    configureLogging({ format: 'json', write: (line) => lines.push(line) })
    const env = { OPENAI_API_KEY: 'key-of-openai', GOOGLE_API_KEY: '' }
    const direct = new DirectProviderClient({ env, allowDirect: true })
    expect(() => direct.getApiKey('anthropic')).toThrow(/ANTHROPIC_API_KEY/)
    expect(() => direct.getApiKey('google')).toThrow(ConfigurationError)
    expect(direct.getApiKey('ft')).toBe('key-of-openai')
    expect(direct.getApiKey('ft')).toBe('key-of-openai')
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { event: 'unknown_provider', level: 'warning', provider: 'ft' },
    ])
  })
})
