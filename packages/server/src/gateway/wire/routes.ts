/**
 * The gateway's paths for agents (gateway contract §2.1) on the common HTTP port: bytes to calls, results and
 * errors to bodies. Every answer, whatever it is, carries the correlation id and is a JSON object.
 */

import { VestryError } from '@vestry/contract/errors'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Correlation, correlationOfRequest } from '../../http/correlation.ts'
import { readStrictJson } from '../../json/strict-json.ts'
import { type ProxyResult, proxy } from '../call/proxy.ts'
import type { Gateway } from '../gateway.ts'
import { cancelJob, readJob } from '../jobs/job-view.ts'
import { rotationHeaders } from '../tokens/rotation.ts'
import type { AgentProof } from '../tokens/signed-request.ts'
import { AbortGuard, type Attempt } from './abort-guard.ts'
import { errorReply } from './error-body.ts'

/** What one request carries from its arrival to its answer. */
interface Arrival {
  readonly correlation: Correlation
  readonly atMs: number
  readonly attempt: Attempt
  /** Set once its token is known to be ours. */
  tokenExpiresAtMs: number | undefined
  named: { tool: string; action: string } | undefined
}

/** A proxied request counts, also when its body cannot be read. */
const UNNAMED = { tool: '', action: '' }

const arrivals = new WeakMap<FastifyRequest, Arrival>()
const EXPOSED = 'X-Correlation-Id, X-Token-Rotation-Recommended, X-Token-Expires-At, Retry-After'

/** Everything under `/api` that is not another wire's. */
export function gatewayRoutes(app: FastifyInstance, gateway: Gateway): void {
  const guard = new AbortGuard(gateway.settings.js_abort_guard)
  openContext(app, gateway, guard)

  app.post('/generate-token', async (request, reply) => {
    const arrival = arrivalOf(request)
    if (gateway.draining()) throw new VestryError('SHUTTING_DOWN')
    void gateway.seal.keys
    const body = rawBody(request)
    const { reply: minted } = await gateway.tokens.mint({
      method: request.method,
      path: request.url,
      body,
      json: readStrictJson(body),
      proof: agentProof(request),
      intent: header(request, 'x-agent-intent'),
      txnToken: header(request, 'txn-token'),
      address: request.ip,
      correlationId: arrival.correlation.id,
      traceparent: header(request, 'traceparent'),
    })
    return reply.status(201).header('cache-control', 'no-store').send(minted)
  })

  const onProxy = async (request: FastifyRequest, reply: FastifyReply) => {
    const arrival = arrivalOf(request)
    const result = await proxy(gateway, {
      rawBody: rawBody(request),
      correlation: arrival.correlation,
      address: request.ip,
      headers: {
        authorization: header(request, 'authorization'),
        idempotencyKey: header(request, 'idempotency-key'),
        intent: header(request, 'x-agent-intent'),
        txnToken: header(request, 'txn-token'),
        traceparent: header(request, 'traceparent'),
      },
      signed: { method: request.method, path: request.url, proof: agentProof(request) },
      answerWithinMs: arrival.attempt.answerWithinMs,
      onToken: (expiresAtMs) => {
        arrival.tokenExpiresAtMs = expiresAtMs
      },
      onNamed: (tool, action) => {
        arrival.named = { tool, action }
      },
    })
    return reply.status(result.kind === 'job' ? 202 : 200).send(bodyOf(result, arrival))
  }
  const counted = {
    onRequest: async (request: FastifyRequest) => {
      arrivalOf(request).named = UNNAMED
    },
  }
  app.post('/proxy-request', counted, onProxy)
  // Scripts of the original product post there.
  app.post('/proxy', counted, onProxy)

  app.get<{ Params: { id: string } }>('/jobs/:id', async (request, reply) => {
    const agentId = await presentedAgent(gateway, request)
    const job = await readJob(gateway, request.params.id, agentId)
    return reply.header('cache-control', 'no-store').send(job)
  })

  app.delete<{ Params: { id: string } }>('/jobs/:id', async (request) => {
    const agentId = await presentedAgent(gateway, request)
    if (agentId === undefined) throw new VestryError('AUTH_FAILED')
    const cancelled = await cancelJob(gateway, request.params.id, agentId)
    return { ...(await readJob(gateway, request.params.id, agentId)), cancelled }
  })
}

