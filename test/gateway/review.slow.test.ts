import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Home } from '../../packages/server/src/app/home.ts'
import { postgresOffer, postgresUrl } from '../../packages/server/src/store/test-store.ts'
import { base64, operator, temporaryHome } from '../harness/boot.ts'
import { RawClient } from '../harness/raw-client.ts'
import { type Providers, startProviders } from '../old-clients/gateway/fake-providers.ts'
import { eachCluster, type Nodes } from './nodes.ts'
import {
  ALL_TOOLS,
  type GatewayNode,
  type HttpAnswer,
  LETTER,
  PASSPHRASE,
  siblingHome,
  startNode,
} from './world.ts'

const SPEC = { scopes: ALL_TOOLS }
const newKey = () => `idemp_${randomUUID()}`
const newLetter = () => ({ ...LETTER, subject: `letter ${randomUUID()}` })
const recordsOf = ({ dir }: Home) =>
  readFileSync(`${dir}/audit/audit.jsonl`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('an effect that happened and whose answer is withheld', () => {
  const home = temporaryHome()
  let providers: Providers
  let node: GatewayNode
  beforeAll(async () => {
    providers = await startProviders()
    node = await startNode(home, { providers })
  })
  afterEach(() => providers.become('gmail_send', 'fine'))
  afterAll(async () => {
    await node[Symbol.asyncDispose]()
    await providers[Symbol.asyncDispose]()
    home[Symbol.dispose]()
  })
  const mails = () => providers.requests('gmail_send').length

  test('is not done again for its key, and keeps its quota', async () => {
    const { token } = await node.caller({
      ...SPEC,
      guards: { maxResponseSize: 10 },
      quotas: [{ action: 'gmail_send:send', limit: 1, window: '1h' }],
    })
    const before = mails()
    const letter = { ...newLetter(), idempotency_key: newKey() }
    const withheld = {
      status: 400,
      json: { code: 'POLICY_RESPONSE_TOO_LARGE', executed: true },
    }
    const first = await node.call(token, 'gmail_send:send', letter)
    expect(first).toMatchObject(withheld)
    const again = await node.call(token, 'gmail_send:send', letter)
    expect(again).toMatchObject(withheld)
    expect(mails() - before).toBe(1)
    expect(again.json.hint).toBe(first.json.hint)
    expect(await node.call(token, 'gmail_send:send', newLetter())).toMatchObject({
      status: 429,
      json: { code: 'QUOTA_EXCEEDED' },
    })
  })

  test('as a job, too, is one', async () => {
    const { token } = await node.caller({ ...SPEC, guards: { maxResponseSize: 10 } })
    const before = mails()
    const letter = { ...newLetter(), idempotency_key: newKey() }
    for (let n = 0; n < 2; n += 1) {
      const { json } = await node.call(token, 'gmail_send:send', letter, { async: true })
      expect(await node.ended(json.job_id)).toMatchObject({
        status: 'failed',
        error_code: 'POLICY_RESPONSE_TOO_LARGE',
      })
    }
    expect(mails() - before).toBe(1)
  })
})

describe('a mail', () => {
  const home = temporaryHome()
  let providers: Providers
  let node: GatewayNode
  beforeAll(async () => {
    providers = await startProviders()
    node = await startNode(home, { providers, gateway: { job_concurrency: 1 } })
  })
  afterAll(async () => {
    await node[Symbol.asyncDispose]()
    await providers[Symbol.asyncDispose]()
    home[Symbol.dispose]()
  })

  test.each([429, 401])(
    'that was turned away with %i may be sent under its key later',
    async (status) => {
      const { token } = await node.caller()
      const letter = { ...newLetter(), idempotency_key: newKey() }
      providers.become('gmail_send', { status })
      expect((await node.call(token, 'gmail_send:send', letter)).status).toBeGreaterThanOrEqual(429)
      providers.become('gmail_send', 'fine')
      expect(await node.call(token, 'gmail_send:send', letter)).toMatchObject({ status: 200 })
    },
  )

  test('whose job is cancelled costs nothing', async () => {
    const quotas = [{ action: 'gmail_send:send', limit: 1, window: '1h' }]
    const { token } = await node.caller({ ...SPEC, quotas })
    const { token: other } = await node.caller()
    providers.become('openai', { slowMs: 400 })
    const { json: busy } = await node.call(other, 'openai:chat', { input: 'a' }, { async: true })
    await vi.waitFor(async () => expect((await node.job(busy.job_id)).json.status).toBe('running'))
    for (let n = 0; n < 2; n += 1) {
      const { json } = await node.call(token, 'gmail_send:send', newLetter(), { async: true })
      const headers = { authorization: `Bearer ${token}` }
      const { json: gone } = await node.http(
        'DELETE',
        `/api/jobs/${json.job_id}`,
        undefined,
        headers,
      )
      expect(gone).toMatchObject({ cancelled: true, status: 'failed' })
    }
    expect(await node.call(token, 'gmail_send:send', newLetter())).toMatchObject({ status: 200 })
  })
})

test('a flood of guesses leaves a record each until it is limited, then one that sums it up', async () => {
  using home = temporaryHome()
  {
    await using node = await startNode(home)
    for (let n = 0; n < 70; n += 1) await node.call('e30=.00', 'serpapi:search', { q: 'a' })
  }
  const records = recordsOf(home)
  const refused = records.filter(({ source, success }) => source === 'gateway' && !success)
  expect(refused.length).toBeLessThanOrEqual(61)
  const sums = records.filter(({ data }) => data?.scope === 'rejected tokens of an address')
  expect(sums.map(({ data }) => data.count)).toEqual([70 - refused.length])
})

test('whoever has lost the database is not ready, and says why', async () => {
  using home = temporaryHome()
  await using node = await startNode(home)
  expect(await node.http('GET', '/ready')).toMatchObject({
    status: 200,
    json: { checks: { database: true, circuitBreakers: { serpapi: true }, cache: false } },
  })
  {
    using store = new DatabaseSync(`${home.dir}/data/vestry.db`)
    store.exec('alter table meta rename to meta_gone')
  }
  expect(await node.http('GET', '/ready')).toMatchObject({
    status: 503,
    json: { ready: false, checks: { database: false } },
  })
})

test('R-54: a stop waits ten seconds, says so to whoever still waits, and leaves jobs for the next start', async () => {
  using home = temporaryHome()
  await using providers = await startProviders()
  const key = newKey()
  const letter = { ...newLetter(), idempotency_key: key }
  const many = Array.from({ length: 20 }, (_, n) => `question ${n}`)
  let token: string
  let job: string
  let cut: Promise<HttpAnswer[]>
  let startedMs: number
  {
    await using node = await startNode(home, {
      providers,
      gateway: { cb_bulkhead_concurrency: 100 },
    })
    ;({ token } = await node.caller())
    for (const provider of ['openai', 'gmail_send'] as const) providers.become(provider, 'hang')
    const ask = (input: string, fields = {}) => node.call(token, 'openai:chat', { input }, fields)
    job = (await ask('a', { async: true })).json.job_id
    cut = Promise.all([
      node.call(token, 'gmail_send:send', letter),
      ...many.map((input) => ask(input)),
    ])
    await vi.waitFor(() => expect(providers.requests('openai')).toHaveLength(1 + many.length))
    startedMs = performance.now()
  }
  expect(performance.now() - startedMs).toBeLessThan(14_000)
  for (const answer of await cut)
    expect(answer).toMatchObject({ status: 503, json: { code: 'SHUTTING_DOWN', retry_after: 1 } })
  for (const provider of ['openai', 'gmail_send'] as const) providers.become(provider, 'fine')
  await using node = await startNode(home, { providers })
  expect(await node.ended(job)).toMatchObject({ status: 'done' })
  expect(await node.call(token, 'gmail_send:send', letter)).toMatchObject({
    json: { code: 'OUTCOME_UNKNOWN' },
  })
  expect(providers.requests('gmail_send')).toHaveLength(1)
})

test('what an operator said no to is denied by policy, and says how to find out more', async () => {
  using home = temporaryHome()
  await using node = await startNode(home)
  const { token } = await node.caller()
  const admin = await operator(home)
  const text =
    '@id("ask") @approve("owner") permit (principal, action == Action::"tool:call", resource);'
  await admin.call('admin.policy.put', { files: [{ name: 'ask.cedar', text }] })
  const asked = await node.call(token, 'gmail_send:send', LETTER)
  expect(asked).toMatchObject({ status: 400, json: { code: 'POLICY_APPROVAL_REQUIRED' } })
  await admin.call('admin.approval.deny', { id: asked.json.approval_id })
  const denied = await node.call(token, 'gmail_send:send', LETTER)
  expect(denied).toMatchObject({
    status: 400,
    json: {
      error: 'Policy denied: policy violation (GUARD)',
      reason: 'an operator denied this action',
      hint: expect.any(String),
    },
  })
  const { logs } = await node.asAdmin('GET', '/api/proxy/logs')
  expect(logs[0]).toMatchObject({ statusCode: 400, errorMessage: 'ACCESS_DENIED' })
  admin.destroy()
})

test('a permit that wants a reason lets nobody call a tool without one, and the record has it', async () => {
  using home = temporaryHome()
  await using node = await startNode(home)
  const { token } = await node.caller()
  const admin = await operator(home)
  const text =
    '@id("why") @require_reason("true") permit (principal, action == Action::"tool:call", resource);'
  await admin.call('admin.policy.put', { files: [{ name: 'why.cedar', text }] })
  admin.destroy()
  const send = (fields: Record<string, unknown>) =>
    node.call(token, 'gmail_send:send', newLetter(), fields)
  for (const fields of [{}, { reason: null }, { async: true }]) {
    expect(await send(fields)).toMatchObject({
      status: 400,
      json: {
        code: 'POLICY_GUARD',
        reason: 'a reason is required for this action',
        hint: expect.stringContaining('"reason"'),
      },
    })
  }
  for (const reason of ['', 'a'.repeat(257), 7, { why: 'a' }]) {
    expect(await send({ reason })).toMatchObject({ status: 400, json: { code: 'INVALID_FIELD' } })
  }
  expect(await send({ reason: 'a'.repeat(256) })).toMatchObject({ status: 200 })
  expect(await send({ reason: 'a customer asked' })).toMatchObject({ status: 200 })
  const { status, json } = await send({ reason: 'it is the first of the month', async: true })
  expect(status).toBe(202)
  expect(await node.ended(json.job_id)).toMatchObject({ status: 'done' })
  const reasons = recordsOf(home)
    .filter(({ action, phase }) => action === 'tool.call' && phase === 'intent')
    .map(({ data }) => data.reason)
  expect(reasons.slice(-2)).toEqual(['a customer asked', 'it is the first of the month'])
})

describe('a vault that is sealed and opened again', () => {
  const home = temporaryHome()
  let providers: Providers
  let node: GatewayNode
  let token: string
  beforeAll(async () => {
    providers = await startProviders()
    node = await startNode(home, { providers })
    ;({ token } = await node.caller(SPEC))
  })
  afterEach(() => {
    for (const provider of ['gmail_send', 'openai'] as const) providers.become(provider, 'fine')
  })
  afterAll(async () => {
    await node[Symbol.asyncDispose]()
    await providers[Symbol.asyncDispose]()
    home[Symbol.dispose]()
  })

  async function seal(): Promise<void> {
    const admin = await operator(home)
    await admin.call('admin.seal', {})
    admin.destroy()
    await vi.waitFor(async () => expect((await fetch(`${node.url}/ready`)).status).toBe(503))
  }
  async function unseal(): Promise<void> {
    const stranger = await RawClient.connect({ path: home.adminSocket })
    const keyfile_base64 = readFileSync(home.devKeyFile).toString('base64')
    await stranger.call('admin.unseal', { keyfile_base64 })
    stranger.destroy()
  }
  const until = (provider: 'gmail_send' | 'openai', count: number) =>
    vi.waitFor(() => expect(providers.requests(provider)).toHaveLength(count), { interval: 5 })

  test('R-54: runs the job again that may be repeated', async () => {
    const before = providers.requests('openai').length
    providers.become('openai', { slowMs: 5_000 })
    const { json } = await node.call(token, 'openai:chat', { input: 'a' }, { async: true })
    await until('openai', before + 1)
    await seal()
    await vi.waitFor(async () => expect((await node.job(json.job_id)).status).toBe(503))
    await sleep(2_500)
    providers.become('openai', 'fine')
    await unseal()
    expect(await node.ended(json.job_id)).toMatchObject({ status: 'done' })
    expect(providers.requests('openai')).toHaveLength(before + 2)
  })

  test('R-54: says of the one that may not that nobody knows', async () => {
    const before = providers.requests('gmail_send').length
    providers.become('gmail_send', { slowMs: 5_000 })
    const { json } = await node.call(token, 'gmail_send:send', newLetter(), { async: true })
    await until('gmail_send', before + 1)
    await seal()
    await sleep(2_500)
    providers.become('gmail_send', 'fine')
    await unseal()
    expect(await node.ended(json.job_id)).toMatchObject({
      status: 'failed',
      error_code: 'OUTCOME_UNKNOWN',
      error: expect.stringMatching(/interrupted, outcome unknown/i),
    })
    expect(providers.requests('gmail_send')).toHaveLength(before + 1)
  })

  test('serves when it was opened while calls of before were still ending', async () => {
    const before = providers.requests('gmail_send').length
    providers.become('gmail_send', { slowMs: 3_000 })
    const keyed = { ...newLetter(), idempotency_key: newKey() }
    const call = node.call(token, 'gmail_send:send', keyed)
    await until('gmail_send', before + 1)
    await seal()
    await unseal()
    // Its result could not be kept, and whoever asks again is told the same.
    const unknown = { status: 409, json: { code: 'OUTCOME_UNKNOWN', hint: expect.any(String) } }
    expect(await call).toMatchObject(unknown)
    expect(await node.call(token, 'gmail_send:send', keyed)).toMatchObject(unknown)
    providers.become('gmail_send', 'fine')
    expect(await node.call(token, 'gmail_send:send', newLetter())).toMatchObject({ status: 200 })
    expect(providers.requests('gmail_send')).toHaveLength(before + 2)
  })

  test('is sealed by an order that comes while the last one is still clearing up', async () => {
    const before = providers.requests('gmail_send').length
    providers.become('gmail_send', { slowMs: 3_000 })
    const keyed = { ...newLetter(), idempotency_key: newKey() }
    const call = node.call(token, 'gmail_send:send', keyed)
    await until('gmail_send', before + 1)
    await seal()
    const opened = unseal().then(
      () => 'opened',
      ({ code }: { code: string }) => code,
    )
    await vi.waitFor(seal)
    expect(await opened).toBe('VAULT_LOCKED')
    await call
    expect((await fetch(`${node.url}/ready`)).status).toBe(503)
    expect(await node.call(token, 'gmail_send:profile', {})).toMatchObject({ status: 503 })
    await unseal()
    providers.become('gmail_send', 'fine')
    expect(await node.call(token, 'gmail_send:profile', {})).toMatchObject({ status: 200 })
  })
})

describe.skipIf('skip' in postgresOffer)(
  'two nodes on PostgreSQL, one of which makes a new root key',
  () => {
    test('the other one seals itself whole: its calls, its ready file, its answers that were kept', async () => {
      await using providers = await startProviders()
      using home = temporaryHome()
      const options = { providers, production: true, storeUrl: await postgresUrl() }
      await using first = await startNode(home, options)
      using second = siblingHome(home)
      await using other = await startNode(second, options)
      const { token } = await first.caller(SPEC)
      const search = () => other.call(token, 'serpapi:search', { q: 'kept' })
      await vi.waitFor(async () => expect((await search()).status).toBe(200))

      const admin = await operator(home)
      await admin.call('admin.rotate_root', { passphrase_base64: base64(PASSPHRASE) })
      await vi.waitFor(async () => {
        const { status, json } = await search()
        expect([status, json.code]).toEqual([503, 'VAULT_LOCKED'])
        expect(JSON.parse(readFileSync(second.ready, 'utf8'))).toMatchObject({ sealed: true })
      })
      const { status } = await first.call(token, 'serpapi:search', { q: 'the one that did it' })
      expect(status).toBe(200)

      const there = await RawClient.connect({ path: second.adminSocket })
      await there.call('admin.unseal', { passphrase_base64: base64(PASSPHRASE) })
      await vi.waitFor(async () => expect((await search()).status).toBe(200))
      expect(JSON.parse(readFileSync(second.ready, 'utf8'))).not.toHaveProperty('sealed')
      there.destroy()
      admin.destroy()
    })
  },
)

eachCluster('the same call twice at once, whose first run fails', (start) => {
  let nodes: Nodes
  beforeAll(async () => {
    nodes = await start()
  })
  afterAll(() => nodes[Symbol.asyncDispose]())

  test('is run by the other one, or answered with the same failure', async () => {
    const { token } = await nodes.first.caller(SPEC)
    await vi.waitFor(async () => {
      const { status } = await nodes.last.call(token, 'gmail_send:profile', {})
      expect(status).toBe(200)
    })
    for (let round = 0; round < 8; round += 1) {
      let failed = false
      nodes.providers.become('serpapi', () => {
        if (failed) return 'fine'
        failed = true
        return { status: 500 }
      })
      const params = { q: `round ${round}`, idempotency_key: newKey() }
      const answers = await Promise.all(
        [nodes.first, nodes.last].map((node) => node.call(token, 'serpapi:search', params)),
      )
      for (const { status } of answers) expect([200, 502]).toContain(status)
    }
  })
})
