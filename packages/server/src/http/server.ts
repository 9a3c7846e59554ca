/**
 * The one HTTP port: health, readiness and metrics now; later parts add their prefixes. Every answer
 * to a wrong path is a JSON object with a string `error`, which is what old clients can read.
 */

import { asVestryError, VestryError } from '@vestry/contract/errors'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { ApiKeyStore } from '../identity/api-key-store.ts'
import { CONTENT_TYPE, type Registry } from '../metrics/registry.ts'

export interface HttpDeps {
  readonly version: string
  readonly startedAtMs: number
  readonly now: () => number
  readonly registry: Registry
  readonly apiKeys: ApiKeyStore
  /** Bound to loopback: metrics are open. */
  readonly loopback: boolean
  readonly state: () => { sealed: boolean; auditAvailable: boolean; draining: boolean }
}

export function createHttp(deps: HttpDeps): FastifyInstance {
  const app = fastify({
    keepAliveTimeout: 65_000,
    requestTimeout: 25_000,
    bodyLimit: 1_048_576,
    forceCloseConnections: 'idle',
    http: { maxHeaderSize: 65_536 },
  })

  app.get('/health', () => ({
    ok: true,
    status: 'healthy',
    version: deps.version,
    uptime_seconds: Math.floor((deps.now() - deps.startedAtMs) / 1000),
    sealed: deps.state().sealed,
  }))

  app.get('/ready', (_request, reply) => {
    const { sealed, auditAvailable, draining } = deps.state()
    const ready = !sealed && auditAvailable && !draining
    return reply
      .status(ready ? 200 : 503)
      .send({ ready, sealed, audit_available: auditAvailable, draining })
  })

  app.get('/metrics', async (request, reply) => {
    if (!deps.loopback) await authenticate(deps, request)
    return reply.type(CONTENT_TYPE).send(deps.registry.render())
  })

  app.setNotFoundHandler((request, reply) =>
    reply
      .status(404)
      .send({ error: `no such path: ${request.method} ${request.url.split('?', 1)[0]}` }),
  )

  app.setErrorHandler((error, _request, reply) => {
    const status = statusOf(error)
    const known = asVestryError(error)
    const message =
      status < 500 && !(error instanceof VestryError) ? (error as Error).message : known.message
    return reply
      .status(status)
      .send({ error: message, code: known.code, ...(known.hint && { hint: known.hint }) })
  })
  return app
}

async function authenticate({ apiKeys }: HttpDeps, request: FastifyRequest): Promise<void> {
  await apiKeys.authenticateBearer(request.headers.authorization)
}

function statusOf(error: unknown): number {
  if (error instanceof VestryError) return error.status
  const status: unknown = Reflect.get(Object(error), 'statusCode')
  return typeof status === 'number' && status >= 400 && status < 600 ? status : 500
}
