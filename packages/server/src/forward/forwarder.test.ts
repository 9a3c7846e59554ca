import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import {
  type AddressInfo,
  createConnection,
  createServer,
  type Server,
  type Socket,
} from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { dialer } from '../egress/dial.ts'
import { createAuthority } from '../egress/testing/authority.ts'
import { FORWARDER_LIMITS, Forwarder, type ForwarderLimits } from './forwarder.ts'

const QUICK: ForwarderLimits = { ...FORWARDER_LIMITS, lingerMs: 300, readMs: 300 }

interface Gateway {
  readonly port: number
  readonly seen: readonly Socket[]
}

async function gatewayThat(serve: (socket: Socket) => void): Promise<Gateway> {
  const seen: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    seen.push(socket)
    socket.on('error', () => undefined)
    serve(socket)
  })
  await listening(server)
  onTestFinished(() => {
    for (const socket of seen) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, seen }
}

async function listening(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
}

function socketPath(): string {
  const dir = mkdtempSync(join(tmpdir(), 'forward-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return join(dir, 'llm.sock')
}

async function forwarderTo(port: number, limits = QUICK) {
  const path = socketPath()
  const told: string[] = []
  const dial = dialer({ host: '127.0.0.1', port, tls: false }, { timeoutMs: 500 })
  const forwarder = new Forwarder({ dial, limits, onUnreachable: (e) => told.push(e.message) })
  await forwarder.listen(path, 0o600)
  onTestFinished(() => forwarder.close(0))
  return { path, forwarder, told }
}

async function clientOf(path: string): Promise<Socket> {
  const client = createConnection({ path, allowHalfOpen: true })
  client.on('error', () => undefined)
  onTestFinished(() => void client.destroy())
  await once(client, 'connect')
  return client
}

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer()
  await listening(server)
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

test('bytes pass both ways unchanged, whatever they are and however they are cut', async () => {
  const gateway = await gatewayThat((socket) => socket.pipe(socket))
  const { path } = await forwarderTo(gateway.port)
  const client = await clientOf(path)
  const sent = randomBytes(300_000)
  const got = buffer(client)
  for (let at = 0; at < sent.length; at += 7_919) client.write(sent.subarray(at, at + 7_919))
  client.end()
  expect(Buffer.compare(await got, sent)).toBe(0)
})

test('a half-closed connection stays open the other way', async () => {
  const gateway = await gatewayThat(async (socket) => {
    const request = await buffer(socket) // only ends when the half-close has come through
    socket.end(`${request.length} bytes`)
  })
  const { path } = await forwarderTo(gateway.port)
  const client = await clientOf(path)
  client.end('a request')
  expect((await buffer(client)).toString()).toBe('9 bytes')
})

test('TLS reaches a gateway whose authority is trusted, ends included, and no other', async () => {
  const authority = createAuthority()
  const server = createTlsServer(
    { ...authority.issue('127.0.0.1'), allowHalfOpen: true },
    async (socket) => {
      const request = await buffer(socket)
      socket.end(`${request.length} bytes`)
    },
  )
  server.on('tlsClientError', () => undefined)
  await listening(server)
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const address = { host: '127.0.0.1', port, tls: true }
  const through = async (caPem?: string): Promise<string> => {
    const dial = dialer(address, { timeoutMs: 2_000, ...(caPem !== undefined && { caPem }) })
    const forwarder = new Forwarder({ dial, limits: QUICK })
    const path = socketPath()
    await forwarder.listen(path, 0o600)
    onTestFinished(() => forwarder.close(0))
    const client = await clientOf(path)
    client.end('GET / HTTP/1.1\r\n\r\n')
    return (await buffer(client)).toString()
  }
  expect(await through(authority.ca)).toBe('18 bytes')
  expect(await through()).toMatch(/^HTTP\/1\.1 503 /)
})

test('each client has a connection of its own, and nothing is sent before it speaks', async () => {
  const gateway = await gatewayThat((socket) => socket.pipe(socket))
  const { path, forwarder } = await forwarderTo(gateway.port)
  const clients = await Promise.all([clientOf(path), clientOf(path), clientOf(path)])
  for (const [index, client] of clients.entries()) {
    client.write(`n${index}`)
    const [echo] = (await once(client, 'data')) as [Buffer]
    expect(echo.toString()).toBe(`n${index}`)
  }
  expect(gateway.seen).toHaveLength(3)
  for (const client of clients) client.end()
  await expect.poll(() => forwarder.connections).toBe(0)
})

test('a client that hangs up is gone for the gateway within a second', async () => {
  const gateway = await gatewayThat((socket) => void socket.write('data: 1\n\n'))
  const { path } = await forwarderTo(gateway.port)
  const client = await clientOf(path)
  await once(client, 'data')
  const [theirs] = gateway.seen
  theirs?.resume()
  client.destroy()
  if (theirs?.readableEnded === false)
    await once(theirs, 'end', { signal: AbortSignal.timeout(1_000) })
})

test('what a gateway sent before it broke off arrives, and then the end', async () => {
  const gateway = await gatewayThat((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\nhalf of', () =>
      setTimeout(() => socket.resetAndDestroy(), 30),
    )
  })
  const { path, forwarder } = await forwarderTo(gateway.port)
  const client = await clientOf(path)
  client.write('GET / HTTP/1.1\r\n\r\n')
  expect((await buffer(client)).toString()).toContain('half of')
  client.destroy()
  await expect.poll(() => forwarder.connections).toBe(0)
})

test('a slow reader slows the gateway instead of filling memory', async () => {
  const flood = Buffer.alloc(64 * 1_048_576)
  const gateway = await gatewayThat((socket) => void socket.write(flood))
  const { path } = await forwarderTo(gateway.port)
  const before = process.memoryUsage().external
  const client = await clientOf(path)
  client.pause()
  await sleep(300)
  expect(gateway.seen[0]?.bytesWritten).toBe(flood.length) // all of it is offered
  expect(gateway.seen[0]?.writableLength).toBeGreaterThan(flood.length / 2) // and most of it waits there
  expect(process.memoryUsage().external - before).toBeLessThan(16 * 1_048_576)
})

test('an unreachable gateway is a complete 503, after the whole request was read', async () => {
  const { path, told } = await forwarderTo(await closedPort())
  const client = await clientOf(path)
  const body = Buffer.alloc(8 * 1_048_576, 'x')
  const head = `POST /v1/chat/completions HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n`
  let answeredEarly = false
  client.once('readable', () => {
    answeredEarly = client.writableLength > 0
  })
  client.write(head)
  await new Promise((resolve) => client.write(body, resolve)) // as a client that writes before it reads
  const text = (await buffer(client)).toString()
  expect(answeredEarly).toBe(false)
  const [top = '', json = ''] = text.split('\r\n\r\n')
  expect(top).toMatch(/^HTTP\/1\.1 503 /)
  expect(top).toContain(`Content-Length: ${Buffer.byteLength(json)}`)
  expect(top).toContain('Connection: close')
  expect(JSON.parse(json).error).toMatchObject({
    code: 'gateway_overloaded',
    type: 'overloaded_error',
    param: null,
    request_id: expect.stringMatching(/^req_/),
  })
  expect(told).toEqual([expect.stringContaining('ECONNREFUSED')])
})

test('the native route gets its own shape of error', async () => {
  const { path } = await forwarderTo(await closedPort())
  const client = await clientOf(path)
  client.write('POST /v1/messages HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}')
  const [, json = ''] = (await buffer(client)).toString().split('\r\n\r\n')
  expect(JSON.parse(json)).toMatchObject({ type: 'error', error: { type: 'overloaded_error' } })
})

test('a client that never finishes its request is answered in time all the same', async () => {
  const { path } = await forwarderTo(await closedPort())
  const client = await clientOf(path)
  client.write('POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel')
  expect((await buffer(client)).toString()).toMatch(/^HTTP\/1\.1 503 /)
})

test('one connection too many is told to come again', async () => {
  const gateway = await gatewayThat((socket) => socket.pipe(socket))
  const { path } = await forwarderTo(gateway.port, { ...QUICK, maxConnections: 1 })
  const first = await clientOf(path)
  first.write('x')
  await once(first, 'data')
  const second = await clientOf(path)
  second.write('GET /health HTTP/1.1\r\n\r\n')
  expect((await buffer(second)).toString()).toMatch(/^HTTP\/1\.1 503 /)
})

test('an idle connection does not stay for ever', async () => {
  const gateway = await gatewayThat(() => undefined)
  const { path, forwarder } = await forwarderTo(gateway.port, { ...QUICK, idleMs: 80 })
  const client = await clientOf(path)
  client.resume()
  await once(client, 'end')
  await expect.poll(() => forwarder.connections).toBe(0)
})

test('closing lets what is under way finish, and accepts nobody new', async () => {
  const gateway = await gatewayThat((socket) => {
    socket.once('data', () => setTimeout(() => socket.end('done'), 100))
  })
  const { path, forwarder } = await forwarderTo(gateway.port)
  const client = await clientOf(path)
  client.write('a request')
  await expect.poll(() => gateway.seen.length).toBe(1)
  const answer = buffer(client)
  const closed = forwarder.close(5_000)
  await expect(clientOf(path)).rejects.toThrow()
  expect((await answer).toString()).toBe('done')
  client.end()
  await closed
  expect(existsSync(path)).toBe(false)
})

test('a socket file is replaced only when nobody answers on it', async () => {
  const { path } = await forwarderTo(await closedPort())
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const dial = () => Promise.reject(new Error('unused'))
  const second = new Forwarder({ dial })
  await expect(second.listen(path, 0o600)).rejects.toMatchObject({ code: 'INSTANCE_RUNNING' })
  const file = socketPath()
  writeFileSync(file, 'precious')
  await expect(second.listen(file, 0o600)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  await expect(second.listen(`/tmp/${'x'.repeat(120)}`, 0o600)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
  })
})

test('a client that is gone before the gateway is reached leaves no connection there', async () => {
  const gateway = await gatewayThat(
    (socket) => void socket.resume().once('end', () => socket.end()),
  )
  const reach = dialer({ host: '127.0.0.1', port: gateway.port, tls: false }, { timeoutMs: 500 })
  const waiting = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const dial = async () => {
    waiting.resolve()
    await go.promise
    return reach()
  }
  const forwarder = new Forwarder({ dial, limits: QUICK })
  const path = socketPath()
  await forwarder.listen(path, 0o600)
  await clientOf(path)
  await waiting.promise
  const closed = forwarder.close(0)
  await sleep(20) // by now the client has been cut off
  go.resolve()
  await closed
  await expect.poll(() => gateway.seen.map(({ closed }) => closed)).not.toContain(false)
})
