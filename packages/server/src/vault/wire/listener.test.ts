import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MAX_SOCKET_PATH_BYTES } from '../../http/listen-on-socket.ts'
import { type AcceptLimits, type Address, Listener, type Population } from './listener.ts'
import type { Protocol } from './protocol.ts'
import { DEFAULT_WIRE_LIMITS } from './wire-limits.ts'

let dir: string
const listeners: Listener<Peer>[] = []
const sockets: Socket[] = []
let umask: number

interface Peer {
  loggedIn: boolean
}

beforeEach(() => {
  umask = process.umask()
  dir = mkdtempSync(join(tmpdir(), 'listener-'))
})

afterEach(async () => {
  process.umask(umask)
  for (const socket of sockets.splice(0)) socket.destroy()
  await Promise.all(listeners.splice(0).map((listener) => listener.close(0)))
  rmSync(dir, { recursive: true, force: true })
})

const waiting: (() => void)[] = []

function protocol(internal: unknown[] = []): Protocol<Peer> {
  return {
    onInternalError: (_id, error) => internal.push(error),
    open: () => ({ loggedIn: false }),
    authenticated: (peer) => peer.loggedIn,
    isBarrier: (method) => method === 'login',
    deadlineMs: () => 30_000,
    handle: async (peer, { request }) => {
      if (request.method === 'login') peer.loggedIn = true
      if (request.method === 'wait') await new Promise<void>((resolve) => waiting.push(resolve))
      return { result: { did: request.method } }
    },
    closed: () => undefined,
  }
}

async function listen(
  address: Address,
  accept: Partial<AcceptLimits> = {},
  population: Population = { size: 0 },
) {
  const listener = new Listener({
    protocol: protocol(),
    wire: { ...DEFAULT_WIRE_LIMITS, closeLingerMs: 500 },
    accept: { connections: 100, perTcpSource: 100, unauthenticated: 100, ...accept },
    population,
    now: () => performance.now(),
  })
  listeners.push(listener)
  return { listener, bound: await listener.listen(address) }
}

function dial(where: NetConnectOpts) {
  const socket = connect(where)
  sockets.push(socket)
  const peer = { socket, answers: [] as { error?: { code: string } }[], ended: false, failure: '' }
  let rest = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
      const end = 4 + rest.readUInt32BE(0)
      peer.answers.push(JSON.parse(rest.toString('utf8', 4, end)))
      rest = rest.subarray(end)
    }
  })
  socket.on('end', () => {
    peer.ended = true
  })
  socket.on('error', (error) => {
    peer.failure = error.message
  })
  return peer
}

function frame(message: object): Buffer {
  const body = Buffer.from(JSON.stringify(message))
  const header = Buffer.alloc(4)
  header.writeUInt32BE(body.length)
  return Buffer.concat([header, body])
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let n = 0; n < 1_000 && !condition(); n += 1) await new Promise((r) => setTimeout(r, 5))
  if (!condition()) throw new Error(`waited in vain for ${what}`)
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => (error instanceof VestryError ? error.code : error),
  )

test('vault §28.44: a socket has its mode under any umask, and gives the umask back', async () => {
  for (const [mask, mode] of [
    [0o000, 0o600],
    [0o777, 0o600],
    [0o022, 0o660],
    [0o077, 0o666],
  ] as const) {
    process.umask(mask)
    const socket = join(dir, `m${mask}`)
    await listen({ socket, mode })
    expect(statSync(socket).mode & 0o777).toBe(mode)
    expect(process.umask()).toBe(mask)
  }
})

test('vault §28.44: between creation and chmod a socket is for its owner alone', async () => {
  process.umask(0)
  const socket = join(dir, 's')
  const pending = listen({ socket, mode: 0o666 })
  // Turns of the microtask queue only: the listener is not told of its success before we look.
  for (let n = 0; n < 1_000 && !existsSync(socket); n += 1) await undefined
  expect(statSync(socket).mode & 0o777).toBe(0o600)
  await pending
  expect(statSync(socket).mode & 0o777).toBe(0o666)
})

test('vault §28.44: a stale socket is replaced, a live one is not', async () => {
  const socket = join(dir, 's')
  await orphan(socket)
  expect(lstatSync(socket).isSocket()).toBe(true)
  await listen({ socket })
  const peer = dial({ path: socket })
  peer.socket.write(frame({ id: 1, method: 'ping' }))
  await until(() => peer.answers.length === 1, 'an answer')
  expect(await failure(listen({ socket }))).toBe('INSTANCE_RUNNING')
  peer.socket.write(frame({ id: 2, method: 'ping' }))
  await until(() => peer.answers.length === 2, 'an answer')
})

