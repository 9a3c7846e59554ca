/** What a caller may ask of one request: word before it leaves, word whether it left, bounds of its own. */
import { setTimeout as delay } from 'node:timers/promises'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { VestryError } from '@vestry/contract/errors'
import { describe, expect, test } from 'vitest'
import { isTransient, wasSent } from './failure.ts'
import { type EgressDeps, type EgressRequest, send } from './send.ts'
import { startRawUpstream, startUpstream } from './testing/upstream.ts'
import { createWorld, GRANT, requestFor } from './testing/world.ts'

const at = (port: number, path = '/') => `http://api.example.com:${port}${path}`

async function failureOf(request: EgressRequest, deps: EgressDeps): Promise<unknown> {
  const outcome = await send(request, deps).then(
    () => 'no failure',
    (error: unknown) => error,
  )
  expect(outcome).toBeInstanceOf(Error)
  return outcome
}

/** A port at which nobody listens. */
async function closedPort(): Promise<number> {
  await using upstream = await startRawUpstream(() => {})
  return upstream.port
}

test('policies that pin different keys accept none, rather than any', async () => {
  await using upstream = await startUpstream((_request, reply) => void reply.end())
  await using world = createWorld()
  const authorize = () => ({ ...GRANT, pinSha256: [] })
  const error = await failureOf(requestFor(at(upstream.port), { authorize }), world.deps)
  expect(error).toMatchObject({ code: 'ACCESS_DENIED' })
  expect(upstream.connections()).toBe(0)
})

describe('onSend', () => {
  test('is awaited once, after the checks and before the first connection, redirects or not', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      if (url === '/') reply.writeHead(302, { location: '/next' })
      reply.end()
    })
    await using world = createWorld()
    const seen: string[] = []
    const request = requestFor(at(upstream.port), {
      authorize: () => {
        seen.push('authorize')
        return { exactHost: true, allowHttp: true, followRedirects: true }
      },
      onSend: async () => {
        seen.push(`resolved ${world.asked.length}`)
        await delay(20)
        seen.push(`connections ${upstream.connections()}`)
      },
    })
    await send(request, world.deps)
    expect(upstream.seen).toHaveLength(2)
    expect(seen).toEqual(['authorize', 'resolved 1', 'connections 0', 'authorize'])
  })

  test('does not run for a refused target, and its own failure keeps the request back', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end())
    await using world = createWorld()
    let runs = 0
    const count = () => {
      runs += 1
    }
    await failureOf(requestFor('http://10.0.0.1/', { onSend: count }), world.deps)
    expect(runs).toBe(0)

    const fault = new VestryError('STORE_UNAVAILABLE')
    for (const [thrown, code] of [
      [fault, 'STORE_UNAVAILABLE'],
      [new TypeError('bug'), 'INTERNAL_ERROR'],
    ] as const) {
      const failing = requestFor(at(upstream.port), { onSend: () => Promise.reject(thrown) })
      const failure = await failureOf(failing, world.deps)
      expect(failure).toMatchObject({ code })
      expect(wasSent(failure)).toBe(false)
    }
    expect(upstream.connections()).toBe(0)
  })

  test('an end that comes while it runs keeps the request back too', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end())
    await using world = createWorld()
    const late = requestFor(at(upstream.port), { timeoutMs: 20, onSend: () => delay(80) })
    const failure = await failureOf(late, world.deps)
    expect(failure).toMatchObject({ code: 'UPSTREAM_TIMEOUT' })
    expect(wasSent(failure)).toBe(false)
    expect(upstream.connections()).toBe(0)
  })
})

