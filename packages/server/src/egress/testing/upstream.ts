/** Upstreams for tests: real servers on loopback that remember what reached them. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { createServer as createTcpServer, type Socket } from 'node:net'
import type { Issued } from './authority.ts'

export interface Seen {
  method: string
  url: string
  headers: IncomingMessage['headers']
  rawHeaders: string[]
  body: string
}

export interface Upstream extends AsyncDisposable {
  port: number
  /** Every request, in order. */
  seen: Seen[]
  /** TCP connections accepted so far. */
  connections: () => number
}

export type Handler = (request: Seen, reply: ServerResponse) => void

/** @param issued Serves https with this certificate; plain http without. */
export async function startUpstream(handler: Handler, issued?: Issued): Promise<Upstream> {
  const seen: Seen[] = []
  let connections = 0
  const listener = async (request: IncomingMessage, reply: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method = '', url = '', headers, rawHeaders } = request
    const record = { method, url, headers, rawHeaders, body: Buffer.concat(chunks).toString() }
    seen.push(record)
    handler(record, reply)
  }
  const server =
    issued === undefined ? createServer(listener) : createSecureServer(issued, listener)
  server.on('connection', () => {
    connections += 1
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: portOf(server.address()),
    seen,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** A server below HTTP, for replies that no HTTP server would send. */
export async function startRawUpstream(
  handler: (socket: Socket) => void,
): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    handler(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: portOf(server.address()),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function portOf(address: ReturnType<ReturnType<typeof createServer>['address']>): number {
  if (address === null || typeof address === 'string') throw new Error('not a TCP listener')
  return address.port
}
