/** What goes out and what comes back, against real servers on loopback. */
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { InjectionSpec } from './injection.ts'
import { type EgressRequest, send } from './send.ts'
import { createAuthority } from './testing/authority.ts'
import { startRawUpstream, startUpstream } from './testing/upstream.ts'
import { createWorld, GRANT, requestFor } from './testing/world.ts'

const SECRET = 'sk_live/+"a&b\\c=%9z'

const at = (port: number, path = '/') => `http://api.example.com:${port}${path}`
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

/** Everything an agent, the audit or a log could see of a call. */
function visible(outcome: unknown): string {
  if (outcome instanceof Error) {
    const { name, message, stack } = outcome
    return JSON.stringify([name, message, stack, { ...outcome }, visible(outcome.cause ?? '')])
  }
  if (typeof outcome === 'object' && outcome !== null && 'body' in outcome) {
    const body = outcome.body instanceof Uint8Array ? text(outcome.body) : ''
    return `${JSON.stringify({ ...outcome, body: '' })}\n${body}`
  }
  return JSON.stringify(outcome)
}

function expectNoTrace(outcome: unknown, secret: string): void {
  const seen = visible(outcome)
  for (const shape of shapesOf(secret)) expect(seen).not.toContain(shape)
}

function shapesOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const base64 = [0, 1, 2].map((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64')
    return encoded.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6))
  })
  const escaped = [...secret].map(
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    encodeURIComponent(secret).toLowerCase(),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    escaped.join(''),
    ...base64,
    ...base64.map((chars) => chars.replaceAll('+', '-').replaceAll('/', '_')),
  ]
}

