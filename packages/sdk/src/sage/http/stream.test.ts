import { afterEach, describe, expect, test } from 'vitest'
import {
  type Answer,
  type FakeServer,
  fakeClock,
  fakeServer,
  refuse,
  respond,
} from '../fake-server.test-kit.ts'
import { configureLogging } from '../log.ts'
import { GatewayHttpClient, type HttpClientOptions } from './client.ts'
import type { GatewayStream } from './response.ts'

let server: FakeServer | undefined

afterEach(async () => {
  configureLogging()
  await server?.close()
  server = undefined
})

async function client(answer: Answer, options: HttpClientOptions = {}) {
  configureLogging({ write: () => {} })
  server = await fakeServer(answer)
  const { socketPath } = server
  const http = new GatewayHttpClient({ socketPath }, { clock: fakeClock(), ...options })
  return { http, server }
}

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n'

async function textOf(stream: GatewayStream): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of { [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator]() })
    parts.push(part)
  return Buffer.concat(parts).toString()
}

describe('a streamed answer', () => {
  test('arrives part by part, before the rest is there', async () => {
    let more: (() => void) | undefined
    const { http } = await client(({ socket }) => {
      socket.write(`${HEAD}one `)
      more = () => void socket.end('two')
    })
    const stream = await http.requestStream('POST', '/x', { body: {} })
    const parts = stream[Symbol.asyncIterator]()
    expect(Buffer.from((await parts.next()).value ?? []).toString()).toBe('one ')
    more?.()
    expect(Buffer.from((await parts.next()).value ?? []).toString()).toBe('two')
    expect((await parts.next()).done).toBe(true)
  })

  test('sage §20.2: chunks are taken off, cut at every byte', async () => {
    const wire =
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n\n\r\n6\r\n world\r\n0\r\nTrailer: 1\r\n\r\n'
    const { http } = await client(async ({ socket }, n) => {
      socket.setNoDelay(true)
      socket.write(wire.slice(0, n))
      await new Promise((resolve) => setImmediate(resolve))
      socket.end(wire.slice(n))
    })
    const texts = await Promise.all(
      Array.from(wire, async () => textOf(await http.requestStream('GET', '/x'))),
    )
    expect(new Set(texts)).toEqual(new Set(['hello\n world']))
  })

  test('is asked for again until its first byte is there, and not after', async () => {
    const { http, server } = await client(({ socket }, n) => {
      if (n === 1) socket.end('HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n')
      else if (n === 2) socket.end(HEAD)
      else socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst')
    })
    const stream = await http.requestStream('GET', '/x')
    expect(server.requests).toHaveLength(3)
    await expect(textOf(stream)).rejects.toMatchObject({
      name: 'GatewayError',
      exitCode: 30,
      truncated: true,
    })
    expect(server.requests).toHaveLength(3)
  })

  test('that falls silent is truncated', async () => {
    const { http } = await client(({ socket }) => void socket.write(`${HEAD}first`), {
      timeoutMs: 40,
    })
    const stream = await http.requestStream('GET', '/x')
    await expect(textOf(stream)).rejects.toMatchObject({ truncated: true })
  })

  test('waits for a reader that takes its time', async () => {
    const { http } = await client(
      ({ socket }) => {
        socket.write(`${HEAD}one`)
        setTimeout(() => socket.end('two'), 5)
      },
      { timeoutMs: 60 },
    )
    const stream = await http.requestStream('GET', '/x')
    await new Promise((resolve) => setTimeout(resolve, 120))
    expect(await textOf(stream)).toBe('onetwo')
  })

  test('leaving the loop closes the connection', async () => {
    let closed: (() => void) | undefined
    const isClosed = new Promise<void>((resolve) => {
      closed = resolve
    })
    const { http } = await client(({ socket }) => {
      socket.once('end', () => closed?.())
      socket.write(`${HEAD}one`)
    })
    const stream = await http.requestStream('GET', '/x')
    for await (const _ of { [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator]() }) break
    await isClosed
  })

  test('close() ends it without a reader', async () => {
    let closed: (() => void) | undefined
    const isClosed = new Promise<void>((resolve) => {
      closed = resolve
    })
    const { http } = await client(({ socket }) => {
      socket.once('end', () => closed?.())
      socket.write(`${HEAD}one`)
    })
    ;(await http.requestStream('GET', '/x')).close()
    await isClosed
  })

  test('the caller’s signal ends it midway with its own reason', async () => {
    const { http } = await client(({ socket }) => void socket.write(`${HEAD}one`))
    const controller = new AbortController()
    const stream = await http.requestStream('GET', '/x', { signal: controller.signal })
    const reason = new Error('enough')
    setTimeout(() => controller.abort(reason), 10)
    await expect(textOf(stream)).rejects.toBe(reason)
  })
})

describe('sage §20.3: an error instead of a stream', () => {
  test('comes at once as its class, although the server keeps the connection', async () => {
    const { http } = await client(({ socket }) => {
      const body = '{"error":{"message":"no","code":"model_not_allowed"}}'
      socket.write(`HTTP/1.1 403 X\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    })
    await expect(http.requestStream('POST', '/x', { body: {} })).rejects.toMatchObject({
      name: 'ModelNotAuthorizedError',
      exitCode: 21,
    })
  })

  test('is not waited for when only the end of the connection would end it', async () => {
    const { http } = await client(
      ({ socket }) => void socket.write('HTTP/1.1 403 X\r\n\r\nforbidden'),
    )
    const started = performance.now()
    await expect(http.requestStream('GET', '/x')).rejects.toMatchObject({
      exitCode: 20,
      message: expect.stringContaining('forbidden'),
    })
    expect(performance.now() - started).toBeLessThan(5000)
  })

  test('429 after all attempts is 31', async () => {
    const { http, server } = await client((request) =>
      refuse(request, 429, 'provider_rate_limited'),
    )
    await expect(http.requestStream('GET', '/x')).rejects.toMatchObject({
      exitCode: 31,
      code: 'provider_rate_limited',
    })
    expect(server.requests).toHaveLength(4)
  })

  test('a success other than 200 is an error', async () => {
    const { http } = await client((request) => respond(request, 202, 'later'))
    await expect(http.requestStream('GET', '/x')).rejects.toMatchObject({
      exitCode: 30,
      status: 202,
    })
  })
})
