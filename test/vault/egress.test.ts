import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Handler,
  startRawUpstream,
  startUpstream,
  type Upstream,
} from '../../packages/server/src/egress/testing/upstream.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { leaksIn, shapesOf } from '../harness/needles.ts'
import type { RawClient, RpcFailure } from '../harness/raw-client.ts'
import { recordsOf, recordsOfRequest } from '../harness/record.ts'
import { codeOf } from '../harness/refusal.ts'

const SECRET = 'sk-live/Zq7+"quoted"&Äß-0123456789' // something to escape in every encoding
const PLAIN = 'tok_5f0c2d7be1a94c3f'

let vestry: TestDaemon
let client: RawClient
let upstream: Upstream
let answer: Handler
/** Every byte the agent was sent. */
let heard = ''

beforeAll(async () => {
  vestry = await startTestDaemon({ config: { egress: { allow_cidrs: ['127.0.0.1/32'] } } })
  client = await vestry.agent(await vestry.addAgent('scout'))
  client.socket.on('data', (chunk: Buffer) => {
    heard += chunk.toString('latin1')
  })
  upstream = await startUpstream((request, reply) => answer(request, reply))
  await vestry.addCredential('up/plain', PLAIN)
  await vestry.addCredential('up/odd', SECRET)
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'up',
        principals: ['agent:scout'],
        resources: ['up/*'],
        actions: ['use:http_request'],
        hosts: [`127.0.0.1:${upstream.port}`],
        allow_http: true,
        allow_redirects: true,
      },
      {
        name: 'wide',
        principals: ['agent:scout'],
        resources: ['wide/*'],
        actions: ['use:http_request'],
        hosts: ['*.example.com', '*.internal', '10.0.0.1:80', '169.254.169.254:80'],
        allow_http: true,
      },
    ],
  })
})
afterAll(async () => {
  await upstream[Symbol.asyncDispose]()
  await vestry.stop()
})

const url = (path = '/') => `http://127.0.0.1:${upstream.port}${path}`
const send = (params: Record<string, unknown> = {}, path = 'up/plain') =>
  client.call('use', { path, operation: 'http_request', params: { url: url(), ...params } })
const ok: Handler = (_request, reply) => reply.end('fine')

