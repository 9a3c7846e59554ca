import { describe, expect, it, test } from 'vitest'
import { httpTool } from './http-tool.ts'
import { actionOf, CONTEXT, problemsOf, reply } from './test-context.ts'
import type { Json, JsonObject, ToolAction } from './tool.ts'
import { acceptTool } from './tool-file.ts'

const text = { type: 'string' }

function action(
  more: object,
  properties: object = {},
  required = Object.keys(properties),
): ToolAction {
  const file = acceptTool(
    {
      name: 'crm',
      description: 'Our CRM',
      base_url: 'https://crm.example.com/api/v2',
      actions: { act: { path: '/x', method: 'GET', params: { properties, required }, ...more } },
    },
    'test',
  )
  return actionOf(httpTool(file, 'operator'), 'act')
}

const sent = (act: ToolAction, params: JsonObject, context = CONTEXT) => {
  const { body, ...request } = act.request(act.normalise(params), context)
  return { ...request, ...(body && { body: Buffer.from(body).toString('utf8') }) }
}
const ACCEPT = ['Accept', 'application/json, */*;q=0.5']
const CORRELATION = ['X-Correlation-Id', CONTEXT.correlationId]

describe('a request', () => {
  it('has params in path, header and query', () => {
    const act = action(
      { path: '/contacts/{id}', headers: { 'X-Region': 'r-{region}' }, timeout_ms: 500 },
      { id: text, region: text, q: text, tags: {}, deep: { type: 'boolean' } },
      ['id', 'region'],
    )
    expect(sent(act, { id: 'a b/ü', region: 'eu', q: 'x&y', tags: ['1', 2], deep: false })).toEqual(
      {
        url: 'https://crm.example.com/api/v2/contacts/a%20b%2F%C3%BC?deep=false&q=x%26y&tags=1&tags=2',
        method: 'GET',
        headers: [['X-Region', 'r-eu'], ACCEPT, CORRELATION],
        timeoutMs: 500,
        maxResponseBytes: 1_048_576,
        followRedirects: false,
      },
    )
    expect(sent(act, { id: '1', region: 'eu', tags: null }).url).toBe(
      'https://crm.example.com/api/v2/contacts/1',
    )
  })

  it('has the rest as a JSON object where the method takes one', () => {
    const act = action(
      { method: 'POST', path: '/{id}' },
      { id: { type: 'integer' }, b: {}, a: {}, c: {} },
      ['id'],
    )
    const request = sent(act, { id: 7, b: { x: [1] }, a: null })
    expect(request).toMatchObject({
      url: 'https://crm.example.com/api/v2/7',
      method: 'POST',
      headers: [['Content-Type', 'application/json'], ACCEPT, CORRELATION],
    })
    expect(request.body).toBe('{"a":null,"b":{"x":[1]}}')
  })

  it('has one param as the whole body, if the file says so', () => {
    const act = action(
      { method: 'PUT', body: { raw: 'note', content_type: 'text/markdown' } },
      { note: text },
    )
    expect(sent(act, { note: '# é' })).toMatchObject({
      headers: [['Content-Type', 'text/markdown'], ACCEPT, CORRELATION],
      body: '# é',
    })
  })

  it('accepts what the file says, or anything, JSON first', () => {
    const { headers } = sent(action({ headers: { accept: 'text/csv' } }), {})
    expect(headers).toEqual([['accept', 'text/csv'], CORRELATION])
  })

  it('has no body when nothing goes there', () => {
    expect(sent(action({ method: 'POST' }), {})).not.toHaveProperty('body')
    expect(
      sent(action({ method: 'DELETE' }, { hard: { type: 'boolean' } }), { hard: true }).url,
    ).toBe('https://crm.example.com/api/v2/x?hard=true')
  })

  it('carries the idempotency key where upstream reads it', () => {
    const act = action({ method: 'POST', idempotency_header: 'Idempotency-Key' })
    expect(act.idempotencyHeader).toBe('Idempotency-Key')
    const keyed = sent(act, {}, { ...CONTEXT, idempotencyKey: 'idemp_1' })
    expect(keyed.headers).toContainEqual(['Idempotency-Key', 'idemp_1'])
    expect(sent(act, {}).headers).not.toContainEqual(['Idempotency-Key', expect.anything()])
  })
})

