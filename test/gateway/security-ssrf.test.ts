/** Where `http_fetch` may not go, as a client sees it that may ask for anything. */
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../packages/server/src/egress/testing/upstream.ts'
import { type SecurityWorld, startSecurityWorld } from './security-world.ts'
import type { HttpAnswer } from './world.ts'

let world: SecurityWorld
let anywhere: { id: string; token: string }
let listed: { id: string; token: string }
/** Answers on loopback, and no policy names it. */
let inner: Upstream

beforeAll(async () => {
  // Without a list of the tool's own, and with addresses as in production but for one port of one address.
  world = await startSecurityWorld({ http_fetch_allowed_domains: [] })
  inner = await startUpstream((_request, reply) => void reply.end('inner'))
  anywhere = await world.node.caller({ scopes: ['http_fetch:*'] })
  listed = await world.node.caller({
    scopes: ['http_fetch:*'],
    guards: { allowedDomains: ['127.0.0.1', 'localhost', 'localtest.example', 'example.com'] },
  })
})
afterAll(async () => {
  await inner[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const get = (url: string, who = listed, action: 'get' | 'head' = 'get'): Promise<HttpAnswer> =>
  world.node.call(who.token, `http_fetch:${action}`, { url })

describe('gateway §19.27: without a list of domains', () => {
  test.each(['http://example.com/', 'http://127.0.0.1/', 'http://[::1]/'])(
    '%s is not fetched',
    async (url) => {
      const { status, json } = await get(url, anywhere)
      expect([status, json.code]).toEqual([400, 'POLICY_DOMAIN_NOT_ALLOWED'])
    },
  )
})

test.each([
  ['metadata', 'http://169.254.169.254/latest/meta-data/'],
  ['metadata over IPv6', 'http://[fd00:ec2::254]/latest/'],
  ['metadata by name', 'http://metadata.google.internal/computeMetadata/v1/'],
  ['metadata by name with a dot', 'http://metadata.google.internal./computeMetadata/v1/'],
  ['private', 'http://10.0.0.1/'],
  ['private over https', 'https://192.168.0.1/'],
  ['loopback beyond the one that is open', 'http://127.0.0.2/'],
  ['IPv6 loopback', 'http://[::1]/'],
  ['mapped', 'http://[::ffff:127.0.0.2]/'],
  ['mapped in hexadecimal', 'http://[::ffff:7f00:2]/'],
  ['translated', 'http://[64:ff9b::a00:1]/'],
  ['decimal', 'http://2130706434/'],
  ['octal', 'http://0177.0.0.02/'],
  ['hexadecimal', 'http://0x7f000002/'],
  ['shortened', 'http://127.2/'],
  ['unspecified', 'http://0.0.0.0/'],
  ['unspecified, shortened', 'http://0/'],
  ['wide digits', 'http://１２７.０.０.２/'],
  ['link-local', 'http://[fe80::1]/'],
  ['carrier-grade NAT', 'http://100.64.0.1/'],
  ['multicast', 'http://224.0.0.1/'],
])('gateway §19.27: %s is refused as policy, by get and by head', async (_kind, url) => {
  for (const action of ['get', 'head'] as const) {
    for (const who of [anywhere, listed]) {
      const { status, json } = await get(url, who, action)
      expect([status, json.code], url).toEqual([
        400,
        expect.stringMatching(/^POLICY_DOMAIN_(?:BLOCKED|NOT_ALLOWED)$/),
      ])
    }
  }
})

test.each([
  ['user info', 'http://example.com@127.0.0.1/'],
  ['an empty user', 'http://@example.com/'],
  ['another scheme', 'file:///etc/passwd'],
  ['gopher', 'gopher://127.0.0.1:6379/_INFO'],
  ['no scheme', '//127.0.0.1/'],
  ['a space before', ' http://127.0.0.1/'],
  ['a line feed', 'http://127.0.0.1/\r\nX: y'],
  ['a tab in the scheme', 'ht\ttp://127.0.0.1/'],
  ['port 0', 'http://127.0.0.1:0/'],
  ['a port that is none', 'http://127.0.0.1:99999/'],
  ['nothing', ''],
  ['a scoped address', 'http://[fe80::1%25eth0]/'],
  ['half a surrogate pair', 'http://example.com/\ud800'],
])('gateway §19.27: a URL with %s is a mistake of the caller', async (_kind, url) => {
  const { status, json } = await get(url)
  expect([status, json.error]).toEqual([
    400,
    url.includes('\ud800') ? 'Request body is not valid' : 'Parameter validation failed',
  ])
  expect(JSON.stringify(json)).not.toContain('passwd')
})

test('gateway §19.27: ports and names that nobody opened are not reached, however they are written', async () => {
  const before = inner.seen.length
  const { port } = inner
  for (const host of [
    '127.0.0.1',
    'localhost',
    'LOCALHOST',
    'localhost.',
    '2130706433',
    '127.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
  ]) {
    const answer = await get(`http://${host}:${port}/`, anywhere)
    expect([answer.status, answer.json.code], host).toEqual([
      400,
      expect.stringMatching(/^POLICY_DOMAIN_/),
    ])
  }
  expect(inner.seen.length).toBe(before)
})

test('gateway §19.27: the daemon itself is not reached, though its address is open and listed', async () => {
  const { port } = new URL(world.node.url)
  const own = await world.node.caller({
    scopes: ['http_fetch:*'],
    guards: { allowedDomains: [`127.0.0.1:${port}`, `localhost:${port}`] },
  })
  for (const host of ['127.0.0.1', 'localhost', '127.1', '[::ffff:127.0.0.1]']) {
    const { status, json } = await get(`http://${host}:${port}/health`, own)
    expect([status, json.data], host).toEqual([400, undefined])
    expect(json.code).toMatch(/^POLICY_DOMAIN_/)
  }
  world.upstreamDoes((_request, reply) => {
    reply.writeHead(302, { location: `${world.node.url}/api/agents` }).end()
  })
  const both = await world.node.caller({
    scopes: ['http_fetch:*'],
    guards: { allowedDomains: [`127.0.0.1:${port}`, world.host] },
  })
  expect((await get(world.at('/to-the-daemon'), both)).status).toBe(400)
})

test('gateway §19.27: a special-use name is reached only where policy lists the very host', async () => {
  const { node, upstream } = world
  const wild = await node.caller({
    scopes: ['http_fetch:*'],
    guards: { allowedDomains: ['host', 'corp.internal'] },
  })
  for (const name of ['local.host', 'a.localhost', 'db.corp.internal', 'x.local']) {
    const { status } = await get(`http://${name}:${upstream.port}/`, wild)
    expect(status, name).not.toBe(200)
  }
})

describe('gateway §19.27: redirects', () => {
  const goes = (location: string, status = 302) =>
    world.upstreamDoes((request, reply) => {
      if (request.url !== '/start') {
        reply.end('reached')
        return
      }
      reply.writeHead(status, { location })
      reply.end()
    })
  const start = (action: 'get' | 'head' = 'get') => get(`${world.at('/start')}`, fetcher, action)
  let fetcher: { id: string; token: string }
  beforeAll(async () => {
    fetcher = await world.node.caller({
      scopes: ['http_fetch:*'],
      guards: {
        allowedDomains: [world.host, 'example.com', '127.0.0.2', '10.0.0.1', 'localhost'],
        blockedDomains: ['blocked.example'],
      },
    })
  })

  test.each([
    'http://169.254.169.254/latest/meta-data/',
    'http://10.0.0.1/',
    'http://127.0.0.2/',
    '//127.0.0.2/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.2]/',
    'http://2130706434/',
    'http://blocked.example/',
    'http://www.blocked.example/',
    'http://BLOCKED.example./',
    'http://elsewhere.example/',
    'http://metadata.google.internal/',
    'file:///etc/passwd',
    'http://user:pass@127.0.0.1/',
  ])('to %s is not followed', async (location) => {
    for (const action of ['get', 'head'] as const) {
      goes(location)
      const { status, json } = await start(action)
      expect([400, 422], JSON.stringify(json)).toContain(status)
      expect(json.code).toMatch(/^POLICY_DOMAIN_|^UPSTREAM_REJECTED$/)
      expect(JSON.stringify(json)).not.toContain('reached')
    }
  })

  test('without end, or in a circle, is not followed either', async () => {
    world.upstreamDoes((request, reply) => {
      const step = Number(/\d+$/.exec(request.url)?.[0] ?? 0)
      reply.writeHead(302, { location: world.at(`/step/${step + 1}`) })
      reply.end()
    })
    const before = world.upstream.seen.length
    expect((await get(world.at('/step/0'), fetcher)).status).toBe(422)
    expect(world.upstream.seen.length - before).toBe(6)
    goes(world.at('/start'))
    expect((await start()).status).toBe(422)
  })

  test('within what is allowed are followed, and the last address is told', async () => {
    goes('/there')
    const { status, json } = await start()
    expect([status, json.data.url, json.data.body]).toEqual([200, world.at('/there'), 'reached'])
  })

  test('carry none of the headers that could hold a secret', async () => {
    goes('/there')
    const { seen } = world.upstream
    const before = seen.length
    await world.node.call(fetcher.token, 'http_fetch:get', {
      url: `${world.at('/start')}`,
      maxSize: 1_000,
      headers: { Authorization: 'Bearer x', Cookie: 'a=b', 'X-Api-Key': 'k', Accept: 'text/html' },
    })
    const sent = seen.slice(before)
    expect(sent).toHaveLength(2)
    for (const { headers } of sent) {
      expect(headers.accept).toBe('text/html')
      expect(headers['user-agent']).toBe('4Runr-Gateway/1.0')
      expect(Object.keys(headers)).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/authorization|cookie|x-/)]),
      )
    }
  })
})

