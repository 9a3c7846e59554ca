import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { VestryError } from '@vestry/contract/errors'
import fastify, { type FastifyInstance } from 'fastify'
import { afterEach, expect, test } from 'vitest'
import type { Principal } from '../../identity/caller.ts'
import { Buckets } from '../../limits/bucket.ts'
import { BodyMemory } from '../../llm/wire/request-body.ts'
import { RuntimeSettings } from '../settings.ts'
import { clientAddress } from './client-address.ts'
import type { Wire } from './handler.ts'
import { runtimeRoutes } from './plugin.ts'
import { RequestRate } from './rate.ts'
import type { RuntimeRequest, RuntimeRoute } from './route.ts'
import { Router } from './router.ts'
import { StoredReplies } from './stored-replies.ts'

const ADMIN: Principal = {
  kind: 'operator',
  operator: { id: 'key_1', name: 'ada', role: 'admin', status: 'enabled', createdAt: 0 },
}
const open: FastifyInstance[] = []
afterEach(() => Promise.all(open.splice(0).map((app) => app.close())))

interface Under {
  readonly wire: Wire
  readonly counted: [string, number][]
  readonly errors: unknown[]
  ask(method: string, path: string, body?: string | Buffer, headers?: object): Promise<Answer>
  begin(method: string, path: string, headers?: object): ClientRequest
}

interface Answer {
  status: number
  headers: IncomingMessage['headers']
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
  json: any
}

/** The wire on a port of its own, with a key that everybody has. */
async function serve(
  routes: Partial<RuntimeRoute>[],
  over: Partial<Wire> = {},
  settings: object = {},
): Promise<Under> {
  const app = fastify()
  open.push(app)
  const counted: [string, number][] = []
  const errors: unknown[] = []
  const buckets = new Buckets({ now: () => 0 })
  const never = () => Promise.reject(new VestryError('INTERNAL_ERROR'))
  const whole = routes.map((route) => ({
    method: 'POST' as const,
    path: 'x',
    access: 'key' as const,
    handle: () => ({ body: {} }),
    ...route,
  }))
  const wire: Wire = {
    router: new Router(whole),
    identify: {
      apiKeys: {
        authenticate: async (token) => {
          if (token !== 'right') throw new VestryError('AUTH_FAILED')
          if (ADMIN.kind !== 'operator') throw new Error('an operator')
          const { id, name, role, createdAt } = ADMIN.operator
          return { key: { id, name, role, createdAt, status: 'enabled' }, principal: ADMIN }
        },
      },
      agents: { byName: async () => undefined },
      staticToken: undefined,
      clientSecret: undefined,
      anonymous: false,
      corsOrigins: [],
      now: () => 0,
    },
    rate: new RequestRate({
      buckets,
      now: () => 0,
      settings: RuntimeSettings.parse(settings),
      dev: true,
    }),
    clientAddress: clientAddress([]),
    replies: new StoredReplies({
      journal: { reserve: never, wait: never, output: never },
      buckets,
      hashKey: () => {
        throw new VestryError('INTERNAL_ERROR')
      },
    }),
    bodies: new BodyMemory(16_777_216),
    corsOrigins: [],
    sealed: () => false,
    draining: () => false,
    now: () => 0,
    underWay: new Set(),
    streams: new Set(),
    metrics: { request: (route, status) => counted.push([route, status]) },
    refused: () => undefined,
    onInternalError: (_id, error) => errors.push(error),
    ...over,
  }
  app.register(async (api) => runtimeRoutes(api, wire), { prefix: '/api/v1' })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const begin = (method: string, path: string, headers: object = {}) =>
    request({
      port,
      method,
      path: `/api/v1/${path}`,
      headers: { authorization: 'Bearer right', ...headers },
      agent: false,
    })
  const ask = async (method: string, path: string, body?: string | Buffer, headers?: object) => {
    const outgoing = begin(method, path, headers)
    outgoing.end(body)
    return answerOf(outgoing)
  }
  return { wire, counted, errors, ask, begin }
}

