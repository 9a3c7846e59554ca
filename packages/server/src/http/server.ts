/**
 * The one HTTP port: health, readiness and metrics now; later parts add their prefixes. Every answer
 * to a wrong path is a JSON object with a string `error`, which is what old clients can read.
 */

import { asVestryError, ERRORS, VestryError } from '@vestry/contract/errors'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { ApiKeyStore } from '../identity/api-key-store.ts'
import { CONTENT_TYPE, type Registry } from '../metrics/registry.ts'
import { correlationOf, correlationOfRequest } from './correlation.ts'
import { drainBodies, drained, endRefused } from './drain.ts'
import { type NestedError, nestedError } from './nested-error.ts'
import { NO_SCHEMAS } from './no-schemas.ts'
import { keepsOwnTime } from './own-time.ts'

export interface HttpDeps {
  readonly version: string
  readonly startedAtMs: number
  readonly now: () => number
  readonly registry: Registry
  readonly apiKeys: ApiKeyStore
  /** Bound to loopback: metrics are open. */
  readonly loopback: boolean
  readonly maxBodyBytes: number
  /** Default 25 s. */
  readonly requestTimeoutMs?: number
  readonly state: () => { sealed: boolean; auditAvailable: boolean; draining: boolean }
  /** What other parts say of themselves at `/ready`, and whether they can work. */
  readonly checks: () => Promise<{ able: boolean; facts: Readonly<Record<string, unknown>> }>
}

const MAX_CONNECTIONS = 4_096
/** For head and body together, where a wire does not keep the time of its bodies itself. */
const REQUEST_TIMEOUT_MS = 25_000
/** How often the platform looks for requests that are late. */
const SWEEP_MS = 1_000
/** What clients that read HTTP by hand ask for (sage contract §4.3). */
const RUN_WIRES = /^(?:https?:\/\/[^/]*)?\/(?:v1|token|runs|\.well-known)(?:[/?]|$)/i
/** Ids that cannot be decoded name nothing there. */
const RUNTIME = /^(?:https?:\/\/[^/]*)?\/api\/v1(?:[/?]|$)/i

export function createHttp(deps: HttpDeps): FastifyInstance {
  const app = fastify({
    schemaController: NO_SCHEMAS,
    keepAliveTimeout: 65_000,
    requestTimeout: deps.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
    bodyLimit: deps.maxBodyBytes,
    forceCloseConnections: 'idle',
    // Ids in paths are longer than the router expects.
    routerOptions: { maxParamLength: 512 },
    // A missing host is refused below, where the refusal is readable.
    http: {
      maxHeaderSize: 65_536,
      requireHostHeader: false,
      connectionsCheckingInterval: SWEEP_MS,
    },
    // Paths that cannot be decoded never reach a hook or a handler.
    frameworkErrors: (_error, request, given) => {
      const reply = given as unknown as FastifyReply // the same, without what routes declare
      const { status, headers, body } = malformedPath(request, deps.now())
      void drained(request.raw).then(() =>
        reply
          .status(status)
          .headers(headers)
          .type('application/json; charset=utf-8')
          .send(JSON.stringify(body)),
      )
    },
    // What is no HTTP request at all gets an answer its client can read, too.
    clientErrorHandler: (error, socket) => {
      if (isLate(error) && keepsOwnTime(socket)) return
      endRefused(socket, () => refusalOf(error, deps.now()))
    },
  })
  drainBodies(app)

  // The platform's own refusal has no body.
  app.server.on('checkExpectation', (request, response) => {
    const { id } = correlationOfRequest(request, deps.now())
    const refusal = { error: 'Expectation failed', code: 'BAD_REQUEST', correlation_id: id }
    const body = JSON.stringify(refusal)
    response.writeHead(417, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(body),
      'x-correlation-id': id,
      connection: 'close',
    })
    response.end(body)
  })

  // To clients of the run wires an interim answer is the answer; the others still get theirs.
  app.server.on('checkContinue', (request, response) => {
    if (!RUN_WIRES.test(request.url ?? '')) response.writeContinue()
    app.server.emit('request', request, response)
  })

  // Left at its default, which is more, the platform would take the two the other way round.
  app.server.headersTimeout = app.server.requestTimeout

  // The next one is closed at once: descriptors are needed elsewhere too.
  app.server.maxConnections = MAX_CONNECTIONS

  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-correlation-id', correlationOfRequest(request, deps.now()).id)
  })

  // Later than the hooks above, so that every part knows the request when it renders this.
  app.addHook('preValidation', async (request) => {
    if (request.raw.httpVersion === '1.1' && request.headers.host === undefined)
      throw new VestryError('BAD_REQUEST', 'the Host header is missing')
  })

  for (const prefix of ['', '/api']) {
    app.get(`${prefix}/health`, () => health(deps))
    app.get(`${prefix}/metrics`, async (request, reply) => {
      if (!deps.loopback) await authenticate(deps, request)
      return reply.type(CONTENT_TYPE).send(deps.registry.render())
    })
  }

  app.get('/ready', async (_request, reply) => {
    const { sealed, auditAvailable, draining } = deps.state()
    const { able, facts } = await deps.checks()
    const ready = !sealed && auditAvailable && !draining && able
    return reply.status(ready ? 200 : 503).send({
      ready,
      timestamp: new Date(deps.now()).toISOString(),
      sealed,
      audit_available: auditAvailable,
      draining,
      ...facts,
    })
  })

  app.setNotFoundHandler((request, reply) =>
    reply.status(404).send({
      error: 'Not found',
      code: 'NOT_FOUND',
      correlation_id: correlationOfRequest(request, deps.now()).id,
    }),
  )

  app.setErrorHandler((error, _request, reply) => {
    const status = statusOf(error)
    const known = asVestryError(status < 500 ? fromFramework(error, status) : error)
    return reply
      .status(status)
      .send({ error: known.message, code: known.code, ...(known.hint && { hint: known.hint }) })
  })
  return app
}

