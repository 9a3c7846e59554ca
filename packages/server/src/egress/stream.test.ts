/** Answers passed on as they come, against real servers on loopback. */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { constants, createGzip, gzipSync } from 'node:zlib'
import { describe, expect, test, vi } from 'vitest'
import { wasSent } from './failure.ts'
import { type EgressStream, openStream, readText, type StreamRequest } from './stream.ts'
import { startRawUpstream, startUpstream } from './testing/upstream.ts'
import { createWorld, requestFor, type World } from './testing/world.ts'

const SECRET = 'sk-live-Zm9v/YmFy+42~xyz'
const MIB = 1024 * 1024

const at = (port: number, path = '/') => `http://api.example.com:${port}${path}`

function streamFor(
  url: string,
  { secret, ...rest }: Partial<StreamRequest> & { secret?: string } = {},
): StreamRequest {
  const { headers, poolKey, authorize, injection } = requestFor(url, secret ? { secret } : {})
  return {
    url,
    headers,
    poolKey,
    authorize,
    body: Buffer.from('{}'),
    firstByteMs: 5_000,
    idleMs: 5_000,
    totalMs: 10_000,
    maxBytes: 16 * MIB,
    ...(injection !== undefined && { injection }),
    ...rest,
  }
}

async function collect(stream: EgressStream): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream.body) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

async function read(port: number, world: World, more: Parameters<typeof streamFor>[1] = {}) {
  const stream = await openStream(streamFor(at(port), more), world.deps)
  return { stream, text: await collect(stream) }
}

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  )

test('the head comes first, then the body; the request asks for plain bytes', async () => {
  await using upstream = await startUpstream(({ url }, reply) => {
    reply.writeHead(url === '/no' ? 429 : 200, { 'content-type': 'text/plain', 'x-a': SECRET })
    reply.end('0123456789')
  })
  await using world = createWorld()
  for (const [path, status] of [
    ['/ok?x=1', 200],
    ['/no', 429],
  ] as const) {
    const request = streamFor(at(upstream.port, path), { secret: SECRET })
    const stream = await openStream(request, world.deps)
    expect(stream.status).toBe(status)
    expect(stream.headers).toMatchObject({ 'content-type': 'text/plain', 'x-a': '[REDACTED]' })
    expect(stream.firstByteMs).toBeUndefined()
    expect(await collect(stream)).toBe('0123456789')
    expect(stream).toMatchObject({ bytesIn: 10, bytesOut: 2, redactions: { count: 1 } })
    expect(stream.firstByteMs).toBeGreaterThanOrEqual(0)
    expect(stream.target.path).toBe(path.replace('?x=1', ''))
    expect(() => stream.body).toThrow(/once/)
  }
  for (let n = 0; n < 8; n += 1) await read(upstream.port, world)
  // The next request may come while the library still notes the end of the last one.
  expect(upstream.connections()).toBeLessThanOrEqual(2)
  expect(upstream.seen[0]).toMatchObject({
    method: 'POST',
    body: '{}',
    headers: { 'accept-encoding': 'identity', authorization: `Bearer ${SECRET}` },
  })
})

test('every event is there before the next one is sent', async () => {
  const arrived: (() => void)[] = []
  // Its base64 goes "aW5n…": the end of the comment could be the beginning of it.
  const secret = 'ing-secret-0123456789'
  const events = ['data: {"a":1}\n\n', ': aW5n\n\n', ': aW5n\r\n\r\n', 'data: [DONE]\n\n']
  await using upstream = await startUpstream(async (_, reply) => {
    reply.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const event of events) {
      const { promise, resolve } = Promise.withResolvers<void>()
      arrived.push(resolve)
      reply.write(event)
      await promise
    }
    reply.end()
  })
  await using world = createWorld()
  const stream = await openStream(streamFor(at(upstream.port), { secret, idleMs: 500 }), world.deps)
  const seen: string[] = []
  for await (const chunk of stream.body) {
    seen.push(Buffer.from(chunk).toString('latin1'))
    arrived.at(-1)?.()
  }
  expect(seen).toEqual(events)
})

