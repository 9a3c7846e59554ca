/** Raw clients that write before they read, as many do, against a server that refuses what they write. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, type NetConnectOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Registry } from '../metrics/registry.ts'
import { drainBodies, endRefused } from './drain.ts'
import { createHttp } from './server.ts'

const MIB = 1024 * 1024
const PIECE = Buffer.alloc(65_536, 'x')

interface Heard {
  text: string
  /** What writing failed with, if it did. */
  error: string | undefined
}

/** Writes everything, and reads only then: what an early reset does to it, it does to any such client. */
async function slowClient(
  to: NetConnectOpts,
  head: string,
  pieces: Iterable<Uint8Array | string>,
  pauseMs = 1,
): Promise<Heard> {
  const socket = connect(to)
  socket.pause()
  let error: string | undefined
  socket.on('error', (failure: NodeJS.ErrnoException) => {
    error ??= failure.code
  })
  await once(socket, 'connect')
  socket.write(head)
  for (const piece of pieces) {
    if (socket.destroyed) break
    if (!socket.write(piece)) await drainOrClose(socket)
    if (pauseMs > 0) await sleep(pauseMs)
  }
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk)).resume()
  if (!socket.destroyed) await Promise.race([once(socket, 'close'), sleep(8_000)])
  socket.destroy()
  return { text: Buffer.concat(chunks).toString('latin1'), error }
}

const drainOrClose = (socket: Socket) =>
  new Promise<void>((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.once('drain', done).once('close', done)
  })

const headFor = (path: string, framing: string, extra = '') =>
  `POST ${path} HTTP/1.1\r\nHost: gateway.local\r\nContent-Type: application/json\r\nConnection: close\r\n${extra}${framing}\r\n\r\n`

function* times(count: number, piece: Uint8Array | string): Generator<Uint8Array | string> {
  for (let n = 0; n < count; n += 1) yield piece
}

function* chunked(count: number): Generator<string | Uint8Array> {
  for (let n = 0; n < count; n += 1) {
    yield `${PIECE.length.toString(16)}\r\n`
    yield PIECE
    yield '\r\n'
  }
  yield '0\r\n\r\n'
}

const server = () =>
  createHttp({
    version: '0',
    startedAtMs: 0,
    now: Date.now,
    registry: new Registry(),
    apiKeys: {} as never, // asked only where metrics are not open
    loopback: true,
    maxBodyBytes: MIB,
    state: () => ({ sealed: false, auditAvailable: true, draining: false }),
    checks: async () => ({ able: true, facts: {} }),
  })

describe.each(['TCP', 'Unix socket'])('over %s', (kind) => {
  const directory = mkdtempSync(join(tmpdir(), 'vestry-drain-'))
  const app = server()
  let to: NetConnectOpts
  beforeAll(async () => {
    app.post('/echo', (request) => request.body)
    app.register(async (inner) => {
      inner.addHook('onRequest', async () => {
        throw Object.assign(new Error('no'), { statusCode: 401 })
      })
      inner.post('/closed', () => 'never')
    })
    if (kind === 'TCP') {
      await app.listen({ port: 0, host: '127.0.0.1' })
      to = { port: (app.server.address() as AddressInfo).port, host: '127.0.0.1' }
    } else {
      const path = join(directory, 'http.sock')
      await app.listen({ path })
      to = { path }
    }
  })
  afterAll(async () => {
    await app.close()
    rmSync(directory, { recursive: true, force: true })
  })

  const SIZE = 40 * PIECE.length
  const cases: [string, string, Iterable<Uint8Array | string>, number][] = [
    ['too large by its length', headFor('/echo', `Content-Length: ${SIZE}`), times(40, PIECE), 413],
    ['too large, in chunks', headFor('/echo', 'Transfer-Encoding: chunked'), chunked(40), 413],
    ['to no path', headFor('/nowhere', `Content-Length: ${SIZE}`), times(40, PIECE), 413],
    ['to a path that is none', headFor('/%zz', `Content-Length: ${SIZE}`), times(40, PIECE), 400],
    ['from a stranger', headFor('/closed', `Content-Length: ${SIZE}`), times(40, PIECE), 401],
    [
      'with too long a head',
      headFor('/echo', `Content-Length: ${SIZE}`, `X-Long: ${'h'.repeat(100_000)}\r\n`),
      times(40, PIECE),
      431,
    ],
    ['that is no HTTP', 'HELLO\r\n\r\n', times(40, PIECE), 400],
  ]
  test.each(cases)(
    'sage §4.3 H7: a request %s gets its answer',
    async (_what, head, pieces, status) => {
      const { text, error } = await slowClient(to, head, pieces)
      expect(error).toBeUndefined()
      expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      const [headers = '', body = ''] = text.split('\r\n\r\n')
      expect(Number(/content-length: (\d+)/i.exec(headers)?.[1])).toBe(body.length)
      expect(JSON.parse(body)).toMatchObject({ error: expect.any(String) })
    },
  )

  test('sage §21.5: so do many at once', async () => {
    const all = await Promise.all(
      Array.from({ length: 24 }, () =>
        slowClient(to, headFor('/echo', `Content-Length: ${SIZE}`), times(40, PIECE)),
      ),
    )
    for (const { text, error } of all) {
      expect(error).toBeUndefined()
      expect(text).toMatch(/^HTTP\/1\.1 413 .*"code":"REQUEST_TOO_LARGE"/s)
    }
  })

  test('a request that is read anyway is answered as ever', async () => {
    const head = headFor('/echo', 'Content-Length: 7')
    const { text } = await slowClient(to, head, ['{"a"', ':1}'])
    expect(text).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\n\{"a":1\}$/s)
  })
})