async function answerOf(outgoing: ClientRequest): Promise<Answer> {
  const [reply] = (await once(outgoing, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of reply) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  return {
    status: reply.statusCode ?? 0,
    headers: reply.headers,
    json: text === '' ? undefined : JSON.parse(text),
  }
}

test('reading that takes something away is for GET alone, and not for who may only look', async () => {
  let taken = 0
  const take = { method: 'GET' as const, takes: true, handle: () => ({ body: { n: ++taken } }) }
  const { ask, wire } = await serve([take])
  expect(await ask('HEAD', 'x')).toMatchObject({ status: 405, headers: { allow: 'GET' } })
  expect(taken).toBe(0)
  expect((await ask('GET', 'x')).json).toEqual({ n: 1 })
  const { apiKeys } = wire.identify
  const looks = await serve([take], {
    identify: {
      ...wire.identify,
      apiKeys: {
        authenticate: async (token) => {
          const { key, principal } = await apiKeys.authenticate(token)
          if (principal.kind !== 'operator') throw new Error('an operator')
          const operator = { ...principal.operator, role: 'auditor' as const }
          return { key, principal: { kind: 'operator', operator } }
        },
      },
    },
  })
  expect((await looks.ask('GET', 'x')).json.code).toBe('ADMIN_REQUIRED')
  expect(taken).toBe(1)
})

const echo = { handle: (request: RuntimeRequest) => ({ body: { got: request.json() } }) }

test('bodies are strict JSON objects, and no content type is asked for', async () => {
  const { ask } = await serve([echo])
  expect(await ask('POST', 'x', '{"a":1}')).toMatchObject({ status: 200, json: { got: { a: 1 } } })
  expect((await ask('POST', 'x')).json).toEqual({ got: {} })
  const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
  expect((await ask('POST', 'x', nested(64))).status).toBe(200)
  const wrong: (string | Buffer)[] = [
    '{',
    '[]',
    'null',
    '1',
    '\ufeff{}',
    '{"a":1,"a":1}',
    '{"a":{"b":1,"\\u0062":2}}',
    '{"a":"\\ud800"}',
    '{"__proto__":{}}',
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    nested(65),
  ]
  for (const body of wrong)
    expect(await ask('POST', 'x', body), String(body)).toMatchObject({
      status: 400,
      json: { code: 'INVALID_JSON', details: null },
    })
  const zipped = await ask('POST', 'x', '{}', { 'content-encoding': 'gzip' })
  expect(zipped).toMatchObject({ status: 400, json: { code: 'UNSUPPORTED_VALUE' } })
})

test('bodies beyond their limit are refused, told or untold', async () => {
  const { ask, begin } = await serve([
    { ...echo, maxBodyBytes: 64 },
    { ...echo, path: 'y' },
  ])
  const large = JSON.stringify('x'.repeat(100))
  expect(await ask('POST', 'x', large)).toMatchObject({
    status: 413,
    json: { code: 'BODY_TOO_LARGE' },
  })
  const chunked = begin('POST', 'x', { 'transfer-encoding': 'chunked' })
  chunked.write(large)
  chunked.end()
  expect((await answerOf(chunked)).status).toBe(413)
  expect((await ask('POST', 'y', `"${'x'.repeat(4_194_304)}"`)).status).toBe(413)
})

test('a body that does not come is not waited for', async () => {
  const { begin } = await serve([echo], { times: { bodyMs: 30 } })
  const slow = begin('POST', 'x', { 'content-length': '10' })
  slow.on('error', () => undefined)
  slow.write('{')
  const answer = await answerOf(slow)
  expect(answer).toMatchObject({ status: 408, json: { code: 'DEADLINE_EXCEEDED' } })
  expect(answer.headers.connection).toBe('close')
  slow.destroy()
})

test('an answer has a JSON body, or it is a fault of ours', async () => {
  const { ask, errors } = await serve([
    { path: 'list', method: 'GET', handle: () => ({ body: [] }) },
    { path: 'none', method: 'GET', handle: () => ({ body: undefined }) as never },
    {
      path: 'raw',
      method: 'GET',
      handle: () => ({ status: 201, body: { n: (JSON as unknown as RawJson).rawJSON('1.0') } }),
    },
    { path: 'bug', method: 'GET', handle: () => Promise.reject(new Error('secret detail')) },
  ])
  expect(await ask('GET', 'list')).toMatchObject({ status: 200, json: [] })
  expect(await ask('GET', 'none')).toMatchObject({ status: 500, json: { code: 'INTERNAL_ERROR' } })
  expect(await ask('GET', 'raw')).toMatchObject({ status: 201, json: { n: 1 } })
  const bug = await ask('GET', 'bug')
  expect(bug.status).toBe(500)
  expect(JSON.stringify(bug.json)).not.toContain('secret detail')
  expect(bug.json.request_id).toBe(bug.headers['x-request-id'])
  expect(errors).toHaveLength(2)
})

interface RawJson {
  rawJSON(text: string): unknown
}

test('runtime §20.5: an operation that takes too long is told so, and may still answer for itself', async () => {
  const { ask, wire } = await serve(
    [
      { path: 'never', handle: () => new Promise(() => undefined) },
      {
        path: 'heeds',
        handle: async ({ signal }) => {
          await once(signal, 'abort')
          return { status: 202, body: { status: 'running' } }
        },
      },
      {
        path: 'passes-on',
        handle: ({ signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(new Error('aborted')))
          }),
      },
    ],
    { times: { answerMs: 30, lastWordMs: 100 } },
  )
  const [never, heeds, passesOn] = await Promise.all([
    ask('POST', 'never'),
    ask('POST', 'heeds'),
    ask('POST', 'passes-on'),
  ])
  expect(never).toMatchObject({ status: 504, json: { code: 'TIMEOUT' } })
  expect(heeds).toMatchObject({ status: 202, json: { status: 'running' } })
  expect(passesOn).toMatchObject({ status: 504, json: { code: 'TIMEOUT' } })
  expect(wire.underWay.size).toBe(0)
})

