import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { speakerOf } from '../../telemetry/collector/stamp.ts'
import { ClaimBook } from './claim-book.ts'
import { FakeClock } from './claims.test-kit.ts'
import { isUnknown, readProcessPeer } from './process-peer.ts'
import { processTable } from './process-table.ts'
import type { ProcessPeer } from './resolution.ts'

let dir: string
let path: string
let server: Server
const children: ChildProcess[] = []
const sockets: Socket[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vestry-peer-'))
  path = join(dir, 's')
  server = createServer().listen(path)
  await once(server, 'listening')
  await chmod(dir, 0o755)
  await chmod(path, 0o666)
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const socket of sockets.splice(0)) socket.destroy()
  server.close()
  await rm(dir, { recursive: true })
})

const CONNECT = `require('node:net').connect(process.argv[1]).resume(); setTimeout(() => {}, 20_000)`

function connector(options: { uid?: number; gid?: number; detached?: boolean } = {}): ChildProcess {
  const child = spawn(process.execPath, ['-e', CONNECT, path], { ...options, cwd: '/', env: {} })
  children.push(child)
  return child
}

async function accepted(): Promise<Socket> {
  const [socket] = (await once(server, 'connection')) as [Socket]
  sockets.push(socket)
  return socket
}

function known(socket: Socket): ProcessPeer {
  const peer = readProcessPeer(socket)
  if (isUnknown(peer)) throw new Error(peer.unavailable)
  return peer
}

const canSwitchUser =
  process.getuid?.() === 0 &&
  spawnSync(process.execPath, ['-e', ''], { uid: 65_534, gid: 65_533, cwd: '/', env: {} })
    .status === 0

describe.runIf(process.platform === 'linux')('the process at the other end', () => {
  test('is known by number, user and start', async () => {
    const child = connector()
    const peer = known(await accepted())
    expect(peer).toMatchObject({ pid: child.pid, uid: process.getuid?.() })
    expect(peer.startTime).toBe(processTable.read(child.pid ?? 0)?.startTime)
    expect(peer.startTime).toMatch(/^\d+$/)
    expect(peer).not.toHaveProperty('nsPid')
  })

  test('telemetry §16.32: a leader of a session has its own number in the fingerprint, another one its leader’s', async () => {
    const leader = connector({ detached: true })
    const first = known(await accepted())
    expect(first.sessionId).toBe(leader.pid)
    const member = connector()
    const second = known(await accepted())
    const ours = processTable.read(process.pid)?.sessionId
    expect(second.sessionId).toBe(ours)
    const book = new ClaimBook({
      processes: processTable,
      clock: new FakeClock(),
      onEnd: () => undefined,
    })
    const fingerprint = (peer: ProcessPeer) =>
      speakerOf(peer, book.resolve(peer), 'pod_x').stamp.anonymous?.fingerprint
    const uid = process.getuid?.()
    expect(fingerprint(first)).toBe(`anon_pid${leader.pid}_uid${uid}_sesssess_${leader.pid}`)
    expect(fingerprint(second)).toBe(`anon_pid${member.pid}_uid${uid}_sesssess_${ours}`)
  })

  test.runIf(canSwitchUser)('has the user it runs as', async () => {
    connector({ uid: 65_534, gid: 65_533 })
    expect(known(await accepted())).toMatchObject({ uid: 65_534, gid: 65_533 })
  })

  test('has no start when it had ended before it was accepted', async () => {
    const connection = accepted()
    const script = `require('node:net').connect(process.argv[1], () => process.exit())`
    // Waits until it has ended, in which time nothing is accepted here.
    expect(spawnSync(process.execPath, ['-e', script, path], { cwd: '/', env: {} }).status).toBe(0)
    const peer = known(await connection)
    expect(peer.startTime).toBe('')
    expect(peer.sessionId).toBe(peer.pid)
  })
})

test('telemetry §16.30: where the kernel does not tell, the peer is unknown and says why', async () => {
  const connection = accepted()
  const child = connector()
  const socket = await connection
  socket.destroy()
  await once(socket, 'close')
  child.kill('SIGKILL')
  expect(readProcessPeer(socket)).toEqual({ unavailable: 'socket is closed' })
})
