/** A credential that goes out as a query parameter, and comes back in no form whatsoever. */
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { Secret } from '../seal/secret.ts'
import { buildInjection, checkInjection } from './injection.ts'
import { send } from './send.ts'
import { type Handler, startRawUpstream, startUpstream } from './testing/upstream.ts'
import { createWorld, GRANT, requestFor } from './testing/world.ts'

const SECRET = 'k3y/+"ä&b=%9z~'
const ENCODED = 'k3y%2F%2B%22%C3%A4%26b%3D%259z~'
const SPEC = { query: 'api_key' }

const at = (port: number, path = '/') => `http://api.example.com:${port}${path}`
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

const SHAPES = [
  SECRET,
  ENCODED,
  ENCODED.toLowerCase(),
  encodeURIComponent(ENCODED),
  JSON.stringify(SECRET).slice(1, -1),
  Buffer.from(SECRET).toString('base64').slice(0, -2),
  Buffer.from(ENCODED).toString('base64').slice(0, -2),
  Buffer.from(SECRET).toString('hex'),
]

function expectNoTrace(outcome: unknown): void {
  const body =
    typeof outcome === 'object' && outcome !== null && 'body' in outcome
      ? text(outcome.body as Uint8Array)
      : ''
  const seen = inspect(outcome, { depth: 9, showHidden: true }) + JSON.stringify(outcome) + body
  for (const shape of SHAPES) expect(seen).not.toContain(shape)
}

const refused = expect.objectContaining({ code: 'INVALID_PARAMS' })

describe('what goes out', () => {
  test.each([
    ['/search', `/search?api_key=${ENCODED}`],
    ['/search?', `/search?api_key=${ENCODED}`],
    ['/search?q=a%20b&num=3', `/search?q=a%20b&num=3&api_key=${ENCODED}`],
    ['/search?q=1#api_key=x', `/search?q=1&api_key=${ENCODED}`],
  ])('%s, with the parameter at its end', async (path, arrived) => {
    await using upstream = await startUpstream((_, reply) => void reply.end('ok'))
    await using world = createWorld()
    await send(requestFor(at(upstream.port, path), { secret: SECRET, spec: SPEC }), world.deps)
    expect(upstream.seen.map(({ url }) => url)).toEqual([arrived])
    const query = new URL(at(upstream.port, arrived)).searchParams
    expect(query.getAll('api_key')).toEqual([SECRET])
  })

  test('neither logins of the agent nor a credential header', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end('ok'))
    await using world = createWorld()
    const headers: [string, string][] = [
      ['Authorization', 'Bearer of-the-agent'],
      ['Cookie', 'a=b'],
    ]
    const options = { secret: SECRET, spec: SPEC, headers }
    await send(requestFor(at(upstream.port), options), world.deps)
    expect(upstream.seen[0]?.headers).not.toHaveProperty('authorization')
    expect(upstream.seen[0]?.headers).not.toHaveProperty('cookie')
    await send(requestFor(at(upstream.port), { ...options, allowAgentAuth: true }), world.deps)
    expect(upstream.seen[1]?.headers.authorization).toBe('Bearer of-the-agent')
  })

  test('nothing when the URL fills the parameter itself, in whatever case', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end('ok'))
    await using world = createWorld()
    for (const query of ['api_key=mine', 'a=1&api_key', 'API_KEY=', 'api%5Fkey=x']) {
      const request = requestFor(at(upstream.port, `/?${query}`), { secret: SECRET, spec: SPEC })
      await expect(send(request, world.deps), query).rejects.toThrow(refused)
    }
    expect(upstream.connections()).toBe(0)
  })
})

test('the parameter has a plain name', () => {
  for (const query of ['', 'a b', 'a=b', 'a&b', 'a%62', 'ä', 'a\r\n', 'a[]', 'a'.repeat(65)]) {
    expect(() => checkInjection({ query }), query).toThrow(refused)
    expect(() => buildInjection({ query }, Secret.copy(Buffer.from(SECRET))), query).toThrow(
      refused,
    )
  }
  expect(checkInjection({ query: 'api-key.v1_~' })).toBe('api-key.v1_~')
})

