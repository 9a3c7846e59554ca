/** Frames against a real daemon, on both transports: every split, every limit, every bad frame. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { AgentKeys } from '../harness/keys.ts'
import { encode, type Frame, frameOf, RawClient } from '../harness/raw-client.ts'

const LIMIT = 4_194_304
const STRANGER_LIMIT = 65_536

let vestry: TestDaemon
let scout: AgentKeys

beforeAll(async () => {
  vestry = await startTestDaemon({ config: { vault: { listen_tcp: '127.0.0.1:0' } } })
  scout = await vestry.addAgent('scout')
})
afterAll(() => vestry.stop())

const transports = {
  unix: () => ({ path: vestry.home.vaultSocket }),
  tcp: () => {
    const [host = '', port] = String(vestry.daemon.ready.vault_tcp).split(':')
    return { host, port: Number(port) }
  },
}

async function open(transport: keyof typeof transports, login = true): Promise<RawClient> {
  const client = await RawClient.connect(transports[transport]())
  if (login) await client.login(scout)
  return client
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes in use, without what only waits to be collected. */
function held(): number {
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function header(size: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(size)
  return bytes
}

/** A request of exactly `size` bytes. */
function sized(id: number, method: string, size: number): Buffer {
  const start = `{"id":${id},"method":"${method}","params":{"pad":"`
  return frameOf(Buffer.from(`${start}${'x'.repeat(size - start.length - 3)}"}}`))
}

async function take(client: RawClient, count: number): Promise<Frame[]> {
  const frames: Frame[] = []
  for (let n = 0; n < count; n += 1) {
    const frame = await client.next()
    if (frame === undefined) throw new Error(`closed after ${n} frames`)
    frames.push(frame)
  }
  return frames
}

async function stillWorks(client: RawClient): Promise<void> {
  client.send({ id: 'still', method: 'ping' })
  expect(await client.next()).toEqual({ id: 'still', result: { pong: true } })
}

describe.each(['unix', 'tcp'] as const)('over %s', (transport) => {
  test('vault §28.16: the vector request is understood in every split', async () => {
    const vector = Buffer.from(
      '000000407b226964223a312c226d6574686f64223a2261757468656e746963617465222c22706172616d73223a7b226167656e745f6e616d65223a2273636f7574227d7d',
      'hex',
    )
    const both = Buffer.concat([vector, encode({ id: 2, method: 'ping' })])
    const splits = [
      [both],
      [...both].map((byte) => Buffer.of(byte)),
      [both.subarray(0, 2), both.subarray(2)],
      [vector, both.subarray(vector.length)],
      [both.subarray(0, vector.length + 3), both.subarray(vector.length + 3)],
    ]
    for (const pieces of splits) {
      const client = await open(transport, false)
      client.socket.setNoDelay(true)
      for (const piece of pieces) {
        client.write(piece)
        await new Promise((resolve) => setImmediate(resolve))
      }
      const [first, second] = await take(client, 2)
      expect(first).toMatchObject({ id: 1, result: { challenge: expect.any(String) } })
      expect(second).toEqual({ id: 2, result: { pong: true } })
      client.destroy()
    }
  })

  test('vault §28.16: a thousand frames in one write get a thousand answers', async () => {
    const client = await open(transport)
    const requests = Array.from({ length: 1000 }, (_, n) => encode({ id: n, method: 'ping' }))
    client.write(Buffer.concat(requests))
    const answers = await take(client, 1000)
    expect(answers.map(({ id }) => Number(id)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 1000 }, (_, n) => n),
    )
    client.destroy()
  })

  test('vault §28.17: an empty frame is refused, and the connection stays', async () => {
    for (const login of [false, true]) {
      const client = await open(transport, login)
      client.write(header(0))
      expect(await client.next()).toMatchObject({ id: null, error: { code: 'INVALID_REQUEST' } })
      await stillWorks(client)
      client.destroy()
    }
  })

  test('vault §28.17: a stranger may send the limit, and one byte more ends it', async () => {
    const client = await open(transport, false)
    client.write(sized(1, 'ping', STRANGER_LIMIT))
    expect(await client.next()).toEqual({ id: 1, result: { pong: true } })
    client.write(sized(2, 'ping', STRANGER_LIMIT + 1))
    client.send({ id: 3, method: 'ping' })
    expect(await client.next()).toMatchObject({ id: null, error: { code: 'REQUEST_TOO_LARGE' } })
    expect(await client.next()).toBeUndefined()
  })

  test('vault §28.17: an agent may send 4 MiB; more is skipped and answered by id', async () => {
    const client = await open(transport)
    client.write(sized(1, 'whoami', LIMIT))
    expect(await client.next()).toMatchObject({ id: 1, result: { agent: 'scout' } })
    client.write(sized(2, 'whoami', LIMIT + 1))
    expect(await client.next()).toMatchObject({
      id: 2,
      error: { code: 'REQUEST_TOO_LARGE', context: { size: LIMIT + 1, limit: LIMIT } },
    })
    await stillWorks(client)
    client.write(header(5_000_000))
    client.write(Buffer.alloc(5_000_000))
    expect(await client.next()).toMatchObject({ id: null, error: { code: 'REQUEST_TOO_LARGE' } })
    await stillWorks(client)
    client.destroy()
  })

  test('vault §28.17: beyond 64 MiB an agent is told and shown out', async () => {
    for (const size of [67_108_865, 2 ** 32 - 1]) {
      const client = await open(transport)
      client.write(header(size))
      expect(await client.next()).toMatchObject({ id: null, error: { code: 'REQUEST_TOO_LARGE' } })
      expect(await client.next()).toBeUndefined()
    }
  })

  test('vault §28.17: a 64 MiB frame is read to its end without being kept', async () => {
    const client = await open(transport)
    const send = (bytes: Buffer) => new Promise((resolve) => client.socket.write(bytes, resolve))
    const before = held()
    client.write(header(67_108_864))
    client.write(Buffer.from('{"id":77,'))
    const piece = Buffer.alloc(1_048_576, 0x20)
    for (let sent = 0; sent < 63; sent += 1) await send(piece)
    // Both ends live in this process; the last piece is still to come, so nothing was let go of yet.
    // Memory of buffers is given back a moment after they were collected.
    await expect.poll(() => held() - before, { timeout: 10_000 }).toBeLessThan(16 * 1_048_576)
    await send(piece.subarray(9))
    expect(await client.next()).toMatchObject({ id: 77, error: { code: 'REQUEST_TOO_LARGE' } })
    await stillWorks(client)
    client.destroy()
  })

  test('vault §28.17: what a browser or a TLS client sends is never taken for frames', async () => {
    const smuggled = encode({ id: 1, method: 'ping' })
    const hellos = [
      'POST / HTTP/1.1\r\nHost: localhost:7600\r\nContent-Type: text/plain\r\n\r\n',
      'GET / HTTP/1.1\r\n\r\n',
      'PUT /x HTTP/1.1\r\n\r\n',
      'HEAD / HTTP/1.1\r\n\r\n',
      'OPTIONS * HTTP/1.1\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    ].map((text) => Buffer.from(text))
    for (const hello of [...hellos, Buffer.from('16030102000100', 'hex')]) {
      const client = await open(transport, false)
      client.write(Buffer.concat([hello, smuggled]))
      expect(await client.next()).toBeUndefined()
      expect(client.received).toBe(0)
    }
  })

  test('a frame cut short by the end of the stream is dropped, and nothing breaks', async () => {
    for (const bytes of [
      Buffer.from([0, 0]),
      header(10),
      frameOf(Buffer.from('{"id"')).subarray(0, 7),
    ]) {
      const client = await open(transport)
      client.write(bytes)
      client.end()
      expect(await client.next()).toBeUndefined()
    }
    const client = await open(transport)
    await stillWorks(client)
    client.destroy()
  })
})

test('at most 64 connections are strangers at a time; one more is told so and closed', async () => {
  const strangers = await Promise.all(Array.from({ length: 64 }, () => open('tcp', false)))
  // Each has been accepted once it was answered.
  for (const client of strangers) await stillWorks(client)
  const refused = await open('tcp', false)
  refused.send({ id: 1, method: 'authenticate', params: { agent_name: 'scout' } })
  expect(await refused.next()).toMatchObject({
    id: null,
    error: { code: 'RATE_LIMITED', context: { scope: 'unauthenticated', limit: 64 } },
  })
  expect(await refused.next()).toBeUndefined()
  await strangers[0]!.login(scout)
  const welcome = await open('tcp', false)
  await stillWorks(welcome)
  for (const client of [...strangers, welcome]) client.destroy()
})

test('vault §28.21: a thousand announcements of 4 MiB cost next to nothing', async () => {
  const count = 1000
  await using daemon = await startTestDaemon({
    config: {
      vault: { connections: 1200, connections_unauthenticated: 1200, sessions_per_agent: 1200 },
    },
  })
  const keys = await daemon.addAgent('announcer')
  const clients: RawClient[] = []
  for (let n = 0; n < count; n += 50) {
    clients.push(...(await Promise.all(Array.from({ length: 50 }, () => daemon.agent(keys)))))
  }
  const before = process.memoryUsage()
  for (const client of clients) client.write(header(LIMIT))
  await new Promise((resolve) => setTimeout(resolve, 300))
  const extra = await daemon.agent(keys)
  expect((await extra.call('whoami')).agent).toBe('announcer')
  const after = process.memoryUsage()
  // 4 GiB were announced; both ends of every connection live in this process.
  expect(after.rss - before.rss).toBeLessThan(32 * 1024 * 1024)
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(8 * 1024 * 1024)
  for (const client of [...clients, extra]) client.destroy()
})