function health(deps: HttpDeps): Record<string, unknown> {
  const nowMs = deps.now()
  const time = new Date(nowMs).toISOString()
  const uptime = (nowMs - deps.startedAtMs) / 1_000
  return {
    ok: true,
    status: 'healthy',
    timestamp: time,
    time,
    version: deps.version,
    uptime,
    uptime_seconds: Math.floor(uptime),
    sealed: deps.state().sealed,
  }
}

/** Each wire answers in its own manner, also to a path that nobody can have. */
function malformedPath(request: FastifyRequest, nowMs: number): NestedError {
  const { id } = correlationOfRequest(request, nowMs)
  if (RUN_WIRES.test(request.url)) {
    const { headers, ...told } = nestedError(new VestryError('ROUTE_NOT_FOUND'), id)
    return { ...told, headers: { ...headers, 'x-request-id': id, connection: 'close' } }
  }
  if (RUNTIME.test(request.url)) {
    const { message, code } = new VestryError('ROUTE_NOT_FOUND')
    return {
      status: 404,
      headers: {
        'x-request-id': id,
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      },
      body: { error: message, code, details: null, request_id: id },
    }
  }
  // A job's id is a capability: whatever is no id of one is answered alike.
  const isJob = request.url.startsWith('/api/jobs/')
  return {
    status: isJob ? 404 : 400,
    headers: { 'x-correlation-id': id },
    body: {
      error: isJob ? ERRORS.JOB_NOT_FOUND.message : 'Malformed path',
      code: isJob ? 'JOB_NOT_FOUND' : 'BAD_REQUEST',
      correlation_id: id,
    },
  }
}

/** A whole answer for what cannot be parsed. */
function refusalOf(error: Error, nowMs: number): string {
  const { status, message } = clientError(error)
  const { id } = correlationOf(undefined, nowMs)
  const body = JSON.stringify({ error: message, code: 'BAD_REQUEST', correlation_id: id })
  return (
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n` +
    `X-Correlation-Id: ${id}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}

function clientError(error: Error & { code?: string }): { status: string; message: string } {
  if (error.code === 'HPE_HEADER_OVERFLOW')
    return {
      status: '431 Request Header Fields Too Large',
      message: 'Request headers are too large',
    }
  if (isLate(error))
    return { status: '408 Request Timeout', message: 'Request did not arrive in time' }
  return { status: '400 Bad Request', message: 'Malformed HTTP request' }
}

function isLate({ code }: Error & { code?: string }): boolean {
  return code === 'ERR_HTTP_REQUEST_TIMEOUT'
}

async function authenticate({ apiKeys }: HttpDeps, request: FastifyRequest): Promise<void> {
  await apiKeys.authenticateBearer(request.headers.authorization)
}

/** What the HTTP library refuses by itself, in our words. */
function fromFramework(error: unknown, status: number): unknown {
  if (error instanceof VestryError) return error
  return new VestryError(status === 413 ? 'REQUEST_TOO_LARGE' : 'BAD_REQUEST')
}

function statusOf(error: unknown): number {
  if (error instanceof VestryError) return error.status
  const status: unknown = Reflect.get(Object(error), 'statusCode')
  return typeof status === 'number' && status >= 400 && status < 600 ? status : 500
}
