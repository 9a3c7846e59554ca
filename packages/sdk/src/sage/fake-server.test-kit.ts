/** Servers that answer byte for byte as a test says, and tokens that nobody signed. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from './clock.ts'

export interface ReceivedRequest {
  /** Method, path and headers as they were sent. */
  readonly head: string
  readonly method: string
  readonly path: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly socket: Socket
}

/** Gets one whole request of a connection, and writes what it wants to the socket. */
export type Answer = (request: ReceivedRequest, count: number) => void | Promise<void>

export interface FakeServer {
  readonly socketPath: string
  readonly requests: ReceivedRequest[]
  close(): Promise<void>
}

export async function fakeServer(answer: Answer): Promise<FakeServer> {
  const directory = await mkdtemp(join(tmpdir(), 'sage-'))
  const socketPath = join(directory, 's.sock')
  const { server, requests, sockets } = rawServer(answer)
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  return {
    socketPath,
    requests,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export async function fakeTcpServer(
  answer: Answer,
): Promise<{ port: number; requests: ReceivedRequest[]; close(): Promise<void> }> {
  const { server, requests, sockets } = rawServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    requests,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function rawServer(answer: Answer): {
  server: Server
  requests: ReceivedRequest[]
  sockets: Set<Socket>
} {
  const requests: ReceivedRequest[] = []
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let text = ''
    let isAnswered = false
    socket.setEncoding('utf8')
    socket.on('data', (part) => {
      text += part
      const request = isAnswered ? undefined : wholeRequest(text, socket)
      if (request === undefined) return
      isAnswered = true
      requests.push(request)
      void answer(request, requests.length)
    })
  })
  return { server, requests, sockets }
}

function wholeRequest(text: string, socket: Socket): ReceivedRequest | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const head = text.slice(0, end)
  const [line = '', ...lines] = head.split('\r\n')
  const [method = '', path = ''] = line.split(' ')
  const headers = Object.fromEntries(
    lines.map((one) => {
      const colon = one.indexOf(':')
      return [one.slice(0, colon).toLowerCase(), one.slice(colon + 1).trim()]
    }),
  )
  const body = text.slice(end + 4)
  const length = Number(headers['content-length'] ?? 0)
  if (Buffer.byteLength(body) < length) return undefined
  return { head, method, path, headers, body, socket }
}

/** A whole response with its length. */
export function respond(
  { socket }: { socket: Socket },
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const lines = Object.entries({ 'Content-Length': String(Buffer.byteLength(text)), ...headers })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  socket.end(`HTTP/1.1 ${status} X\r\n${head}\r\n${text}`)
}

/** An error as our servers send it. */
export function refuse(
  request: { socket: Socket },
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const error = { message: `because of ${code}`, type: 't', code, param: null, request_id: 'req_1' }
  respond(request, status, { error }, { 'X-Request-Id': 'req_1', ...headers })
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token of the right shape with a signature that proves nothing. */
export function unsigned(payload: object, header: object = { alg: 'EdDSA', kid: 'k' }): string {
  return `${part(header)}.${part(payload)}.${'s'.repeat(86)}`
}

export const svid = (expSeconds: number, extra: object = {}): string =>
  unsigned({ sub: 'spiffe://sage-sanctum.local/agent/a', exp: expSeconds, ...extra })

export const trat = (expSeconds: number, extra: object = {}): string =>
  unsigned(
    { txn: 'run_1', sub: 'github|org-1', iat: expSeconds - 300, exp: expSeconds, ...extra },
    { alg: 'EdDSA', typ: 'txntoken+jwt', kid: 'k' },
  )

/** Time that passes only when somebody sleeps. */
export function fakeClock(nowMs: number = 1_795_160_000_000): Clock & {
  readonly slept: number[]
  advance(ms: number): void
} {
  let now = nowMs
  const slept: number[] = []
  return {
    slept,
    now: () => now,
    advance(ms) {
      now += ms
    },
    async sleep(ms, signal) {
      signal?.throwIfAborted()
      slept.push(ms)
      now += ms
    },
  }
}
