/** An agent that may call one upstream, and tries to make more of the request than it was given. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Handler,
  startUpstream,
  type Upstream,
} from '../../packages/server/src/egress/testing/upstream.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { RawClient } from '../harness/raw-client.ts'
import { codeOf } from '../harness/refusal.ts'

const SECRET = 'tok_5f0c2d7be1a94c3f'
let vestry: TestDaemon
let client: RawClient
let upstream: Upstream
let answer: Handler = (_request, reply) => reply.end('fine')

beforeAll(async () => {
  upstream = await startUpstream((request, reply) => answer(request, reply))
  vestry = await startTestDaemon({ config: { egress: { allow_cidrs: ['127.0.0.1/32'] } } })
  client = await vestry.agent(await vestry.addAgent('scout'))
  await vestry.addCredential('up/a', SECRET)
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'up',
        principals: ['agent:scout'],
        resources: ['up/*'],
        actions: ['use:http_request'],
        hosts: [`127.0.0.1:${upstream.port}/api/*`, 'example.com', '*.example.org'],
        methods: ['GET'],
        allow_http: true,
      },
    ],
  })
})
afterAll(async () => {
  await vestry.stop()
  await upstream[Symbol.asyncDispose]()
})

const at = (path: string) => `http://127.0.0.1:${upstream.port}${path}`
const send = (params: Record<string, unknown>) =>
  client.call('use', { path: 'up/a', operation: 'http_request', params })

describe('paths', () => {
  test.each([
    '/admin',
    '/api/../admin',
    '/api/%2e%2e/admin',
    '/api/.%2e/admin',
    '/api/..%2fadmin',
    '/api/..%5cadmin',
    '/api/%252e%252e/admin',
    '/api/%252e%252e%252fadmin',
    '/api/..;/admin',
    '/api/..;x=y/admin',
    '/api/\\..\\..\\admin',
    '/api/%c0%ae%c0%ae/admin',
    '/api/%c0%ae%c0%ae%c0%afadmin',
    '/api/%e0%80%ae%e0%80%ae/admin',
    '/api/%ff/admin',
    '/api/a%00',
    '/API/a',
    '//api/a',
    '/%61dmin',
    '/api',
  ])('%s is not under /api/', async (path) => {
    const before = upstream.seen.length
    expect(await codeOf(send({ url: at(path) }))).toMatch(/ACCESS_DENIED|INVALID_PARAMS/)
    expect(upstream.seen).toHaveLength(before)
  })

  test.each(['/api/a', '/api/%61', '/api/a%20b', '/api/%C3%A4', '/api/a..b'])(
    '%s is',
    async (path) => {
      expect(await send({ url: at(path) })).toMatchObject({ status: 200 })
    },
  )
})

describe('hosts', () => {
  test.each([
    'https://example.com.evil.test/',
    'https://example.com@evil.test/',
    'https://example.com%40evil.test/',
    'https://example.com:443@evil.test/',
    'https://evil.test#@example.com/',
    'https://evil.test\\@example.com/',
    'https://evil.test/?@example.com',
    'https://example.com%2eevil.test/',
    'https://example.com%00.evil.test/',
    'https://example.com../',
    'https://example.com:8443/',
    'https://example.org/',
    'https://a.b.example.org/',
    'https://.example.org/',
    'https://evil.test。example.org/',
    'https://evilexample.com/',
    'https://example.com%E3%80%82evil.test/',
    'https://ex\u00adample.com.evil.test/',
    'http://[::ffff:127.0.0.1]/api/',
    'http://[::ffff:0:127.0.0.1]/api/',
    'http://[::127.0.0.1]/api/',
    'http://[fe80::1%25eth0]/api/',
    'http://127.1/api/',
    'http://localhost/api/',
    'http://0/api/',
    'https:example.com',
    '//example.com/',
    'https:/\\evil.test/',
    'https:///evil.test/',
  ])('%s reaches nobody', async (url) => {
    const before = upstream.seen.length
    expect(await codeOf(send({ url, timeout_ms: 2_000 }))).toMatch(
      /ACCESS_DENIED|INVALID_PARAMS|SSRF_BLOCKED/,
    )
    expect(upstream.seen).toHaveLength(before)
  })
})

describe('headers', () => {
  test('neither smuggle a second request, nor name another host, path or method', async () => {
    await send({
      url: at('/api/a'),
      headers: [
        ['Content-Length', '4'],
        ['content-length', '5'],
        ['Transfer-Encoding', 'chunked'],
        ['transfer-encoding', 'identity, chunked'],
        ['Host', 'evil.test'],
        ['Connection', 'keep-alive, X-Mine'],
        ['Upgrade', 'h2c'],
        ['HTTP2-Settings', 'AAMAAABkAAQAAP__'],
        ['Expect', '100-continue'],
        ['X-Forwarded-Host', 'evil.test'],
        ['Forwarded', 'host=evil.test'],
        ['X-HTTP-Method-Override', 'DELETE'],
        ['X-HTTP-Method', 'DELETE'],
        ['X-Method-Override', 'DELETE'],
        ['X-Original-URL', '/admin'],
        ['X-Rewrite-URL', '/admin'],
        ['X-Host', 'evil.test'],
        ['X-Original-Host', 'evil.test'],
        ['X-Mine', 'dropped, since Connection names it'],
        ['Authorization', 'Bearer of the agent'],
        ['authorization', 'Bearer again'],
        ['X-Kept', 'yes'],
      ],
    })
    const seen = upstream.seen.at(-1)
    expect(seen).toMatchObject({ method: 'GET', url: '/api/a' })
    const { host, connection, ...rest } = seen?.headers ?? {}
    expect(host).toBe(`127.0.0.1:${upstream.port}`)
    expect(connection).toBe('keep-alive')
    expect(rest).toEqual({
      accept: '*/*',
      'accept-encoding': 'gzip, deflate, br',
      authorization: `Bearer ${SECRET}`,
      'user-agent': expect.stringMatching(/^sanctum-vault\//),
      'x-kept': 'yes',
    })
  })

  test.each([
    ['a\r\nX-Injected: 1', 'x'],
    ['X-A', 'b\r\nX-Injected: 1'],
    ['X-A', 'b\nGET /admin HTTP/1.1'],
    ['X-A', 'b\u0000'],
    ['X-A:', 'b'],
    ['X A', 'b'],
    ['', 'b'],
    ['X-A', '\u010a'],
    ['X-A', 'b\u0085'.replace('\u0085', '\u2028')],
    ['Xİ', 'b'],
  ])('%j: %j is no header', async (name, value) => {
    expect(await codeOf(send({ url: at('/api/a'), headers: [[name, value]] }))).toBe(
      'INVALID_PARAMS',
    )
  })

  test.each([
    { header_type: 'custom', header_name: 'Host' },
    { header_type: 'custom', header_name: 'hOsT' },
    { header_type: 'custom', header_name: 'Content-Length' },
    { header_type: 'custom', header_name: 'Transfer-Encoding' },
    { header_type: 'custom', header_name: 'Cookie' },
    { header_type: 'custom', header_name: 'Proxy-Authorization' },
    { header_type: 'custom', header_name: 'X-Forwarded-For' },
    { header_type: 'custom', header_name: 'X-A\r\nB' },
    { header_type: 'custom', header_name: 'X-A', header_prefix: 'a\r\nX-B: ' },
    { header_type: 'basic', username: 'a:b' },
    { header_type: 'basic', username: 'a\r\nX: b' },
    { header_type: '__proto__' },
  ])('the secret does not go into %j', async (injection) => {
    expect(await codeOf(send({ url: at('/api/a'), ...injection }))).toBe('INVALID_PARAMS')
  })
})

test('a hostile reply is neither believed nor passed on', async () => {
  answer = (_request, reply) => {
    reply.setHeader('__proto__', 'x')
    reply.setHeader('constructor', 'y')
    reply.setHeader('content-type', 'text/plain')
    reply.setHeader('x-echo', `Bearer ${SECRET}`)
    reply.setHeader('proxy-authenticate', 'Basic')
    reply.end(`{"token":"${SECRET}"}`)
  }
  const got = await send({ url: at('/api/a') })
  expect(JSON.stringify(got)).not.toContain(SECRET)
  expect(got.headers).toMatchObject({ 'x-echo': '[REDACTED]' })
  expect(got.headers).not.toHaveProperty('proxy-authenticate')
  expect(Object.keys(got.headers)).toContain('__proto__')
  answer = (_request, reply) => reply.end('fine')
})
