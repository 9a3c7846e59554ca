import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  ConfigurationError,
  GatewayError,
  GatewayUnavailableError,
  RateLimitError,
} from '../errors.ts'
import {
  type Answer,
  type FakeServer,
  fakeClock,
  fakeServer,
  fakeTcpServer,
  refuse,
  respond,
} from '../fake-server.test-kit.ts'
import { configureLogging } from '../log.ts'
import { GatewayHttpClient, type HttpClientOptions } from './client.ts'

let server: FakeServer | undefined
let lines: string[] = []

beforeEach(() => {
  lines = []
  configureLogging({ format: 'json', write: (line) => lines.push(line) })
})

afterEach(async () => {
  configureLogging()
  await server?.close()
  server = undefined
})

async function client(answer: Answer, options: HttpClientOptions = {}) {
  server = await fakeServer(answer)
  const clock = fakeClock()
  const { socketPath } = server
  const http = new GatewayHttpClient({ socketPath }, { clock, random: () => 0.5, ...options })
  return { http, clock, server }
}

const events = (): Record<string, unknown>[] => lines.map((line) => JSON.parse(line))

describe('sage §21.7: pauses between attempts', () => {
  test('429, 502, 503 and 504 double the pause, with one back-off of jitter', async () => {
    const statuses = [502, 503, 504, 200]
    const { http, clock } = await client((request, n) => respond(request, statuses[n - 1] ?? 0, {}))
    expect((await http.request('GET', '/x')).status).toBe(200)
    expect(clock.slept).toEqual([750, 1250, 2250])
    expect(
      events().map(({ event, status, delay, attempt, max_retries, level }) => [
        event,
        status,
        delay,
        attempt,
        max_retries,
        level,
      ]),
    ).toEqual([
      ['gateway_retry', 502, 0.75, 1, 3, 'warning'],
      ['gateway_retry', 503, 1.25, 2, 3, 'warning'],
      ['gateway_retry', 504, 2.25, 3, 3, 'warning'],
    ])
  })

  test('a Retry-After of 5 pauses exactly 5 s', async () => {
    const { http, clock } = await client((request, n) =>
      respond(request, n === 1 ? 429 : 200, {}, n === 1 ? { 'Retry-After': '5' } : {}),
    )
    await http.request('GET', '/x')
    expect(clock.slept).toEqual([5000])
  })

  test.each([
    ['3600', 60_000],
    ['-3', 0],
    ['0.5', 500],
    ['soon', 750],
    ['1e3', 750],
  ])('Retry-After: %s pauses %i ms', async (value, ms) => {
    const { http, clock } = await client((request, n) =>
      respond(request, n === 1 ? 503 : 200, {}, { 'Retry-After': value }),
    )
    await http.request('GET', '/x')
    expect(clock.slept).toEqual([ms])
  })

  test('a Retry-After may be a date; it counts on 503 and 429, not on 502', async () => {
    const clock = fakeClock()
    const date = new Date(clock.now() + 7000).toUTCString()
    const { http } = await client(
      (request, n) => respond(request, [503, 502, 200][n - 1] ?? 0, {}, { 'Retry-After': date }),
      { clock },
    )
    await http.request('GET', '/x')
    expect(clock.slept).toEqual([7000, 1250])
  })

  test('maxRetries 0 makes one attempt', async () => {
    const { http, clock, server } = await client((request) => respond(request, 503, 'busy'), {
      maxRetries: 0,
    })
    expect((await http.request('GET', '/x')).status).toBe(503)
    expect(clock.slept).toEqual([])
    expect(server.requests).toHaveLength(1)
  })

  test('after four attempts 429 is a RateLimitError, 503 an answer', async () => {
    const { http, server: first } = await client((request) =>
      refuse(request, 429, 'rate_limited', { 'Retry-After': '90' }),
    )
    const error = await http.request('POST', '/x', { body: {} }).catch((one) => one)
    expect(error).toBeInstanceOf(RateLimitError)
    expect(error).toMatchObject({
      exitCode: 31,
      status: 429,
      code: 'rate_limited',
      requestId: 'req_1',
      retryAfterSeconds: 60,
      retryable: true,
    })
    expect(first.requests).toHaveLength(4)
    await first.close()
    const { http: other } = await client((request) => respond(request, 503, 'busy'))
    expect((await other.request('GET', '/x')).status).toBe(503)
  })

  test('a pause that would pass the deadline is not made', async () => {
    const { http, clock, server } = await client((request) => respond(request, 503, 'busy'), {
      deadlineMs: 1500,
    })
    expect((await http.request('GET', '/x')).status).toBe(503)
    expect(clock.slept).toEqual([750])
    expect(server.requests).toHaveLength(2)
  })
})

