import { createServer } from 'node:http'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { temporaryHome } from '../harness/boot.ts'
import { advance } from '../harness/clock.ts'
import { eachCluster, type Nodes } from './nodes.ts'
import { type GatewayNode, LETTER, startNode } from './world.ts'

const SEARCHES = (limit: number, more: object = {}) => ({
  scopes: ['serpapi:search', 'gmail_send:*'],
  quotas: [{ action: 'serpapi:search', limit, window: '1h', ...more }],
})
const exceeded = {
  status: 429,
  json: {
    error: expect.stringContaining('quota'),
    code: 'QUOTA_EXCEEDED',
    retry_after: expect.any(Number),
  },
}

eachCluster('gateway §19.19: quotas', (start) => {
  let nodes: Nodes
  beforeAll(async () => {
    nodes = await start()
  })
  afterAll(() => nodes[Symbol.asyncDispose]())

  /** Its policies are in force everywhere. */
  async function known(token: string): Promise<void> {
    await vi.waitFor(async () => {
      for (const node of nodes.all) {
        const { status } = await node.call(token, 'gmail_send:profile', {})
        expect(status).toBe(200)
      }
    })
  }

  test('is exact under 50 parallel calls', async () => {
    const { token } = await nodes.first.caller(SEARCHES(20))
    await known(token)
    const before = nodes.asked('parallel')
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        (n % 2 === 0 ? nodes.first : nodes.last).call(token, 'serpapi:search', { q: 'parallel' }),
      ),
    )
    const refused = answers.filter(({ status }) => status !== 200)
    expect(refused).toHaveLength(30)
    expect(nodes.asked('parallel') - before).toBe(20)
    for (const answer of refused) {
      expect(answer).toMatchObject(exceeded)
      const seconds = Number(answer.headers.get('retry-after'))
      expect(seconds).toBe(answer.json.retry_after)
      expect(Number.isInteger(seconds) && seconds > 3_500 && seconds <= 3_600).toBe(true)
    }
  })

  test('of a role is each agent’s own', async () => {
    const role = `role-${Math.random()}`
    const ids = [await nodes.first.createAgent(role), await nodes.first.createAgent(role)]
    await nodes.first.asAdmin('POST', '/api/policies', { name: 'p', role, spec: SEARCHES(2) })
    for (const id of ids) {
      const token = await nodes.first.token(id)
      await known(token)
      const statuses: number[] = []
      for (const node of [nodes.first, nodes.last, nodes.first])
        statuses.push((await node.call(token, 'serpapi:search', { q: 'a' })).status)
      expect(statuses).toEqual([200, 200, 429])
    }
  })

  test('is not consumed by invalid, denied and replayed calls', async () => {
    const spec = { ...SEARCHES(2), intent: 'good', guards: { maxRequestSize: 40 } }
    const { token } = await nodes.first.caller(spec)
    await known(token)
    const search = (node: GatewayNode, params: object, fields = {}, headers = {}) =>
      node.call(token, 'serpapi:search', params, fields, headers)
    const wasted = async () => {
      for (const node of nodes.all) {
        expect((await search(node, { q: 7 })).json.code).toBe('INVALID_PARAMS')
        expect((await search(node, { q: 'a' }, { intent: 'bad' })).json.code).toBe(
          'POLICY_INTENT_MISMATCH',
        )
        expect((await search(node, { q: 'x'.repeat(99) })).json.code).toBe(
          'POLICY_REQUEST_TOO_LARGE',
        )
        expect((await search(node, { q: 'a' }, { proof_payload: { tools: 1 } })).status).toBe(403)
        expect((await search(node, { q: 'a' }, { idempotency_key: 'short' })).status).toBe(400)
      }
    }
    await wasted()
    const key = { 'idempotency-key': 'one-and-the-same' }
    for (let n = 0; n < 3; n += 1) {
      const answer = await search(n % 2 === 0 ? nodes.first : nodes.last, { q: 'a' }, {}, key)
      expect(answer).toMatchObject({
        status: 200,
        json: { metadata: { idempotent_replay: n > 0 } },
      })
    }
    await wasted()
    expect((await search(nodes.last, { q: 'b' })).status).toBe(200)
    expect(await search(nodes.first, { q: 'c' })).toMatchObject(exceeded)
    // What was paid for is still to be had.
    expect((await search(nodes.first, { q: 'a' }, {}, key)).status).toBe(200)
  })

  test('outlives a restart', async () => {
    const { token } = await nodes.first.caller(SEARCHES(2))
    await known(token)
    const search = (q: string) => nodes.last.call(token, 'serpapi:search', { q })
    expect((await search('a')).status).toBe(200)
    await nodes.restart()
    expect((await search('b')).status).toBe(200)
    expect(await search('c')).toMatchObject(exceeded)
  })

  test('is charged once for a job, when it is accepted', async () => {
    const { token } = await nodes.first.caller(SEARCHES(1))
    await known(token)
    const submit = (q: string) => nodes.first.call(token, 'serpapi:search', { q }, { async: true })
    const { status, json } = await submit('a')
    expect(status).toBe(202)
    expect(await nodes.last.ended(json.job_id)).toMatchObject({ status: 'done' })
    expect(await submit('b')).toMatchObject(exceeded)
  })
})