describe('what goes out', () => {
  const SLOTS: [InjectionSpec, header: string, value: string][] = [
    [{}, 'authorization', 'Bearer top-secret-1'],
    [{ headerType: 'bearer' }, 'authorization', 'Bearer top-secret-1'],
    [{ headerType: 'api_key' }, 'x-api-key', 'top-secret-1'],
    [
      { headerType: 'basic', username: 'ada' },
      'authorization',
      `Basic ${btoa('ada:top-secret-1')}`,
    ],
    [{ headerType: 'basic' }, 'authorization', `Basic ${btoa('top-secret-1:')}`],
    [
      { headerType: 'custom', headerName: 'X-Auth', headerPrefix: 'Token ' },
      'x-auth',
      'Token top-secret-1',
    ],
  ]

  test('the credential, in the header that was asked for', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end())
    await using world = createWorld()
    for (const [spec, header, value] of SLOTS) {
      await send(requestFor(at(upstream.port), { secret: 'top-secret-1', spec }), world.deps)
      expect(upstream.seen.at(-1)?.headers[header]).toBe(value)
    }
  })

  test('vault §28.34: an agent-supplied Authorization never arrives, in whatever case', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end())
    await using world = createWorld()
    const names = ['Authorization', 'authorization', 'AUTHORIZATION', 'aUtHoRiZaTiOn']
    for (const [spec] of SLOTS) {
      const headers = names.map((name): [string, string] => [name, 'Bearer of-the-agent'])
      await send(
        requestFor(at(upstream.port), { secret: 'top-secret-1', spec, headers }),
        world.deps,
      )
      expect(upstream.seen.at(-1)?.rawHeaders.join('\n')).not.toContain('of-the-agent')
    }
    const spec = { headerType: 'custom', headerName: 'X-Auth' } as const
    const headers = [
      ['Authorization', 'mine'],
      ['Cookie', 'c=1'],
      ['x-auth', 'mine'],
    ] as const
    const allowed = { secret: 'top-secret-1', spec, headers, allowAgentAuth: true }
    await send(requestFor(at(upstream.port), allowed), world.deps)
    expect(upstream.seen.at(-1)?.headers).toMatchObject({
      authorization: 'mine',
      cookie: 'c=1',
      'x-auth': 'top-secret-1',
    })
  })

  test('vault §28.34: forbidden headers are dropped, the others pass', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end())
    await using world = createWorld()
    const headers: [string, string][] = [
      ['Host', 'evil.example'],
      ['Content-Length', '999'],
      ['Transfer-Encoding', 'chunked'],
      ['Connection', 'close, X-Listed'],
      ['X-Listed', 'x'],
      ['Keep-Alive', 'x'],
      ['TE', 'trailers'],
      ['Trailer', 'x'],
      ['Upgrade', 'h2c'],
      ['Expect', '100-continue'],
      ['Proxy-Authorization', 'x'],
      ['Forwarded', 'for=1'],
      ['X-Forwarded-For', '1.2.3.4'],
      ['Via', '1.1 x'],
      ['Accept-Encoding', 'zstd'],
      ['X-Kept', 'kept'],
      ['X-Kept', 'twice'],
    ]
    await send(requestFor(at(upstream.port), { headers, secret: 'top-secret-1' }), world.deps)
    const seen = upstream.seen[0]?.headers ?? {}
    expect(seen).toEqual({
      host: `api.example.com:${upstream.port}`,
      connection: 'keep-alive',
      'x-kept': 'kept, twice',
      'user-agent': 'sanctum-vault/0.0.0',
      accept: '*/*',
      'accept-encoding': 'gzip, deflate, br',
      authorization: 'Bearer top-secret-1',
    })
  })

  test('vault §28.34: line breaks and other bytes no header has are refused', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end())
    await using world = createWorld()
    for (const header of [
      ['X-A', 'a\r\nX-B: b'],
      ['X-A', 'a\nb'],
      ['X-A', 'a\0b'],
      ['X-A', 'a\u20ac'],
      ['X-A\r\nX-B', 'b'],
      ['X A', 'b'],
      ['', 'b'],
    ] as const) {
      const request = requestFor(at(upstream.port), { headers: [header] })
      await expect(send(request, world.deps)).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    }
    const many = Array.from({ length: 65 }, (_, n): [string, string] => [`x-${n}`, ''])
    for (const headers of [many, [['x-a', 'a'.repeat(17_000)]] as const]) {
      const request = requestFor(at(upstream.port), { headers })
      await expect(send(request, world.deps)).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    }
    expect(upstream.connections()).toBe(0)
    expect(world.asked).toEqual([])
  })

  test('vault §28.34: TRACE and CONNECT are refused, the seven methods pass', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end('ok'))
    await using world = createWorld()
    for (const method of ['TRACE', 'CONNECT', 'trace', 'get', 'FOO', '']) {
      const sent = send(requestFor(at(upstream.port), { method }), world.deps)
      await expect(sent, method).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    }
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      await send(requestFor(at(upstream.port), { method }), world.deps)
    }
    expect(upstream.seen.map(({ method }) => method)).toEqual([
      'GET',
      'HEAD',
      'POST',
      'PUT',
      'PATCH',
      'DELETE',
      'OPTIONS',
    ])
  })

  test('the body, and the numbers that the audit needs', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.writeHead(201).end('made'))
    await using world = createWorld()
    const request = requestFor(at(upstream.port, '/v1/things?name=x&name=y&z'), {
      method: 'POST',
      body: Buffer.from('{"a":1}'),
      headers: [['Content-Type', 'application/json']],
    })
    const result = await send(request, world.deps)
    expect(upstream.seen[0]).toMatchObject({ method: 'POST', body: '{"a":1}' })
    expect(result).toMatchObject({
      status: 201,
      truncated: false,
      redirects: 0,
      bytesOut: 7,
      bytesIn: 4,
      redactions: { count: 0, places: [] },
      headersDropped: 0,
      target: {
        scheme: 'http',
        host: 'api.example.com',
        path: '/v1/things',
        queryNames: ['name', 'z'],
      },
    })
    expect(text(result.body)).toBe('made')
  })
})