describe('a reflected secret', () => {
  const spellings = {
    plain: SECRET,
    JSON: JSON.stringify({ key: SECRET }).replaceAll('/', '\\/'),
    'percent-encoded': encodeURIComponent(SECRET),
    base64: btoa(`x${SECRET}`),
    hex: Buffer.from(SECRET).toString('hex'),
    'the header': `Bearer ${SECRET}`,
  }

  test.each(Object.entries(spellings))('%s, split at every place', async (_name, spelling) => {
    const text = `data: ${spelling}\n\n`
    await using upstream = await startUpstream(async ({ url }, reply) => {
      const offset = Number(url.slice(1))
      reply.socket?.setNoDelay()
      reply.writeHead(200)
      reply.write(text.slice(0, offset))
      await sleep(10)
      reply.end(text.slice(offset))
    })
    await using world = createWorld({ pool: { maxConnections: 256 } })
    const offsets = Array.from({ length: text.length - 1 }, (_, n) => n + 1)
    await Promise.all(
      offsets.map(async (offset) => {
        const request = streamFor(at(upstream.port, `/${offset}`), { secret: SECRET })
        const stream = await openStream(request, world.deps)
        const got = await collect(stream)
        expect(got, `at ${offset}`).toMatch(/^data: ({"key":")?e?(Bearer )?\[REDACTED\]("})?\n\n$/)
        expect(stream.redactions.count).toBe(1)
      }),
    )
  })

  test('in single bytes, and through gzip', async () => {
    const text = `x${SECRET}y `.repeat(20)
    await using upstream = await startUpstream(async ({ url }, reply) => {
      const data = url === '/gzip' ? gzipSync(text) : Buffer.from(text)
      reply.writeHead(200, url === '/gzip' ? { 'content-encoding': 'gzip' } : {})
      for (const byte of data) reply.write(Uint8Array.of(byte))
      reply.end()
    })
    await using world = createWorld()
    for (const path of ['/plain', '/gzip']) {
      const request = streamFor(at(upstream.port, path), { secret: SECRET })
      const stream = await openStream(request, world.deps)
      expect(stream.headers).not.toHaveProperty('content-encoding')
      expect(await collect(stream)).toBe('x[REDACTED]y '.repeat(20))
      expect(stream.redactions.count).toBe(20)
    }
  })

  test('cut off in the middle shows nothing of it', async () => {
    await using upstream = await startUpstream((_, reply) => {
      reply.end(`before ${SECRET.slice(0, 12)}`)
    })
    await using world = createWorld()
    const { text } = await read(upstream.port, world, { secret: SECRET })
    // The upstream has no more to say, so this is all there ever was.
    expect(text).toBe(`before ${SECRET.slice(0, 12)}`)
    await using broken = await startRawUpstream((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n')
        socket.end(`before ${SECRET.slice(0, 12)}`)
      })
    })
    const seen: string[] = []
    const stream = await openStream(streamFor(at(broken.port), { secret: SECRET }), world.deps)
    const failed = rejection(
      (async () => {
        for await (const chunk of stream.body) seen.push(Buffer.from(chunk).toString('latin1'))
      })(),
    )
    expect(await failed).toMatchObject({ code: 'UPSTREAM_ERROR' })
    expect(seen.join('')).toBe('before ')
  })
})

test('a compressed answer flows as it is flushed', async () => {
  const next: (() => void)[] = []
  await using upstream = await startUpstream(async (_, reply) => {
    reply.writeHead(200, { 'content-encoding': 'gzip' })
    const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH })
    gzip.pipe(reply)
    for (const part of ['one\n\n', 'two\n\n', 'three\n\n']) {
      const { promise, resolve } = Promise.withResolvers<void>()
      next.push(resolve)
      gzip.write(part)
      await promise
    }
    gzip.end()
  })
  await using world = createWorld()
  const request = streamFor(at(upstream.port), { secret: SECRET, idleMs: 500 })
  const seen: string[] = []
  for await (const chunk of (await openStream(request, world.deps)).body) {
    seen.push(Buffer.from(chunk).toString())
    next.at(-1)?.()
  }
  expect(seen).toEqual(['one\n\n', 'two\n\n', 'three\n\n'])
})

describe('time', () => {
  const silent = (after: string) =>
    startRawUpstream((socket) => void socket.once('data', () => socket.write(after)))
  const HEAD = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'

  test.each([
    ['no head', '', { firstByteMs: 60 }, 'first_byte'],
    ['no body', HEAD, { firstByteMs: 60 }, 'first_byte'],
    ['a pause', `${HEAD}1\r\nx\r\n`, { idleMs: 60 }, 'idle'],
    ['no end', `${HEAD}1\r\nx\r\n`, { totalMs: 60 }, 'total'],
  ])('%s ends it', async (_what, sent, times, phase) => {
    await using upstream = await silent(sent)
    await using world = createWorld()
    const startedMs = performance.now()
    const error = await rejection(read(upstream.port, world, times))
    expect(error).toMatchObject({
      code: 'UPSTREAM_TIMEOUT',
      context: { phase, timeout_ms: 60, host: 'api.example.com' },
    })
    expect(performance.now() - startedMs).toBeLessThan(500)
    expect(wasSent(error)).toBe(true)
  })

  test('bytes that dribble in keep it alive', async () => {
    await using upstream = await startUpstream(async (_, reply) => {
      for (let n = 0; n < 8; n += 1) {
        reply.write('x')
        await sleep(60)
      }
      reply.end()
    })
    await using world = createWorld()
    expect((await read(upstream.port, world, { idleMs: 400 })).text).toBe('x'.repeat(8))
  })

  test('a slow reader is no idle upstream', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end('y'.repeat(3 * MIB)))
    await using world = createWorld()
    const request = streamFor(at(upstream.port), { firstByteMs: 80, idleMs: 80 })
    const stream = await openStream(request, world.deps)
    await sleep(120)
    let size = 0
    for await (const chunk of stream.body) {
      if (size === 0) await sleep(120)
      size += chunk.length
    }
    expect(size).toBe(3 * MIB)
  })

  test('an answer that nobody reads ends with its time', async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    await using upstream = await startRawUpstream((socket) => {
      socket.once('data', () => socket.write(HEAD))
      socket.once('close', () => resolve())
    })
    await using world = createWorld()
    await openStream(streamFor(at(upstream.port), { totalMs: 50 }), world.deps)
    await closed
  })
})