test('what is no socket, or cannot be asked, is left alone', async () => {
  const file = join(dir, 'file')
  writeFileSync(file, 'mine')
  expect(await failure(listen({ socket: file }))).toBe('CONFIG_INVALID')
  const link = join(dir, 'link')
  await orphan(join(dir, 'target'))
  symlinkSync(join(dir, 'target'), link)
  expect(await failure(listen({ socket: link }))).toBe('CONFIG_INVALID')
  expect(lstatSync(link).isSymbolicLink()).toBe(true)
  if (process.getuid?.() === 0) return // permissions do not bind root
  const locked = join(dir, 'locked')
  await orphan(locked)
  chmodSync(locked, 0)
  expect(await failure(listen({ socket: locked }))).toBe('CONFIG_INVALID')
  expect(existsSync(locked)).toBe(true)
})

test('a path too long for the kernel is named before anything is touched', async () => {
  const fits = join(dir, 'x'.repeat(MAX_SOCKET_PATH_BYTES - Buffer.byteLength(dir) - 1))
  await listen({ socket: fits })
  expect(existsSync(fits)).toBe(true)
  const long = `${fits}y`
  await expect(listen({ socket: long })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('104 bytes'),
  })
  expect(existsSync(long)).toBe(false)
})

test('an address in use is a configuration error, not a crash', async () => {
  const { bound } = await listen({ host: '127.0.0.1', port: 0 })
  expect(bound).toMatchObject({ host: '127.0.0.1', port: expect.any(Number) })
  const { port } = bound as { port: number }
  expect(await failure(listen({ host: '127.0.0.1', port }))).toBe('CONFIG_INVALID')
})

test('connections over a limit get one RATE_LIMITED frame and a clean end, on TCP and Unix', async () => {
  const socket = join(dir, 's')
  const unix = await listen({ socket }, { connections: 2 })
  const tcp = await listen({ host: '127.0.0.1', port: 0 }, { perTcpSource: 2 })
  const { port } = tcp.bound as { port: number }
  for (const [where, listener] of [
    [{ path: socket }, unix.listener],
    [{ host: '127.0.0.1', port }, tcp.listener],
  ] as const) {
    const first = dial(where)
    dial(where)
    await until(() => listener.connections.size === 2, 'two connections')
    for (let n = 0; n < 20; n += 1) {
      const turned = dial(where)
      // As old clients do: the first request is on its way before the answer is read.
      turned.socket.write(frame({ id: 1, method: 'login' }))
      turned.socket.write(Buffer.alloc(100_000))
      await until(() => turned.ended, 'the end')
      expect(turned.answers).toMatchObject([{ id: null, error: { code: 'RATE_LIMITED' } }])
      expect(turned.failure).toBe('')
    }
    expect(listener.connections.size).toBe(2)
    first.socket.end()
    await until(() => listener.connections.size === 1, 'a free place')
    const next = dial(where)
    next.socket.write(frame({ id: 1, method: 'login' }))
    await until(() => next.answers.length === 1, 'an answer')
    expect(next.answers[0]?.error).toBeUndefined()
  }
})

test('only so many may be strangers at a time; who logged in makes room', async () => {
  const socket = join(dir, 's')
  const { listener } = await listen({ socket }, { unauthenticated: 3 })
  const strangers = [1, 2, 3].map(() => dial({ path: socket }))
  await until(() => listener.connections.size === 3, 'three connections')
  const refused = dial({ path: socket })
  await until(() => refused.ended, 'the end')
  expect(refused.answers).toMatchObject([
    { error: { code: 'RATE_LIMITED', context: { scope: 'unauthenticated', limit: 3 } } },
  ])
  strangers[0]?.socket.write(frame({ id: 1, method: 'login' }))
  await until(() => strangers[0]?.answers.length === 1, 'the login')
  const welcome = dial({ path: socket })
  welcome.socket.write(frame({ id: 1, method: 'ping' }))
  await until(() => welcome.answers.length === 1, 'an answer')
  expect(welcome.answers[0]?.error).toBeUndefined()
})

test('whoever is turned away and keeps on writing is read to the end, not reset', async () => {
  const socket = join(dir, 's')
  await listen({ socket }, { connections: 0 })
  const peer = dial({ path: socket, allowHalfOpen: true } as NetConnectOpts)
  peer.socket.write(Buffer.alloc(1_000_000))
  await until(() => peer.ended, 'the end')
  expect(peer.answers).toMatchObject([{ error: { code: 'RATE_LIMITED' } }])
  await until(() => peer.socket.bytesWritten === 1_000_000, 'all of it taken')
  await until(() => peer.socket.writableLength === 0, 'all of it taken')
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  expect(peer.failure).toBe('')
})