describe('redirects', () => {
  const credential = { secret: 'top-secret-1' }
  const blocked = { code: 'REDIRECT_BLOCKED' }

  test('vault §28.33: a redirect to another host, port or scheme never carries the credential', async () => {
    const authority = createAuthority()
    const issued = authority.issue('api.example.com', 'other.example')
    await using other = await startUpstream((_, reply) => void reply.end())
    await using secure = await startUpstream((_, reply) => void reply.end(), issued)
    const targets = [
      `http://other.example:${other.port}/`,
      `http://api.example.com:${other.port}/`,
      `https://api.example.com:${secure.port}/`,
      `//other.example:${other.port}/`,
    ]
    await using world = createWorld({ pool: { caPem: authority.ca } })
    for (const location of targets) {
      for (const status of [301, 302, 303, 307, 308]) {
        await using first = await startUpstream((_, reply) => {
          reply.writeHead(status, { location }).end()
        })
        await expect(
          send(requestFor(at(first.port), credential), world.deps),
        ).rejects.toMatchObject(blocked)
      }
    }
    expect([other.connections(), secure.connections()]).toEqual([0, 0])
  })

  test('vault §28.33: https to http is blocked, with a credential and without', async () => {
    const authority = createAuthority()
    await using plain = await startUpstream((_, reply) => void reply.end())
    await using secure = await startUpstream((_, reply) => {
      reply.writeHead(302, { location: at(plain.port) }).end()
    }, authority.issue('api.example.com'))
    await using world = createWorld({ pool: { caPem: authority.ca } })
    for (const extra of [credential, {}]) {
      const request = requestFor(`https://api.example.com:${secure.port}/`, extra)
      await expect(send(request, world.deps)).rejects.toMatchObject(blocked)
    }
    expect(plain.connections()).toBe(0)
  })

  test('vault §28.33: circles and long chains are blocked', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      const step = Number(url.slice(2))
      const location =
        url === '/self' ? '/self' : url === '/a' ? '/b' : url === '/b' ? '/a' : `/n${step + 1}`
      if (url === '/n9') reply.end('end')
      else reply.writeHead(302, { location }).end()
    })
    await using world = createWorld()
    for (const path of ['/self', '/a', '/n5']) {
      const request = requestFor(at(upstream.port, path), credential)
      await expect(send(request, world.deps), path).rejects.toMatchObject(blocked)
    }
    const result = await send(requestFor(at(upstream.port, '/n6'), credential), world.deps)
    expect([result.redirects, text(result.body), result.url]).toEqual([
      3,
      'end',
      at(upstream.port, '/n9'),
    ])
    expect(upstream.seen.every(({ headers }) => headers.authorization !== undefined)).toBe(true)
  })

  test('303, and POST after 301 or 302, become GET without a body; others keep both', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      if (url === '/done') reply.end()
      else reply.writeHead(Number(url.slice(1)), { location: '/done' }).end()
    })
    await using world = createWorld()
    const run = async (status: number, method: string) => {
      const extra = {
        method,
        body: Buffer.from('data'),
        headers: [['Content-Type', 'text/x']] as const,
      }
      await send(requestFor(at(upstream.port, `/${status}`), extra), world.deps)
      const { method: last, body, headers } = upstream.seen.at(-1) ?? {}
      return [last, body, headers?.['content-type']]
    }
    for (const status of [301, 302, 303]) {
      expect(await run(status, 'POST')).toEqual(['GET', '', undefined])
    }
    expect(await run(303, 'PUT')).toEqual(['GET', '', undefined])
    for (const status of [307, 308])
      expect(await run(status, 'POST')).toEqual(['POST', 'data', 'text/x'])
    expect(await run(302, 'PUT')).toEqual(['PUT', 'data', 'text/x'])
  })

  test('one is returned as it is when nobody asked or the rule says no', async () => {
    await using upstream = await startUpstream((_, reply) => {
      reply.writeHead(302, { location: '/next' }).end('moved')
    })
    await using world = createWorld()
    const cases: Partial<EgressRequest>[] = [
      { followRedirects: false },
      { authorize: () => ({ ...GRANT, followRedirects: false }) },
    ]
    for (const extra of cases) {
      const result = await send(requestFor(at(upstream.port), extra), world.deps)
      expect([result.status, result.headers['location'], text(result.body)]).toEqual([
        302,
        '/next',
        'moved',
      ])
    }
  })

  test("the agent's own logins stay with the host they were meant for", async () => {
    await using other = await startUpstream((_, reply) => void reply.end())
    await using first = await startUpstream((_, reply) => {
      reply.writeHead(307, { location: `http://other.example:${other.port}/` }).end()
    })
    await using world = createWorld()
    const headers = [
      ['Authorization', 'mine'],
      ['Cookie', 'c=1'],
      ['X-A', 'a'],
    ] as const
    await send(requestFor(at(first.port), { headers }), world.deps)
    expect(first.seen[0]?.headers.authorization).toBe('mine')
    expect(other.seen[0]?.headers).toMatchObject({ 'x-a': 'a' })
    expect(other.seen[0]?.headers).not.toHaveProperty('authorization')
    expect(other.seen[0]?.headers).not.toHaveProperty('cookie')
  })

  test('a location that is no URL we use is blocked', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      reply.writeHead(302, { location: decodeURIComponent(url.slice(1)) }).end()
    })
    await using world = createWorld()
    for (const location of [
      'http://u:p@api.example.com/',
      'ftp://x.example/',
      'http://a b/',
      'http://',
    ]) {
      const request = requestFor(at(upstream.port, `/${encodeURIComponent(location)}`))
      await expect(send(request, world.deps), location).rejects.toMatchObject(blocked)
    }
  })
})

