/** Providers that hang, break, lie, or say what was meant for them alone. */
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { leaksIn } from '../harness/needles.ts'
import { CREDENTIALS, type SecurityWorld, startSecurityWorld } from './security-world.ts'
import type { GatewayNode } from './world.ts'

let world: SecurityWorld
let node: GatewayNode
let token: string
type Handler = Parameters<SecurityWorld['upstreamDoes']>[0]

beforeAll(async () => {
  world = await startSecurityWorld({
    retry_max_retries: 0,
    cb_fail_threshold: 10_000,
    cache_enabled: false,
  })
  node = world.node
  token = (await node.caller({ scopes: ['*'], guards: { allowedDomains: [world.host] } })).token
})
afterAll(() => world[Symbol.asyncDispose]())

const find = (params: object = {}) => node.call(token, 'crm:find', params)
const add = (params: object = {}) => node.call(token, 'crm:add', params)
const page = (path = '/page') =>
  node.call(token, 'http_fetch:get', { url: world.at(path), timeout: 1_000 })

/** Bytes as no HTTP library would send them. */
const bytes =
  (text: string | Uint8Array, { end = true } = {}): Handler =>
  (_request, reply) => {
    if (end) reply.socket?.end(text)
    else reply.socket?.write(text)
  }

async function assertWell(): Promise<void> {
  for (let n = 0; n < 3; n += 1) {
    world.upstreamDoes((_request, reply) => void reply.end(`{"well":${n}}`))
    const [own, fetched] = await Promise.all([find(), page()])
    expect([own.status, own.json.data]).toEqual([200, { well: n }])
    expect([fetched.status, fetched.json.data?.body]).toEqual([200, `{"well":${n}}`])
  }
}

