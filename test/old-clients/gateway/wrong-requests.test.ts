/** What no client sends: every wrong request gets an answer that clients could read. */
import { connect as connectTcp } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayWorld, startGatewayWorld } from './gateway-world.ts'

let world: GatewayWorld
beforeAll(async () => {
  world = await startGatewayWorld()
})
afterAll(() => world?.[Symbol.asyncDispose]())

test('gateway §19.8: hostile correlation ids are replaced, harmless ones echoed', async () => {
  const longest = 'a'.repeat(128)
  for (const id of ['A.b_c:d-9', longest]) {
    const { headers } = await world.http('GET', '/api/nowhere', undefined, {
      'x-correlation-id': id,
    })
    expect(headers.get('x-correlation-id')).toBe(id)
  }
  for (const id of ['a b', '<script>', `${longest}a`, '{"a":1}', 'é', '']) {
    for (const path of ['/api/nowhere', '/api/proxy/status']) {
      const { headers } = await world.http('GET', path, undefined, { 'x-correlation-id': id })
      expect(headers.get('x-correlation-id')).toMatch(/^req_\d{13}_[a-z0-9]{9}$/)
    }
  }
})

test('gateway §19.6: every wrong request is answered with an object whose error is text', async () => {
  const token = '/api/generate-token'
  const proxy = '/api/proxy-request'
  const deep = `${'['.repeat(5_000)}${']'.repeat(5_000)}`
  const wrong: [string, string, unknown?, Record<string, string>?][] = [
    ['GET', '/api'],
    ['GET', '/api/'],
    ['GET', '/api/nowhere'],
    ['POST', '/api/nowhere', {}],
    ['GET', '/nowhere'],
    ['GET', token],
    ['PUT', proxy, {}],
    ['DELETE', token],
    ['PROPFIND', proxy],
    ['POST', `${proxy}/`, {}],
    ['GET', '/api/jobs/'],
    ['GET', '/api/jobs/short'],
    ['GET', '/api/jobs/%00'],
    ['GET', '/api/jobs/%E0%A4%A'],
    ['GET', `/api/jobs/${'a'.repeat(2_000)}`],
    ...[token, proxy].flatMap((path): [string, string, unknown?, Record<string, string>?][] => [
      ['POST', path],
      ['POST', path, '{"a":'],
      ['POST', path, '[]'],
      ['POST', path, 'null'],
      ['POST', path, '"text"'],
      ['POST', path, '{}'],
      ['POST', path, '{"__proto__":{"a":1}}'],
      ['POST', path, deep],
      ['POST', path, { agent_id: 1, tools: 'a', permissions: [1], expires_at: {} }],
      ['POST', path, { agent_token: {}, tool: [], action: 1, params: 'x' }],
      ['POST', path, 'a=b', { 'content-type': 'application/x-www-form-urlencoded' }],
      ['POST', path, '{}', { 'content-type': 'text/plain' }],
      ['POST', path, '{}', { 'content-encoding': 'gzip' }],
      ['POST', path, 'x'.repeat(1_100_000)],
    ]),
    ['POST', '/api/create-agent', {}],
    ['GET', '/api/agents'],
    ['GET', '/api/agents/x'],
    ['GET', '/api/tokens/x'],
    ['POST', '/api/tokens/x/revoke'],
    ['POST', '/api/policies', {}],
    ['GET', '/api/policies'],
    ['DELETE', '/api/policies/x'],
    ['GET', '/api/policy-logs'],
    ['GET', '/api/proxy/logs'],
    ['GET', '/api/admin/tokens'],
    ['POST', '/api/admin/creds/set', {}],
    ['GET', '/api/admin/chaos'],
  ]
  for (const [method, path, body, headers] of wrong) {
    const answer = await world.http(method, path, body, headers)
    const said = `${method} ${path.slice(0, 40)} ${String(body).slice(0, 40)}: ${answer.status}`
    expect.soft(answer.status, said).toBeGreaterThanOrEqual(400)
    expect.soft(answer.status, said).toBeLessThan(500)
    expect.soft(answer.json, said).toMatchObject({ error: expect.stringMatching(/./) })
    expect.soft(answer.headers.get('content-type'), said).toBe('application/json; charset=utf-8')
    if (path.startsWith('/api/'))
      expect.soft(answer.headers.get('x-correlation-id') ?? '', said).toMatch(/^req_/)
    if (answer.status === 400) expect.soft(answer.json.error, said).not.toMatch(/policy|scope/i)
  }
})

test('whatever is wrong with the id of a job, the answer is one and the same', async () => {
  const ids = [
    'job_2Hk9vQ7yT4mZ8rXw1cLdPs',
    'short',
    'policy',
    '%00',
    '%E0%A4%A',
    'a'.repeat(2_000),
  ]
  for (const id of ids) {
    const { status, json } = await world.http('GET', `/api/jobs/${id}`)
    const { correlation_id, ...body } = json
    expect.soft({ status, body }, id.slice(0, 30)).toEqual({
      status: 404,
      body: { error: 'Job not found', code: 'JOB_NOT_FOUND' },
    })
  }
})

test('gateway §19.6: what is not even HTTP gets an object too', async () => {
  const { hostname, port } = new URL(world.url)
  for (const line of [
    'GET /api/nowhere HTTP/1.1\r\nno colon\r\n\r\n',
    'NONSENSE\r\n\r\n',
    `GET /api/nowhere HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
  ]) {
    const socket = connectTcp(Number(port), hostname)
    socket.on('error', () => undefined)
    socket.write(line)
    const [, body = ''] = (await text(socket)).split('\r\n\r\n')
    expect(JSON.parse(body)).toMatchObject({ error: expect.stringMatching(/./) })
  }
})

test('gateway §19.6: a bug is a 500 that tells nothing of the inside', async () => {
  await using world = await startGatewayWorld()
  const id = await world.createAgent('scraper')
  {
    using store = new DatabaseSync(world.home.store)
    store.exec('drop table gateway_token')
  }
  const { status, json, text, headers } = await world.http('POST', '/api/generate-token', {
    agent_id: id,
    tools: ['serpapi'],
    permissions: ['read'],
    expires_at: new Date(Date.now() + 60_000).toISOString(),
  })
  expect(status).toBe(500)
  expect(json).toMatchObject({ error: expect.stringMatching(/./), code: 'INTERNAL' })
  expect(json.correlation_id).toBe(headers.get('x-correlation-id'))
  expect(text).not.toMatch(/gateway_token|table|sqlite|\.ts/i)
})
