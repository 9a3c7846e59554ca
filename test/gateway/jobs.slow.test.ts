import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { temporaryHome } from '../harness/boot.ts'
import { advance } from '../harness/clock.ts'
import { type Providers, startProviders } from '../old-clients/gateway/fake-providers.ts'
import { eachCluster, type Nodes } from './nodes.ts'
import { ALL_TOOLS, type GatewayNode, type HttpAnswer, LETTER, startNode } from './world.ts'

const SPEC = { scopes: ALL_TOOLS }
const ASYNC = { async: true }
const ORDER = ['queued', 'running', 'done', 'failed']
const newLetter = () => ({ ...LETTER, subject: `letter ${randomUUID()}` })
const newKey = () => `idemp_${randomUUID()}`

function expectJob(job: HttpAnswer['json']): void {
  expect(ORDER).toContain(job.status)
  expect(job.error === null || (typeof job.error === 'string' && job.error !== '')).toBe(true)
  if (job.status !== 'failed') expect(job.error).toBeNull()
  if (job.status !== 'done') expect(job.result).toBeNull()
  expect(job.metadata).toMatchObject({ agent_id: expect.any(String), tool: expect.any(String) })
}

eachCluster('gateway §19.26: jobs', (start) => {
  let nodes: Nodes
  let agentId: string
  let token: string
  beforeAll(async () => {
    nodes = await start()
    ;({ id: agentId, token } = await nodes.first.caller(SPEC))
    await vi.waitFor(async () => {
      const { status } = await nodes.last.call(token, 'gmail_send:profile', {})
      expect(status).toBe(200)
    })
  })
  afterEach(() => {
    for (const provider of ['gmail_send', 'serpapi'] as const)
      nodes.providers.become(provider, 'fine')
  })
  afterAll(() => nodes[Symbol.asyncDispose]())

  const submit = (node: GatewayNode, params: object, headers: Record<string, string> = {}) =>
    node.call(token, 'gmail_send:send', params, ASYNC, headers)

  test('states only move forward, an error is a string or null, and the result is the data', async () => {
    nodes.providers.become('gmail_send', { slowMs: 150 })
    const letter = newLetter()
    const before = Date.now()
    const { status, json, headers } = await submit(nodes.first, letter)
    expect(status).toBe(202)
    expect(json).toEqual({
      job_id: expect.stringMatching(/^[A-Za-z0-9_-]{26,128}$/), // at least 128 random bits
      status: 'queued',
      correlation_id: headers.get('x-correlation-id'),
      expires_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    })
    expect(Date.parse(json.expires_at)).toBeGreaterThan(before)
    const seen = await nodes.last.follow(json.job_id)
    const ranks = seen.map((job) => ORDER.indexOf(job.status))
    expect(ranks).toEqual([...ranks].sort((a, b) => a - b))
    expect(seen.map(({ status: state }) => state)).toContain('running')
    for (const job of seen) expectJob(job)
    const done = seen.at(-1)
    expect(done).toMatchObject({
      job_id: json.job_id,
      status: 'done',
      result: { status: 'sent', message_id: expect.stringMatching(/^msg_/) },
      metadata: { agent_id: agentId, tool: 'gmail_send', action: 'send' },
    })
    const times = [done.created_at, done.started_at, done.finished_at].map(Date.parse)
    expect(times).toEqual([...times].sort((a, b) => a - b))
    expect(nodes.asked(letter.subject)).toBe(1)
  })

  test('one that fails is a 200 with words, a code and a status', async () => {
    nodes.providers.become('gmail_send', { status: 500 })
    const { json } = await submit(nodes.first, newLetter())
    const seen = await nodes.last.follow(json.job_id)
    for (const job of seen) expectJob(job)
    expect(seen.at(-1)).toMatchObject({
      status: 'failed',
      result: null,
      error: 'Upstream service error',
      error_code: 'UPSTREAM_FAILED',
      error_status: 502,
    })
  })

  test('what a call would be refused for is refused before it becomes a job', async () => {
    const narrow = await nodes.first.token(agentId, { tools: ['serpapi'] })
    const denied = await nodes.first.call(narrow, 'gmail_send:send', newLetter(), ASYNC)
    expect(denied).toMatchObject({ status: 400, json: { code: 'POLICY_TOKEN_SCOPE' } })
    const invalid = await nodes.first.call(token, 'gmail_send:send', { to: 7 }, ASYNC)
    expect(invalid).toMatchObject({ status: 400, json: { code: 'INVALID_PARAMS' } })
    const odd = await nodes.first.call(token, 'gmail_send:send', newLetter(), { async: 'yes' })
    expect(odd).toMatchObject({ status: 400, json: { code: 'INVALID_FIELD' } })
    const plain = await nodes.first.call(token, 'gmail_send:send', newLetter(), { async: false })
    expect(plain).toMatchObject({ status: 200, json: { success: true } })
  })

  test('R-51: the same call is the same job, queued, running and done', async () => {
    nodes.providers.become('gmail_send', { slowMs: 200 })
    for (const headers of [{}, { 'x-correlation-id': `req_${Date.now()}_r51` }]) {
      const implicit = Object.keys(headers).length > 0
      const letter = implicit ? newLetter() : { ...newLetter(), idempotency_key: newKey() }
      const atOnce = await Promise.all(
        [...nodes.all, ...nodes.all, ...nodes.all].map((node) => submit(node, letter, headers)),
      )
      const ids = new Set(atOnce.map(({ json }) => json.job_id))
      expect(ids.size, JSON.stringify(atOnce.map(({ json }) => json))).toBe(1)
      const [id = ''] = ids
      await vi.waitFor(() => expect(nodes.asked(letter.subject)).toBe(1), { interval: 5 })
      expect((await submit(nodes.last, letter, headers)).json).toMatchObject({
        job_id: id,
        status: 'running',
      })
      await nodes.first.ended(id)
      expect((await submit(nodes.last, letter, headers)).json).toMatchObject({
        job_id: id,
        status: 'done',
      })
      expect(nodes.asked(letter.subject)).toBe(1)
    }
  })

  test('a call and a job of one key are one effect, whichever came first', async () => {
    nodes.providers.become('gmail_send', { slowMs: 150 })
    const first = { ...newLetter(), idempotency_key: newKey() }
    const { json } = await submit(nodes.first, first)
    const waited = await nodes.last.call(token, 'gmail_send:send', first)
    const job = await nodes.first.ended(json.job_id)
    expect(waited.json).toMatchObject({ data: job.result, metadata: { idempotent_replay: true } })
    expect(nodes.asked(first.subject)).toBe(1)

    const second = { ...newLetter(), idempotency_key: newKey() }
    const called = await nodes.first.call(token, 'gmail_send:send', second)
    const after = await submit(nodes.last, second)
    expect(after).toMatchObject({ status: 202, json: { status: 'done' } })
    expect((await nodes.last.ended(after.json.job_id)).result).toEqual(called.json.data)
    expect(nodes.asked(second.subject)).toBe(1)
  })

  test('an id that is unknown, malformed, expired or another agent’s is the same 404', async () => {
    const { json } = await submit(nodes.first, newLetter())
    await nodes.first.ended(json.job_id)
    const same = { 'x-correlation-id': 'req_the-same-for-all' }
    const ask = (id: string, headers = {}) =>
      nodes.last.http('GET', `/api/jobs/${id}`, undefined, { ...same, ...headers })
    const other = await nodes.first.caller(SPEC)
    const foreign = await ask(json.job_id, { authorization: `Bearer ${other.token}` })
    expect((await ask(json.job_id, { authorization: `Bearer ${token}` })).status).toBe(200)
    expect((await ask(json.job_id, { authorization: 'Bearer none' })).status).toBe(401)
    const random = `job_${randomBytes(18).toString('base64url')}`
    const answers = [foreign, await ask(random), await ask('x'), await ask(`${random}%00`)]
    advance(30 * 3_600_000)
    answers.push(await ask(json.job_id))
    token = await nodes.first.token(agentId)
    for (const answer of answers) {
      expect(answer.status).toBe(404)
      expect(answer.json).toEqual({
        error: 'Job not found',
        code: 'JOB_NOT_FOUND',
        correlation_id: 'req_the-same-for-all',
      })
    }
    expect((await nodes.first.http('GET', '/api/jobs')).status).toBe(404)
  })

  test('answers are not to be stored on the way', async () => {
    const { json } = await submit(nodes.first, newLetter())
    const { headers } = await nodes.first.job(json.job_id)
    expect(headers.get('cache-control')).toBe('no-store')
  })

  test('a result is kept for an hour after the end', async () => {
    const { json } = await submit(nodes.first, newLetter())
    await nodes.first.ended(json.job_id)
    advance(59 * 60_000)
    expect((await nodes.last.job(json.job_id)).status).toBe(200)
    advance(2 * 60_000)
    expect((await nodes.last.job(json.job_id)).status).toBe(404)
    token = await nodes.first.token(agentId)
  })

  test('R-54: what waits while everything stops runs after the restart, once', async () => {
    nodes.providers.become('gmail_send', { slowMs: 250 })
    const letters = Array.from({ length: 12 }, newLetter)
    const jobs = await Promise.all(
      letters.map((letter, n) => submit(n % 2 === 0 ? nodes.first : nodes.last, letter)),
    )
    await nodes.restart()
    for (const { json } of jobs)
      expect(await nodes.first.ended(json.job_id)).toMatchObject({ status: 'done', error: null })
    for (const { subject } of letters) expect(nodes.asked(subject)).toBe(1)
  })
})