describe('bounds', () => {
  test('more bytes than allowed, plain or inflated, end it', async () => {
    const bomb = gzipSync(Buffer.alloc(8 * MIB))
    await using upstream = await startUpstream(({ url }, reply) => {
      if (url === '/bomb') reply.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb)
      else reply.end('z'.repeat(70_000))
    })
    await using world = createWorld()
    for (const [path, maxBytes] of [
      ['/', 65_536],
      ['/bomb', 16 * MIB],
    ] as const) {
      const stream = await openStream(streamFor(at(upstream.port, path), { maxBytes }), world.deps)
      expect(await rejection(collect(stream))).toMatchObject({ code: 'RESPONSE_TOO_LARGE' })
    }
    expect((await read(upstream.port, world, { maxBytes: 70_000 })).text).toHaveLength(70_000)
  })

  test('the upstream is read no faster than its reader', async () => {
    let written = 0
    await using upstream = await startUpstream(async (_, reply) => {
      const block = Buffer.alloc(65_536, 'a')
      while (!reply.destroyed && written < 64 * MIB) {
        written += block.length
        if (!reply.write(block)) await new Promise((go) => reply.once('drain', go))
      }
    })
    await using world = createWorld()
    const stream = await openStream(
      streamFor(at(upstream.port), { maxBytes: 100 * MIB }),
      world.deps,
    )
    const body = stream.body[Symbol.asyncIterator]()
    await body.next()
    await sleep(150)
    const early = written
    expect(early).toBeLessThan(16 * MIB) // what two sockets hold
    await sleep(100)
    expect(written).toBe(early)
    for (let got = 0; got < 24 * MIB; ) got += (await body.next()).value?.length ?? 0
    expect(written).toBeGreaterThan(early)
    stream.close()
  })

  test('an error is read as text up to a bound', async () => {
    await using upstream = await startUpstream((_, reply) => {
      reply.writeHead(500)
      reply.end(`{"error":"${SECRET}"}${'x'.repeat(MIB)}`)
    })
    await using world = createWorld()
    const request = streamFor(at(upstream.port), { secret: SECRET })
    const stream = await openStream(request, world.deps)
    expect(await readText(stream, 24)).toBe('{"error":"[REDACTED]"}xx')
  })

  test('what looks like the beginning of a secret for ever is not kept for ever', async () => {
    // Ends in back-slashes, of which a reply may hold any number.
    const secret = 'a-secret-with-an-end\\'
    await using upstream = await startUpstream((_, reply) => {
      reply.write(secret)
      for (let n = 0; n < 12; n += 1) reply.write('\\'.repeat(32 * 1024))
      reply.end()
    })
    await using world = createWorld()
    const error = await rejection(read(upstream.port, world, { secret }))
    expect(error).toMatchObject({ code: 'UPSTREAM_ERROR' })
  })
})