/** Body parsing, correlation, error bodies and metrics for every path of this wire, its admin paths too. */
function openContext(app: FastifyInstance, gateway: Gateway, guard: AbortGuard): void {
  app.removeAllContentTypeParsers()
  // Clients send JSON whatever they call it; the bytes themselves are needed for signatures and duplicates.
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))

  app.addHook('onRequest', async (request, reply) => {
    const atMs = gateway.now()
    const correlation = correlationOfRequest(request, atMs)
    const attempt = guard.begin(request.headers['user-agent'], correlation.id, atMs)
    arrivals.set(request, {
      correlation,
      atMs,
      attempt,
      tokenExpiresAtMs: undefined,
      named: undefined,
    })
    allowOrigin(gateway, request, reply)
  })

  app.addHook('onSend', async (request, reply) => {
    const { tokenExpiresAtMs } = arrivalOf(request)
    if (tokenExpiresAtMs === undefined) return
    const headers = rotationHeaders(tokenExpiresAtMs, gateway.now())
    if (Object.keys(headers).length > 0) gateway.metrics.rotationAdvised()
    reply.headers(headers)
  })

  app.addHook('onResponse', async (request, reply) => {
    const { named, atMs } = arrivalOf(request)
    if (named === undefined) return
    gateway.metrics.request(named.tool, named.action, reply.statusCode, gateway.now() - atMs)
  })

  app.setErrorHandler((error, request, reply) => {
    const arrival = arrivalOf(request)
    const { status, headers, body, kind, denial } = errorReply(
      fromFramework(error),
      arrival.correlation.id,
      { denialStatus: gateway.settings.policy_denial_status },
    )
    const { named } = arrival
    if (denial !== undefined && named !== undefined)
      gateway.metrics.denied(named.tool, named.action, denial)
    if (kind !== undefined) gateway.metrics.failed(kind)
    if (status === 500) gateway.onInternalError(arrival.correlation.id, error)
    return reply.status(arrival.attempt.guarded(status, gateway.now())).headers(headers).send(body)
  })

  app.setNotFoundHandler((request, reply) =>
    reply.status(404).send({
      error: 'Not found',
      code: 'NOT_FOUND',
      correlation_id: arrivalOf(request).correlation.id,
    }),
  )
  app.options('/*', (_request, reply) =>
    reply
      .status(204)
      .header('access-control-allow-methods', 'GET, POST, PATCH, DELETE')
      .header(
        'access-control-allow-headers',
        'authorization, content-type, idempotency-key, x-agent-intent, x-correlation-id',
      )
      .send(),
  )
}

function arrivalOf(request: FastifyRequest): Arrival {
  const arrival = arrivals.get(request)
  if (arrival === undefined) throw new VestryError('INTERNAL_ERROR', 'a request without arrival')
  return arrival
}

function agentProof(request: FastifyRequest): AgentProof {
  return {
    timestamp: header(request, 'x-agent-timestamp'),
    nonce: header(request, 'x-agent-nonce'),
    signature: header(request, 'x-agent-signature'),
  }
}

/** Empty where there is none. */
export function rawBody({ body }: FastifyRequest): Uint8Array {
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0)
}

export function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** The agent of a bearer token, where one is sent along with a job's id. */
async function presentedAgent(
  gateway: Gateway,
  request: FastifyRequest,
): Promise<string | undefined> {
  const bearer = /^Bearer (\S+)$/i.exec(header(request, 'authorization') ?? '')?.[1]
  if (bearer === undefined) return undefined
  return (await gateway.tokens.verify(bearer, request.ip)).agent.id
}

function bodyOf(result: ProxyResult, { correlation }: Arrival): Record<string, unknown> {
  if (result.kind === 'job') {
    const { id, status, expiresAtMs } = result.job
    return {
      job_id: id,
      status,
      correlation_id: correlation.id,
      expires_at: new Date(expiresAtMs).toISOString(),
    }
  }
  const { data, metadata, replayed } = result.answer
  return {
    success: true,
    data,
    metadata: { ...metadata, correlation_id: correlation.id, idempotent_replay: replayed },
  }
}

/** What the HTTP library refuses by itself, in our codes. */
function fromFramework(error: unknown): unknown {
  if (error instanceof VestryError) return error
  const status: unknown = Reflect.get(Object(error), 'statusCode')
  if (status === 413) return new VestryError('REQUEST_TOO_LARGE')
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new VestryError('BAD_REQUEST', undefined, { cause: error })
  return error
}

function allowOrigin({ settings }: Gateway, request: FastifyRequest, reply: FastifyReply): void {
  const { origin } = request.headers
  if (origin === undefined || !settings.cors_origins.includes(origin)) return
  reply.header('access-control-allow-origin', origin)
  reply.header('access-control-expose-headers', EXPOSED)
  reply.header('vary', 'Origin')
}