describe('http_request', () => {
  test('sends the credential, and gives back what came', async () => {
    answer = (_request, reply) => {
      reply.writeHead(201, { 'content-type': 'text/plain', 'x-a': ['1', '2'], 'set-cookie': 'a=b' })
      reply.end('héllo')
    }
    const got = await send({
      url: url('/items?a=1#part'),
      method: 'post',
      body: { n: 1 },
      query: { b: 'x y&z', c: [1, true] },
      headers: { 'X-Mine': 'yes' },
    })
    expect(got).toEqual({
      status: 201,
      headers: expect.objectContaining({ 'content-type': 'text/plain', 'x-a': '1, 2' }),
      headers_dropped: expect.any(Number),
      body: 'héllo',
      body_encoding: 'utf8',
      truncated: false,
      url: url('/items?a=1&b=x+y%26z&c=1&c=true'),
      redirects: 0,
      elapsed_ms: expect.any(Number),
      redactions: 0,
    })
    expect(got.headers).not.toHaveProperty('set-cookie')
    const seen = upstream.seen.at(-1)
    expect(seen).toMatchObject({
      method: 'POST',
      url: '/items?a=1&b=x+y%26z&c=1&c=true',
      body: '{"n":1}',
    })
    expect(seen?.headers).toMatchObject({
      authorization: `Bearer ${PLAIN}`,
      'content-type': 'application/json',
      'x-mine': 'yes',
    })
    expect((await client.call('lease_status')).leases).toEqual([])
  })

  test('any status of the upstream is a success, and a body of bytes is base64', async () => {
    for (const status of [200, 204, 304, 401, 404, 500, 503]) {
      answer = (_request, reply) => reply.writeHead(status).end()
      expect(await send(), `${status}`).toMatchObject({ status, body: '' })
    }
    const bytes = Buffer.from([0xff, 0xfe, 0, 1])
    answer = (_request, reply) => reply.end(bytes)
    expect(await send()).toMatchObject({ body: bytes.toString('base64'), body_encoding: 'base64' })
    answer = (_request, reply) => reply.end('text')
    expect(await send({ response_encoding: 'base64' })).toMatchObject({
      body: Buffer.from('text').toString('base64'),
      body_encoding: 'base64',
    })
    expect(await send({ max_response_bytes: 2 })).toMatchObject({ body: 'te', truncated: true })
  })

  test('vault §28.20: an escape-heavy body falls back to base64 and stays within a frame', async () => {
    const body = '\u0001'.repeat(2_900_000)
    answer = (_request, reply) => reply.end(body)
    const got = await send({ max_response_bytes: 3_000_000 })
    expect(got).toMatchObject({ body_encoding: 'base64', truncated: false })
    expect(Buffer.from(got.body, 'base64').toString() === body).toBe(true)
  })

  test('bad parameters are named and nothing is sent', async () => {
    const before = upstream.seen.length
    for (const params of [
      { url: undefined },
      { url: 'ftp://127.0.0.1/' },
      { url: '/relative' },
      { url: 'http://user:pw@127.0.0.1/' },
      { url: 'http://127.0.0.1/\t' },
      { method: 'TRACE' },
      { method: 'CONNECT' },
      { method: 'GE T' },
      { headers: 'x' },
      { headers: { a: 1 } },
      { headers: { 'X-A': 'a\r\nX-B: b' } },
      { headers: { 'X A': 'a' } },
      {
        headers: [
          ['Content-Type', 'a/b'],
          ['content-type', 'c/d'],
        ],
      },
      { headers: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`x-${n}`, 'a'])) },
      { headers: { 'x-long': 'a'.repeat(16 * 1024 + 1) } },
      { body: 'a', body_base64: 'AAAA' },
      { body_base64: '§' },
      { body: 7 },
      { query: ['a'] },
      { query: { a: {} } },
      { timeout_ms: 99 },
      { timeout_ms: 120_001 },
      { max_response_bytes: 3_000_001 },
      { response_encoding: 'hex' },
      { follow_redirects: 'yes' },
      { header_type: 'custom', header_name: 'Transfer-Encoding' },
    ]) {
      expect(await codeOf(send(params)), JSON.stringify(params)).toBe('INVALID_PARAMS')
    }
    expect(upstream.seen).toHaveLength(before)
  })

  test('a secret too short to be kept out of replies is not sent', async () => {
    await vestry.addCredential('up/short', 'abc')
    const before = upstream.seen.length
    await expect(send({}, 'up/short')).rejects.toMatchObject({ code: 'UNUSABLE_CREDENTIAL' })
    expect(upstream.seen).toHaveLength(before)
  })

  test('limits of the rule on method, size and content type hold', async () => {
    answer = ok
    await vestry.addCredential('strict/key', PLAIN)
    await vestry.addPolicy({
      version: 1,
      policies: [
        {
          name: 'strict',
          principals: ['agent:scout'],
          resources: ['strict/*'],
          actions: ['use:http_request'],
          hosts: [`127.0.0.1:${upstream.port}/api/*`],
          allow_http: true,
          methods: ['GET', 'POST'],
          max_request_bytes: 4,
          content_types: ['text/plain'],
          header_types: ['bearer'],
          max_response_bytes: 2,
        },
      ],
    })
    const ask = (params: object) => send({ url: url('/api/x'), ...params }, 'strict/key')
    expect(await ask({})).toMatchObject({ body: 'fi', truncated: true })
    expect(
      await ask({
        method: 'POST',
        body: 'abcd',
        headers: { 'Content-Type': 'text/plain; charset=x' },
      }),
    ).toMatchObject({ status: 200 })
    const refused: [object, string][] = [
      [{ method: 'DELETE' }, 'method_not_allowed'],
      [{ method: 'POST', body: 'abcde', headers: { 'Content-Type': 'text/plain' } }, 'too_large'],
      [{ method: 'POST', body: 'abcd' }, 'content_type_not_allowed'],
      [{ header_type: 'api_key' }, 'header_not_allowed'],
      [{ url: url('/other') }, 'host_not_allowed'],
      [{ url: url('/api/../other') }, 'host_not_allowed'],
      [{ url: url('/api/%2e%2e/other') }, 'host_not_allowed'],
    ]
    for (const [params, reason_code] of refused) {
      await expect(ask(params), JSON.stringify(params)).rejects.toMatchObject({
        code: 'ACCESS_DENIED',
        error: { context: { reason_code, action: 'use:http_request', path: 'strict/key' } },
      })
    }
  })

  test('both lists of hosts must hold, and one must exist', async () => {
    answer = ok
    const here = `127.0.0.1:${upstream.port}`
    await vestry
      .addPolicy({
        version: 1,
        policies: [
          {
            name: 'nohosts',
            principals: ['agent:scout'],
            resources: ['nohosts/*'],
            actions: ['use'],
            allow_http: true,
          },
          {
            name: 'hosts',
            principals: ['agent:scout'],
            resources: ['hosts/*'],
            actions: ['use'],
            allow_http: true,
            hosts: [here],
          },
        ],
      })
      .catch((error: RpcFailure) => expect(error.code).toBe('POLICY_INVALID'))
    await vestry.admin.call('admin.policy.put', {
      understood: true,
      files: [
        {
          name: 'r.yaml',
          text: JSON.stringify({
            version: 1,
            policies: [
              {
                name: 'nohosts',
                principals: ['agent:scout'],
                resources: ['nohosts/*'],
                actions: ['use'],
                allow_http: true,
              },
              {
                name: 'hosts',
                principals: ['agent:scout'],
                resources: ['hosts/*'],
                actions: ['use'],
                allow_http: true,
                hosts: [here],
              },
            ],
          }),
        },
      ],
    })
    const bound = (host: string) => ({ settings: { allowed_hosts: [host] } })
    await vestry.addCredential('nohosts/none', PLAIN)
    await vestry.addCredential('nohosts/here', PLAIN, bound(here))
    await vestry.addCredential('nohosts/else', PLAIN, bound('api.example.com'))
    await vestry.addCredential('hosts/none', PLAIN)
    await vestry.addCredential('hosts/here', PLAIN, bound(here))
    await vestry.addCredential('hosts/else', PLAIN, bound('api.example.com'))
    const codes: Record<string, string> = {}
    for (const list of ['nohosts', 'hosts']) {
      for (const own of ['none', 'here', 'else']) {
        codes[`${list}/${own}`] = await codeOf(send({}, `${list}/${own}`))
      }
    }
    expect(codes).toEqual({
      'nohosts/none': 'ACCESS_DENIED',
      'nohosts/here': 'ok',
      'nohosts/else': 'ACCESS_DENIED',
      'hosts/none': 'ok',
      'hosts/here': 'ok',
      'hosts/else': 'ACCESS_DENIED',
    })
    await expect(send({}, 'nohosts/none')).rejects.toMatchObject({
      error: { suggestion: expect.stringContaining('hosts') },
    })
  })
})