describe('within bounds', () => {
  const bounded = async (given: { bytes: number; ms: number; idleMs?: number }) => {
    const bounds = { idleMs: 60_000, ...given }
    const app = fastify({
      bodyLimit: 1_000,
      clientErrorHandler: (_error, socket) =>
        endRefused(socket, () => 'HTTP/1.1 400 X\r\n\r\n', bounds),
    })
    drainBodies(app, bounds)
    app.post('/', () => 'ok')
    await app.listen({ port: 0, host: '127.0.0.1' })
    const port = (app.server.address() as AddressInfo).port
    const connections = () =>
      new Promise<number>((resolve) => app.server.getConnections((_error, count) => resolve(count)))
    return {
      to: { port, host: '127.0.0.1' },
      /** Resolves when the server holds no connection any more, whatever its client thinks. */
      free: () => vi.waitFor(async () => expect(await connections()).toBe(0), 3_000),
      async [Symbol.asyncDispose]() {
        app.server.closeAllConnections()
        await app.close()
      },
    }
  }
  const first = (to: NetConnectOpts, head: string) => {
    const socket = connect({ ...to, allowHalfOpen: true })
    socket.on('error', () => {})
    socket.write(head)
    return once(socket, 'data').then(([data]) => ({ socket, text: String(data) }))
  }

  test('who stops in the middle is answered when the time is up, and cut off', async () => {
    await using app = await bounded({ bytes: MIB, ms: 150 })
    const startedMs = performance.now()
    const { socket, text } = await first(app.to, headFor('/', 'Content-Length: 5000'))
    expect(text).toMatch(/^HTTP\/1\.1 413 .*connection: close/is)
    await app.free()
    socket.destroy()
    const tookMs = performance.now() - startedMs
    expect(tookMs).toBeGreaterThan(100)
    expect(tookMs).toBeLessThan(2_000)
  })

  test('who waits for the answer before it goes on gets it soon', async () => {
    await using app = await bounded({ bytes: MIB, ms: 60_000, idleMs: 50 })
    const { socket, text } = await first(app.to, headFor('/', 'Content-Length: 5000'))
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
    await app.free()
    socket.destroy()
  })

  test('who never ends is cut off by bytes', async () => {
    await using app = await bounded({ bytes: 4 * MIB, ms: 60_000 })
    const head = headFor('/', `Content-Length: ${1024 * MIB}`)
    let pieces = 0
    const endless = function* () {
      for (; pieces < 16_384; pieces += 1) yield PIECE
    }
    await slowClient(app.to, head, endless(), 0)
    // Besides what is read, two sockets hold some.
    expect(pieces * PIECE.length).toBeLessThan(64 * MIB)
  })

  test.each([
    ['silence', 0],
    ['more of it', 1],
  ])('who sends what is no HTTP and then %s is cut off', async (_then, more) => {
    await using app = await bounded({ bytes: MIB, ms: 150 })
    const { socket, text } = await first(app.to, 'HELLO\r\n\r\n')
    expect(text).toMatch(/^HTTP\/1\.1 400/)
    const writing = more === 1 ? setInterval(() => socket.write('more\r\n'), 5) : undefined
    await app.free()
    clearInterval(writing)
    socket.destroy()
  })
})
