/** The port of one input: real sockets, bounded in number, time and size. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { drained } from '../../http/drain.ts'
import { dropUnread } from '../../llm/wire/reply.ts'
import { type BodyMemory, readBody } from '../../llm/wire/request-body.ts'
import type { ClientAddress } from '../wire/client-address.ts'
import { corsHeaders } from '../wire/cors.ts'
import type { Answer, Arrival } from './pipeline.ts'
import { isWithin } from './routing.ts'

export interface ListenerOptions {
  readonly address: string
  readonly port: number
  /** Asked at each request: an update needs no new port. Undefined: this port does not serve, not yet or no more. */
  readonly serving: () => Serving | undefined
  readonly clientAddress: ClientAddress
  readonly bodies: BodyMemory
  readonly onRequest: (arrival: Arrival) => Promise<Answer>
}

export interface Serving {
  readonly path: string
  /** Origins whose pages may ask. */
  readonly corsOrigins: readonly string[]
}

const MAX_CONNECTIONS = 1_024
const REQUEST_TIMEOUT_MS = 25_000
const BODY_TIMEOUT_MS = 20_000
const KEEP_ALIVE_MS = 5_000
/** For clients that do not take their answer. */
const READ_TIMES = { stallMs: 30_000, totalMs: 120_000 }
/** Answers of these statuses end with their headers. */
const BODYLESS: ReadonlySet<number> = new Set([204, 205, 304])

export class InputListener {
  readonly #server: Server
  readonly #options: ListenerOptions
  #closing = false

  private constructor(options: ListenerOptions) {
    this.#options = options
    this.#server = createServer(
      { requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS },
      (request, response) => {
        request.on('error', () => undefined)
        response.on('error', () => undefined)
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

  /** The port is free at once; requests under way get this long. */
  async close(budgetMs: number): Promise<void> {
    this.#closing = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    const timer = setTimeout(() => this.#server.closeAllConnections(), budgetMs)
    await closed
    clearTimeout(timer)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = newRequestId()
    const serving = this.#closing ? undefined : this.#options.serving()
    const { origin } = request.headers
    const cors = corsHeaders(origin, serving?.corsOrigins ?? [])
    const send = async (
      status: number,
      content: Answer['content'],
      more: Record<string, string> = {},
    ) => {
      const text = 'text' in content ? content.text : JSON.stringify(content.json ?? null)
      const type = 'text' in content ? 'text/plain' : 'application/json'
      const whole = await drained(request)
      if (response.destroyed) return
      const hasBody = !BODYLESS.has(status)
      response.writeHead(status, {
        ...(hasBody && {
          'content-type': `${type}; charset=utf-8`,
          'content-length': Buffer.byteLength(text),
        }),
        'x-request-id': requestId,
        'x-content-type-options': 'nosniff',
        'cache-control': 'no-store',
        ...((!whole || this.#closing) && { connection: 'close' }),
        ...cors,
        ...more,
      })
      response.end(hasBody ? text : undefined)
      dropUnread(response, READ_TIMES)
    }
    const problem = (status: number, error: string, more?: Record<string, string>) =>
      send(status, { json: { error, request_id: requestId } }, more)

    if (serving === undefined)
      return problem(503, 'This input does not serve now', { 'retry-after': '1' })
    const url = parseTarget(request.url)
    if (url === undefined || !isWithin(url.path, serving.path))
      return problem(404, 'There is nothing here')
    if (request.method === 'OPTIONS' && cors !== undefined)
      return send(200, { json: {} }, PREFLIGHT_HEADERS)
    if (request.method !== 'POST') return problem(405, 'Only POST is served', { allow: 'POST' })
    const length = request.headers['content-length']
    const { status, content } = await this.#options.onRequest({
      method: 'POST',
      path: url.path,
      query: url.query,
      header: (name) => headerOf(request, name),
      authorization: request.headersDistinct['authorization'] ?? [],
      contentLength: length === undefined ? undefined : Number(length),
      body: (maxBytes) =>
        readBody(request, {
          maxBytes,
          timeoutMs: BODY_TIMEOUT_MS,
          memory: this.#options.bodies,
        }),
      requestId,
      remoteAddress: this.#options.clientAddress(
        request.socket.remoteAddress ?? '',
        request.headersDistinct['x-forwarded-for']?.join(','),
      ),
      isForeignPage: origin !== undefined && cors === undefined,
      trusted: false,
    })
    return send(status, content, status === 429 ? { 'retry-after': '1' } : {})
  }
}

const PREFLIGHT_HEADERS = {
  'access-control-allow-methods': 'POST',
  'access-control-allow-headers': 'authorization, content-type, traceparent',
  'access-control-max-age': '600',
}

/** One that came twice is joined by node, or is not for us to choose from. */
function headerOf({ headers }: IncomingMessage, given: string): string | undefined {
  const name = given.toLowerCase()
  const value = Object.hasOwn(headers, name) ? headers[name] : undefined
  return Array.isArray(value) ? value.join(', ') : value
}

function parseTarget(
  target: string | undefined,
): { path: string; query: Record<string, string> } | undefined {
  if (target === undefined || !target.startsWith('/')) return undefined
  const [rawPath = '', ...rest] = target.split('?')
  const segments: string[] = []
  for (const part of rawPath.split('/')) {
    const segment = decoded(part)
    if (segment === undefined || segment === '.' || segment === '..' || segment.includes('/'))
      return undefined
    segments.push(segment)
  }
  return {
    path: segments.join('/'),
    query: Object.fromEntries(new URLSearchParams(rest.join('?'))),
  }
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
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
