import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { Outbox } from './outbox.ts'

let server: Server | undefined
let sockets: Socket[] = []

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => server?.close(resolve))
  sockets = []
})

/** Both ends of a Unix socket; the far one does not read until told to. */
async function pair(): Promise<{ near: Socket; far: Socket }> {
  const path = join(tmpdir(), `outbox-${process.pid}-${Math.random().toString(36).slice(2)}`)
  const near = new Promise<Socket>((resolve) => {
    server = createServer({ allowHalfOpen: true, pauseOnConnect: false }, resolve)
  })
  await new Promise<void>((resolve) => server?.listen(path, resolve))
  const far = connect({ path })
  far.pause()
  const both = { near: await near, far }
  sockets = [both.near, far]
  return both
}

function collect(socket: Socket): Buffer[] {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  return chunks
}

const frame = (bytes: Buffer, secret = false) => ({ bytes, secret })
const until = async (condition: () => boolean) => {
  for (let n = 0; n < 1000 && !condition(); n += 1) await new Promise((r) => setTimeout(r, 5))
  expect(condition()).toBe(true)
}

test('frames leave in order and whole, small and large alike', async () => {
  const { near, far } = await pair()
  const outbox = new Outbox(near, () => undefined)
  const sent: Buffer[] = []
  for (let n = 0; n < 50; n += 1) {
    const bytes = Buffer.alloc(n % 7 === 0 ? 200_001 : n + 1, n)
    sent.push(Buffer.from(bytes))
    outbox.push(frame(bytes, n % 3 === 0))
  }
  const wanted = Buffer.concat(sent)
  expect(outbox.bytes).toBe(wanted.length)
  const got = collect(far)
  far.resume()
  await until(() => outbox.bytes === 0)
  await until(() => got.reduce((sum, { length }) => sum + length, 0) === wanted.length)
  expect(Buffer.concat(got).equals(wanted)).toBe(true)
})

test('what held a secret is wiped once it left, and when it never will', async () => {
  const { near, far } = await pair()
  const outbox = new Outbox(near, () => undefined)
  const leaves = Buffer.from('a secret that leaves')
  outbox.push(frame(leaves, true))
  const got = collect(far)
  far.resume()
  await until(() => outbox.bytes === 0)
  await until(() => got.length > 0)
  expect(Buffer.concat(got).toString()).toBe('a secret that leaves')
  expect(leaves.every((byte) => byte === 0)).toBe(true)

  const stays = Buffer.from('a secret that stays')
  const late = Buffer.from('a secret too late')
  outbox.push(frame(stays, true))
  outbox.close()
  outbox.push(frame(late, true))
  expect(stays.every((byte) => byte === 0)).toBe(true)
  expect(late.every((byte) => byte === 0)).toBe(true)
  expect(outbox.bytes).toBe(0)
})

test('a peer that reads a little makes progress, one that reads nothing does not', async () => {
  const { near, far } = await pair()
  const outbox = new Outbox(near, () => undefined)
  outbox.push(frame(Buffer.alloc(4_000_000)))
  await until(() => outbox.bytes < 4_000_000)
  await new Promise((resolve) => setTimeout(resolve, 50))
  outbox.stalledMs(1_000)
  expect(outbox.stalledMs(2_000)).toBe(1_000)
  expect(outbox.stalledMs(61_000)).toBe(60_000)
  const before = outbox.bytes
  await until(() => {
    far.read()
    return outbox.bytes < before
  })
  expect(outbox.stalledMs(62_000)).toBe(0)
  far.resume()
  await until(() => outbox.bytes === 0)
  expect(outbox.stalledMs(200_000)).toBe(0)
})

test('whoever waits for room is let go when there is some, or when there never will be', async () => {
  const { near, far } = await pair()
  const outbox = new Outbox(near, () => undefined)
  await outbox.below(1)
  outbox.push(frame(Buffer.alloc(2_000_000)))
  let free = false
  const waiting = outbox.below(100_000).then(() => {
    free = true
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(free).toBe(false)
  far.resume()
  await waiting
  expect(outbox.bytes).toBeLessThan(100_000)
  outbox.push(frame(Buffer.alloc(9_000_000)))
  const never = outbox.below(1)
  outbox.close()
  await never
})