test('a secret that no query can carry, or that is too short, is unusable', () => {
  const unusable = expect.objectContaining({ code: 'UNUSABLE_CREDENTIAL' })
  for (const bytes of ['abcd\n', 'ab\0cd', 'ab\u007fcd', 'abc', '']) {
    expect(() => buildInjection(SPEC, Secret.copy(Buffer.from(bytes)))).toThrow(unusable)
  }
  expect(() => buildInjection(SPEC, Secret.copy(Buffer.of(0x61, 0x62, 0xff, 0x63)))).toThrow(
    unusable,
  )
})

test('disposing wipes the encoded value', () => {
  const injection = buildInjection(SPEC, Secret.copy(Buffer.from(SECRET)))
  const { bytes } = injection.value
  expect(text(bytes)).toBe(ENCODED)
  injection[Symbol.dispose]()
  expect(bytes.every((byte) => byte === 0)).toBe(true)
})

describe('what comes back', () => {
  const ECHOES: [name: string, Handler][] = [
    ['the raw URL in the body', ({ url }, reply) => void reply.end(`you asked for ${url}`)],
    [
      'the URL in gzip',
      ({ url }, reply) => void reply.setHeader('content-encoding', 'gzip').end(gzipSync(url)),
    ],
    ['the parsed value as JSON', (_, reply) => void reply.end(JSON.stringify({ key: SECRET }))],
    ['an encoded URL', ({ url }, reply) => void reply.end(encodeURIComponent(url))],
    ['lower-case escapes', ({ url }, reply) => void reply.end(url.toLowerCase())],
    ['base64 of the URL', ({ url }, reply) => void reply.end(Buffer.from(url).toString('base64'))],
    ['a header', ({ url }, reply) => void reply.setHeader('x-request-url', url).end()],
    [
      'a link header with another host',
      ({ url }, reply) =>
        void reply.setHeader('link', `<https://next.example${url}&start=2>`).end(),
    ],
    [
      'a location nobody follows',
      ({ url }, reply) => void reply.writeHead(301, { location: `${url}&x=1` }).end(),
    ],
  ]

  test.each(ECHOES)('%s holds no credential', async (_name, handler) => {
    await using upstream = await startUpstream(handler)
    await using world = createWorld()
    const options = { secret: SECRET, spec: SPEC, followRedirects: false }
    const result = await send(requestFor(at(upstream.port, '/s?q=1'), options), world.deps)
    expectNoTrace(result)
    expect(result.redactions.count).toBeGreaterThan(0)
    expect(result.url).toBe(at(upstream.port, '/s?q=1'))
    expect(result.target.queryNames).toEqual(['q'])
  })

  test('an error of the HTTP parser that quotes the URL holds none either', async () => {
    await using upstream = await startRawUpstream((socket) => {
      socket.once('data', (data: Buffer) => {
        const line = data.toString('latin1').split('\r\n', 1)[0]
        socket.end(`HTTP/1.1 200 OK\r\nbad header ${line}\r\n\r\n`)
      })
    })
    await using world = createWorld()
    const request = requestFor(at(upstream.port), { secret: SECRET, spec: SPEC })
    const failure = await send(request, world.deps).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'UPSTREAM_ERROR' })
    expectNoTrace(failure)
  })
})

describe('redirects', () => {
  test('the credential goes to the first hop only', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      if (url.startsWith('/old')) reply.writeHead(302, { location: '/new?q=1' })
      reply.end('done')
    })
    await using world = createWorld()
    const authorized: string[] = []
    const request = requestFor(at(upstream.port, '/old?q=1'), {
      secret: SECRET,
      spec: SPEC,
      authorize: (target) => {
        authorized.push(target.href)
        return GRANT
      },
    })
    const result = await send(request, world.deps)
    expect(upstream.seen.map(({ url }) => url)).toEqual([`/old?q=1&api_key=${ENCODED}`, '/new?q=1'])
    expect(authorized).toEqual([at(upstream.port, '/old?q=1'), at(upstream.port, '/new?q=1')])
    expectNoTrace(result)
  })

  test('one that repeats the query is refused before policy hears of it', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      reply.writeHead(301, { location: url.replace('/old', '/new') }).end()
    })
    await using world = createWorld()
    const authorized: string[] = []
    const request = requestFor(at(upstream.port, '/old?q=1'), {
      secret: SECRET,
      spec: SPEC,
      authorize: (target) => {
        authorized.push(target.href)
        return GRANT
      },
    })
    const failure = await send(request, world.deps).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'REDIRECT_BLOCKED' })
    expectNoTrace(failure)
    expect(authorized).toHaveLength(1)
    expect(upstream.seen).toHaveLength(1)
  })
})