test('a daemon too busy to answer still owns its socket', async () => {
  const socket = join(dir, 's')
  const program = `
    require('node:net').createServer().listen({ path: process.argv[1], backlog: 1 }, () => {
      require('node:fs').writeSync(1, 'ready')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })`
  const child = spawn(process.execPath, ['-e', program, socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await once(child.stdout, 'data')
    for (let n = 0; n < 4; n += 1) dial({ path: socket })
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(await failure(listen({ socket }))).toBe('CONFIG_INVALID')
    expect(existsSync(socket)).toBe(true)
  } finally {
    child.kill('SIGKILL')
  }
})

test('listeners may share one total', async () => {
  const population = { size: 0 }
  const [one, two] = [join(dir, 'one'), join(dir, 'two')]
  await listen({ socket: one }, { connections: 2 }, population)
  await listen({ socket: two }, { connections: 2 }, population)
  const first = dial({ path: one })
  dial({ path: two })
  await until(() => population.size === 2, 'both')
  const refused = dial({ path: two })
  await until(() => refused.ended, 'the end')
  expect(refused.answers).toMatchObject([{ error: { context: { scope: 'connections' } } }])
  first.socket.end()
  await until(() => population.size === 1, 'a free place')
})

test('connections turned away that never go are bounded in number', async () => {
  const socket = join(dir, 's')
  await listen({ socket }, { connections: 1 })
  dial({ path: socket })
  const stubborn = Array.from({ length: 300 }, () => {
    const peer = dial({ path: socket, allowHalfOpen: true } as NetConnectOpts)
    let closed = false
    peer.socket.on('close', () => {
      closed = true
    })
    return { peer, isClosed: () => closed }
  })
  await until(() => stubborn.every(({ peer }) => peer.ended), 'the end of all')
  await until(() => {
    for (const { peer } of stubborn) peer.socket.write('x')
    return stubborn.filter(({ isClosed }) => isClosed()).length >= 44
  }, 'the oldest to be given up')
})

test('closing answers what is in flight, ends every connection, and frees the address', async () => {
  const socket = join(dir, 's')
  const { listener } = await listen({ socket })
  const busy = dial({ path: socket })
  const idle = dial({ path: socket })
  busy.socket.write(frame({ id: 1, method: 'wait' }))
  await until(() => waiting.length === 1 && listener.connections.size === 2, 'both')
  const closing = listener.close(10_000)
  await until(() => idle.ended, 'the end of the idle one')
  expect(busy.ended).toBe(false)
  busy.socket.write(frame({ id: 2, method: 'ping' }))
  await until(() => busy.answers.length === 1, 'the refusal')
  expect(busy.answers[0]?.error?.code).toBe('SHUTTING_DOWN')
  waiting.shift()?.()
  await closing
  expect(busy.answers[1]).toEqual({ id: 1, result: { did: 'wait' } })
  await until(() => busy.ended, 'the end of the busy one')
  expect(busy.failure + idle.failure).toBe('')
  expect(existsSync(socket)).toBe(false)
  await listen({ socket })
})

test('a request that does not end is answered SHUTTING_DOWN within the budget', async () => {
  const socket = join(dir, 's')
  const { listener } = await listen({ socket })
  const peer = dial({ path: socket })
  peer.socket.write(frame({ id: 1, method: 'wait' }))
  await until(() => waiting.length === 1, 'the request')
  await listener.close(600)
  await until(() => peer.ended, 'the end')
  expect(peer.answers).toMatchObject([{ id: 1, error: { code: 'SHUTTING_DOWN' } }])
  expect(peer.failure).toBe('')
  waiting.length = 0
})

test('running out of descriptors costs connections, not the daemon', async () => {
  const socket = join(dir, 's')
  const program = `
    import { Listener } from ${JSON.stringify(new URL('./listener.ts', import.meta.url).href)}
    import { DEFAULT_WIRE_LIMITS } from ${JSON.stringify(new URL('./wire-limits.ts', import.meta.url).href)}
    const listener = new Listener({
      protocol: {
        open: () => ({}), authenticated: () => true, isBarrier: () => false,
        deadlineMs: () => 1000, handle: async () => ({ result: {} }), closed: () => undefined,
      },
      wire: DEFAULT_WIRE_LIMITS,
      accept: { connections: 1000, perTcpSource: 1000, unauthenticated: 1000 },
      now: () => performance.now(),
    })
    await listener.listen({ socket: process.argv[1] })
    process.stdout.write('ready')`
  const command = 'ulimit -n 48; exec "$0" --conditions=source --input-type=module -e "$1" "$2"'
  const child = spawn('bash', ['-c', command, process.execPath, program, socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await once(child.stdout, 'data')
    const peers = Array.from({ length: 60 }, () => dial({ path: socket }))
    const alive = peers[0] as (typeof peers)[number]
    await new Promise((resolve) => setTimeout(resolve, 200))
    alive.socket.write(frame({ id: 1, method: 'ping' }))
    await until(() => alive.answers.length === 1, 'an answer under pressure')
    for (const { socket } of peers) socket.destroy()
    const later = dial({ path: socket })
    later.socket.write(frame({ id: 1, method: 'ping' }))
    await until(() => later.answers.length === 1, 'an answer afterwards')
    expect(child.exitCode).toBeNull()
  } finally {
    child.kill('SIGKILL')
  }
})

/** A socket file whose process is gone. */
async function orphan(path: string): Promise<void> {
  const server = createServer()
  const kept = `${path}.kept`
  await new Promise<void>((resolve) => server.listen(kept, resolve))
  linkSync(kept, path)
  await new Promise((resolve) => server.close(resolve))
}