describe('vault §28.32: addresses that are never reached', () => {
  beforeAll(async () => {
    await vestry.addCredential('wide/key', PLAIN)
  })

  test.each([
    'http://169.254.169.254/latest/meta-data/',
    'http://[::ffff:169.254.169.254]/',
    'http://[fd00:ec2::254]/',
    'http://metadata.google.internal/',
    'http://10.0.0.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://0177.0.0.1/',
    'http://127.1/',
    'http://[::1]/',
    'http://localhost/',
    'http://localhost./',
    'http://service.internal/',
  ])('%s', async (target) => {
    const before = recordsOf(vestry).length
    const code = await codeOf(send({ url: target }, 'wide/key'))
    expect(['SSRF_BLOCKED', 'ACCESS_DENIED']).toContain(code)
    // Policy lists these two, and it does not help.
    if (/\/(10\.0\.0\.1|169\.254\.169\.254)\//.test(target)) expect(code).toBe('SSRF_BLOCKED')
    const written = recordsOf(vestry).slice(before)
    expect(written.length, 'it is in the log').toBeGreaterThan(0)
    expect(written.map(({ action }) => action)).toContain(
      code === 'SSRF_BLOCKED' ? 'egress.blocked' : 'policy.deny',
    )
  })

  test('a hole in the address rules opens that address and no other', async () => {
    await vestry.addCredential('hole/key', PLAIN)
    await vestry.addPolicy({
      version: 1,
      policies: [
        {
          name: 'hole',
          principals: ['agent:scout'],
          resources: ['hole/*'],
          actions: ['use:http_request'],
          hosts: [`127.0.0.2:${upstream.port}`],
          allow_http: true,
        },
      ],
    })
    const refused = await send({ url: `http://127.0.0.2:${upstream.port}/` }, 'hole/key').catch(
      (error: RpcFailure) => error,
    )
    expect(refused).toMatchObject({ code: 'SSRF_BLOCKED' })
    const pair = recordsOfRequest(vestry, (refused as RpcFailure).error.context.request_id)
    expect(pair.map(({ action, phase }) => `${action} ${phase}`)).toEqual([
      'credential.use intent',
      'egress.blocked single',
      'credential.use outcome',
    ])
    expect(pair[2]?.outcome).toMatchObject({ code: 'SSRF_BLOCKED' })
  })
})

describe('vault §28.33: redirects', () => {
  test('to another host the credential does not follow; the second server hears nothing', async () => {
    await using second = await startUpstream(ok)
    const allowed = await vestry.admin.call('admin.policy.put', {
      files: [
        {
          name: 'second.yaml',
          text: JSON.stringify({
            version: 1,
            policies: [
              {
                name: 'second',
                principals: ['agent:scout'],
                resources: ['up/*'],
                actions: ['use:http_request'],
                hosts: [`127.0.0.1:${second.port}`],
                allow_http: true,
                allow_redirects: true,
              },
            ],
          }),
        },
      ],
    })
    expect(allowed.created).toEqual(['vault:second'])
    for (const location of [`http://127.0.0.1:${second.port}/`, `//127.0.0.1:${second.port}/x`]) {
      answer = (_request, reply) => reply.writeHead(302, { location }).end()
      await expect(send({ follow_redirects: true })).rejects.toMatchObject({
        code: 'REDIRECT_BLOCKED',
      })
      expect(await send(), 'not followed: returned as it is').toMatchObject({
        status: 302,
        redirects: 0,
        headers: { location },
      })
    }
    expect(second.seen).toEqual([])
    expect(recordsOf(vestry, 'egress.blocked').at(-1)?.data).toMatchObject({
      code: 'REDIRECT_BLOCKED',
    })
  })

  test('within the origin they are followed, each hop decided anew, and circles end', async () => {
    answer = ({ url: path }, reply) => {
      if (path === '/a') reply.writeHead(303, { location: '/b' }).end()
      else reply.end(path)
    }
    expect(
      await send({ url: url('/a'), method: 'POST', body: 'x', follow_redirects: true }),
    ).toMatchObject({
      body: '/b',
      redirects: 1,
      url: url('/b'),
    })
    expect(upstream.seen.at(-1)).toMatchObject({ method: 'GET', url: '/b', body: '' })
    expect(upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${PLAIN}`)
    answer = ({ url: path }, reply) => reply.writeHead(302, { location: `${path}` }).end()
    await expect(send({ url: url('/round'), follow_redirects: true })).rejects.toMatchObject({
      code: 'REDIRECT_BLOCKED',
    })
  })

  test('a hop that the rule does not allow is refused, also when only its method changed', async () => {
    await vestry.addCredential('posts/key', PLAIN)
    await vestry.addPolicy({
      version: 1,
      policies: [
        {
          name: 'posts',
          principals: ['agent:scout'],
          resources: ['posts/*'],
          actions: ['use:http_request'],
          hosts: [`127.0.0.1:${upstream.port}`],
          methods: ['POST'],
          allow_http: true,
          allow_redirects: true,
        },
      ],
    })
    answer = (_request, reply) => reply.writeHead(303, { location: '/next' }).end()
    const before = upstream.seen.length
    await expect(
      send({ method: 'POST', body: 'x', follow_redirects: true }, 'posts/key'),
    ).rejects.toMatchObject({
      code: 'REDIRECT_BLOCKED',
      error: { context: { reason_code: 'method_not_allowed' } },
    })
    expect(upstream.seen).toHaveLength(before + 1)
  })
})

describe('vault §28.34: headers of the agent', () => {
  test('its Authorization never reaches the upstream, whatever the case', async () => {
    answer = ok
    for (const name of ['Authorization', 'authorization', 'AUTHORIZATION', 'aUtHoRiZaTiOn']) {
      await send({ headers: { [name]: 'Bearer mine' } })
      expect(upstream.seen.at(-1)?.rawHeaders.join('\n')).not.toContain('mine')
      expect(upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${PLAIN}`)
      await send({
        headers: [
          [name, 'Bearer mine'],
          ['Cookie', 'mine'],
        ],
        header_type: 'api_key',
      })
      expect(upstream.seen.at(-1)?.rawHeaders.join('\n')).not.toContain('mine')
      expect(upstream.seen.at(-1)?.headers['x-api-key']).toBe(PLAIN)
    }
  })

  test('what steers the connection is dropped', async () => {
    answer = ok
    await send({
      method: 'POST',
      body: 'abc',
      headers: {
        Host: 'evil.example',
        'Content-Length': '1',
        'Transfer-Encoding': 'chunked',
        Connection: 'x-mine',
        'X-Mine': 'mark',
        'Proxy-Authorization': 'mark',
        'X-Forwarded-For': 'mark',
        Forwarded: 'mark',
        Via: 'mark',
        Expect: '100-continue',
        'X-Kept': 'kept',
      },
    })
    const seen = upstream.seen.at(-1)
    expect(seen?.body).toBe('abc')
    expect(seen?.headers).toMatchObject({ host: `127.0.0.1:${upstream.port}`, 'x-kept': 'kept' })
    expect(seen?.rawHeaders.join('\n')).not.toMatch(/mark|evil/)
  })
})