describe('gateway §19.19: what is given back', () => {
  test('a call of a tool without a credential has used nothing', async () => {
    using home = temporaryHome()
    await using node = await startNode(home, { gateway: { mode: 'live' } })
    const { token } = await node.caller(SEARCHES(1))
    for (let n = 0; n < 3; n += 1)
      expect(await node.call(token, 'serpapi:search', { q: 'a' })).toMatchObject({
        status: 503,
        json: { code: 'TOOL_NOT_CONFIGURED' },
      })
  })

  test('nor has a job that never reached the provider; one that did has', async () => {
    await using nodes = await startWith({ rate_limit_points: 1_000, cb_fail_threshold: 100 })
    const { node, providers } = nodes
    const { token } = await node.caller(SEARCHES(1))
    const search = async (q: string) => {
      const { status, json } = await node.call(token, 'serpapi:search', { q }, { async: true })
      return status === 202 ? node.ended(json.job_id) : { status, json }
    }
    await providers.away()
    for (let n = 0; n < 3; n += 1)
      expect(await search(`${n}`)).toMatchObject({
        status: 'failed',
        error_code: 'UPSTREAM_FAILED',
      })
    await providers.back()
    expect(await search('there')).toMatchObject({ status: 'done' })
    expect(await search('again')).toMatchObject(exceeded)
  })

  test('nor has one that met a closed port or an open circuit; one that was answered has', async () => {
    await using nodes = await startWith({ rate_limit_points: 1_000, cb_fail_threshold: 2 })
    const { node, providers } = nodes
    const { token } = await node.caller(SEARCHES(1))
    const search = (q: string) => node.call(token, 'serpapi:search', { q })
    await providers.away()
    const codes: string[] = []
    for (let n = 0; n < 4; n += 1) codes.push((await search(`${n}`)).json.code)
    expect(codes).toEqual(['UPSTREAM_FAILED', 'UPSTREAM_FAILED', 'CIRCUIT_OPEN', 'CIRCUIT_OPEN'])
    await providers.back()
    advance(31_000)
    expect((await search('there')).status).toBe(200)
    expect(await search('again')).toMatchObject(exceeded)
  })

  test('a failure that the provider saw counts', async () => {
    await using nodes = await startWith({ rate_limit_points: 1_000 })
    const { token } = await nodes.node.caller(SEARCHES(1))
    nodes.providers.fail()
    expect((await nodes.node.call(token, 'serpapi:search', { q: 'a' })).status).toBe(502)
    expect(await nodes.node.call(token, 'serpapi:search', { q: 'b' })).toMatchObject(exceeded)
  })

  test('a call that the rate limit refused has used no quota, and one over quota no rate', async () => {
    await using nodes = await startWith({ rate_limit_points: 2, rate_limit_duration_s: 60 })
    const { node } = nodes
    const { token } = await node.caller(SEARCHES(3))
    const search = async () => {
      const { json, headers } = await node.call(token, 'serpapi:search', { q: 'a' })
      return [json.code ?? 'OK', headers.get('retry-after') !== null]
    }
    const answers = [await search(), await search(), await search(), await search()]
    expect(answers).toEqual([
      ['OK', false],
      ['OK', false],
      ['RATE_LIMITED', true],
      ['RATE_LIMITED', true],
    ])
    advance(61_000)
    expect(await search()).toEqual(['OK', false])
    for (let n = 0; n < 3; n += 1) expect(await search()).toEqual(['QUOTA_EXCEEDED', true])
    // One of two is left, for what is under no quota.
    expect((await node.call(token, 'gmail_send:send', LETTER)).status).toBe(200)
    expect(await node.call(token, 'gmail_send:send', LETTER)).toMatchObject({
      status: 429,
      json: { error: 'Rate limit exceeded', code: 'RATE_LIMITED' },
    })
  })
})

describe('gateway §19.19: windows', () => {
  test('a sliding one frees each call after its own time, a fixed one all at the full hour', async () => {
    await using nodes = await startWith({ rate_limit_points: 1_000 })
    const { node } = nodes
    const sliding = await node.caller(SEARCHES(2))
    const fixed = await node.caller(SEARCHES(2, { resetStrategy: 'fixed' }))
    const search = async (id: string) =>
      (await node.call(await node.token(id), 'serpapi:search', { q: 'a' })).status
    const minute = 60_000
    const hour = 60 * minute
    advance(hour - (Date.now() % hour) + 40 * minute) // 20 minutes to the full hour
    for (const { id } of [sliding, fixed]) expect(await search(id)).toBe(200)
    advance(10 * minute)
    for (const { id } of [sliding, fixed]) expect(await search(id)).toBe(200)
    for (const { id } of [sliding, fixed]) expect(await search(id)).toBe(429)
    advance(11 * minute)
    expect([await search(sliding.id), await search(fixed.id)]).toEqual([429, 200])
    advance(40 * minute) // an hour and a minute after the first
    expect([await search(sliding.id), await search(sliding.id)]).toEqual([200, 429])
  })
})

/** A node of its own, whose provider comes and goes. */
async function startWith(gateway: object) {
  await using undo = new AsyncDisposableStack()
  const home = undo.use(temporaryHome())
  let failing = false
  const server = createServer((_request, response) => {
    response.writeHead(failing ? 500 : 200, { 'content-type': 'application/json' })
    response.end('{"organic_results":[],"id":"msg_1"}')
  })
  const listen = (port: number) =>
    new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  await listen(0)
  const { port } = server.address() as { port: number }
  undo.defer(close)
  const host = `127.0.0.1:${port}`
  const providers = { host, baseUrl: () => `http://${host}` }
  const node = undo.use(
    await startNode(home, { providers, gateway: { retry_max_retries: 0, ...gateway } }),
  )
  const all = undo.move()
  return {
    node,
    providers: {
      away: close,
      back: () => listen(port),
      fail: () => {
        failing = true
      },
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}