describe('vault §28.35: a reflected secret never comes back', () => {
  const long = (body: string) => `${'x'.repeat(300)}${body}${'y'.repeat(300)}`
  const BODIES: Record<string, string> = {
    'as it is': SECRET,
    'in JSON': JSON.stringify({ key: SECRET }),
    'percent-encoded': encodeURIComponent(SECRET),
    base64: btoa(SECRET),
    'base64, one byte in': btoa(`x${SECRET}!`),
    'base64, two bytes in': btoa(`xy${SECRET}!!`),
    base64url: Buffer.from(`?${SECRET}>`).toString('base64url'),
    hex: Buffer.from(SECRET).toString('hex'),
    'the whole header': `Authorization: Bearer ${SECRET}`,
    'base64 of the whole header': btoa(`Bearer ${SECRET}`),
  }

  for (const [name, body] of Object.entries(BODIES)) {
    test(`body ${name}, at 200, 401 and 500, plain, gzip, deflate, br and in single bytes`, async () => {
      await using upstream = await startUpstream(async ({ url }, reply) => {
        const [, status, coding] = url.split('/')
        const data = Buffer.from(long(body))
        if (coding === 'bytes') {
          reply.writeHead(Number(status))
          for (const byte of data) reply.write(Uint8Array.of(byte))
          return void reply.end()
        }
        const encoders = {
          gzip: gzipSync,
          deflate: deflateSync,
          raw: deflateRawSync,
          br: brotliCompressSync,
        }
        const encode = encoders[coding as keyof typeof encoders]
        const header = coding === 'raw' ? 'deflate' : (coding ?? '')
        reply.writeHead(Number(status), encode === undefined ? {} : { 'content-encoding': header })
        reply.end(encode === undefined ? data : encode(data))
      })
      await using world = createWorld()
      for (const status of [200, 401, 500]) {
        for (const coding of ['plain', 'gzip', 'deflate', 'raw', 'br', 'bytes']) {
          const request = requestFor(at(upstream.port, `/${status}/${coding}`), { secret: SECRET })
          const result = await send(request, world.deps)
          expect(result.status).toBe(status)
          expectNoTrace(result, SECRET)
          expect(text(result.body)).toMatch(/^x{300}.*\[REDACTED\].*y{300}$/)
          expect(result.redactions).toMatchObject({ count: 1, places: ['body'] })
          expect(result.headers).not.toHaveProperty('content-encoding')
        }
      }
    })
  }

  test('across the truncation boundary, at every place', async () => {
    const body = `0123456789${JSON.stringify(SECRET)}tail`
    await using upstream = await startUpstream((_, reply) => void reply.end(body))
    await using world = createWorld()
    for (let max = 1; max <= body.length; max += 1) {
      const request = requestFor(at(upstream.port), { secret: SECRET, maxResponseBytes: max })
      const result = await send(request, world.deps)
      expect(result.body.length).toBeLessThanOrEqual(max)
      expect(text(result.body)).toBe('0123456789"[REDACTED]"tail'.slice(0, max))
      expect(result.truncated).toBe(max < '0123456789"[REDACTED]"tail'.length)
    }
  })

  test('across the end of what is read, which lies a little further on', async () => {
    const readAhead = 64 * 1024
    await using world = createWorld()
    for (const offset of [0, 1, 5, 10, 18]) {
      const filler = 'z'.repeat(100 + readAhead - offset)
      await using upstream = await startUpstream((_, reply) => {
        reply.write(filler)
        reply.write(SECRET.slice(0, offset))
        reply.end(SECRET.slice(offset) + 'w'.repeat(1_000))
      })
      const request = requestFor(at(upstream.port), { secret: SECRET, maxResponseBytes: 100 })
      const result = await send(request, world.deps)
      expectNoTrace(result, SECRET)
      expect(text(result.body)).toBe('z'.repeat(100))
      expect(result.truncated).toBe(true)
    }
  })

  test('many reflections do not pull a half one into view', async () => {
    const body = `${SECRET} `.repeat(5_000)
    await using upstream = await startUpstream((_, reply) => void reply.end(body))
    await using world = createWorld()
    for (const max of [100, 1_000, 50_000]) {
      const request = requestFor(at(upstream.port), { secret: SECRET, maxResponseBytes: max })
      const result = await send(request, world.deps)
      expect(text(result.body)).toMatch(/^(\[REDACTED\] )*[[\]A-Z]*$/)
    }
  })

  test('in a header value, a header name, a repeated header, and a location', async () => {
    const token = 'Abc-Secret-Token-42'
    await using upstream = await startUpstream(({ url }, reply) => {
      reply.setHeader('x-echo', `Bearer ${token}`)
      reply.setHeader(`x-${token}-y`, 'name')
      reply.setHeader('x-parts', [`a=${token}`, `b=${btoa(token)}`])
      reply.setHeader('www-authenticate', `Bearer error="${encodeURIComponent(token)}"`)
      if (url === '/go') reply.writeHead(302, { location: `/next?token=${token}` })
      reply.end('ok')
    })
    await using world = createWorld()
    for (const followRedirects of [false, true]) {
      const request = requestFor(at(upstream.port, '/go'), { secret: token, followRedirects })
      const result = await send(request, world.deps)
      expectNoTrace(result, token)
      expect(visible(result).toLowerCase()).not.toContain(token.toLowerCase())
      expect(result.headers).toMatchObject({
        'x-[REDACTED]-y': 'name',
        'x-echo': '[REDACTED]',
        'x-parts': 'a=[REDACTED], b=[REDACTED]',
      })
      if (followRedirects) expect(result.url).toBe(at(upstream.port, '/next?token=[REDACTED]'))
      else expect(result.headers['location']).toBe('/next?token=[REDACTED]')
      expect(result.redactions.places).toContain(followRedirects ? 'url' : 'header:location')
    }
  })

  test('in a redirect that is refused', async () => {
    const token = 'abc-secret-token-42'
    const locations = [
      `http://${token}.example/`,
      `http://api.example.com:1/${token}`,
      `ftp://${token}/`,
      `http://user:${token}@api.example.com/`,
      `http://${token}.internal/`,
    ]
    await using world = createWorld()
    for (const location of locations) {
      for (const secret of [token, token.toUpperCase()]) {
        await using upstream = await startUpstream((_, reply) => {
          reply.writeHead(302, { location }).end()
        })
        const request = requestFor(at(upstream.port), { secret })
        const failure = await send(request, world.deps).catch((error: unknown) => error)
        expect(failure).toBeInstanceOf(Error)
        expect(visible(failure).toLowerCase()).not.toContain(token)
      }
    }
  })

  test('in the error of policy about a redirect target', async () => {
    const token = 'abc-secret-token-42'
    await using upstream = await startUpstream((_, reply) => {
      reply.writeHead(302, { location: `/${token}` }).end()
    })
    await using world = createWorld()
    const request = requestFor(at(upstream.port), {
      secret: token,
      authorize: (target, hop) => {
        if (hop > 0) throw new TypeError(`no rule for ${target.path}`)
        return GRANT
      },
    })
    const failure = await send(request, world.deps).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'INTERNAL_ERROR' })
    expect(visible(failure)).not.toContain(token)
  })

  test('in an error of the HTTP parser or of TLS', async () => {
    const token = 'abc-secret-token-42'
    const replies = [
      `HTTP/1.1 200 ${token}\r\nbad header ${token}\r\n\r\n`,
      `${token}\r\n\r\n`,
      `HTTP/1.1 200 OK\r\ncontent-length: ${token}\r\n\r\n`,
      `HTTP/1.1 200 OK\r\n${token}: \u0001\r\n\r\n`,
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${token}\r\n`,
      `HTTP/1.1 101 Switching\r\nupgrade: ${token}\r\nconnection: upgrade\r\n\r\n`,
      `HTTP/1.1 200 OK\r\nx: ${token}${'a'.repeat(400_000)}\r\n\r\n`,
    ]
    await using world = createWorld()
    for (const reply of replies) {
      await using upstream = await startRawUpstream((socket) =>
        socket.once('data', () => socket.end(reply)),
      )
      const request = requestFor(at(upstream.port), { secret: token, timeoutMs: 1_000 })
      const failure = await send(request, world.deps).catch((error: unknown) => error)
      expect(failure, reply.slice(0, 60)).toMatchObject({ code: 'UPSTREAM_ERROR' })
      expect(visible(failure)).not.toContain(token)
    }
    const authority = createAuthority()
    await using posing = await startUpstream(
      (_, r) => void r.end(),
      authority.issue(`${token}.example`),
    )
    await using trusting = createWorld({ pool: { caPem: authority.ca } })
    const request = requestFor(`https://api.example.com:${posing.port}/`, { secret: token })
    const failure = await send(request, trusting.deps).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'UPSTREAM_ERROR' })
    expect(visible(failure)).not.toContain(token)
  })

  test('the login of basic authentication, in all its parts', async () => {
    await using upstream = await startUpstream(({ headers }, reply) => {
      const value = headers.authorization ?? ''
      const login = atob(value.slice(6))
      reply.end(
        JSON.stringify({
          value,
          login,
          password: login.split(':')[1],
          hex: Buffer.from(login).toString('hex'),
        }),
      )
    })
    await using world = createWorld()
    const cases: [string, InjectionSpec][] = [
      ['ada:correct-horse', { headerType: 'basic' }],
      ['correct-horse', { headerType: 'basic', username: 'ada' }],
    ]
    for (const [secret, spec] of cases) {
      const result = await send(requestFor(at(upstream.port), { secret, spec }), world.deps)
      expectNoTrace(result, 'correct-horse')
      expect(JSON.parse(text(result.body))).toEqual({
        value: '[REDACTED]',
        login: expect.stringMatching(/^(ada:)?\[REDACTED\]$/),
        password: '[REDACTED]',
        hex: '[REDACTED]',
      })
    }
  })

  test('a rule may withhold the whole reply', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end(`a ${SECRET} b`))
    await using world = createWorld()
    const request = requestFor(at(upstream.port), { secret: SECRET, onReflection: 'block' })
    const failure = await send(request, world.deps).catch((error: unknown) => error)
    expect(failure).toMatchObject({
      code: 'UPSTREAM_ERROR',
      context: { redactions: 1, places: ['body'] },
    })
    expectNoTrace(failure, SECRET)
  })
})

