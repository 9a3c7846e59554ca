/** An HTTP server on a Unix socket, as the fakes need it. The network modules load when one starts. */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'

export interface SocketServer {
  close(): Promise<void>
}

const LARGEST_BODY = 64 * 1024 * 1024

export async function listen(socketPath: string, answer: RequestListener): Promise<SocketServer> {
  const { createServer } = await import('node:http')
  const server = createServer({ maxHeaderSize: 64 * 1024 }, answer)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, resolve)
  })
  return { close: () => closed(server) }
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

/** @throws Error for a body that no test sends. */
export async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    parts.push(part)
    bytes += part.length
    if (bytes > LARGEST_BODY) throw new Error(`A body of more than ${LARGEST_BODY} bytes`)
  }
  return Buffer.concat(parts).toString()
}

/** A whole answer, framed as our servers frame theirs. */
export function respond(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...headers,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  })
  response.end(body)
}

/** The error envelope of the gateway's wire. */
export function respondError(
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const error = { message, type: typeOf(status), code, param: null, request_id: 'req_test' }
  respond(response, status, JSON.stringify({ error }), { 'x-request-id': 'req_test', ...headers })
}

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
}

function typeOf(status: number): string {
  return TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error')
}
