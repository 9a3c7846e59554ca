/**
 * The management paths of the gateway (gateway contract §2.2): each is one admin verb behind an operator's key,
 * with the parameters taken from path, query and body, and the reply in the form the original product gave it.
 */
import { VestryError } from '@vestry/contract/errors'
import { newRequestId, newTxn } from '@vestry/contract/ids'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AdminDeps } from '../../admin/deps.ts'
import { type AdminVerb, callVerb } from '../../admin/verb.ts'
import { newCaller, type Principal } from '../../identity/caller.ts'
import { readStrictJson } from '../../json/strict-json.ts'
import { Secret } from '../../seal/secret.ts'
import type { Reply } from '../../vault/wire/reply.ts'
import { objectBody } from '../call/call-body.ts'
import type { Gateway } from '../gateway.ts'
import { isReady } from '../mode.ts'
import type { Json, JsonObject } from '../tools/tool.ts'
import { header, rawBody } from './routes.ts'

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'

interface Parts {
  readonly path: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, unknown>>
  readonly body: () => JsonObject
}

interface Route {
  readonly method: Method
  readonly url: string
  readonly verb: string
  readonly given: (parts: Parts) => Record<string, unknown>
  /** 200 unless told otherwise; 204 has no body. */
  readonly status?: number
  /** The member of the verb's result that is the whole body. */
  readonly only?: string
}

const none = () => ({})
const id = ({ path }: Parts) => ({ id: path['id'] })
const body = ({ body }: Parts) => ({ body: body() })
const idAndBody = (parts: Parts) => ({ ...id(parts), ...body(parts) })
const query =
  (...names: string[]) =>
  ({ query }: Parts) =>
    Object.fromEntries(
      names.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]]])),
    )

const ROUTES: readonly Route[] = [
  { method: 'POST', url: '/create-agent', verb: 'gateway.agent_create', given: body, status: 201 },
  { method: 'GET', url: '/agents', verb: 'gateway.agent_list', given: none },
  { method: 'GET', url: '/agents/:id', verb: 'gateway.agent_show', given: id },
  { method: 'PATCH', url: '/agents/:id', verb: 'gateway.agent_patch', given: idAndBody },
  {
    method: 'GET',
    url: '/tokens/:id',
    verb: 'token.list',
    given: ({ path }) => ({ agent: path['id'], limit: 1_000, revoked: false }),
  },
  { method: 'POST', url: '/tokens/:id/revoke', verb: 'token.revoke', given: id },
  {
    method: 'GET',
    url: '/admin/tokens',
    verb: 'token.list',
    given: () => ({ form: 'admin', limit: 1_000 }),
    only: 'tokens',
  },
  { method: 'POST', url: '/admin/tokens/:id/revoke', verb: 'token.revoke', given: id },
  { method: 'POST', url: '/policies', verb: 'gateway.policy_create', given: body, status: 201 },
  {
    method: 'GET',
    url: '/policies',
    verb: 'gateway.policy_list',
    given: query('agentId', 'role', 'active'),
    only: 'policies',
  },
  {
    method: 'GET',
    url: '/policies/merged/:id',
    verb: 'gateway.policy_merged',
    given: ({ path }) => ({ agentId: path['id'] }),
  },
  { method: 'GET', url: '/policies/:id', verb: 'gateway.policy_show', given: id },
  { method: 'PATCH', url: '/policies/:id', verb: 'gateway.policy_patch', given: idAndBody },
  { method: 'DELETE', url: '/policies/:id', verb: 'gateway.policy_delete', given: id, status: 204 },
  {
    method: 'GET',
    url: '/policy-logs',
    verb: 'gateway.policy_logs',
    given: query('policyId', 'agentId', 'limit'),
    only: 'logs',
  },
  { method: 'GET', url: '/proxy/logs', verb: 'gateway.request_logs', given: query('limit') },
  {
    method: 'POST',
    url: '/admin/creds/activate',
    verb: 'gateway.cred_activate',
    given: ({ body }) => ({ id: body()['id'] }),
  },
  {
    method: 'GET',
    url: '/admin/creds',
    verb: 'gateway.cred_list',
    given: none,
    only: 'credentials',
  },
  {
    method: 'GET',
    url: '/admin/creds/:id',
    verb: 'gateway.cred_list',
    given: ({ path }) => ({ tool: path['id'], active: true }),
    only: 'credentials.0',
  },
  {
    method: 'GET',
    url: '/admin/creds/:id/versions',
    verb: 'gateway.cred_list',
    given: ({ path }) => ({ tool: path['id'] }),
    only: 'credentials',
  },
  { method: 'DELETE', url: '/admin/creds/:id', verb: 'gateway.cred_delete', given: id },
  {
    method: 'POST',
    url: '/admin/chaos/tool',
    verb: 'gateway.chaos_set',
    given: ({ body }) => pick(body(), 'tool', 'mode', 'pct'),
  },
  {
    method: 'DELETE',
    url: '/admin/chaos/tool/:id',
    verb: 'gateway.chaos_clear',
    given: ({ path }) => ({ tool: path['id'] }),
  },
  { method: 'GET', url: '/admin/chaos', verb: 'gateway.chaos_list', given: none },
]

