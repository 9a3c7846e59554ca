/** A server on a Unix socket that answers with the very bytes a test gives it: what the stand-in is tried against. */
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Pieces of an answer: bytes to write, milliseconds to wait, or an end that is not in good order. */
export type Piece = string | number | 'hang' | 'reset'

export interface RawServer extends AsyncDisposable {
  readonly path: string
  /** What each connection sent. */
  readonly received: string[]
}

/** @param plan Pieces for each connection in turn; the last one again for all that follow. */
export async function startRawServer(path: string, ...plan: Piece[][]): Promise<RawServer> {
  const received: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    const index = received.push('') - 1
    socket.on('error', () => undefined)
    let begun = false
    socket.on('data', (bytes: Buffer) => {
      received[index] += bytes.toString('latin1')
      if (begun || !isComplete(received[index] ?? '')) return
      begun = true
      void answer(socket, plan[Math.min(index, plan.length - 1)] ?? [])
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    path,
    received,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function answer(socket: Socket, pieces: readonly Piece[]): Promise<void> {
  for (const piece of pieces) {
    if (piece === 'hang') return
    if (piece === 'reset') {
      socket.destroy()
      return
    }
    if (typeof piece === 'number') await sleep(piece)
    else await new Promise((resolve) => socket.write(piece, 'latin1', resolve))
  }
  socket.end()
}

function isComplete(request: string): boolean {
  const end = request.indexOf('\r\n\r\n')
  const [, length = '0'] = /^content-length: (\d+)$/im.exec(request) ?? []
  return end !== -1 && request.length - end - 4 >= Number(length)
}

export function http(status: number, body: string, headers: Record<string, string> = {}): string {
  const head = Object.entries({ 'Content-Length': String(Buffer.byteLength(body)), ...headers })
  return `HTTP/1.1 ${status} X\r\n${head.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`
}

/** A compact JWT nobody signed; the client never looks. */
export function jwt(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'EdDSA' })}.${part(claims)}.c2ln`
}