describe('gateway §19.26: a queue of one', () => {
  const home = temporaryHome()
  let providers: Providers
  let node: GatewayNode
  beforeAll(async () => {
    providers = await startProviders()
    const gateway = { job_concurrency: 1, job_queue_max: 2, rate_limit_points: 100_000 }
    node = await startNode(home, { providers, gateway })
  })
  afterAll(async () => {
    await node[Symbol.asyncDispose]()
    await providers[Symbol.asyncDispose]()
    home[Symbol.dispose]()
  })

  /** Holds the only worker up until disposed. */
  async function busy(): Promise<AsyncDisposable> {
    const { token } = await node.caller(SPEC)
    const before = providers.requests('openai').length
    providers.become('openai', { slowMs: 500 })
    const { json } = await node.call(token, 'openai:chat', { input: randomUUID() }, ASYNC)
    await vi.waitFor(() => expect(providers.requests('openai')).toHaveLength(before + 1), {
      interval: 5,
    })
    return { [Symbol.asyncDispose]: async () => void (await node.ended(json.job_id)) }
  }
  const mails = () => providers.requests('gmail_send').length

  test.each<[string, string, (id: string, tokenId: string) => Promise<unknown>]>([
    [
      'a token revoked',
      'TOKEN_REVOKED',
      (_, tokenId) => node.asAdmin('POST', `/api/admin/tokens/${tokenId}/revoke`),
    ],
    [
      'an agent disabled',
      'AGENT_INACTIVE',
      (id) => node.asAdmin('PATCH', `/api/agents/${id}`, { status: 'disabled' }),
    ],
    [
      'a policy taken away',
      'POLICY_SCOPE_NOT_ALLOWED',
      async (id) => {
        const [policy] = await node.asAdmin('GET', `/api/policies?agentId=${id}`)
        await node.asAdmin('DELETE', `/api/policies/${policy.id}`)
      },
    ],
  ])('R-53: %s before the start fails the job', async (_, code, change) => {
    const id = await node.createAgent()
    await node.allow(id, SPEC)
    const { json: minted } = await node.mint(id)
    const before = mails()
    let job: string
    {
      await using _worker = await busy()
      const { json } = await node.call(minted.agent_token, 'gmail_send:send', newLetter(), ASYNC)
      job = json.job_id
      expect((await node.job(job)).json.status).toBe('queued')
      await change(id, minted.token_id)
    }
    const ended = await node.ended(job)
    expectJob(ended)
    expect(ended).toMatchObject({ status: 'failed', result: null, error_code: code })
    expect(ended.error_status).toBeGreaterThanOrEqual(400)
    expect(mails()).toBe(before)
  })

  test('a token that expired meanwhile does not: it was good when the job was accepted', async () => {
    const { token } = await node.caller(SPEC)
    let job: string
    {
      await using _worker = await busy()
      job = (await node.call(token, 'gmail_send:send', newLetter(), ASYNC)).json.job_id
      advance(11 * 60_000)
    }
    expect(await node.ended(job)).toMatchObject({ status: 'done' })
  })

  test('beyond its bound a job is refused with a time to come back, and costs nothing', async () => {
    const quotas = [{ action: 'gmail_send:send', limit: 3, window: '1h' }]
    const { token } = await node.caller({ ...SPEC, quotas })
    const submit = () => node.call(token, 'gmail_send:send', newLetter(), ASYNC)
    {
      await using _worker = await busy()
      expect([(await submit()).status, (await submit()).status]).toEqual([202, 202])
      for (let n = 0; n < 3; n += 1) {
        const full = await submit()
        expect(full).toMatchObject({ status: 503, json: { code: 'QUEUE_FULL' } })
        expect(Number(full.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
      }
      // Who waits for the answer needs no place in the queue.
      expect((await node.call(token, 'gmail_send:profile', {})).status).toBe(200)
    }
    await vi.waitFor(async () => expect((await submit()).status).toBe(202))
    expect(await submit()).toMatchObject({ status: 429, json: { code: 'QUOTA_EXCEEDED' } })
  })

  test('its agent may cancel what waits, and nobody else', async () => {
    const { token } = await node.caller(SPEC)
    const other = await node.caller(SPEC)
    const before = mails()
    const remove = (id: string, bearer?: string) =>
      node.http(
        'DELETE',
        `/api/jobs/${id}`,
        undefined,
        bearer === undefined ? {} : { authorization: `Bearer ${bearer}` },
      )
    {
      await using _worker = await busy()
      const { json } = await node.call(token, 'gmail_send:send', newLetter(), ASYNC)
      const id = json.job_id
      expect((await remove(id)).status).toBe(401)
      expect((await remove(id, other.token)).status).toBe(404)
      expect(await remove(id, token)).toMatchObject({
        status: 200,
        json: { status: 'failed', cancelled: true, error_code: 'CANCELLED' },
      })
      expect(await remove(id, token)).toMatchObject({ status: 200, json: { cancelled: false } })
    }
    expect(mails()).toBe(before)
    const { json } = await node.call(token, 'gmail_send:send', newLetter(), ASYNC)
    await node.ended(json.job_id)
    expect(await remove(json.job_id, token)).toMatchObject({
      status: 200,
      json: { status: 'done', cancelled: false },
    })
  })
})
