/**
 * What runs need of the common HTTP port: the token service, the public keys, and registration for operators with an
 * API key (sage contract §8). Clients read HTTP by hand, so every answer ends its connection (§4.3).
 */
import { VestryError } from '@vestry/contract/errors'
import { newRequestId, newTxn } from '@vestry/contract/ids'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AdminDeps } from '../admin/deps.ts'
import { callVerb } from '../admin/verb.ts'
import { jsonBytes, nestedError } from '../http/nested-error.ts'
import { newCaller } from '../identity/caller.ts'
import { TXN_TOKEN_TYPE } from '../identity/runs/exchange-request.ts'
import { REFRESH_HINT_SECONDS } from '../identity/runs/run-keys.ts'
import { readStrictJson } from '../json/strict-json.ts'
import type { RunsPart } from './runs-part.ts'

const MAX_BODY_BYTES = 1_048_576
const FORM = 'application/x-www-form-urlencoded'
const NO_SIGNAL = new AbortController().signal
/** What readers of OAuth errors know. */
const OAUTH_CODES: ReadonlySet<string> = new Set([
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'invalid_scope',
  'invalid_target',
  'unsupported_grant_type',
])

export function runRoutes(
  app: FastifyInstance,
  runs: RunsPart,
  deps: AdminDeps,
  warn: (line: string) => void,
): void {
  const requestIds = new WeakMap<FastifyRequest, string>()
  const idOf = (request: FastifyRequest): string => requestIds.get(request) ?? ''
  const verbs = new Map(runs.verbs.map((verb) => [verb.name, verb]))
  app.removeAllContentTypeParsers()
  const parse = { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES } as const
  app.addContentTypeParser('*', parse, (_request, body, done) => done(null, body))

  app.addHook('onRequest', async (request, reply) => {
    const id = newRequestId()
    requestIds.set(request, id)
    reply.header('connection', 'close').header('x-request-id', id)
    const { authorization = [] } = request.raw.headersDistinct
    if (authorization.length > 1)
      throw new VestryError('BAD_REQUEST', 'There is more than one Authorization header')
  })
  app.setErrorHandler((error, request, reply) => {
    const known = fromFramework(error)
    const { status, headers, body } = nestedError(known, idOf(request))
    if (status === 500) warn(`internal error in ${idOf(request)}: ${(error as Error).stack}`)
    const isToken = request.routeOptions.url === '/token'
    return reply
      .status(status)
      .headers({ ...headers, connection: 'close' })
      .header('content-type', 'application/json')
      .send(jsonBytes(isToken ? oauthError(known, body) : body))
  })

  app.post('/token', async (request, reply) => {
    void deps.vault.seal.keys // VAULT_LOCKED before anything else is said
    // Signatures cost us more than them, and refusals leave records.
    deps.vault.limits.takeAuthenticate(`token:${request.ip}`)
    const [type = ''] = (request.headers['content-type'] ?? '').split(';')
    if (type.trim().toLowerCase() !== FORM)
      throw new VestryError('INVALID_REQUEST', `Content-Type must be ${FORM}`)
    const { token, expiresIn } = await runs.service.exchange({
      form: bodyOf(request).toString('utf8'),
      authorization: request.raw.headersDistinct['authorization'] ?? [],
      requestId: idOf(request),
    })
    return json(reply, 200, {
      token_type: 'N_A',
      issued_token_type: TXN_TOKEN_TYPE,
      access_token: token,
      expires_in: expiresIn,
    })
  })

  for (const [url, which] of [
    ['/.well-known/jwks.json', 'jwks'],
    ['/.well-known/spiffe-bundle.json', 'bundle'],
  ] as const) {
    app.get(url, async (_request, reply) =>
      json(reply, 200, runs.publicKeys()[which], `public, max-age=${REFRESH_HINT_SECONDS}`),
    )
  }

  const call = async (request: FastifyRequest, name: string, given: unknown) => {
    void deps.vault.seal.keys
    const operator = await operatorOf(deps, request)
    const verb = verbs.get(name)
    if (verb === undefined) throw new VestryError('INTERNAL_ERROR', `no verb ${name}`)
    const { traceparent } = request.headers
    const peer = { transport: 'http' as const, address: request.ip }
    const caller = newCaller(
      { principal: { kind: 'operator', operator }, peer, txn: newTxn() },
      typeof traceparent === 'string' ? traceparent : undefined,
    )
    const by = operator.name
    const made = await callVerb(deps, verb, {
      caller,
      by,
      requestId: idOf(request),
      given,
      signal: () => NO_SIGNAL,
    })
    return made.result
  }
  app.post('/runs', async (request, reply) =>
    json(reply, 201, await call(request, 'run.register', readStrictJson(bodyOf(request)))),
  )
  app.get('/runs', async (request, reply) => {
    const { agent, all } = request.query as Record<string, unknown>
    const given = { ...(agent !== undefined && { agent }), all: all === 'true' }
    return json(reply, 200, await call(request, 'run.list', given))
  })
  app.get<{ Params: { id: string } }>('/runs/:id', async (request, reply) =>
    json(reply, 200, await call(request, 'run.show', { id: request.params.id })),
  )
  app.delete<{ Params: { id: string } }>('/runs/:id', async (request, reply) =>
    json(reply, 200, await call(request, 'run.close', { id: request.params.id })),
  )
}

function json(reply: FastifyReply, status: number, body: unknown, cache = 'no-store') {
  return reply
    .status(status)
    .header('content-type', 'application/json')
    .header('cache-control', cache)
    .send(jsonBytes(body))
}

/** RFC 6749 §5.2. What has no name there keeps ours, with a status that says who is at fault. */
function oauthError(error: unknown, nested: Readonly<Record<string, unknown>>) {
  const { code, message } = nested['error'] as { code: string; message: string }
  if (OAUTH_CODES.has(code)) return { error: code, error_description: message }
  const status = error instanceof VestryError ? error.status : 500
  if (status === 429 || status === 503) return { error: 'temporarily_unavailable' }
  if (status < 500) return { error: 'invalid_request', error_description: message }
  return { error: 'server_error' }
}

/** What the HTTP library refuses by itself, in our words. */
function fromFramework(error: unknown): unknown {
  if (error instanceof VestryError) return error
  const status: unknown = Reflect.get(Object(error), 'statusCode')
  if (status === 413) return new VestryError('REQUEST_TOO_LARGE')
  if (typeof status === 'number' && status < 500) return new VestryError('BAD_REQUEST')
  return error
}

function bodyOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0)
}

/** @throws VestryError AUTH_FAILED, also for the key of an agent. */
async function operatorOf({ apiKeys }: AdminDeps, { headers }: FastifyRequest) {
  const { principal } = await apiKeys.authenticateBearer(headers.authorization)
  if (principal.kind === 'operator') return principal.operator
  throw new VestryError('AUTH_FAILED', undefined, {
    hint: 'Send "Authorization: Bearer <key>" with the key of an operator',
  })
}