describe('whether anything was sent', () => {
  test('no: refused, unresolved, unconnected, untrusted', async () => {
    const port = await closedPort()
    await using plain = await startRawUpstream((socket) =>
      socket.on('data', () => socket.end('no')),
    )
    await using world = createWorld({ names: { 'gone.example': [] } })
    const failing: EgressRequest[] = [
      requestFor('ftp://api.example.com/'),
      requestFor(at(port), { method: 'TRACE' }),
      requestFor(at(port), { headers: [['bad name', 'x']] }),
      requestFor('http://169.254.169.254/'),
      requestFor(at(port), { authorize: () => Promise.reject(new VestryError('ACCESS_DENIED')) }),
      requestFor('http://gone.example/'),
      requestFor(at(port)),
      requestFor(`https://api.example.com:${plain.port}/`),
    ]
    for (const request of failing) {
      const failure = await failureOf(request, world.deps)
      expect(wasSent(failure), `${request.url}: ${failure}`).toBe(false)
    }
  })

  test('no: a resolver that hangs past the deadline, or fails', async () => {
    await using world = createWorld()
    const hanging = { ...world.deps, resolver: () => new Promise<never>(() => {}) }
    const failure = await failureOf(
      requestFor('http://api.example.com/', { timeoutMs: 30 }),
      hanging,
    )
    expect(failure).toMatchObject({ code: 'UPSTREAM_TIMEOUT' })
    expect(wasSent(failure)).toBe(false)
    const broken = { ...world.deps, resolver: () => Promise.reject(new Error('EAI_AGAIN')) }
    expect(wasSent(await failureOf(requestFor('http://api.example.com/'), broken))).toBe(false)
  })

  test('perhaps: reset, hung, cut short, refused after a redirect, unknown', async () => {
    const port = await closedPort()
    await using upstream = await startRawUpstream((socket) => {
      socket.on('data', (data: Buffer) => {
        const path = data.toString('latin1').split(' ')[1]
        if (path === '/reset') socket.resetAndDestroy()
        if (path === '/cut') socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf')
        const to = path === '/inner' ? 'http://10.0.0.1/' : `http://api.example.com:${port}/`
        if (path === '/inner' || path === '/dead') {
          socket.end(`HTTP/1.1 302 Found\r\nlocation: ${to}\r\ncontent-length: 0\r\n\r\n`)
        }
      })
    })
    await using world = createWorld()
    for (const path of ['/reset', '/cut', '/hang', '/inner', '/dead']) {
      const request = requestFor(at(upstream.port, path), { timeoutMs: 300 })
      expect(wasSent(await failureOf(request, world.deps)), path).toBe(true)
    }
    expect(wasSent(new Error('of somebody else'))).toBe(true)
    expect(wasSent('text')).toBe(true)
  })

  test('the reason of a signal is never marked: it may end several requests', async () => {
    await using world = createWorld()
    const reason = new Error('shutting down')
    const request = requestFor('http://api.example.com/', { signal: AbortSignal.abort(reason) })
    expect(await failureOf(request, world.deps)).toBe(reason)
    expect(wasSent(reason)).toBe(true)
  })
})

test('network failures are told from those of trust, protocol and content', async () => {
  const port = await closedPort()
  await using upstream = await startRawUpstream((socket) => {
    socket.on('data', (data: Buffer) => {
      const path = data.toString('latin1').split(' ')[1]
      if (path === '/reset') socket.resetAndDestroy()
      else if (path === '/words') socket.end('no HTTP at all\r\n\r\n')
      else if (path === '/coding') {
        socket.end('HTTP/1.1 200 OK\r\ncontent-encoding: zstd\r\ncontent-length: 2\r\n\r\nab')
      } else socket.end('plain')
    })
  })
  await using world = createWorld({ names: { 'gone.example': [] } })
  const transient = async (url: string) => isTransient(await failureOf(requestFor(url), world.deps))
  expect(await transient(at(port))).toBe(true)
  expect(await transient('http://gone.example/')).toBe(true)
  expect(await transient(at(upstream.port, '/reset'))).toBe(true)
  expect(await transient(at(upstream.port, '/words'))).toBe(false)
  expect(await transient(at(upstream.port, '/coding'))).toBe(false)
  expect(await transient(`https://api.example.com:${upstream.port}/`)).toBe(false)
  expect(await transient('http://10.0.0.1/')).toBe(false)
})

test('a caller may allow more redirects, or none', async () => {
  await using upstream = await startUpstream(({ url }, reply) => {
    const left = Number(url.slice(1))
    if (left > 0) reply.writeHead(302, { location: `/${left - 1}` })
    reply.end()
  })
  await using world = createWorld()
  const follow = (hops: number, maxRedirects?: number) =>
    send(
      requestFor(at(upstream.port, `/${hops}`), {
        ...(maxRedirects !== undefined && { maxRedirects }),
      }),
      world.deps,
    )
  expect((await follow(5, 5)).redirects).toBe(5)
  await expect(follow(6, 5)).rejects.toMatchObject({ code: 'REDIRECT_BLOCKED' })
  await expect(follow(4)).rejects.toMatchObject({ code: 'REDIRECT_BLOCKED' })
  await expect(follow(1, 0)).rejects.toMatchObject({ code: 'REDIRECT_BLOCKED' })
})

test('a caller may name its own User-Agent', async () => {
  await using upstream = await startUpstream((_, reply) => void reply.end())
  await using world = createWorld()
  await send(requestFor(at(upstream.port), { userAgent: '4Runr-Gateway/1.0' }), world.deps)
  expect(upstream.seen[0]?.headers['user-agent']).toBe('4Runr-Gateway/1.0')
})