describe('params', () => {
  it('are checked and completed by the schema, and others are left behind', () => {
    const act = action({}, { n: { type: 'integer', default: 3 } }, [])
    expect(act.normalise({ other: 1, intent: 'x', idempotencyKey: 'k' })).toEqual({ n: 3 })
    expect(problemsOf(act, { n: 'x' })).toEqual(['n: must be a whole number'])
    const strict = actionOf(
      httpTool(
        acceptTool(
          {
            name: 'crm',
            description: 'x',
            base_url: 'https://crm.example.com',
            actions: { act: { method: 'GET', path: '/', params: { additionalProperties: false } } },
          },
          'test',
        ),
        'config',
      ),
      'act',
    )
    expect(strict.normalise({ intent: 'x', idempotency_key: 'k' })).toEqual({})
    expect(problemsOf(strict, { other: 1 })).toEqual(['params: has a member that is not known'])
  })

  it('with the names of prototypes change nothing', () => {
    const act = action({ method: 'POST' }, { a: {} }, [])
    const hostile = JSON.parse(
      '{"__proto__":{"a":1},"constructor":{"a":1},"a":{"__proto__":1}}',
    ) as JsonObject
    expect(sent(act, hostile).body).toBe('{"a":{}}')
  })

  it.each<[string, object, object, JsonObject, string]>([
    [
      'a dot segment',
      { path: '/c/{id}' },
      { id: text },
      { id: '..' },
      'id: must not be a dot segment',
    ],
    ['an empty segment', { path: '/c/{id}' }, { id: text }, { id: '' }, 'id: must not be empty'],
    [
      'a line break in a path',
      { path: '/c/{id}' },
      { id: text },
      { id: 'a\nb' },
      'id: must not contain control characters',
    ],
    [
      'a line break in a header',
      { headers: { 'X-A': '{a}' } },
      { a: text },
      { a: 'x\r\nEvil: 1' },
      'a: must not contain line breaks, nor what no header can carry',
    ],
    [
      'what is not Latin-1 in a header',
      { headers: { 'X-A': '{a}' } },
      { a: text },
      { a: '€' },
      'a: must not contain line breaks, nor what no header can carry',
    ],
    [
      'an object in a query',
      {},
      { a: {} },
      { a: { b: 1 } },
      'a: must be text, a number, true or false, or a list of these',
    ],
    [
      'objects in a list of a query',
      {},
      { a: {} },
      { a: [{}] },
      'a: must be text, a number, true or false, or a list of these',
    ],
    [
      'a loaded name',
      { path: '/c/{scope}' },
      { scope: text },
      { scope: '..' },
      '*: must not be a dot segment',
    ],
  ])('%s is refused', (_name, more, properties, given, problem) => {
    expect(problemsOf(action(more, properties), given)).toEqual([problem])
  })

  it('of hostile size are refused before they are looked at', () => {
    const act = action({ method: 'POST' }, { a: {} }, [])
    const nested = JSON.parse(`${'['.repeat(5_000)}${']'.repeat(5_000)}`) as Json
    expect(problemsOf(act, { a: nested })).toEqual(['params: must not nest deeper than 32'])
    expect(problemsOf(act, { a: Array(5_001).fill(1) })).toEqual([
      'params: must hold no list of more than 5000 items',
    ])
  })
})

describe('a result', () => {
  const result = (more: object, body: unknown, status = 200): Json => {
    const act = action(more)
    return act.result(reply(status, body), {}, CONTEXT)
  }

  it('is the whole reply, parsed if it is JSON', () => {
    expect(result({}, { a: 1 })).toEqual({ a: 1 })
    expect(result({}, 'plain')).toBe('plain')
    expect(result({}, '', 204)).toBeNull()
  })

  it('is the part the pointers name', () => {
    const body = { data: { contact: { id: 5 }, total: 1 } }
    expect(result({ result: '/data/contact' }, body)).toEqual({ id: 5 })
    expect(result({ result: '/data/none' }, body)).toBeNull()
    expect(result({ result: { id: '/data/contact/id', all: '', none: '/x' } }, body)).toEqual({
      id: 5,
      all: body,
      none: null,
    })
  })

  it.each<[number, string]>([
    [302, 'rejected'],
    [401, 'auth'],
    [404, 'rejected'],
    [429, 'rate_limited'],
    [500, 'failed'],
  ])('with status %i is an error of kind %s', (status, kind) => {
    expect(() => result({}, { a: 1 }, status)).toThrow(expect.objectContaining({ kind }))
  })
})

test('what the file says, the gateway is told', () => {
  const act = action({
    method: 'POST',
    permission: 'read',
    repeatable: true,
    cache_seconds: 60,
    cost_usd: 0.002,
  })
  expect([act.permission, act.repeatable, act.cacheMs, act.costMicros]).toEqual([
    'read',
    true,
    60_000,
    2_000,
  ])
  expect(action({}, { a: text }).facts({ a: 'é🔧', b: 1 })).toEqual({ lengths: { a: 2 } })
})

test('the mock is the file’s, or says what was asked', () => {
  const fixed = action({ mock: { id: 1, list: [] } })
  const first = fixed.mock({}, CONTEXT) as { list: number[] }
  first.list.push(1)
  expect(fixed.mock({}, CONTEXT)).toEqual({ id: 1, list: [] })
  expect(action({ mock: null }).mock({}, CONTEXT)).toBeNull()
  expect(action({}, { a: text }).mock({ a: 'x' }, CONTEXT)).toEqual({
    mock: true,
    tool: 'crm',
    action: 'act',
    params: { a: 'x' },
  })
})
