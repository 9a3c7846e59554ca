import { createServer } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { RpcConnection } from './connection.ts'
import type { VaultError } from './errors.ts'
import { FakeVault, SCOUT_SEED } from './fake-vault.test-kit.ts'
import { encodeFrame } from './frame.ts'

const open: { vaults: FakeVault[]; connections: RpcConnection[] } = { vaults: [], connections: [] }

afterEach(async () => {
  for (const connection of open.connections.splice(0)) connection.destroy()
  for (const vault of open.vaults.splice(0)) await vault[Symbol.asyncDispose]()
})

async function connected(kind: 'unix' | 'tcp' = 'unix') {
  const vault = await new FakeVault().start(kind)
  open.vaults.push(vault)
  const connection = await RpcConnection.open(kind === 'unix' ? vault.socketPath : vault.tcp)
  open.connections.push(connection)
  return { vault, connection }
}

const coded = (code: string, members: object = {}) => expect.objectContaining({ code, ...members })

const swallow = (): true => true

test('vault §28.53: replies are matched by id, in whatever order they come', async () => {
  const { vault, connection } = await connected()
  const held: (() => void)[] = []
  vault.always('ping', ({ params, reply }) => {
    held.push(() => reply({ n: params['n'] }))
    return true
  })
  const calls = [1, 2, 3].map((n) => connection.call('ping', { n }))
  await vault.until(() => held.length === 3)
  for (const release of held.reverse()) release()
  expect(await Promise.all(calls)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
})

test('vault §28.53: 200 calls at once each get their own answer', async () => {
  const { vault, connection } = await connected('tcp')
  vault.always('ping', ({ params, reply }) => {
    setTimeout(() => reply({ n: params['n'] }), Number(params['n']) % 7)
    return true
  })
  const calls = Array.from({ length: 200 }, (_, n) => connection.call('ping', { n }))
  expect(await Promise.all(calls)).toEqual(calls.map((_, n) => ({ n })))
})

test('vault §28.53: replies with unknown ids are ignored', async () => {
  const { vault, connection } = await connected()
  vault.once('status', ({ peer }) => {
    for (const id of [99, -1, 'one', null, 1.5]) peer.send({ id, result: { value: 'stray' } })
    peer.send({ result: {} })
    return false
  })
  expect(await connection.call('status')).toMatchObject({ sealed: false })
})

test('vault §28.53: an error with id null rejects every pending call and closes', async () => {
  const { vault, connection } = await connected()
  vault.always('ping', swallow)
  vault.once('whoami', ({ peer }) => {
    peer.send({ id: null, error: { code: 'REQUEST_TOO_LARGE', message: 'Request is too large' } })
    return true
  })
  const calls = [connection.call('ping'), connection.call('ping'), connection.call('whoami')]
  for (const outcome of await Promise.allSettled(calls)) {
    expect(outcome).toEqual({ status: 'rejected', reason: coded('REQUEST_TOO_LARGE') })
  }
  expect(connection.isOpen).toBe(false)
  await vault.until(() => vault.peers.size === 0)
})

test.each(['unix', 'tcp'] as const)(
  'vault §28.53: a disconnect in the middle of a frame rejects what is pending (%s)',
  async (kind) => {
    const { vault, connection } = await connected(kind)
    vault.once('ping', ({ id, peer }) => {
      peer.sendBytes(encodeFrame({ id, result: { pong: true } }).subarray(0, 12))
      peer.socket.end()
      return true
    })
    await expect(connection.call('ping')).rejects.toThrow(
      coded('CONNECTION_CLOSED', {
        detail: expect.stringContaining('in the middle of a frame'),
        context: { method: 'ping', maybe_executed: true },
      }),
    )
  },
)

test.each(['unix', 'tcp'] as const)(
  'vault §28.53: a reset rejects what is pending and raises no unhandled event (%s)',
  async (kind) => {
    const { vault, connection } = await connected(kind)
    const unhandled = vi.fn()
    process.on('uncaughtException', unhandled)
    vault.always('ping', ({ peer }) => {
      peer.reset()
      return true
    })
    const calls = [connection.call('ping'), connection.call('ping')]
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toEqual({ status: 'rejected', reason: coded('CONNECTION_CLOSED') })
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(unhandled).not.toHaveBeenCalled()
    process.off('uncaughtException', unhandled)
    await expect(connection.call('ping')).rejects.toThrow(
      coded('CONNECTION_CLOSED', { context: { method: 'ping', maybe_executed: false } }),
    )
  },
)

test('vault §28.53: a reset while idle is noticed and harmless', async () => {
  const { vault, connection } = await connected('tcp')
  await connection.call('status')
  const ended = vi.fn()
  connection.onEnd(ended)
  for (const peer of vault.peers) peer.reset()
  await vault.until(() => !connection.isOpen)
  expect(ended).toHaveBeenCalledExactlyOnceWith(coded('CONNECTION_CLOSED'))
})

test('vault §28.53: a half close by the daemon ends the connection', async () => {
  const { vault, connection } = await connected()
  vault.always('ping', ({ peer }) => {
    peer.socket.end()
    return true
  })
  await expect(connection.call('ping')).rejects.toThrow(coded('CONNECTION_CLOSED'))
  await vault.until(() => vault.peers.size === 0)
})

test('vault §28.53: an oversized frame is refused by the streaming reader', async () => {
  const { vault, connection } = await connected()
  vault.once('ping', ({ peer }) => {
    peer.sendBytes(Uint8Array.of(0x00, 0x40, 0x00, 0x01))
    return true
  })
  await expect(connection.call('ping')).rejects.toThrow(coded('RESPONSE_TOO_LARGE'))
  expect(connection.isOpen).toBe(false)
})

test('vault §28.53: a frame that is not JSON ends the connection and is not quoted', async () => {
  const { vault, connection } = await connected()
  vault.once('ping', ({ peer }) => {
    const body = Buffer.from('{"value":"736b2d6c697665" oops')
    peer.sendBytes(Uint8Array.of(0, 0, 0, body.length))
    peer.sendBytes(body)
    return true
  })
  const error = await connection.call('ping').catch((thrown: VaultError) => thrown)
  expect(error).toEqual(coded('INTERNAL_ERROR'))
  expect(JSON.stringify(error)).not.toContain('736b2d6c697665')
})

test.each([
  ['null', null],
  ['an array', []],
  ['a number', 7],
  ['missing', undefined],
])('a result that is %s is an error of its own call only', async (_, result) => {
  const { vault, connection } = await connected()
  vault.once('ping', ({ reply }) => {
    reply(result)
    return true
  })
  await expect(connection.call('ping')).rejects.toThrow(coded('INTERNAL_ERROR'))
  expect(await connection.call('status')).toMatchObject({ sealed: false })
})

test('vault §28.53: a call is given up after its timeout and its late reply is dropped', async () => {
  const { vault, connection } = await connected()
  let answer = (): void => {}
  vault.once('ping', ({ reply }) => {
    answer = () => reply({ pong: 'late' })
    return true
  })
  const onLate = vi.fn()
  await expect(connection.call('ping', {}, { timeoutMs: 20, onLate })).rejects.toThrow(
    coded('TIMEOUT', { context: { method: 'ping', timeout_ms: 20, maybe_executed: true } }),
  )
  answer()
  await connection.call('status')
  expect(onLate).toHaveBeenCalledExactlyOnceWith({ pong: 'late' })
  expect(connection.isOpen).toBe(true)
})

test('vault §28.53: an aborted call rejects with the signal’s own reason', async () => {
  const { vault, connection } = await connected()
  vault.always('ping', swallow)
  const reason = new Error('no longer needed')
  const control = new AbortController()
  const call = connection.call('ping', {}, { signal: control.signal })
  control.abort(reason)
  await expect(call).rejects.toBe(reason)
  await expect(connection.call('ping', {}, { signal: control.signal })).rejects.toBe(reason)
  expect(await connection.call('status')).toMatchObject({ sealed: false })
})

test('handlers that throw do not end the connection', async () => {
  const { vault, connection } = await connected()
  const broken = (): never => {
    throw new Error('broken handler')
  }
  const second = vi.fn()
  connection.onEnd(broken)
  connection.onEnd(second)
  vault.once('ping', ({ reply }) => {
    setTimeout(() => reply({ pong: true }), 20)
    return true
  })
  await expect(connection.call('ping', {}, { timeoutMs: 1, onLate: broken })).rejects.toThrow(
    coded('TIMEOUT'),
  )
  await new Promise((resolve) => setTimeout(resolve, 40))
  expect(await connection.call('status')).toMatchObject({ sealed: false })
  connection.destroy()
  expect(second).toHaveBeenCalledOnce()
})

test('an oversized or unwritable request is refused before it is sent', async () => {
  const { vault, connection } = await connected()
  await expect(connection.call('ping', { data: 'x'.repeat(4_194_304) })).rejects.toThrow(
    coded('REQUEST_TOO_LARGE'),
  )
  await expect(connection.call('ping', { data: 1n })).rejects.toThrow(coded('INVALID_PARAMS'))
  expect(vault.received).toEqual([])
})

test('nothing at the address is DAEMON_UNREACHABLE, with what to do', async () => {
  const unreachable = coded('DAEMON_UNREACHABLE', {
    detail: expect.stringContaining('ENOENT'),
    suggestion: expect.stringContaining('vestry up'),
  })
  await expect(RpcConnection.open('/nowhere/vault.sock')).rejects.toThrow(unreachable)
  await expect(RpcConnection.open(['127.0.0.1', 1])).rejects.toThrow(coded('DAEMON_UNREACHABLE'))
})

test('connecting is bounded by time and by the signal', async () => {
  // 192.0.2.0/24 is reserved for documentation: nothing answers there, or the network says so at once.
  const target = { host: '192.0.2.1', port: 7600 }
  await expect(RpcConnection.open(target, { timeoutMs: 30 })).rejects.toThrow(
    coded('DAEMON_UNREACHABLE'),
  )
  const reason = new Error('stop')
  const signal = AbortSignal.abort(reason)
  await expect(RpcConnection.open(target, { signal })).rejects.toBe(reason)
})

test.each([
  ['', 'empty'],
  ['/tmp/a\nb', 'control character'],
  [['localhost', 0] as const, 'port'],
  [{ host: '', port: 1 }, 'host'],
  [{ host: 'h', port: 70_000 }, 'port'],
])('the target %j is refused', async (target, fault) => {
  await expect(RpcConnection.open(target)).rejects.toThrow(
    coded('INVALID_PARAMS', { detail: expect.stringContaining(fault) }),
  )
})

test('a stream of frames goes to onMore until the last, and silence is what times out', async () => {
  const { vault, connection } = await connected()
  vault.once('admin.audit.tail', ({ id, peer }) => {
    let n = 0
    const timer = setInterval(() => {
      n += 1
      peer.send({ id, result: { n, more: n < 4 } })
      if (n === 4) clearInterval(timer)
    }, 40)
    return true
  })
  const onMore = vi.fn()
  const last = await connection.call('admin.audit.tail', {}, { onMore, timeoutMs: 120 })
  expect(last).toEqual({ n: 4, more: false })
  expect(onMore.mock.calls.map(([result]) => result.n)).toEqual([1, 2, 3])
})

test('a stream ends when its signal aborts or its handler throws', async () => {
  const { vault, connection } = await connected()
  vault.always('admin.audit.tail', ({ id, peer }) => {
    peer.send({ id, result: { n: 1, more: true } })
    return true
  })
  const control = new AbortController()
  const stop = new Error('enough')
  const tail = connection.call(
    'admin.audit.tail',
    {},
    {
      timeoutMs: Number.POSITIVE_INFINITY,
      signal: control.signal,
      onMore: () => control.abort(stop),
    },
  )
  await expect(tail).rejects.toBe(stop)
  const broken = new Error('cannot print')
  const onMore = (): never => {
    throw broken
  }
  await expect(connection.call('admin.audit.tail', {}, { onMore })).rejects.toBe(broken)
  expect(connection.isOpen).toBe(true)
})

test('authenticate takes a seed or a signer', async () => {
  const { vault, connection } = await connected()
  const session = await connection.authenticate('scout', SCOUT_SEED)
  expect(session).toMatchObject({ agent: 'scout', session_id: expect.any(String) })
  expect(await connection.call('whoami')).toMatchObject({ agent: 'scout' })
  const never = async (): Promise<Uint8Array> => new Uint8Array(63)
  await expect(connection.authenticate('scout', never)).rejects.toThrow(coded('AUTH_FAILED'))
  await expect(connection.authenticate('scout', new Uint8Array(31))).rejects.toThrow(
    coded('INVALID_PARAMS'),
  )
  expect(vault.count('challenge_response')).toBe(1)
})

test.each([
  ['no challenge', { session_id: 's' }],
  ['a challenge that is not hex', { session_id: 's', challenge: 'zz'.repeat(32) }],
  ['a challenge of one byte', { session_id: 's', challenge: 'aa' }],
  ['no session', { challenge: 'aa'.repeat(32) }],
])('an offer with %s is refused before anything is signed', async (_, offer) => {
  const { vault, connection } = await connected()
  vault.once('authenticate', ({ reply }) => {
    reply(offer)
    return true
  })
  const signer = vi.fn()
  await expect(connection.authenticate('scout', signer)).rejects.toThrow(coded('INTERNAL_ERROR'))
  expect(signer).not.toHaveBeenCalled()
})

test('a reply that does not confirm the session is a refusal', async () => {
  const { vault, connection } = await connected()
  vault.once('challenge_response', ({ reply }) => {
    reply({ authenticated: 'yes' })
    return true
  })
  await expect(connection.authenticate('scout', SCOUT_SEED)).rejects.toThrow(coded('AUTH_FAILED'))
})

test('close flushes what was written and is bounded when the peer never closes', async () => {
  const server = createServer({ allowHalfOpen: true }, () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const connection = await RpcConnection.open(['127.0.0.1', port])
  const pending = connection.call('ping').catch((error: VaultError) => error.code)
  const started = Date.now()
  await connection.close()
  await connection.close()
  expect(Date.now() - started).toBeLessThan(5_000)
  expect(await pending).toBe('CONNECTION_CLOSED')
  server.close()
})