describe('size', () => {
  const MIB = 1024 * 1024

  test('a caller may receive more, or less, than 4 MiB', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end(Buffer.alloc(5 * MIB)))
    await using world = createWorld()
    const options = { maxResponseBytes: 5 * MIB }
    const cut = await send(requestFor(at(upstream.port), options), world.deps)
    expect(cut).toMatchObject({ truncated: true })
    const whole = requestFor(at(upstream.port), { ...options, maxReceivedBytes: 5 * MIB + 65_536 })
    const result = await send(whole, world.deps)
    expect([result.truncated, result.body.length]).toEqual([false, 5 * MIB])
  })

  test('gateway §19.27: a reply beyond the bound, plain or a bomb, may be refused instead of cut', async () => {
    const zeros = Buffer.alloc(16 * MIB)
    const bodies: Record<string, [coding: string, body: Uint8Array]> = {
      '/over': ['identity', Buffer.alloc(1_001, 'a')],
      '/gzip': ['gzip', gzipSync(Buffer.alloc(1_001, 'a'))],
      '/bomb': ['gzip', gzipSync(zeros)],
      '/brotli-bomb': ['br', brotliCompressSync(zeros)],
      '/exact': ['gzip', gzipSync(Buffer.alloc(1_000, 'a'))],
    }
    await using upstream = await startUpstream(({ url }, reply) => {
      const [coding, body] = bodies[url] ?? ['identity', '']
      reply.writeHead(200, { 'content-encoding': coding }).end(body)
    })
    await using world = createWorld()
    const fetch = (path: string, maxResponseBytes = 1_000) =>
      send(
        requestFor(at(upstream.port, path), { onOverflow: 'refuse', maxResponseBytes }),
        world.deps,
      )
    for (const path of ['/over', '/gzip', '/bomb', '/brotli-bomb']) {
      await expect(fetch(path), path).rejects.toMatchObject({
        code: 'RESPONSE_TOO_LARGE',
        context: { max_bytes: 1_000 },
      })
    }
    // Within the bound asked for, and still a bomb.
    for (const path of ['/bomb', '/brotli-bomb']) {
      await expect(fetch(path, 64 * MIB), path).rejects.toMatchObject({
        code: 'RESPONSE_TOO_LARGE',
      })
    }
    expect((await fetch('/exact')).body.length).toBe(1_000)
  })

  test('an endless reply is refused as soon as it exceeds the bound', async () => {
    await using upstream = await startRawUpstream((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        const pour = () => {
          while (!socket.destroyed && socket.write(Buffer.alloc(65_536, 'a')));
        }
        socket.on('drain', pour)
        pour()
      })
    })
    await using world = createWorld()
    const request = requestFor(at(upstream.port), { onOverflow: 'refuse' })
    await expect(send(request, world.deps)).rejects.toMatchObject({ code: 'RESPONSE_TOO_LARGE' })
  })

  test('a reply that ends before it said it would is an error, whatever its framing', async () => {
    const half = gzipSync(Buffer.from('text '.repeat(1_000))).subarray(0, 20)
    const replies: Record<string, readonly (string | Uint8Array)[]> = {
      '/length': ['content-length: 100\r\n\r\nhalf'],
      '/chunked': ['transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
      '/chunk': ['transfer-encoding: chunked\r\n\r\n40\r\nhalf'],
      '/gzip': ['content-encoding: gzip\r\ncontent-length: 90\r\n\r\n', half],
      '/gzip-close': ['content-encoding: gzip\r\n\r\n', half],
    }
    await using upstream = await startRawUpstream((socket) => {
      socket.once('data', (data: Buffer) => {
        const path = data.toString('latin1').split(' ')[1] ?? ''
        socket.write('HTTP/1.1 200 OK\r\n')
        for (const part of replies[path] ?? []) socket.write(part)
        setTimeout(() => socket.end(), 10)
      })
    })
    await using world = createWorld()
    for (const onOverflow of ['truncate', 'refuse'] as const) {
      for (const path of Object.keys(replies)) {
        const request = requestFor(at(upstream.port, path), { onOverflow })
        expect(await failureOf(request, world.deps), path).toMatchObject({
          code: 'UPSTREAM_ERROR',
        })
      }
    }
  })

  test('what follows a reply that is longer than it said reaches nobody', async () => {
    let turn = 0
    await using upstream = await startRawUpstream((socket) => {
      socket.on('data', () => {
        turn += 1
        socket.write(
          turn === 1
            ? 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nrealHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfake'
            : 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext',
        )
      })
    })
    await using world = createWorld()
    const bodies: string[] = []
    for (const _ of [1, 2]) {
      const { body } = await send(requestFor(at(upstream.port)), world.deps)
      bodies.push(Buffer.from(body).toString())
    }
    expect(bodies).toEqual(['real', 'next'])
  })
})
