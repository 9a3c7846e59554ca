import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sourceKey, tcpPeer, unixPeer } from './peer.ts'

let dir: string
let server: Server
let child: ChildProcess | undefined
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vestry-peer-'))
  server = createServer()
})
afterEach(async () => {
  child?.kill()
  child = undefined
  server.close()
  await rm(dir, { recursive: true })
})

async function accept(connecting: () => void): Promise<Socket> {
  const accepted = once(server, 'connection')
  connecting()
  const [socket] = (await accepted) as [Socket] // the event's one argument
  return socket
}

async function listenUnix(): Promise<string> {
  const path = join(dir, 's')
  server.listen(path)
  await once(server, 'listening')
  await chmod(dir, 0o755)
  await chmod(path, 0o666)
  return path
}

/** A process of its own that connects and stays. */
function connector(path: string, ids: { uid?: number; gid?: number } = {}): ChildProcess {
  const script = `require('node:net').connect(process.argv[1]); setTimeout(() => {}, 20_000)`
  child = spawn(process.execPath, ['-e', script, path], { ...ids, cwd: '/', env: {} })
  return child
}

/** Root alone may start a process as somebody else, and that one must reach this Node's binary. */
function canSwitchUser(): boolean {
  if (process.getuid?.() !== 0) return false
  const options = { uid: 65_534, gid: 65_533, cwd: '/', env: {} }
  return spawnSync(process.execPath, ['-e', ''], options).status === 0
}

describe.runIf(process.platform === 'linux')('a Unix peer', () => {
  it('is another process, known by pid, uid and gid', async () => {
    const path = await listenUnix()
    const socket = await accept(() => connector(path))
    expect(unixPeer(socket)).toEqual({
      transport: 'unix',
      pid: child?.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    })
    socket.destroy()
  })

  it.runIf(canSwitchUser())('shows the uid it runs under, not ours', async () => {
    const path = await listenUnix()
    const socket = await accept(() => connector(path, { uid: 65_534, gid: 65_533 }))
    expect(unixPeer(socket)).toMatchObject({ pid: child?.pid, uid: 65_534, gid: 65_533 })
    expect(sourceKey(unixPeer(socket), path)).toBe('uid:65534')
    socket.destroy()
  })

  it('is unknown, with a reason, once the socket is gone', async () => {
    const path = await listenUnix()
    const socket = await accept(() => connect(path).on('error', () => undefined))
    socket.destroy()
    await once(socket, 'close')
    const peer = unixPeer(socket)
    expect(peer).toEqual({ transport: 'unix', unknown: 'socket is closed' })
    expect(sourceKey(peer, path)).toBe(`socket:${path}`)
  })
})

describe('a TCP peer', () => {
  it('is known by its address', async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const client = new Promise<Socket>((resolve) => {
      const socket = connect(address.port, '127.0.0.1', () => resolve(socket))
    })
    const socket = await accept(() => undefined)
    expect(tcpPeer(socket)).toEqual({ transport: 'tcp', address: '127.0.0.1' })
    expect(sourceKey(tcpPeer(socket, 'http'), 'x')).toBe('ip:127.0.0.1')
    expect(unixPeer(socket)).not.toHaveProperty('uid') // the kernel vouches for nobody here
    socket.destroy()
    ;(await client).destroy()
  })

  it('has one spelling, whether or not the listener is dual-stack', () => {
    const at = (remoteAddress: string) => tcpPeer({ remoteAddress } as Socket).address
    expect(at('::ffff:10.0.0.1')).toBe('10.0.0.1')
    expect(at('fe80::1%eth0')).toBe('fe80::1')
    expect(at('2001:db8::1')).toBe('2001:db8::1')
  })
})
