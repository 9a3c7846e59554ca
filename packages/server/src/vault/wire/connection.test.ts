import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { afterEach, expect, test } from 'vitest'
import { Secret } from '../../seal/secret.ts'
import { Connection } from './connection.ts'
import type { Protocol, Running } from './protocol.ts'
import type { Reply } from './reply.ts'
import { DEFAULT_WIRE_LIMITS, type WireLimits } from './wire-limits.ts'

interface Answer {
  id: number | string | null
  result?: Record<string, unknown>
  error?: { code: string; detail: string | null; context: Record<string, unknown> }
}

const servers: Server[] = []
const clients: Client[] = []
const connections: Connection<object>[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy()
  for (const connection of connections.splice(0)) connection.destroy()
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve))
})

class Client {
  readonly socket: Socket
  readonly answers: Answer[] = []
  ended = false
  failure: Error | undefined
  #rest = Buffer.alloc(0)

  constructor(socket: Socket) {
    this.socket = socket
    clients.push(this)
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('end', () => {
      this.ended = true
    })
    socket.on('error', (error) => {
      this.failure = error
    })
  }

  send(...messages: object[]): void {
    this.socket.write(Buffer.concat(messages.map((m) => frame(JSON.stringify(m)))))
  }

  async answered(count: number): Promise<Answer[]> {
    await until(() => this.answers.length >= count, `${count} answers`)
    return this.answers
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    for (;;) {
      if (this.#rest.length < 4) return
      const size = this.#rest.readUInt32BE(0)
      if (this.#rest.length < 4 + size) return
      this.answers.push(JSON.parse(this.#rest.toString('utf8', 4, 4 + size)) as Answer)
      this.#rest = this.#rest.subarray(4 + size)
    }
  }
}

function frame(body: string | Uint8Array): Buffer {
  const bytes = Buffer.from(body as Uint8Array)
  const out = Buffer.alloc(4 + bytes.length)
  out.writeUInt32BE(bytes.length)
  out.set(bytes, 4)
  return out
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let n = 0; n < 2_000 && !condition(); n += 1) await new Promise((r) => setTimeout(r, 5))
  if (!condition()) throw new Error(`waited in vain for ${what}`)
}

const tick = (ms = 30) => new Promise((resolve) => setTimeout(resolve, ms))

/** A toy protocol: `login` is the barrier, `wait` answers when the test says so. */
async function setUp(options: { limits?: Partial<WireLimits>; authenticated?: boolean } = {}) {
  const seen = {
    started: [] as string[],
    running: 0,
    most: 0,
    closed: 0,
    internal: [] as unknown[],
    signals: [] as AbortSignal[],
    secrets: [] as Secret[],
    released: 0,
  }
  const waiting: ((reply: Reply) => void)[] = []
  let loggedIn = options.authenticated ?? true
  let nowMs = 1_000_000
  const wait = async () => {
    seen.running += 1
    seen.most = Math.max(seen.most, seen.running)
    try {
      return await new Promise<Reply>((resolve) => waiting.push(resolve))
    } finally {
      seen.running -= 1
    }
  }
  const methods: Record<string, (running: Running) => Reply | Promise<Reply>> = {
    echo: ({ request }) => ({ result: { ...request.params } }),
    wait,
    signal: (running) => {
      seen.signals.push(running.signal)
      return new Promise(() => undefined)
    },
    lateSignal: async (running) => {
      await wait()
      seen.signals.push(running.signal)
      return { result: {} }
    },
    hang: () => new Promise(() => undefined),
    login: async () => {
      await tick(20)
      loggedIn = true
      return { result: { in: true } }
    },
    boom: () => {
      throw new TypeError('a mistake')
    },
    big: ({ request }) => ({ result: { body: 'x'.repeat(Number(request.params['bytes'])) } }),
    keep: ({ request }) => {
      seen.secrets.push(...request.secrets.values())
      return { result: { length: request.secrets.get('value')?.length } }
    },
    secret: () => ({
      result: { path: 'p' },
      secrets: [{ name: 'value', value: Secret.copy(Buffer.from('abc')), as: 'hex' }],
      release: () => {
        seen.released += 1
      },
    }),
    waitForSecret: async () => ({
      ...(await wait()),
      release: () => {
        seen.released += 1
      },
    }),
  }
  const protocol: Protocol<object> = {
    secretMembers: new Set(['value']),
    onInternalError: (_id, error) => seen.internal.push(error),
    open: () => ({}),
    authenticated: () => loggedIn,
    isBarrier: (method) => method === 'login',
    deadlineMs: () => 30_000,
    handle: async (_state, running) => {
      const method = methods[running.request.method]
      seen.started.push(`${running.request.method} ${running.request.id}`)
      if (method === undefined) throw new VestryError('METHOD_NOT_FOUND')
      return method(running)
    },
    closed: () => {
      seen.closed += 1
    },
  }
  const path = join(tmpdir(), `connection-${process.pid}-${Math.random().toString(36).slice(2)}`)
  const accepted = new Promise<Connection<object>>((resolve) => {
    const server = createServer({ allowHalfOpen: true }, (socket) =>
      resolve(
        new Connection({
          socket,
          protocol,
          limits: { ...DEFAULT_WIRE_LIMITS, ...options.limits },
          now: () => nowMs,
          onClosed: () => undefined,
        }),
      ),
    )
    servers.push(server)
    server.listen(path)
  })
  const client = new Client(connect({ path, allowHalfOpen: true }))
  const connection = await accepted
  connections.push(connection)
  return {
    client,
    connection,
    seen,
    waiting,
    release: (reply: Reply = { result: {} }) => waiting.shift()?.(reply),
    /** Moves the clock and has the connection look at it. */
    pass: (ms: number) => {
      nowMs += ms
      connection.sweep(nowMs)
    },
  }
}

const ids = (answers: readonly Answer[]) => answers.map(({ id }) => id)
const codes = (answers: readonly Answer[]) => answers.map(({ error }) => error?.code)

test('requests run side by side, and a fast one overtakes a slow one', async () => {
  const { client, release } = await setUp()
  client.send({ id: 1, method: 'wait' }, { id: 2, method: 'echo', params: { a: 1 } })
  expect(await client.answered(1)).toEqual([{ id: 2, result: { a: 1 } }])
  release()
  expect(ids(await client.answered(2))).toEqual([2, 1])
})

test('at most 32 requests run at a time; the others wait, and every one is answered', async () => {
  const { client, seen, waiting, release, connection } = await setUp()
  client.send(...Array.from({ length: 100 }, (_, id) => ({ id, method: 'wait' })))
  await until(() => seen.running === 32, '32 requests')
  await tick()
  expect(seen.running).toBe(32)
  for (let n = 0; n < 100; n += 1) {
    await until(() => waiting.length > 0, 'a running request')
    release()
  }
  expect(new Set(ids(await client.answered(100))).size).toBe(100)
  expect(seen.most).toBe(32)
  expect(connection.inflight).toBe(0)
})

test('requests that together are large are not read ahead without end', async () => {
  const { client, seen, waiting, release } = await setUp({ limits: { inflightBytes: 100_000 } })
  const params = { pad: 'x'.repeat(60_000) }
  client.send(...Array.from({ length: 6 }, (_, id) => ({ id, method: 'wait', params })))
  await until(() => seen.running === 2, 'two requests')
  await tick()
  expect(seen.running).toBe(2)
  for (let n = 0; n < 6; n += 1) {
    await until(() => waiting.length > 0, 'a running request')
    release()
  }
  await client.answered(6)
  expect(seen.most).toBe(2)
})

test('requests with one id run one after the other, in the order they came', async () => {
  const { client, seen, release } = await setUp()
  client.send({ id: 1, method: 'wait' }, { id: 1, method: 'echo' }, { id: '1', method: 'echo' })
  expect(ids(await client.answered(1))).toEqual(['1'])
  expect(seen.started).toEqual(['wait 1', 'echo 1'])
  release({ result: { first: true } })
  expect((await client.answered(3)).slice(1)).toEqual([
    { id: 1, result: { first: true } },
    { id: 1, result: {} },
  ])
})

test('nothing behind a barrier is looked at before the barrier is answered', async () => {
  const { client, seen, release } = await setUp({ authenticated: false })
  const large = { pad: 'x'.repeat(70_000) } // too large for a stranger
  client.send(
    { id: 1, method: 'wait' },
    { id: 2, method: 'login' },
    { id: 3, method: 'echo', params: large },
  )
  await until(() => seen.started.length === 2, 'the login')
  expect(seen.started).toEqual(['wait 1', 'login 2'])
  expect(ids(await client.answered(2))).toEqual([2, 3])
  expect(client.answers[1]?.result).toEqual(large)
  release()
  await client.answered(3)
})

test('a request past its deadline is answered TIMEOUT and told to stop', async () => {
  const { client, seen, pass, release, connection } = await setUp()
  client.send({ id: 1, method: 'signal' }, { id: 2, method: 'lateSignal' })
  await until(() => seen.started.length === 2, 'both')
  pass(29_999)
  await tick()
  expect(client.answers).toEqual([])
  pass(1)
  expect(codes(await client.answered(2))).toEqual(['TIMEOUT', 'TIMEOUT'])
  expect(seen.signals[0]?.aborted).toBe(true)
  release()
  await until(() => seen.signals.length === 2, 'the late look at the signal')
  expect(seen.signals[1]?.aborted).toBe(true)
  client.send({ id: 3, method: 'echo' })
  expect(ids(await client.answered(3))).toEqual([1, 2, 3])
  expect(connection.inflight).toBe(0)
})

test('handlers that never end block neither later requests nor the end of the connection', async () => {
  const { client, connection, pass } = await setUp()
  const hung = Array.from({ length: 32 }, (_, id) => ({ id, method: 'hang' }))
  client.send(...hung, { id: 99, method: 'echo' }, { id: 5, method: 'echo' })
  await until(() => connection.inflight === 32, 'all places taken')
  pass(30_000)
  const answers = await client.answered(34)
  expect(new Set(codes(answers.slice(0, 32)))).toEqual(new Set(['TIMEOUT']))
  expect(ids(answers.slice(32)).sort()).toEqual([5, 99])
  connection.closeGracefully()
  await until(() => client.ended, 'the end')
  expect(client.failure).toBeUndefined()
})

test('what a handler comes up with after its deadline is dropped and let go', async () => {
  const { client, seen, pass, release } = await setUp()
  client.send({ id: 1, method: 'waitForSecret' })
  await until(() => seen.running === 1, 'the request')
  pass(30_000)
  await client.answered(1)
  release()
  await until(() => seen.released === 1, 'the release')
  client.send({ id: 2, method: 'echo' })
  expect(ids(await client.answered(2))).toEqual([1, 2])
})

test('secrets of a request are wiped after it, secrets of a reply let go', async () => {
  const { client, seen } = await setUp()
  client.send({ id: 1, method: 'keep', params: { value: 'hunter2' } }, { id: 2, method: 'secret' })
  const answers = await client.answered(2)
  expect(answers).toEqual([
    { id: 1, result: { length: 7 } },
    { id: 2, result: { value: '616263', path: 'p' } },
  ])
  await until(() => seen.released === 1, 'the release')
  expect(() => seen.secrets[0]?.bytes).toThrow('secret used after disposal')
})

test('an unforeseen failure is told to the log, not to the peer', async () => {
  const { client, seen } = await setUp()
  client.send({ id: 1, method: 'boom' })
  const [answer] = await client.answered(1)
  expect(answer?.error).toMatchObject({ code: 'INTERNAL_ERROR', detail: null })
  expect(seen.internal).toMatchObject([{ message: 'a mistake' }])
})

test('vault §28.20: an answer too large for a frame becomes RESPONSE_TOO_LARGE', async () => {
  const { client } = await setUp()
  client.send({ id: 1, method: 'big', params: { bytes: 4_194_304 } }, { id: 2, method: 'echo' })
  const answers = await client.answered(2)
  expect(answers.find(({ id }) => id === 1)?.error?.code).toBe('RESPONSE_TOO_LARGE')
  expect(answers.find(({ id }) => id === 2)?.result).toEqual({})
})

test('a peer that sends all and half-closes still gets every answer, then the end', async () => {
  const { client, seen, waiting, release } = await setUp()
  client.send(...Array.from({ length: 50 }, (_, id) => ({ id, method: 'wait' })))
  client.socket.end()
  for (let n = 0; n < 50; n += 1) {
    await until(() => waiting.length > 0, 'a running request')
    release()
  }
  expect(new Set(ids(await client.answered(50))).size).toBe(50)
  await until(() => client.ended && seen.closed === 1, 'the end')
})

test('a peer that does not read is not read from, and is heard again once it reads', async () => {
  const { client, seen, connection } = await setUp({ limits: { queuedReplyBytes: 1_000_000 } })
  client.socket.pause()
  const total = 400
  for (let id = 0; id < total; id += 1)
    client.send({ id, method: 'big', params: { bytes: 100_000 } })
  await until(() => seen.started.length > 10, 'the first requests')
  await tick(200)
  const before = seen.started.length
  expect(before).toBeLessThan(60) // 1 MB queued, what runs at a time, and the kernel's own buffers
  await tick(100)
  expect(seen.started.length).toBe(before)
  client.socket.resume()
  await client.answered(total)
  expect(connection.inflight).toBe(0)
})

test('refusals of bad frames are bounded by the same queue', async () => {
  const { client, pass, seen } = await setUp({ limits: { queuedReplyBytes: 200_000 } })
  client.socket.pause()
  client.socket.write(Buffer.alloc(4 * 50_000)) // 50 000 empty frames, 16 MB of refusals
  await tick(200)
  client.socket.resume()
  const answers = await client.answered(50_000)
  expect(new Set(codes(answers))).toEqual(new Set(['INVALID_REQUEST']))
  pass(1)
  expect(seen.closed).toBe(0)
})

test('a peer that takes nothing for 60 s is given up', async () => {
  const { client, seen, pass } = await setUp()
  client.socket.pause()
  for (let id = 0; id < 30; id += 1)
    client.send({ id, method: 'big', params: { bytes: 1_000_000 } })
  await until(() => seen.started.length > 5, 'the first requests')
  await tick(100)
  pass(1)
  pass(59_000)
  await tick()
  expect(seen.closed).toBe(0)
  pass(1_001)
  await until(() => seen.closed === 1, 'the close')
})

test('vault §28.17: a header must be whole within 10 s, a body move every 10 s and end within 60 s', async () => {
  const header = await setUp()
  header.client.socket.write(Buffer.from([0, 0]))
  await tick()
  header.pass(9_999)
  expect(header.client.ended).toBe(false)
  header.client.socket.write(Buffer.from([0]))
  await tick()
  header.pass(1)
  await until(() => header.client.ended, 'the end of the slow header')

  const stalled = await setUp()
  stalled.client.socket.write(frame('x'.repeat(100)).subarray(0, 50))
  await tick()
  stalled.pass(10_000)
  await until(() => stalled.client.ended, 'the end of the stalled body')

  const slow = await setUp()
  slow.client.socket.write(frame('x'.repeat(100)).subarray(0, 5))
  for (let n = 1; n <= 6; n += 1) {
    await tick()
    slow.pass(9_900)
    slow.client.socket.write('x')
  }
  await tick()
  expect(slow.client.ended).toBe(false)
  slow.pass(600)
  await until(() => slow.client.ended, 'the end of the slow body')
  expect(slow.client.failure).toBeUndefined()
})

test('silence between frames, and silence that we imposed, are no violation', async () => {
  const { client, pass, seen, release } = await setUp({ limits: { inflightPerConnection: 1 } })
  pass(3_600_000)
  client.send({ id: 1, method: 'wait' })
  client.socket.write(Buffer.from([0, 0]))
  await until(() => seen.running === 1, 'the request')
  await tick()
  pass(25_000)
  release()
  await client.answered(1)
  await tick()
  pass(5_000)
  expect(client.ended).toBe(false)
  const rest = frame('{"id":2,"method":"echo"}').subarray(2)
  client.socket.write(rest)
  expect(ids(await client.answered(2))).toEqual([1, 2])
})

test('a stranger has 10 s to log in; who logged in may stay silent', async () => {
  const stranger = await setUp({ authenticated: false })
  stranger.client.send({ id: 1, method: 'echo' })
  await stranger.client.answered(1)
  stranger.pass(10_000)
  await until(() => stranger.client.ended, 'the end')

  const agent = await setUp({ authenticated: false })
  agent.client.send({ id: 1, method: 'login' })
  await agent.client.answered(1)
  agent.pass(1_000_000)
  await tick()
  expect(agent.client.ended).toBe(false)
})

test('an idle timeout counts from the last answer, not from the last request', async () => {
  const { client, pass, seen, release } = await setUp({ limits: { idleTimeoutMs: 20_000 } })
  client.send({ id: 1, method: 'wait' })
  await until(() => seen.running === 1, 'the request')
  pass(25_000)
  release()
  await client.answered(1)
  pass(19_999)
  await tick()
  expect(client.ended).toBe(false)
  pass(1)
  await until(() => client.ended, 'the end')
})

test('a graceful close answers what runs, ends with FIN, and reads on without a reset', async () => {
  const { client, connection, seen, release, pass } = await setUp()
  client.send({ id: 1, method: 'wait' })
  await until(() => seen.running === 1, 'the request')
  connection.closeGracefully()
  client.send({ id: 2, method: 'echo' })
  await tick()
  expect(client.answers).toEqual([])
  release({ result: { last: true } })
  await until(() => client.ended, 'the end')
  expect(client.answers).toEqual([{ id: 1, result: { last: true } }])
  for (let n = 0; n < 20; n += 1) {
    client.send({ id: 3, method: 'echo', params: { pad: 'x'.repeat(50_000) } })
    await tick(5)
  }
  expect(client.failure).toBeUndefined()
  expect(seen.started).toEqual(['wait 1'])
  expect(seen.closed).toBe(0)
  pass(5_000)
  await until(() => seen.closed === 1, 'the close')
})

test('a close flushes what is queued before the FIN, however slowly it is read', async () => {
  const { client, connection, seen, pass } = await setUp()
  client.socket.pause()
  client.send({ id: 1, method: 'big', params: { bytes: 4_000_000 } })
  await until(() => seen.started.length === 1 && connection.inflight === 0, 'the reply')
  connection.closeGracefully()
  pass(5_000)
  pass(5_000)
  client.socket.resume()
  const [answer] = await client.answered(1)
  expect(String(answer?.result?.['body']).length).toBe(4_000_000)
  await until(() => client.ended, 'the end')
})

test('while it drains, a connection answers what arrives with the reason', async () => {
  const { client, connection, seen, release } = await setUp({
    limits: { inflightPerConnection: 1 },
  })
  client.send({ id: 1, method: 'wait' }, { id: 2, method: 'echo' })
  await until(() => seen.running === 1, 'the request')
  connection.drain(new VestryError('SHUTTING_DOWN'))
  client.send({ id: 3, method: 'login' })
  client.socket.write(frame('{"id":4,'))
  const refused = await client.answered(3)
  expect(ids(refused)).toEqual([2, 3, 4])
  expect(codes(refused)).toEqual(['SHUTTING_DOWN', 'SHUTTING_DOWN', 'INVALID_REQUEST'])
  release()
  expect(ids(await client.answered(4))).toEqual([2, 3, 4, 1])
  await until(() => client.ended, 'the end')
  expect(seen.started).toEqual(['wait 1'])
})

test('failing what is in flight starts none of those that waited their turn', async () => {
  const { client, connection, seen } = await setUp()
  client.send(
    { id: 1, method: 'wait' },
    { id: 1, method: 'echo' },
    { id: 1, method: 'keep', params: { value: 'hunter2' } },
    { id: 2, method: 'login' },
  )
  await until(() => connection.inflight === 4, 'four requests')
  connection.drain(new VestryError('SHUTTING_DOWN'))
  connection.failInflight(new VestryError('SHUTTING_DOWN'))
  const answers = await client.answered(4)
  expect(new Set(codes(answers))).toEqual(new Set(['SHUTTING_DOWN']))
  await until(() => client.ended, 'the end')
  expect(seen.started).toEqual(['wait 1'])
})

test('a peer that vanishes takes its requests along', async () => {
  const { client, seen, connection } = await setUp()
  client.send({ id: 1, method: 'signal' }, { id: 2, method: 'wait' }, { id: 2, method: 'echo' })
  await until(() => seen.started.length === 2, 'the requests')
  connection.socket.destroy(new Error('reset'))
  await until(() => seen.closed === 1, 'the close')
  expect(seen.signals[0]?.aborted).toBe(true)
  expect(seen.started).toEqual(['signal 1', 'wait 2'])
})

test('a stranger that does not read its answers has them kept small, and loses its place', async () => {
  const { client, connection, pass, seen } = await setUp({
    authenticated: false,
    limits: { queuedReplyBytes: 1_000_000_000 }, // for agents
  })
  client.socket.pause()
  client.socket.write(Buffer.alloc(4 * 200_000)) // 66 MB of refusals, were they all made
  await tick(300)
  expect(connection.socket.bytesRead).toBeLessThan(200_000)
  pass(1)
  pass(10_000)
  pass(1)
  pass(5_000)
  await until(() => seen.closed === 1, 'the close')
})

test('vault §28.17: a browser or a TLS client is shown out without a word', async () => {
  for (const hello of ['GET / HTTP/1.1\r\n\r\n', 'POST / HTTP/1.1\r\n\r\n']) {
    const { client, seen } = await setUp({ authenticated: false })
    client.socket.write(hello)
    client.send({ id: 1, method: 'echo' })
    await until(() => client.ended, 'the end')
    expect(client.answers).toEqual([])
    expect(seen.started).toEqual([])
    expect(client.failure).toBeUndefined()
  }
})

test('vault §28.17: what a stranger announces too large is never skipped, so nothing behind it runs', async () => {
  for (const size of [65_537, 0x7fff_ffff, 0xffff_ffff]) {
    const { client, seen } = await setUp({ authenticated: false })
    const header = Buffer.alloc(4)
    header.writeUInt32BE(size)
    client.socket.write(header)
    client.send({ id: 1, method: 'echo' })
    await until(() => client.ended, 'the end')
    expect(codes(client.answers)).toEqual(['REQUEST_TOO_LARGE'])
    expect(ids(client.answers)).toEqual([null])
    expect(seen.started).toEqual([])
  }
})

test('vault §28.17: who logged in is answered with the id, and stays in step', async () => {
  const { client } = await setUp({ limits: { maxRequestBytes: 65_536 } })
  const body = `{"id":41,"method":"echo","params":{"pad":"${'x'.repeat(1_000_000)}"}}`
  client.socket.write(frame(body))
  client.send({ id: 42, method: 'echo' })
  const answers = await client.answered(2)
  expect(ids(answers)).toEqual([41, 42])
  expect(answers[0]?.error).toMatchObject({
    code: 'REQUEST_TOO_LARGE',
    context: { size: body.length, limit: 65_536 },
  })
})

test('jsonrpc is echoed to whoever sends it, in errors too', async () => {
  const { client } = await setUp()
  client.send({ jsonrpc: '2.0', id: 1, method: 'echo' })
  client.send({ jsonrpc: '2.0', id: 2, method: 'nothing' })
  client.send({ jsonrpc: '2.0', id: 3, method: 'echo', params: [] })
  client.send({ id: 4, method: 'echo' })
  const answers = await client.answered(4)
  const versions = Object.fromEntries(
    answers.map((answer) => [String(answer.id), (answer as { jsonrpc?: string }).jsonrpc]),
  )
  expect(versions).toEqual({ 1: '2.0', 2: '2.0', 3: '2.0', 4: undefined })
})
