/**
 * The sockets over which runs get their tokens (sage contract §5): one per run, and whoever may open it is the run.
 * All are served by one HTTP server; which socket a connection came in on tells whose it is. Clients read HTTP by
 * hand, so every answer has its exact length and ends its connection (§4.3).
 */
import { chmodSync, mkdirSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { unixPeer } from '../identity/peer.ts'
import type { IssuedToken } from '../identity/runs/svid.ts'
import { drainBodies, endRefused } from './drain.ts'
import { jsonBytes, nestedError } from './nested-error.ts'
import { NO_SCHEMAS } from './no-schemas.ts'

export interface SidecarDeps {
  /** @throws VestryError `RUN_CLOSED`, `VAULT_LOCKED` and whatever the token service throws. */
  readonly trat: (runId: string) => Promise<IssuedToken>
  readonly svid: (runId: string, audience: string, requestId: string) => Promise<IssuedToken>
  readonly onInternalError: (requestId: string, error: unknown) => void
}

export interface SidecarAddress {
  readonly runId: string
  readonly path: string
  /** Besides root, who may ask. */
  readonly uid: number | undefined
}

/** A request is a line and an answer; nobody needs longer. */
const CONNECTION_MS = 15_000
const CONNECTIONS_PER_RUN = 256
const MAX_AUDIENCE_CHARS = 2_048
const MAX_BODY_BYTES = 1_048_576
const JSON_TYPE = 'application/json'
const ROUTES: ReadonlySet<string> = new Set(['/trat', '/svid', '/health'])

export class Sidecars {
  readonly #app: FastifyInstance
  readonly #servers = new Map<string, Server>()
  readonly #addresses = new WeakMap<Socket, SidecarAddress>()
  readonly #connections = new Set<Socket>()

  constructor(deps: SidecarDeps) {
    this.#app = createApp(deps, (request) => this.#addressOf(request))
  }

  /** Once more for the same run does nothing. @throws VestryError `CONFIG_INVALID` when it cannot listen. */
  async open(address: SidecarAddress): Promise<void> {
    if (this.#servers.has(address.runId)) return
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#onConnection(socket, address),
    )
    server.maxConnections = CONNECTIONS_PER_RUN
    this.#servers.set(address.runId, server)
    try {
      await this.#app.ready()
      mkdirSync(dirname(address.path), { recursive: true, mode: 0o700 })
      // The daemon alone writes this directory and holds the lock of its home: what is there is left over.
      unlinkIfThere(address.path)
      await listen(server, address.path)
      // Out of descriptors, say: that peer was not accepted, and the next one may be.
      server.on('error', () => undefined)
    } catch (error) {
      this.#servers.delete(address.runId)
      throw error
    }
  }

  /** The socket goes; requests under way are answered. */
  close(runId: string): void {
    const server = this.#servers.get(runId)
    this.#servers.delete(runId)
    server?.close() // removes its file
  }

  /** @param budgetMs For the requests under way. */
  async closeAll(budgetMs: number): Promise<void> {
    const closed = [...this.#servers.values()].map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    )
    this.#servers.clear()
    const late = setTimeout(() => {
      for (const socket of this.#connections) socket.destroy()
    }, budgetMs)
    await Promise.all(closed)
    clearTimeout(late)
    await this.#app.close()
  }

  #onConnection(socket: Socket, address: SidecarAddress): void {
    this.#addresses.set(socket, address)
    this.#connections.add(socket)
    const deadline = setTimeout(() => socket.destroy(), CONNECTION_MS)
    socket.once('close', () => {
      clearTimeout(deadline)
      this.#connections.delete(socket)
    })
    this.#app.server.emit('connection', socket)
  }

  #addressOf(request: FastifyRequest): SidecarAddress {
    const { socket } = request.raw
    const address = this.#addresses.get(socket)
    if (address === undefined) throw new VestryError('INTERNAL_ERROR', 'a request without a socket')
    const { uid } = unixPeer(socket)
    if (uid === undefined || (uid !== 0 && uid !== address.uid))
      throw new VestryError('ACCESS_DENIED', 'This socket is another user’s')
    return address
  }
}

function createApp(
  deps: SidecarDeps,
  addressOf: (request: FastifyRequest) => SidecarAddress,
): FastifyInstance {
  const app = fastify({
    schemaController: NO_SCHEMAS,
    genReqId: newRequestId,
    bodyLimit: MAX_BODY_BYTES,
    exposeHeadRoutes: false,
    http: { maxHeaderSize: 65_536, requireHostHeader: false },
    clientErrorHandler: (error, socket) => endRefused(socket, () => refusalOf(error)),
    frameworkErrors: (_error, request, reply) =>
      answerError(
        deps,
        request,
        reply as unknown as FastifyReply, // the same, without what routes declare
        new VestryError('BAD_REQUEST'),
      ),
  })
  drainBodies(app)
  // No route reads a body; what comes all the same is thrown away before the answer.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => done(null))
  // No interim answer: to these clients it would be the answer.
  for (const event of ['checkContinue', 'checkExpectation'])
    app.server.on(event, (request, response) => app.server.emit('request', request, response))
  app.addHook('onRequest', async (request, reply) => {
    reply.header('connection', 'close').header('x-request-id', request.id)
    assertSingleHeaders(request)
    addressOf(request)
  })
  app.setErrorHandler((error, request, reply) => answerError(deps, request, reply, error))
  app.setNotFoundHandler((request) => {
    const [path = ''] = request.url.split('?')
    throw new VestryError(ROUTES.has(path) ? 'METHOD_NOT_ALLOWED' : 'ROUTE_NOT_FOUND')
  })

  app.get('/health', async (_request, reply) =>
    reply.header('content-type', JSON_TYPE).send(jsonBytes({ status: 'ok' })),
  )
  const send = (reply: FastifyReply, { token }: IssuedToken) =>
    reply.type('application/jwt').header('cache-control', 'no-store').send(token)
  app.get('/trat', async (request, reply) => send(reply, await deps.trat(addressOf(request).runId)))
  app.get('/svid', async (request, reply) => {
    const { audience } = request.query as Record<string, unknown>
    if (typeof audience !== 'string' || audience === '' || audience.length > MAX_AUDIENCE_CHARS)
      throw new VestryError('INVALID_PARAMS', 'audience must be there, once')
    return send(reply, await deps.svid(addressOf(request).runId, audience, request.id))
  })
  return app
}

function answerError(
  { onInternalError }: SidecarDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
) {
  const known = error instanceof VestryError ? error : fromFramework(error)
  const { status, headers, body } = nestedError(known, request.id)
  if (status === 500) onInternalError(request.id, error)
  return reply
    .status(status)
    .headers({ ...headers, connection: 'close', 'x-request-id': request.id })
    .header('content-type', JSON_TYPE)
    .send(jsonBytes(body))
}

/** What the HTTP library refuses by itself, in our words. */
function fromFramework(error: unknown): unknown {
  const status: unknown = Reflect.get(Object(error), 'statusCode')
  if (status === 413) return new VestryError('REQUEST_TOO_LARGE')
  if (status === 415) return new VestryError('UNSUPPORTED_MEDIA_TYPE')
  if (typeof status === 'number' && status < 500) return new VestryError('BAD_REQUEST')
  return error
}

const SINGLE = ['authorization', 'txn-token', 'x-provider', 'content-length', 'host']

/** @throws VestryError `BAD_REQUEST`: two of a kind are read differently by different readers. */
function assertSingleHeaders({ raw }: FastifyRequest): void {
  for (const name of SINGLE) {
    if ((raw.headersDistinct[name]?.length ?? 0) > 1)
      throw new VestryError('BAD_REQUEST', `There is more than one ${name} header`)
  }
}

function refusalOf(error: Error & { code?: string }): string {
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW'
  const requestId = newRequestId()
  const { body } = nestedError(
    new VestryError(tooLarge ? 'HEADERS_TOO_LARGE' : 'BAD_REQUEST'),
    requestId,
  )
  const text = JSON.stringify(body)
  return (
    `HTTP/1.1 ${tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request'}\r\n` +
    `Content-Type: application/json\r\nX-Request-Id: ${requestId}\r\n` +
    `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`
  )
}

async function listen(server: Server, path: string): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new VestryError('CONFIG_INVALID', `cannot listen on ${path}: ${cause.message}`, { cause }),
      ),
    )
    server.once('listening', resolve)
  })
  // The mask closes the moment between bind and chmod; a Unix socket is bound before listen() returns.
  const before = process.umask(0o177)
  try {
    server.listen({ path, backlog: 256 })
  } finally {
    process.umask(before)
  }
  await listening
  chmodSync(path, 0o600)
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