describe('what comes back', () => {
  test('sensitive headers only where the rule lists them, repeats joined, the rest bounded', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      reply.setHeader('Set-Cookie', ['a=1', 'b=2'])
      reply.setHeader('Authentication-Info', 'x')
      reply.setHeader('X-Many', ['1', '2'])
      if (url === '/big')
        for (let n = 0; n < 10; n += 1) reply.setHeader(`x-big-${n}`, 'b'.repeat(10_000))
      reply.end('ok')
    })
    await using world = createWorld()
    const plain = await send(requestFor(at(upstream.port)), world.deps)
    expect(plain.headers).toMatchObject({ 'x-many': '1, 2', 'content-length': '2' })
    for (const name of ['set-cookie', 'authentication-info', 'connection', 'keep-alive']) {
      expect(plain.headers).not.toHaveProperty(name)
    }
    const allowed = requestFor(at(upstream.port), { responseHeadersAllow: ['Set-Cookie'] })
    expect((await send(allowed, world.deps)).headers['set-cookie']).toBe('a=1, b=2')
    const big = await send(requestFor(at(upstream.port, '/big')), world.deps)
    expect(big.headersDropped).toBe(4)
    expect(JSON.stringify(big.headers).length).toBeLessThan(66_000)
  })

  test('a header may be called __proto__', async () => {
    await using upstream = await startRawUpstream((socket) =>
      socket.once('data', () =>
        socket.end('HTTP/1.1 200 OK\r\n__proto__: x\r\ncontent-length: 0\r\n\r\n'),
      ),
    )
    await using world = createWorld()
    const { headers } = await send(requestFor(at(upstream.port)), world.deps)
    expect(Object.entries(headers)).toContainEqual(['__proto__', 'x'])
  })

  test('text is cut between characters', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end('aé€😀'))
    await using world = createWorld()
    const lengths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(async (maxResponseBytes) => {
      const result = await send(requestFor(at(upstream.port), { maxResponseBytes }), world.deps)
      return text(result.body)
    })
    expect(await Promise.all(lengths)).toEqual([
      'a',
      'a',
      'aé',
      'aé',
      'aé',
      'aé€',
      'aé€',
      'aé€',
      'aé€',
      'aé€😀',
    ])
  })

  test('replies without a body, whatever their headers say', async () => {
    await using upstream = await startUpstream(({ method }, reply) => {
      reply.writeHead(method === 'GET' ? 204 : 200, { 'content-encoding': 'zstd' }).end()
    })
    await using world = createWorld()
    for (const method of ['HEAD', 'GET']) {
      const result = await send(requestFor(at(upstream.port), { method }), world.deps)
      expect(result.body.length).toBe(0)
    }
  })

  test('a coding that is unknown, stacked or broken is an error without body', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      const body = {
        zstd: SECRET,
        gzip: SECRET,
        br: SECRET,
        'gzip, gzip': gzipSync(gzipSync(SECRET)),
      }
      const coding = decodeURIComponent(url.slice(1))
      const data =
        coding === 'cut'
          ? gzipSync(SECRET.repeat(50)).subarray(0, 20)
          : body[coding as keyof typeof body]
      reply.writeHead(200, { 'content-encoding': coding === 'cut' ? 'gzip' : coding }).end(data)
    })
    await using world = createWorld()
    for (const coding of ['zstd', 'gzip', 'br', 'gzip, gzip', 'cut']) {
      const request = requestFor(at(upstream.port, `/${encodeURIComponent(coding)}`), {
        secret: SECRET,
      })
      const failure = await send(request, world.deps).catch((error: unknown) => error)
      expect(failure, coding).toMatchObject({ code: 'UPSTREAM_ERROR' })
      expectNoTrace(failure, SECRET)
    }
  })
})