const NO_SIGNAL = new AbortController().signal

export function adminRoutes(
  app: FastifyInstance,
  gateway: Gateway,
  deps: AdminDeps,
  verbs: readonly AdminVerb[],
): void {
  const byName = new Map(verbs.map((verb) => [verb.name, verb]))
  const call = async (
    request: FastifyRequest,
    name: string,
    given: (parts: Parts) => Record<string, unknown>,
    secrets?: ReadonlyMap<string, Secret>,
  ): Promise<Reply> => {
    void gateway.seal.keys
    const operator = await operatorOf(deps, request)
    const verb = byName.get(name)
    if (verb === undefined) throw new VestryError('INTERNAL_ERROR', `no verb ${name}`)
    const principal: Principal = { kind: 'operator', operator }
    const peer = { transport: 'http' as const, address: request.ip }
    return callVerb(deps, verb, {
      caller: newCaller({ principal, peer, txn: newTxn() }, header(request, 'traceparent')),
      by: operator.name,
      requestId: newRequestId(),
      given: given(partsOf(request)),
      ...(secrets !== undefined && { secrets }),
      signal: () => NO_SIGNAL,
    })
  }

  for (const { method, url, verb, given, status = 200, only } of ROUTES) {
    app.route({
      method,
      url,
      handler: async (request, reply) => {
        const made = await call(request, verb, given)
        try {
          const answer = withSecrets(made)
          if (status === 204) return reply.status(204).send()
          return reply
            .status(status)
            .header('cache-control', 'no-store')
            .send(only === undefined ? answer : member(answer, only))
        } finally {
          made.release?.()
        }
      },
    })
  }

  app.get('/proxy/status', async (request) => {
    const { settings, tools, dev } = gateway
    const all = tools.list()
    const configured = await Promise.all(
      all.map(async (tool) => [tool.name, await isReady(gateway, tool)] as const),
    )
    return {
      status: 'operational',
      timestamp: new Date(gateway.now()).toISOString(),
      configured_tools: Object.fromEntries(configured),
      available_actions: Object.fromEntries(
        all.map(({ name, actions }) => [name, [...actions.keys()]]),
      ),
      ...((await isOperator(deps, request)) && {
        signing_secret: true,
        gateway_key: settings.private_key !== undefined,
        kek_configured: true,
      }),
      mode: settings.mode ?? (dev ? 'mock' : 'live'),
    }
  })

  app.post('/admin/creds/set', async (request, reply) => {
    // Only an operator's body is worth reading for a secret.
    await operatorOf(deps, request)
    const fields = partsOf(request).body()
    using credential = secretOf(fields['credential'])
    const secrets = new Map([['credential', credential]])
    const made = await call(
      request,
      'gateway.cred_set',
      () => ({ tool: fields['tool'], version: versionText(fields['version']) }),
      secrets,
    )
    return reply.status(201).send(withSecrets(made))
  })
}

/** @throws VestryError AUTH_FAILED, also for the key of an agent. */
async function operatorOf({ apiKeys }: AdminDeps, request: FastifyRequest) {
  const { principal } = await apiKeys.authenticateBearer(header(request, 'authorization'))
  if (principal.kind === 'operator') return principal.operator
  throw new VestryError('AUTH_FAILED', undefined, {
    hint: 'Send "Authorization: Bearer <key>" with the key of an operator',
  })
}

/** Whether a public path may tell more. */
async function isOperator(deps: AdminDeps, request: FastifyRequest): Promise<boolean> {
  if (header(request, 'authorization') === undefined) return false
  return operatorOf(deps, request).then(
    () => true,
    () => false,
  )
}

function partsOf(request: FastifyRequest): Parts {
  return {
    path: request.params as Record<string, string>, // strings, by the router
    query: request.query as Record<string, unknown>,
    body: () => objectBody(readStrictJson(rawBody(request)) as Json),
  }
}

/** The one answer that shows a secret: JSON is text, so it becomes a string for as long as it takes to send it. */
function withSecrets({ result, secrets = [] }: Reply): Record<string, unknown> {
  const shown = secrets.map(
    ({ name, value, as }) => [name, Buffer.from(value.bytes).toString(as)] as const,
  )
  return { ...result, ...Object.fromEntries(shown) }
}

function member(value: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((inner, name) => Reflect.get(Object(inner), name) as unknown, value)
}

function pick(fields: JsonObject, ...names: string[]): Record<string, unknown> {
  return Object.fromEntries(names.map((name) => [name, fields[name]]))
}

/** Text as it is, anything else as the JSON the tool will read. */
function secretOf(value: Json | undefined): Secret {
  if (value === undefined || value === null || value === '')
    throw new VestryError('MISSING_FIELDS', 'missing: credential')
  return Secret.copy(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)))
}

function versionText(value: Json | undefined): unknown {
  return typeof value === 'number' ? String(value) : value
}