describe('sage §21.8: what a failure is called', () => {
  test('a missing socket is 32, after all attempts', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'sage-'))
    const clock = fakeClock()
    const http = new GatewayHttpClient(
      { socketPath: join(directory, 'none.sock') },
      { clock, random: () => 0 },
    )
    const error = await http.request('GET', '/x').catch((one) => one)
    expect(error).toBeInstanceOf(GatewayUnavailableError)
    expect(error).toMatchObject({ exitCode: 32, retryable: true, name: 'GatewayUnavailableError' })
    expect(clock.slept).toEqual([500, 1000, 2000])
    expect(
      events().map(({ event, attempt, max_retries }) => [event, attempt, max_retries]),
    ).toEqual([
      ['gateway_connection_retry', 1, 3],
      ['gateway_connection_retry', 2, 3],
      ['gateway_connection_retry', 3, 3],
    ])
  })

  test('a refused connection is 32', async () => {
    const { port, close } = await fakeTcpServer(() => {})
    await close()
    const http = new GatewayHttpClient({ host: '127.0.0.1', port }, { maxRetries: 0 })
    await expect(http.request('GET', '/x')).rejects.toMatchObject({ exitCode: 32 })
  })

  test('silence is 30, and tried again', async () => {
    const { http, server } = await client(() => {}, { timeoutMs: 40, maxRetries: 1 })
    const error = await http.request('GET', '/x').catch((one) => one)
    expect(error).toMatchObject({ name: 'GatewayError', exitCode: 30, retryable: true })
    expect(server.requests).toHaveLength(2)
  })

  test.each([
    ['an empty answer', ''],
    ['a short body', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'],
    ['a cut chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab'],
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    [
      'length and chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'a compressed body',
      'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\na',
    ],
    ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
    ['a folded header', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n'],
  ])('%s is 30, and tried again', async (_, text) => {
    const { http, server } = await client(({ socket }) => void socket.end(text), { maxRetries: 1 })
    await expect(http.request('GET', '/x')).rejects.toMatchObject({
      name: 'GatewayError',
      exitCode: 30,
      retryable: true,
    })
    expect(server.requests).toHaveLength(2)
  })

  test('a reset is 30, and not tried again', async () => {
    const { port, requests, close } = await fakeTcpServer(
      ({ socket }) => void socket.resetAndDestroy(),
    )
    const http = new GatewayHttpClient({ host: '127.0.0.1', port }, { clock: fakeClock() })
    await expect(http.request('GET', '/x')).rejects.toMatchObject({
      name: 'GatewayError',
      exitCode: 30,
      retryable: false,
    })
    expect(requests).toHaveLength(1)
    await close()
  })

  test('a body or a head beyond the bound is 30, at once', async () => {
    const long = 'x'.repeat(70_000)
    const { http, server: first } = await client((request) => respond(request, 200, long), {
      maxResponseBytes: 60_000,
    })
    await expect(http.request('GET', '/x')).rejects.toThrow(/larger than 60000 bytes/)
    expect(first.requests).toHaveLength(1)
    await first.close()
    const { http: other } = await client(
      ({ socket }) => void socket.end(`HTTP/1.1 200 OK\r\nA: ${long}\r\n\r\n`),
      { maxRetries: 0 },
    )
    await expect(other.request('GET', '/x')).rejects.toThrow(/headers are too large/)
  })

  test('a body without end is cut at the bound', async () => {
    const { http } = await client(
      ({ socket }) => void socket.write(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(5000)}`),
      { maxResponseBytes: 1000 },
    )
    await expect(http.request('GET', '/x')).rejects.toThrow(/larger than 1000 bytes/)
  })

  test('an invalid JSON body is 30 and quoted without tokens', async () => {
    const { http } = await client((request) =>
      respond(request, 200, 'no JSON: Bearer abcdefghijkl'),
    )
    const answer = await http.request('GET', '/x')
    expect(() => answer.json()).toThrow(/invalid JSON: no JSON: Bearer \[secret\]/)
  })
})

describe('what is sent', () => {
  test('sage §4.5: fixed headers first and last, one id for all attempts, no pooled connection', async () => {
    const { http, server } = await client((request, n) => respond(request, n < 3 ? 503 : 200, {}))
    await http.request('POST', '/v1/x?y=1', {
      headers: { 'X-Provider': 'openai' },
      body: { text: 'hé' },
    })
    const [first, second, third] = server.requests
    expect(first?.head.split('\r\n').map((line) => line.replace(/[0-9a-f-]{36}$/, '<id>'))).toEqual(
      [
        'POST /v1/x?y=1 HTTP/1.1',
        'Host: gateway.local',
        'X-Provider: openai',
        'X-Request-Id: <id>',
        'Idempotency-Key: <id>',
        'User-Agent: sage-sanctum-ts/0.1.0',
        'Connection: close',
        'Content-Type: application/json',
        'Content-Length: 14',
      ],
    )
    expect(first?.body).toBe('{"text":"hé"}')
    expect(first?.headers['idempotency-key']).toBe(first?.headers['x-request-id'])
    expect(new Set([first, second, third].map((one) => one?.headers['idempotency-key'])).size).toBe(
      1,
    )
    expect(new Set([first, second, third].map((one) => one?.socket)).size).toBe(3)
    await http.request('POST', '/v1/x', { body: {} })
    expect(server.requests[3]?.headers['x-request-id']).not.toBe(first?.headers['x-request-id'])
  })

  test('sage §4.5: header functions are asked again for every attempt', async () => {
    const tokens = ['token-1', 'token-2'].values()
    const { http, server } = await client((request, count) =>
      respond(request, count === 1 ? 503 : 200, {}),
    )
    await http.request('GET', '/x', {
      headers: async () => ({ 'Txn-Token': tokens.next().value ?? 'none' }),
    })
    expect(server.requests.map(({ headers }) => headers['txn-token'])).toEqual([
      'token-1',
      'token-2',
    ])
  })

  test.each(['a\r\nX-Evil: 1', 'a\nb', 'a\0b', 'a\u2028b'])(
    'sage §20.25: a header value %j is refused before anything is written',
    async (value) => {
      const { http, server } = await client((request) => respond(request, 200, {}))
      const error = await http
        .request('GET', '/x', { headers: { 'X-A': value } })
        .catch((one) => one)
      expect(error).toBeInstanceOf(ConfigurationError)
      expect(error.message).not.toContain('Evil')
      expect(server.requests).toEqual([])
    },
  )

  test.each([
    ['GET ', '/x', {}],
    ['GET', '/x y', {}],
    ['GET', 'http://evil/', {}],
    ['GET', '/x', { 'Transfer-Encoding': 'chunked' }],
    ['GET', '/x', { 'content-length': '5' }],
    ['GET', '/x', { 'a b': '5' }],
    ['GET', '/x', { Authorization: 'a', authorization: 'b' }],
  ])('%j %j %j cannot be sent', async (method, path, headers) => {
    const { http } = await client((request) => respond(request, 200, {}))
    await expect(http.request(method, path, { headers })).rejects.toBeInstanceOf(ConfigurationError)
  })

  test('neither socket nor host and port: GatewayError; half or too long addresses: ConfigurationError', () => {
    const make = (target: object) => () => new GatewayHttpClient(target as { socketPath: string })
    expect(make({})).toThrow(GatewayError)
    expect(make({ host: 'x' })).toThrow(GatewayError)
    expect(make({ host: 'x', port: 70_000 })).toThrow(ConfigurationError)
    expect(make({ socketPath: `/${'x'.repeat(104)}` })).toThrow(ConfigurationError)
    expect(make({ socketPath: '/x', host: 'y', port: 1 })).toThrow(ConfigurationError)
    expect(new GatewayHttpClient({ socketPath: '/a/b.sock' })).toMatchObject({
      isUnixSocket: true,
      endpoint: 'unix:///a/b.sock',
    })
    expect(new GatewayHttpClient({ host: 'h', port: 80 }).isUnixSocket).toBe(false)
    expect(() => new GatewayHttpClient({ host: 'h', port: 80 }, { timeoutMs: Number.NaN })).toThrow(
      /timeoutMs/,
    )
  })
})

describe('how a call ends early', () => {
  test('the caller’s own reason comes back, while connecting, waiting and pausing', async () => {
    const { http } = await client(() => {})
    const reason = new Error('enough')
    const controller = new AbortController()
    const call = http.request('GET', '/x', { signal: controller.signal })
    setTimeout(() => controller.abort(reason), 20)
    await expect(call).rejects.toBe(reason)
    await expect(http.request('GET', '/x', { signal: controller.signal })).rejects.toBe(reason)
    await expect(http.requestStream('GET', '/x', { signal: controller.signal })).rejects.toBe(
      reason,
    )
  })

  test('the deadline ends a call that hangs', async () => {
    const { http, server } = await client(() => {}, { deadlineMs: 50 })
    await expect(http.request('GET', '/x')).rejects.toMatchObject({
      name: 'GatewayError',
      retryable: true,
      message: expect.stringContaining('within 50 ms'),
    })
    expect(server.requests).toHaveLength(1)
  })

  test('healthCheck: one attempt, true for 200 alone', async () => {
    const { http, server } = await client((request, n) =>
      respond(request, n === 1 ? 200 : 503, { status: 'ok' }),
    )
    expect(await http.healthCheck()).toBe(true)
    expect(server.requests[0]).toMatchObject({ method: 'GET', path: '/health' })
    expect(await http.healthCheck()).toBe(false)
    expect(server.requests).toHaveLength(2)
    await server.close()
    expect(await http.healthCheck()).toBe(false)
  })

  test('healthCheck gives up on silence', async () => {
    const { http } = await client(() => {})
    expect(await http.healthCheck({ timeoutMs: 30 })).toBe(false)
  })
})