describe('vault §28.36: hostile replies', () => {
  test('a decompression bomb stops early, in bounded memory', async () => {
    const encoders = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync }
    const zeros = Buffer.alloc(64 * 1024 * 1024)
    const bombs = Object.entries(encoders).map(
      ([coding, encode]) =>
        [coding, encode(zeros.subarray(0, coding === 'br' ? 20_000_000 : undefined))] as const,
    )
    const sizes = new Map<string, Uint8Array>(bombs)
    await using upstream = await startUpstream(({ url }, reply) => {
      const coding = url.slice(1)
      reply.writeHead(200, { 'content-encoding': coding }).end(sizes.get(coding))
    })
    await using world = createWorld()
    for (const [coding] of bombs) {
      const before = process.memoryUsage().rss
      const request = requestFor(at(upstream.port, `/${coding}`), { maxResponseBytes: 3_000_000 })
      const result = await send(request, world.deps)
      expect(result.truncated, coding).toBe(true)
      expect(result.body.length).toBeLessThanOrEqual(3_000_000)
      expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
    }
  })

  test('an endless body is cut, and its connection closed', async () => {
    let open = 0
    await using upstream = await startRawUpstream((socket) => {
      open += 1
      socket.on('close', () => {
        open -= 1
      })
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        const chunk = Buffer.alloc(65_536, 'a')
        const pour = () => {
          while (!socket.destroyed && socket.write(chunk));
        }
        socket.on('drain', pour)
        pour()
      })
    })
    await using world = createWorld()
    const result = await send(requestFor(at(upstream.port)), world.deps)
    expect([result.truncated, result.body.length]).toEqual([true, 1_048_576])
    expect(result.bytesIn).toBeLessThan(1_400_000)
    await expect.poll(() => open).toBe(0)
  })

  test('a slow body, a slow head and no answer at all run into the deadline', async () => {
    const heads = [
      'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n',
      'HTTP/1.1 200 OK\r\nx-slow: ',
      '',
    ]
    await using world = createWorld()
    for (const head of heads) {
      await using upstream = await startRawUpstream((socket) => {
        socket.once('data', () => {
          socket.write(head)
          const drip = setInterval(() => head !== '' && socket.write('a'), 20)
          socket.on('close', () => clearInterval(drip))
        })
      })
      const started = performance.now()
      const request = requestFor(at(upstream.port), { timeoutMs: 200 })
      await expect(send(request, world.deps)).rejects.toMatchObject({
        code: 'UPSTREAM_TIMEOUT',
        context: { timeout_ms: 200 },
      })
      expect(performance.now() - started).toBeLessThan(1_500)
    }
  })

  test('the deadline covers all hops together', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      setTimeout(() => reply.writeHead(302, { location: `${url}x` }).end(), 80)
    })
    await using world = createWorld()
    const request = requestFor(at(upstream.port), { timeoutMs: 200 })
    await expect(send(request, world.deps)).rejects.toMatchObject({ code: 'UPSTREAM_TIMEOUT' })
  })

  test('a connection reset in head or body is an upstream error, and the next request works', async () => {
    let turn = 0
    await using upstream = await startRawUpstream((socket) => {
      socket.on('data', () => {
        turn += 1
        if (turn === 1) return void socket.resetAndDestroy()
        if (turn === 2) {
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf')
          return void setTimeout(() => socket.resetAndDestroy(), 20)
        }
        if (turn === 3) return void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf')
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
      })
    })
    await using world = createWorld()
    for (const _ of [1, 2, 3]) {
      await expect(send(requestFor(at(upstream.port)), world.deps)).rejects.toMatchObject({
        code: 'UPSTREAM_ERROR',
      })
    }
    expect(text((await send(requestFor(at(upstream.port)), world.deps)).body)).toBe('ok')
  })

  test('the caller may give up at any time, and gets its own reason', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      if (url === '/body') reply.write('half')
    })
    await using world = createWorld()
    for (const path of ['/head', '/body']) {
      const caller = new AbortController()
      const sent = send(requestFor(at(upstream.port, path), { signal: caller.signal }), world.deps)
      const reason = new Error('agent went away')
      setTimeout(() => caller.abort(reason), 50)
      await expect(sent).rejects.toBe(reason)
    }
    const aborted = AbortSignal.abort(new Error('before'))
    await expect(
      send(requestFor(at(upstream.port), { signal: aborted }), world.deps),
    ).rejects.toThrow('before')
  })
})