test('a client that leaves ends its work', async () => {
  const begun = Promise.withResolvers<AbortSignal>()
  const { begin, counted } = await serve([
    {
      handle: async ({ signal }) => {
        begun.resolve(signal)
        await once(signal, 'abort')
        throw signal.reason
      },
    },
  ])
  const outgoing = begin('POST', 'x')
  outgoing.on('error', () => undefined)
  outgoing.end()
  const signal = await begun.promise
  outgoing.destroy()
  await once(signal, 'abort')
  await expect.poll(() => counted).toEqual([['POST x', 499]])
})

test('who has no right to ask is told before the body is read', async () => {
  const { ask, begin } = await serve([{ ...echo, access: 'admin' }])
  const refused = begin('POST', 'x', { authorization: 'Bearer wrong', 'content-length': '100000' })
  refused.write('{')
  const answer = await answerOf(refused)
  expect(answer).toMatchObject({ status: 401, json: { code: 'UNAUTHORIZED' } })
  expect(answer.headers['www-authenticate']).toBe('Bearer')
  expect(JSON.stringify(answer)).not.toMatch(/expired/i)
  expect((await ask('POST', 'x', '{}')).status).toBe(200)
})

test('every key has its own limit, told with each answer; wrong keys share that of their address', async () => {
  const settings = { rate_limit_per_minute: 60, rate_limit_burst: 3 }
  const { ask } = await serve(
    [{ method: 'GET' }, { method: 'GET', path: 'health', access: 'public' }],
    {},
    settings,
  )
  const left: unknown[] = []
  for (let n = 0; n < 3; n += 1) {
    const { headers } = await ask('GET', 'x')
    left.push(headers['x-ratelimit-remaining'])
    expect(headers['x-ratelimit-limit']).toBe('60')
  }
  expect(left).toEqual(['2', '1', '0'])
  const limited = await ask('GET', 'x')
  expect(limited).toMatchObject({ status: 429, json: { code: 'RATE_LIMITED' } })
  expect(limited.headers).toMatchObject({ 'retry-after': '1', 'x-ratelimit-reset': '3' })
  const statuses: number[] = []
  for (let n = 0; n < 4; n += 1)
    statuses.push((await ask('GET', 'x', undefined, { authorization: 'Bearer wrong' })).status)
  expect(statuses).toEqual([401, 401, 401, 429])
  expect((await ask('GET', 'nowhere')).status).toBe(429)
  const health = await ask('GET', 'health')
  expect(health.status).toBe(200)
  expect(health.headers['x-ratelimit-limit']).toBeUndefined()
})