describe('sage §21.26: who has enough', () => {
  /** Resolves when the upstream's end of the exchange is closed. */
  const watchedUpstream = async (respond: (socket: Socket) => void) => {
    const { promise: closed, resolve } = Promise.withResolvers<number>()
    const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>()
    const upstream = await startRawUpstream((socket) => {
      socket.once('data', () => {
        respond(socket)
        onAsked()
      })
      socket.once('close', () => resolve(performance.now()))
    })
    return { upstream, closed, asked }
  }
  const flowing = (socket: Socket) => {
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n')
  }

  test('an abort closes the upstream connection within 100 ms, before and after the head', async () => {
    await using world = createWorld()
    for (const respond of [() => {}, flowing]) {
      const { upstream, closed, asked } = await watchedUpstream(respond)
      await using _upstream = upstream
      const stop = new AbortController()
      const reason = new Error('enough')
      const reading = read(upstream.port, world, { signal: stop.signal })
      await asked
      await sleep(20)
      const abortedMs = performance.now()
      stop.abort(reason)
      expect(await rejection(reading)).toBe(reason)
      expect((await closed) - abortedMs).toBeLessThan(100)
    }
  })

  test('leaving the loop, or closing without reading, closes it too', async () => {
    await using world = createWorld()
    const ways: ((stream: EgressStream) => Promise<void> | void)[] = [
      async (stream) => {
        for await (const _ of stream.body) break
      },
      (stream) => stream.close(),
      (stream) => {
        using _stream = stream
      },
    ]
    for (const leave of ways) {
      const { upstream, closed } = await watchedUpstream(flowing)
      await using _upstream = upstream
      const stream = await openStream(streamFor(at(upstream.port)), world.deps)
      const leftMs = performance.now()
      await leave(stream)
      expect((await closed) - leftMs).toBeLessThan(100)
    }
  })

  test('who has heard the last word leaves the connection to the next one', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      reply.write('data: [DONE]\n\n')
      if (url === '/ends') setTimeout(() => reply.end(), 5)
      else reply.write('x'.repeat(url === '/more' ? MIB : 1))
    })
    const lastWord = async (world: World, path: string) => {
      const stream = await openStream(streamFor(at(upstream.port, path)), world.deps)
      for await (const _ of stream.body) {
        stream.finish()
        break
      }
    }
    await using world = createWorld()
    for (let n = 0; n < 5; n += 1) {
      await lastWord(world, '/ends')
      await sleep(15)
    }
    expect(upstream.connections()).toBe(1)
    // But no one waits for what does not end.
    await using other = createWorld()
    await lastWord(other, '/more')
    await lastWord(other, '/silent')
    await other.deps.pool.close()
  })

  test('an abort that comes first sends nothing', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end())
    await using world = createWorld()
    const signal = AbortSignal.abort(new Error('too late'))
    expect(await rejection(read(upstream.port, world, { signal }))).toBe(signal.reason)
    expect(upstream.seen).toEqual([])
  })
})

describe('what goes wrong', () => {
  test('a redirect is an answer like any other', async () => {
    await using upstream = await startUpstream((_, reply) => {
      reply.writeHead(307, { location: 'http://127.0.0.1:1/' }).end('elsewhere')
    })
    await using world = createWorld()
    const { stream, text } = await read(upstream.port, world, { secret: SECRET })
    expect([stream.status, text, upstream.seen.length]).toEqual([307, 'elsewhere', 1])
  })

  test('addresses, coding and connection are checked as for any request', async () => {
    await using upstream = await startUpstream((_, reply) => {
      reply.writeHead(200, { 'content-encoding': 'zstd' }).end('x')
    })
    await using world = createWorld()
    await using guarded = createWorld({ holes: [] })
    const blocked = await rejection(read(upstream.port, guarded))
    expect(blocked).toMatchObject({ code: 'SSRF_BLOCKED' })
    expect(wasSent(blocked)).toBe(false)
    expect(upstream.connections()).toBe(0)
    const refused = await rejection(read(1, world))
    expect(refused).toMatchObject({ code: 'UPSTREAM_ERROR' })
    expect(wasSent(refused)).toBe(false)
    expect(await rejection(read(upstream.port, world))).toMatchObject({ code: 'UPSTREAM_ERROR' })
  })

  test.each([
    ['cut', (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123')],
    [
      'reset',
      (socket: Socket) => {
        socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n123\r\n')
        setTimeout(() => socket.resetAndDestroy(), 20)
      },
    ],
  ] as const)('a body that is %s fails after what there was', async (_how, respond) => {
    await using upstream = await startRawUpstream((socket) => {
      socket.once('data', () => void respond(socket))
    })
    await using world = createWorld()
    const stream = await openStream(streamFor(at(upstream.port)), world.deps)
    const body = stream.body[Symbol.asyncIterator]()
    expect(Buffer.from((await body.next()).value ?? []).toString()).toBe('123')
    const error = await rejection(body.next())
    expect(error).toMatchObject({ code: 'UPSTREAM_ERROR' })
    expect(wasSent(error)).toBe(true)
  })
})

test('200 streams run beside each other where the caller asks for as many connections', async () => {
  const replies: ServerResponse[] = []
  await using upstream = await startUpstream((_, reply) => {
    reply.write('begun')
    replies.push(reply)
    if (replies.length === 200) for (const waiting of replies) waiting.end('!')
  })
  await using world = createWorld()
  const poolKey = { path: 'test/credential', version: 1, connections: 512 }
  const all = await Promise.all(
    Array.from({ length: 200 }, () => read(upstream.port, world, { poolKey })),
  )
  expect(new Set(all.map(({ text }) => text))).toEqual(new Set(['begun!']))
  await vi.waitFor(() => expect(upstream.connections()).toBe(200))
})