describe('vault §28.35: an upstream that echoes', () => {
  const base64At = (secret: string, offset: number) =>
    Buffer.concat([Buffer.alloc(offset, 0x41), Buffer.from(secret), Buffer.from('tail')])
  const json = (secret: string) =>
    [...secret].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')
  const shapes: [string, (secret: string) => string | Buffer][] = [
    ['as it is', (secret) => `before ${secret} after`],
    ['in JSON', (secret) => JSON.stringify({ echo: secret })],
    ['in JSON, each character escaped', (secret) => `{"echo":"${json(secret)}"}`],
    ['percent-encoded', (secret) => `q=${encodeURIComponent(secret)}&r=1`],
    [
      'percent-encoded, each byte',
      (secret) =>
        [...Buffer.from(secret)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
    ],
    [
      'as HTML entities',
      (secret) => [...secret].map((char) => `&#x${char.charCodeAt(0).toString(16)};`).join(''),
    ],
    ['in base64, at the first alignment', (secret) => base64At(secret, 0).toString('base64')],
    ['in base64, at the second', (secret) => base64At(secret, 1).toString('base64')],
    ['in base64, at the third', (secret) => base64At(secret, 2).toString('base64')],
    ['in base64url', (secret) => base64At(secret, 1).toString('base64url')],
    ['in hex', (secret) => Buffer.from(secret).toString('hex')],
    ['in upper-case hex', (secret) => Buffer.from(secret).toString('hex').toUpperCase()],
    [
      'beside bytes that are no text',
      (secret) =>
        Buffer.concat([Buffer.from([0xff, 0x00]), Buffer.from(secret), Buffer.from([0xfe])]),
    ],
  ]

  /** Nothing the agent heard since, and nothing in the log, holds the secret in any shape. */
  const nothingLeaked = (what: string) => {
    const log = vestry.auditLines().join('\n')
    for (const secret of [PLAIN, SECRET]) {
      expect(leaksIn(heard, secret), `${what}: heard`).toEqual([])
      expect(leaksIn(log, secret), `${what}: logged`).toEqual([])
      const bodies = heard.match(/"body":"[A-Za-z0-9+/=]+","body_encoding":"base64"/g) ?? []
      for (const body of bodies) {
        const bytes = Buffer.from(body.split('"')[3] ?? '', 'base64')
        expect(leaksIn(bytes.toString('latin1'), secret), `${what}: base64 body`).toEqual([])
        expect(leaksIn(bytes.toString('utf8'), secret), `${what}: base64 body`).toEqual([])
      }
    }
  }

  test('the search would find what it looks for', () => {
    for (const [what, shape] of shapes.filter(([name]) => !/HTML|each/.test(name))) {
      const text = Buffer.from(shape(PLAIN)).toString('latin1')
      expect(leaksIn(text, PLAIN).length, what).toBeGreaterThan(0)
    }
    expect(shapesOf(PLAIN).length).toBeGreaterThan(8)
  })

  describe.each([
    ['plain', 'up/plain', PLAIN, {}],
    ['odd', 'up/odd', SECRET, { header_type: 'basic', username: 'ada' }],
  ])('the %s secret', (_name, path, secret, injection) => {
    test.each(shapes)(
      'body %s, at 200 and 401, plain, gzipped and in pieces',
      async (what, shape) => {
        const body = Buffer.from(shape(secret))
        for (const status of [200, 401]) {
          heard = ''
          answer = (_request, reply) => reply.writeHead(status).end(body)
          const plain = await send(injection, path)
          expect(plain.status).toBe(status)
          expect(plain.redactions).toBeGreaterThan(0)
          const text = Buffer.from(plain.body, plain.body_encoding === 'base64' ? 'base64' : 'utf8')
          expect(text.toString('latin1')).toContain('[REDACTED]')
          answer = (_request, reply) =>
            reply.writeHead(status, { 'content-encoding': 'gzip' }).end(gzipSync(body))
          expect((await send(injection, path)).redactions).toBeGreaterThan(0)
          answer = (_request, reply) => {
            reply.writeHead(status)
            reply.write(body.subarray(0, body.length >> 1))
            setTimeout(() => reply.end(body.subarray(body.length >> 1)), 5)
          }
          expect((await send(injection, path)).redactions).toBeGreaterThan(0)
          nothingLeaked(what)
        }
      },
    )
  })

  test('in header values and names, and in a location', async () => {
    heard = ''
    answer = (_request, reply) => {
      reply.setHeader('X-Echo', `Bearer ${PLAIN}`)
      reply.setHeader(`X-${PLAIN}`, 'name')
      reply.setHeader('Location', `/login?token=${PLAIN}`)
      reply.writeHead(302).end()
    }
    const got = await send()
    expect(got.redactions).toBeGreaterThan(2)
    expect(got.headers['x-echo']).toContain('[REDACTED]')
    await codeOf(send({ follow_redirects: true }))
    answer = (_request, reply) =>
      reply.writeHead(302, { location: `http://${PLAIN}.example.com/` }).end()
    await codeOf(send({ follow_redirects: true }))
    nothingLeaked('headers')
  })

  test('across the place where the reply is cut', async () => {
    heard = ''
    answer = (_request, reply) => reply.end(`${'x'.repeat(100)}${PLAIN}${'y'.repeat(100)}`)
    for (const max_response_bytes of [100, 101, 105, 110, 119, 120, 121])
      expect(await send({ max_response_bytes })).toMatchObject({ truncated: true })
    expect(heard).not.toContain(PLAIN.slice(0, 6))
    nothingLeaked('truncation')
  })

  test('in what an HTTP parser chokes on', async () => {
    heard = ''
    await using raw = await startRawUpstream((socket) => {
      socket.once('data', () => socket.end(`HTTP/1.1 200 ${PLAIN}\r\nBad Header ${PLAIN}\r\n\r\n`))
    })
    await vestry.addPolicy({
      version: 1,
      policies: [
        {
          name: 'raw',
          principals: ['agent:scout'],
          resources: ['up/*'],
          actions: ['use:http_request'],
          hosts: [`127.0.0.1:${raw.port}`],
          allow_http: true,
        },
      ],
    })
    await expect(send({ url: `http://127.0.0.1:${raw.port}/` })).rejects.toMatchObject({
      code: 'UPSTREAM_ERROR',
    })
    nothingLeaked('parser')
  })

  test('it is told to the operators: how often and where, not what', async () => {
    answer = (_request, reply) => reply.end(`${PLAIN} ${PLAIN}`)
    await send()
    expect(recordsOf(vestry, 'egress.reflection').at(-1)).toMatchObject({
      success: false,
      agent: 'scout',
      data: { severity: 'high', redactions: 2, path: 'up/plain', host: '127.0.0.1' },
    })
  })

  test('a rule may withhold the whole reply', async () => {
    await vestry.addCredential('block/key', PLAIN)
    await vestry.addPolicy({
      version: 1,
      policies: [
        {
          name: 'block',
          principals: ['agent:scout'],
          resources: ['block/*'],
          actions: ['use:http_request'],
          hosts: [`127.0.0.1:${upstream.port}`],
          allow_http: true,
          on_reflection: 'block',
        },
      ],
    })
    answer = (_request, reply) => reply.end(`it was ${PLAIN}`)
    const refused = await send({}, 'block/key').catch((error: RpcFailure) => error)
    expect(refused).toMatchObject({ code: 'UPSTREAM_ERROR' })
    expect(JSON.stringify((refused as RpcFailure).error)).not.toContain('it was')
    expect(recordsOf(vestry, 'egress.reflection').at(-1)?.data).toMatchObject({
      redactions: 1,
      path: 'block/key',
    })
  })
})

describe('vault §28.36: upstreams that misbehave', () => {
  test('a bomb, an endless body, a slow one and a reset: an error, and the agent goes on', async () => {
    answer = (_request, reply) => {
      reply.writeHead(200, { 'content-encoding': 'gzip' })
      reply.end(gzipSync(Buffer.alloc(64 * 1024 * 1024)))
    }
    expect(await send({ max_response_bytes: 1_000 })).toMatchObject({ truncated: true })
    answer = (_request, reply) => {
      const more = () =>
        reply.write('x'.repeat(65_536), () => (reply.destroyed ? undefined : more()))
      more()
    }
    expect(await send({ max_response_bytes: 1_000 })).toMatchObject({ truncated: true })
    answer = (_request, reply) => {
      reply.writeHead(200)
      const drip = setInterval(() => reply.write('.'), 20)
      reply.on('close', () => clearInterval(drip))
    }
    await expect(send({ timeout_ms: 200 })).rejects.toMatchObject({
      code: 'UPSTREAM_TIMEOUT',
      error: { message: 'Upstream request timed out' },
    })
    answer = (_request, reply) => {
      reply.writeHead(200, { 'content-length': '100' })
      reply.write('part', () => reply.socket?.resetAndDestroy())
    }
    await expect(send()).rejects.toMatchObject({ code: 'UPSTREAM_ERROR' })
    answer = (_request, reply) => reply.writeHead(200, { 'content-encoding': 'unknown' }).end('x')
    await expect(send()).rejects.toMatchObject({ code: 'UPSTREAM_ERROR' })
    answer = ok
    expect(await send()).toMatchObject({ body: 'fine' })
  })
})

test('eight outbound calls of one agent at a time; the ninth is refused before anything is recorded', async () => {
  const waiting: (() => void)[] = []
  answer = (_request, reply) => void waiting.push(() => reply.end('late'))
  const { seen } = upstream
  const before = seen.length
  for (let id = 1; id <= 9; id += 1) {
    client.send({
      id: `n${id}`,
      method: 'use',
      params: { path: 'up/plain', operation: 'http_request', params: { url: url() } },
    })
  }
  const refused = await client.next()
  expect(refused?.error).toMatchObject({
    code: 'RATE_LIMITED',
    context: { scope: 'http_request', limit: 8, retry_after_ms: expect.any(Number) },
  })
  expect(recordsOfRequest(vestry, refused?.error.context.request_id)).toEqual([])
  while (waiting.length < 8) await new Promise((resolve) => setTimeout(resolve, 5))
  for (const finish of waiting) finish()
  for (let n = 0; n < 8; n += 1)
    expect((await client.next())?.result).toMatchObject({ body: 'late' })
  expect(seen.length - before).toBe(8)
  answer = ok
  expect(await send()).toMatchObject({ body: 'fine' })
})