describe('gateway §19.27: bodies', () => {
  let fetcher: { id: string; token: string }
  beforeAll(async () => {
    fetcher = await world.node.caller({
      scopes: ['http_fetch:*'],
      guards: { allowedDomains: [world.host] },
    })
  })
  const fetched = async (path: string, params: object = {}) =>
    world.node.call(fetcher.token, 'http_fetch:get', { url: world.at(path), ...params })

  test.each([
    ['with a length', true],
    ['in chunks', false],
  ])('larger than asked for are refused, %s', async (_kind, withLength) => {
    world.upstreamDoes((_request, reply) => {
      const body = Buffer.alloc(200_000, 'a')
      if (withLength) reply.setHeader('content-length', body.length)
      reply.setHeader('content-type', 'text/plain')
      reply.end(body)
    })
    const { status, json } = await fetched(`/large/${withLength}`, { maxSize: 100_000 })
    expect([status, json.code]).toEqual([422, 'RESPONSE_TOO_LARGE'])
    expect((await fetched(`/large/${withLength}`, { maxSize: 200_000 })).status).toBe(200)
  })

  test('that never end are cut off', async () => {
    let ended = false
    world.upstreamDoes((_request, reply) => {
      reply.setHeader('content-type', 'text/plain')
      const timer = setInterval(() => reply.write(Buffer.alloc(65_536, 'a')), 1)
      reply.on('close', () => {
        clearInterval(timer)
        ended = true
      })
    })
    expect((await fetched('/endless')).status).toBe(422)
    await expect.poll(() => ended).toBe(true)
  })

  test('that swell when they are decompressed are refused, and cost no memory', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
    world.upstreamDoes((_request, reply) => {
      reply.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip' })
      reply.end(bomb)
    })
    const before = process.memoryUsage().rss
    for (let n = 0; n < 5; n += 1) {
      const { status, json } = await fetched(`/bomb/${n}`, { maxSize: 5_242_880 })
      expect([status, json.code]).toEqual([422, 'RESPONSE_TOO_LARGE'])
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024)
  })

  test.each([
    ['two codings', { 'content-encoding': 'gzip, gzip' }, gzipSync(gzipSync('x'))],
    ['a coding nobody knows', { 'content-encoding': 'zstd' }, Buffer.from('x')],
    ['a coding it does not have', { 'content-encoding': 'gzip' }, Buffer.from('plain')],
    [
      'half of its coding',
      { 'content-encoding': 'gzip' },
      gzipSync('a'.repeat(999)).subarray(0, 20),
    ],
  ])('with %s are faults of the target', async (kind, headers, body) => {
    world.upstreamDoes((_request, reply) => {
      reply.writeHead(200, { 'content-type': 'text/plain', ...headers })
      reply.end(body)
    })
    const { status, json } = await fetched(`/coded/${encodeURIComponent(kind)}`)
    expect([status, json.code]).toEqual([502, 'UPSTREAM_FAILED'])
  })

  test('set no cookie and tell nothing but a few headers', async () => {
    world.upstreamDoes((_request, reply) => {
      reply.writeHead(200, {
        'content-type': 'text/plain',
        'set-cookie': 'session=1',
        'x-powered-by': 'inner',
        etag: '"1"',
        'www-authenticate': 'Basic',
      })
      reply.end('x')
    })
    const { json } = await fetched('/headers')
    expect(Object.keys(json.data.headers).sort()).toEqual(['content-type', 'etag'])
  })
})

test('a page fetched for one agent over a redirect is not shown to another who may not follow it', async () => {
  world.upstreamDoes((request, reply) => {
    if (request.url === '/outer')
      reply.writeHead(302, { location: `http://localhost:${world.upstream.port}/hidden` })
    reply.end(request.url === '/hidden' ? 'for the first one only' : '')
  })
  const both = await world.node.caller({
    scopes: ['http_fetch:get'],
    guards: { allowedDomains: [world.host, `localhost:${world.upstream.port}`] },
  })
  const one = await world.node.caller({
    scopes: ['http_fetch:get'],
    guards: { allowedDomains: [world.host] },
  })
  const first = await get(world.at('/outer'), both)
  expect([first.status, first.json.data?.body]).toEqual([200, 'for the first one only'])
  const second = await get(world.at('/outer'), one)
  expect([second.status, second.json.code]).toEqual([400, 'POLICY_DOMAIN_NOT_ALLOWED'])
})
