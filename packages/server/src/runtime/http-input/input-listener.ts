/** The port of one input: real sockets, bounded in number, time and size. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { drained } from '../../http/drain.ts'
import type { Answer, Arrival } from './pipeline.ts'
import { isWithin } from './routing.ts'

export interface ListenerOptions {
  readonly address: string
  readonly port: number
  /** Asked at each request: an update needs no new port. */
  readonly path: () => string
  readonly maxBodyBytes: () => number
  /** `undefined`: browsers get no leave. */
  readonly corsOrigins: () => readonly string[] | undefined
  readonly onRequest: (arrival: Arrival) => Promise<Answer>
}

const MAX_CONNECTIONS = 1_024
const REQUEST_TIMEOUT_MS = 25_000
const KEEP_ALIVE_MS = 5_000

export class InputListener {
  readonly #server: Server
  readonly #options: ListenerOptions

  private constructor(options: ListenerOptions) {
    this.#options = options
    this.#server = createServer(
      { requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS },
      (request, response) => {
        void this.#serve(request, response).catch(() => response.destroy())
      },
    )
    this.#server.headersTimeout = REQUEST_TIMEOUT_MS
    this.#server.maxConnections = MAX_CONNECTIONS
  }

  /** @throws VestryError PORT_IN_USE, INVALID_PARAMS for an address that is not this host's. */
  static async listen(options: ListenerOptions): Promise<InputListener> {
    const listener = new InputListener(options)
    await new Promise<void>((resolve, reject) => {
      const server = listener.#server
      server.once('error', (error) => reject(listenFailure(error, options)))
      server.listen({ host: options.address, port: options.port, exclusive: true }, () => resolve())
    })
    // Later faults of the socket end connections, never the daemon.
    listener.#server.on('error', () => undefined)
    return listener
  }

  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0
  }

  /** Requests under way get this long. */
  async close(budgetMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    const timer = setTimeout(() => this.#server.closeAllConnections(), budgetMs)
    await closed
    clearTimeout(timer)
  }

  async #serve(request: Parameters<typeof drained>[0], response: Response): Promise<void> {
    const requestId = newRequestId()
    const url = parseTarget(request.url)
    const origin = request.headers.origin
    const allowed = this.#options.corsOrigins()
    const cors: Record<string, string> =
      origin !== undefined && allowed?.includes(origin)
        ? { 'access-control-allow-origin': origin, vary: 'origin' }
        : {}
    const send = async (
      status: number,
      body: Answer['body'],
      more: Record<string, string> = {},
    ) => {
      const isText = typeof body === 'string' && body === 'OK'
      const text = isText ? body : JSON.stringify(body)
      const whole = await drained(request)
      response.writeHead(status, {
        'content-type': isText ? 'text/plain; charset=utf-8' : 'application/json; charset=utf-8',
        'content-length': Buffer.byteLength(text),
        'x-request-id': requestId,
        'x-content-type-options': 'nosniff',
        'cache-control': 'no-store',
        ...(whole ? {} : { connection: 'close' }),
        ...cors,
        ...more,
      })
      response.end(text)
    }
    if (url === undefined || !isWithin(url.path, this.#options.path()))
      return send(404, { error: 'There is nothing here', request_id: requestId })
    if (request.method === 'OPTIONS' && allowed !== undefined)
      return send(
        200,
        {},
        {
          'access-control-allow-methods': 'POST',
          'access-control-allow-headers': 'authorization, content-type',
          'access-control-max-age': '600',
        },
      )
    if (request.method !== 'POST')
      return send(405, { error: 'Only POST is served', request_id: requestId }, { allow: 'POST' })
    const length = request.headers['content-length']
    const answer = await this.#options.onRequest({
      method: 'POST',
      path: url.path,
      query: url.query,
      header: (name) => {
        const value = request.headers[name.toLowerCase()]
        return Array.isArray(value) ? value.join(', ') : value
      },
      authorization: request.headersDistinct['authorization'] ?? [],
      contentLength: length === undefined ? undefined : Number(length),
      body: () => readBounded(request, this.#options.maxBodyBytes()),
      requestId,
      remoteAddress: request.socket.remoteAddress,
      trusted: false,
    })
    const retry: Record<string, string> = answer.status === 429 ? { 'retry-after': '1' } : {}
    return send(answer.status, answer.body, retry)
  }
}

interface Response {
  writeHead(status: number, headers: Record<string, string | number>): unknown
  end(text: string): unknown
}

function parseTarget(
  target: string | undefined,
): { path: string; query: Record<string, string> } | undefined {
  if (target === undefined || !target.startsWith('/')) return undefined
  const [rawPath = '', ...rest] = target.split('?')
  let path: string
  try {
    path = decodeURIComponent(rawPath)
  } catch {
    return undefined
  }
  if (path.split('/').some((segment) => segment === '.' || segment === '..')) return undefined
  return { path, query: Object.fromEntries(new URLSearchParams(rest.join('?'))) }
}

/** Reads without ending the stream: who sent too much still gets its answer. */
function readBounded(request: Parameters<typeof drained>[0], maxBytes: number): Promise<Buffer> {
  return new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length
      if (bytes > maxBytes) finish(() => reject(new VestryError('REQUEST_TOO_LARGE')))
      else chunks.push(chunk)
    }
    const onEnd = (): void => finish(() => resolve(Buffer.concat(chunks)))
    const onGone = (): void => finish(() => reject(new VestryError('CONNECTION_CLOSED')))
    const finish = (settle: () => void): void => {
      request.off('data', onData).off('end', onEnd).off('close', onGone).off('error', onGone)
      settle()
    }
    request.on('data', onData).on('end', onEnd).on('close', onGone).on('error', onGone)
  })
}

function listenFailure(error: NodeJS.ErrnoException, { address, port }: ListenerOptions): Error {
  const at = `${address}:${port}`
  switch (error.code) {
    case 'EADDRINUSE':
      return new VestryError('PORT_IN_USE', `${at} is in use`, {
        hint: 'Choose another port, or 0 for any that is free.',
      })
    case 'EADDRNOTAVAIL':
      return new VestryError(
        'INVALID_PARAMS',
        `bind_address: ${address} is no address of this host`,
      )
    case 'EACCES':
      return new VestryError(
        'INVALID_PARAMS',
        `port: ${at} needs more rights than this process has`,
      )
    default:
      return error
  }
}
