import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BodyMemory, readBody } from './request-body.ts'

const LIMITS = { maxBytes: 100_000, timeoutMs: 200, memory: new BodyMemory(150_000) }

let serve: (request: IncomingMessage) => void
const server = createServer((request, response) => {
  serve(request)
  response.on('error', () => undefined)
})
beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)))
afterAll(() => server.close())

/** What reading the body of `text` comes to; `more` follows after it. */
async function reading(text: string, more?: (socket: ReturnType<typeof connect>) => Promise<void>) {
  const arrived = new Promise<IncomingMessage>((resolve) => {
    serve = resolve
  })
  const { port } = server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1', () => socket.write(text))
  socket.on('error', () => undefined)
  const read = readBody(await arrived, LIMITS)
  read.catch(() => undefined)
  await more?.(socket)
  return read.finally(() => socket.destroy())
}

const head = (headers: string) => `POST / HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n`
const code = (name: string) => expect.objectContaining({ code: name })

test('a body of known length is read into as much memory as it takes, and given back', async () => {
  const body = await reading(`${head('Content-Length: 11')}hello`, async (socket) => {
    await sleep(10)
    expect(LIMITS.memory.used).toBe(11)
    socket.write(' world')
  })
  expect(body.bytes.toString()).toBe('hello world')
  body[Symbol.dispose]()
  expect(LIMITS.memory.used).toBe(0)
})

test('a client that has left before anybody read is noticed at once, too', async () => {
  const arrived = new Promise<IncomingMessage>((resolve) => {
    serve = resolve
  })
  const { port } = server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1', () => socket.write(head('Content-Length: 5')))
  const request = await arrived
  socket.destroy()
  await new Promise((resolve) => request.once('close', resolve))
  await expect(readBody(request, LIMITS)).rejects.toEqual(code('CANCELLED'))
  expect(LIMITS.memory.used).toBe(0)
})

test('a body that is only announced takes little room', async () => {
  const limits = { maxBytes: 20_000_000, timeoutMs: 200, memory: new BodyMemory(30_000_000) }
  const arrived = new Promise<IncomingMessage>((resolve) => {
    serve = resolve
  })
  const { port } = server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1', () => socket.write(head('Content-Length: 3000000')))
  const read = readBody(await arrived, limits)
  expect(limits.memory.used).toBeLessThanOrEqual(1_048_576)
  socket.write(Buffer.alloc(3_000_000, 'x'))
  const body = await read
  expect(body.bytes.length).toBe(3_000_000)
  body[Symbol.dispose]()
  expect(limits.memory.used).toBe(0)
  socket.destroy()
})

test('a chunked body grows as it comes, however small its pieces are', async () => {
  const chunks = Array.from({ length: 30_000 }, (_, at) => `1\r\n${at % 10}\r\n`).join('')
  const body = await reading(`${head('Transfer-Encoding: chunked')}${chunks}0\r\n\r\n`)
  expect(body.bytes).toHaveLength(30_000)
  expect(body.bytes.subarray(0, 12).toString()).toBe('012345678901')
  expect(LIMITS.memory.used).toBeLessThanOrEqual(65_536)
  body[Symbol.dispose]()
  expect(LIMITS.memory.used).toBe(0)
})

test.each([
  ['announced', head('Content-Length: 100001')],
  [
    'sent',
    `${head('Transfer-Encoding: chunked')}${`2710\r\n${'x'.repeat(10_000)}\r\n`.repeat(11)}`,
  ],
])('more than the limit is refused when it is %s', async (_name, text) => {
  await expect(reading(text)).rejects.toEqual(code('REQUEST_TOO_LARGE'))
  expect(LIMITS.memory.used).toBe(0)
})

test('all bodies together have a limit, too', async () => {
  LIMITS.memory.take(100_000)
  await expect(reading(head('Content-Length: 60000'))).rejects.toEqual(code('GATEWAY_OVERLOADED'))
  LIMITS.memory.giveBack(100_000)
})

test('a body that does not come is given up', async () => {
  await expect(reading(`${head('Content-Length: 5')}he`)).rejects.toEqual(code('DEADLINE_EXCEEDED'))
  expect(LIMITS.memory.used).toBe(0)
})

test('a client that leaves in the middle is noticed at once', async () => {
  const left = reading(`${head('Content-Length: 5')}he`, async (socket) => {
    await sleep(10)
    socket.destroy()
  })
  await expect(left).rejects.toEqual(code('CANCELLED'))
  expect(LIMITS.memory.used).toBe(0)
})