describe('a provider that', () => {
  test.each<[string, Handler]>([
    ['never answers', () => undefined],
    [
      'stops after its headers',
      bytes('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', { end: false }),
    ],
    [
      'stops in the middle of its body',
      bytes('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab', { end: false }),
    ],
    ['stops in the middle of a header', bytes('HTTP/1.1 200 OK\r\nConte', { end: false })],
    [
      'sends one byte now and then',
      (_request, reply) => {
        reply.writeHead(200, { 'content-type': 'text/plain' })
        const timer = setInterval(() => reply.write('a'), 100)
        reply.on('close', () => clearInterval(timer))
      },
    ],
  ])('%s costs its time and no more', async (_kind, handler) => {
    world.upstreamDoes(handler)
    const startedMs = performance.now()
    const { status, json } = await page()
    expect([status, json.code]).toEqual([504, 'UPSTREAM_TIMEOUT'])
    expect(performance.now() - startedMs).toBeLessThan(2_000)
    await assertWell()
  })

  test.each<[string, Handler]>([
    ['resets', (_request, reply) => void reply.socket?.resetAndDestroy()],
    ['hangs up', (_request, reply) => void reply.socket?.destroy()],
    ['breaks off', bytes('HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc')],
    [
      'breaks off between chunks',
      bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab'),
    ],
    ['speaks no HTTP', bytes('220 smtp.example ESMTP\r\n')],
    ['speaks an older HTTP', bytes('{"a":1}')],
    [
      'has two lengths',
      bytes('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} '),
    ],
    ['has a length below zero', bytes('HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}')],
    [
      'has a length and chunks',
      bytes('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    ],
    [
      'has chunks that are none',
      bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'),
    ],
    ['has too many headers', bytes(`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(2_000_000)}\r\n\r\n`)],
    [
      'says "continue" for ever',
      (_request, reply) => {
        const timer = setInterval(() => reply.socket?.write('HTTP/1.1 100 Continue\r\n\r\n'), 50)
        reply.socket?.on('close', () => clearInterval(timer))
      },
    ],
    ['has NUL in a header', bytes('HTTP/1.1 200 OK\r\nX: a\u0000b\r\nContent-Length: 0\r\n\r\n')],
  ])('%s is at fault, whoever asks', async (_kind, handler) => {
    world.upstreamDoes(handler)
    for (const { status, json } of [await page(), await find(), await add()])
      expect([status, json.code]).toEqual([502, 'UPSTREAM_FAILED'])
    await assertWell()
  })

  test('says more than its length leaves nothing for whoever comes next', async () => {
    const second = 'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"poison":true}'
    for (let n = 0; n < 5; n += 1) {
      world.upstreamDoes(
        bytes(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}${second}`, { end: false }),
      )
      const answers = [await find(), await page()]
      for (const { json } of answers) expect(JSON.stringify(json)).not.toContain('poison')
      await sleep(20)
      await assertWell()
    }
  })

  test('answers before it was asked is not listened to', async () => {
    world.upstreamDoes((_request, reply) => {
      const { socket } = reply
      reply.end('{"well":true}')
      setTimeout(
        () => socket?.write('HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"poison":true}'),
        10,
      )
    })
    expect((await find()).json.data).toEqual({ well: true })
    await sleep(50)
    await assertWell()
  })

  test.each([
    [401, 502, 'UPSTREAM_AUTH'],
    [403, 502, 'UPSTREAM_AUTH'],
    [407, 502, 'UPSTREAM_AUTH'],
    [400, 422, 'UPSTREAM_REJECTED'],
    [404, 422, 'UPSTREAM_REJECTED'],
    [302, 422, 'UPSTREAM_REJECTED'],
    [500, 502, 'UPSTREAM_FAILED'],
    [599, 502, 'UPSTREAM_FAILED'],
  ])('R-13: answers %i is told as %i, without a word of its own', async (own, status, code) => {
    world.upstreamDoes((_request, reply) => {
      reply.writeHead(own, { 'www-authenticate': 'Basic', location: '/elsewhere' })
      reply.end('{"error":"their own words"}')
    })
    for (const answer of [
      await find(),
      await node.call(token, 'serpapi:search', { q: `${own}` }),
      await node.call(token, 'gmail_send:profile', {}),
    ]) {
      expect([answer.status, answer.json.code], answer.json.error).toEqual([status, code])
      expect(JSON.stringify(answer.json)).not.toContain('their own words')
      expect(answer.headers.get('www-authenticate')).toBeNull()
      expect(answer.headers.get('location')).toBeNull()
    }
  })

  test.each([
    ['12', '12'],
    ['0', '1'],
    ['-5', '1'],
    ['1.5', '1'],
    ['Wed, 21 Oct 2015 07:28:00 GMT', '1'],
    ['soon', '1'],
    ['9'.repeat(400), undefined],
    [undefined, '1'],
  ])('R-5: throttles us until %s is told in whole seconds', async (theirs, ours) => {
    world.upstreamDoes((_request, reply) => {
      reply.writeHead(429, theirs === undefined ? {} : { 'retry-after': theirs })
      reply.end('{}')
    })
    const { status, headers, json } = await find()
    expect([status, json.code]).toEqual([429, 'UPSTREAM_RATE_LIMITED'])
    expect(headers.get('retry-after')).toMatch(/^[1-9]\d{0,9}$/)
    if (ours !== undefined) expect(headers.get('retry-after')).toBe(ours)
    expect(json.retry_after).toBe(Number(headers.get('retry-after')))
  })

  test.each([
    ['no JSON', '<p>hello'],
    ['half of JSON', '{"a":'],
    ['nothing', ''],
    ['JSON that is too deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
    [
      'keys of prototypes',
      '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}',
    ],
    ['broken UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
  ])('answers %s breaks nothing', async (_kind, body) => {
    world.upstreamDoes((_request, reply) => {
      reply.writeHead(200, { 'content-type': 'application/json' })
      reply.end(body)
    })
    for (const { status, json } of [
      await find(),
      await page(),
      await node.call(token, 'openai:chat', { input: 'a' }),
      await node.call(token, 'gmail_send:profile', {}),
    ])
      expect([200, 502], JSON.stringify(json)).toContain(status)
    expect(({} as { admin?: boolean }).admin).toBeUndefined()
    await assertWell()
  })
})

describe('a provider that gives the credential back', () => {
  const KEYS = Object.values(CREDENTIALS)
  const echoes: [string, (heard: string) => Buffer | string, Record<string, string>?][] = [
    ['as it is', (key) => `{"key":"${key}"}`],
    ['percent-encoded', (key) => `{"key":"${encodeURIComponent(key)}"}`],
    [
      'percent-encoded in full',
      (key) => `{"key":"${[...key].map((c) => `%${c.charCodeAt(0).toString(16)}`).join('')}"}`,
    ],
    [
      'in JSON escapes',
      (key) =>
        `{"key":"${[...key].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"}`,
    ],
    ['in base64', (key) => `{"key":"${Buffer.from(key).toString('base64')}"}`],
    ['in base64 of more', (key) => `{"key":"${Buffer.from(`user:${key}:x`).toString('base64')}"}`],
    ['in hex', (key) => `{"key":"${Buffer.from(key).toString('hex')}"}`],
    ['as a name', (key) => `{"${key}":1}`],
    ['in gzip', (key) => gzipSync(`{"key":"${key}"}`), { 'content-encoding': 'gzip' }],
    ['in brotli', (key) => brotliCompressSync(`{"key":"${key}"}`), { 'content-encoding': 'br' }],
    ['in deflate', (key) => deflateSync(`{"key":"${key}"}`), { 'content-encoding': 'deflate' }],
    [
      'in UTF-16',
      (key) => Buffer.from(`{"key":"${key}"}`, 'utf16le'),
      { 'content-type': 'application/json; charset=utf-16le' },
    ],
  ]
  beforeEach(() => expect(KEYS.every((key) => key.length > 10)).toBe(true))

  test.each(echoes)('%s gives it to nobody', async (_kind, body, headers = {}) => {
    for (const [status, place] of [
      [200, 'body'],
      [400, 'body'],
      [500, 'body'],
      [200, 'headers'],
      [302, 'headers'],
    ] as const) {
      world.upstreamDoes((request, reply) => {
        const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
        const key = bearer ?? new URL(request.url, 'http://x').searchParams.get('api_key') ?? ''
        expect(KEYS).toContain(key)
        const encoded = body(key)
        reply.statusCode = status
        if (place === 'headers' && typeof encoded === 'string') {
          for (const name of ['etag', 'cache-control', 'location', 'content-language', 'x-key'])
            reply.setHeader(name, `"${encoded.replace(/["\\]/g, '')}"`)
          reply.end('{}')
          return
        }
        for (const [name, value] of Object.entries(headers)) reply.setHeader(name, value)
        reply.end(encoded)
      })
      const answers = await Promise.all([
        find(),
        add({ note: 'a' }),
        node.call(token, 'serpapi:search', { q: 'a' }),
        node.call(token, 'openai:chat', { input: 'a' }),
        node.call(token, 'gmail_send:send', { to: 'a@b.example', subject: 'a', body: 'b' }),
        node.call(token, 'gmail_send:profile', {}),
      ])
      for (const { json, headers: told } of answers) {
        const text = JSON.stringify([json, [...told]])
        for (const key of KEYS)
          expect(leaksIn(text, key), `${status} ${place}: ${text}`).toEqual([])
        for (const key of KEYS) expect(text).not.toContain(JSON.stringify(key).slice(1, -1))
      }
    }
  })

  test('in the link to its next page gives nobody the key of the search', async () => {
    const key = CREDENTIALS['serpapi'] ?? ''
    world.upstreamDoes((request, reply) => {
      const own = new URL(request.url, world.at(''))
      reply.end(
        JSON.stringify({
          serpapi_pagination: { next: `${own.href}&start=10` },
          search_metadata: { raw: request.url, form: own.searchParams.toString() },
        }),
      )
    })
    const { status, json } = await node.call(token, 'serpapi:search', { q: 'bakery' })
    expect(status).toBe(200)
    const text = JSON.stringify(json)
    expect(text).toContain('bakery')
    expect(leaksIn(text, key)).toEqual([])
    expect(text).not.toContain(new URLSearchParams({ k: key }).toString().slice(2))
  })

  test('R-71: a caller cannot send the key elsewhere, nor its own in its place', async () => {
    world.upstreamDoes((_request, reply) => void reply.end('{}'))
    const before = world.upstream.seen.length
    const params = {
      q: 'a',
      api_key: 'mine',
      API_KEY: 'mine',
      output: 'html',
      'api_key ': 'x',
      async: true,
      no_cache: true,
    }
    await node.call(token, 'serpapi:search', params)
    const [seen] = world.upstream.seen.slice(before)
    const query = new URL(seen?.url ?? '', 'http://x').searchParams
    expect(query.getAll('api_key')).toEqual([CREDENTIALS['serpapi']])
    expect([...query.keys()].sort()).toEqual(['api_key', 'engine', 'num', 'q', 'start'])
  })
})
