import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Handler,
  startUpstream,
  type Upstream,
} from '../../packages/server/src/egress/testing/upstream.ts'
import { advance } from '../harness/clock.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { RawClient, RpcFailure } from '../harness/raw-client.ts'
import { recordsOf } from '../harness/record.ts'
import { codeOf } from '../harness/refusal.ts'

let vestry: TestDaemon
let client: RawClient
let upstream: Upstream
let next = 0
/** A credential of its own for each test: approvals are per path. */
let path: string
const answer: Handler = (_request, reply) => reply.end('done')

beforeAll(async () => {
  upstream = await startUpstream(answer)
  vestry = await startTestDaemon({ config: { egress: { allow_cidrs: ['127.0.0.1/32'] } } })
  const scout = await vestry.addAgent('scout')
  client = await vestry.agent(scout)
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'asks',
        principals: ['agent:*'],
        resources: ['**'],
        actions: ['retrieve', 'store', 'use:*', 'unwrap'],
        hosts: [`127.0.0.1:${upstream.port}`],
        allow_http: true,
        require_approval: true,
      },
    ],
  })
})
afterAll(async () => {
  await vestry.stop()
  await upstream[Symbol.asyncDispose]()
})
beforeEach(async () => {
  next += 1
  path = `p/${next}`
  await vestry.addCredential(path, 'value-0123456789')
})

const retrieve = (params: object = {}) => client.call('retrieve', { path, ...params })

/** The question's id, of a call that must ask one. */
async function question(calling: Promise<unknown>): Promise<string> {
  const error: RpcFailure = await calling.then(
    () => expect.unreachable('the call should have asked'),
    (reason: RpcFailure) => reason,
  )
  expect(error).toMatchObject({
    code: 'APPROVAL_REQUIRED',
    error: {
      message: 'Operator approval is required',
      suggestion: expect.stringContaining('vestry approval allow appr_'),
      context: { approval_id: expect.stringMatching(/^appr_/) },
    },
  })
  return error.error.context.approval_id
}

const allow = (id: string, for_s?: number) =>
  vestry.admin.call('admin.approval.allow', { id, ...(for_s !== undefined && { for_s }) })

test('asked once, allowed once, spent once', async () => {
  const id = await question(retrieve())
  expect(await question(retrieve()), 'the same question is not asked twice').toBe(id)
  const { approvals } = await vestry.admin.call('admin.approval.list', { state: 'pending' })
  expect(approvals).toContainEqual(
    expect.objectContaining({
      id,
      action: 'vault:retrieve',
      resource: path,
      policy_id: 'vault:asks',
    }),
  )
  await allow(id)
  expect(await retrieve()).toMatchObject({ path })
  const again = await question(retrieve())
  expect(again, 'a new question').not.toBe(id)
  expect(await codeOf(allow(id))).toBe('NOT_FOUND')
  const asked = recordsOf(vestry, 'approval.request').filter(({ data }) => data?.['path'] === path)
  expect(asked.map(({ data }) => data?.['approval'])).toEqual([id, id, again])
  expect(recordsOf(vestry, 'approval.grant').at(-2)?.data, 'intent').toMatchObject({ approval: id })
})

test('who decides reads who asks, for what, and why, but no value, body or header', async () => {
  const id = await question(
    client.call('use', {
      path,
      operation: 'http_request',
      reason: 'invoices of May',
      params: {
        url: `http://127.0.0.1:${upstream.port}/v1/items?token=query-value`,
        method: 'POST',
        headers: { 'x-note': 'header-value' },
        body: 'body-value',
      },
    }),
  )
  const { approvals } = await vestry.admin.call('admin.approval.list', { state: 'pending' })
  const asked = approvals.find((one: { id: string }) => one.id === id)
  expect(asked).toMatchObject({
    agent: 'scout',
    summary: `POST http://127.0.0.1:${upstream.port}/v1/items?token=…, 10 bytes`,
    reason: 'invoices of May',
    resource: path,
  })
  for (const hidden of ['query-value', 'header-value', 'body-value', 'value-0123456789'])
    expect(JSON.stringify(asked)).not.toContain(hidden)
  const answered = await allow(id, 60)
  expect(answered).toMatchObject({ agent: 'scout', state: 'allowed', decided_by: 'owner' })
  for (const time of [answered.requested_at, answered.decided_at, answered.scope])
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
})

test('allowed for a while: until then as often as asked, then no more', async () => {
  await allow(await question(retrieve()), 60)
  for (let n = 0; n < 3; n += 1) expect(await codeOf(retrieve())).toBe('ok')
  advance(60_000)
  expect(await codeOf(retrieve())).toBe('APPROVAL_REQUIRED')
})

test('denied: refused for as long as the question would have stood', async () => {
  const id = await question(retrieve())
  await vestry.admin.call('admin.approval.deny', { id })
  await expect(retrieve()).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
    error: { context: { approval_id: id, reason_code: 'denied_by_operator', path } },
  })
  expect(await codeOf(allow(id)), 'a no is a no').toBe('NOT_FOUND')
})

test('one yes admits one of many at once', async () => {
  await allow(await question(retrieve()))
  for (let n = 1; n <= 10; n += 1)
    client.send({ id: `r${n}`, method: 'retrieve', params: { path } })
  const codes: string[] = []
  for (let n = 1; n <= 10; n += 1) {
    const frame = await client.next()
    codes.push(frame?.error?.code ?? 'ok')
  }
  expect(codes.filter((code) => code === 'ok')).toHaveLength(1)
  expect(codes.filter((code) => code === 'APPROVAL_REQUIRED')).toHaveLength(9)
})

describe('a yes is bound to what was asked', () => {
  const url = () => `http://127.0.0.1:${upstream.port}/pay`
  const send = (params: object = {}) =>
    client.call('use', {
      path,
      operation: 'http_request',
      params: { url: url(), method: 'POST', body: '{"amount":1}', ...params },
    })

  test('every parameter that changes the request makes another question', async () => {
    const id = await question(send())
    await allow(id, 3_600)
    expect(await send()).toMatchObject({ body: 'done' })
    const before = upstream.seen.length
    const ids = new Set([id])
    for (const change of [
      { body: '{"amount":1000}' },
      { body_base64: 'AAAA', body: undefined },
      { url: `${url()}?to=mallory` },
      { url: `${url()}/other` },
      { query: { to: 'eve' } },
      { method: 'PUT' },
      { headers: { 'X-To': 'mallory' } },
      { header_type: 'api_key' },
      { header_type: 'custom', header_name: 'X-Echo' },
      { header_type: 'basic', username: 'ada' },
      { follow_redirects: true },
    ]) {
      ids.add(await question(send(change)))
    }
    expect(ids.size).toBe(12)
    expect(upstream.seen).toHaveLength(before)
    expect(await send({ timeout_ms: 5_000 }), 'how long to wait is not part of it').toMatchObject({
      body: 'done',
    })
  })

  test('another action, path, agent or version is another question', async () => {
    await allow(await question(retrieve()), 3_600)
    const ids = [
      await question(retrieve({ version: 1 })),
      await question(retrieve({ wrap_ttl: 60 })),
      await question(retrieve({ ttl: 5 })),
      await question(client.call('use', { path, operation: 'http_header' })),
      await question(client.call('use', { path, operation: 'sign', params: { data: 'a' } })),
      await question(client.call('use', { path, operation: 'sign', params: { data: 'b' } })),
    ]
    const other = await vestry.agent(await vestry.addAgent(`other${next}`))
    ids.push(await question(other.call('retrieve', { path })))
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('what an agent stores is part of the question, and is not kept readable', async () => {
    const store = (value: string) => client.call('store', { path: `${path}/new`, value })
    const id = await question(store('aabbccdd'))
    expect(await question(store('aabbccde'))).not.toBe(id)
    await allow(id)
    expect(await codeOf(store('aabbccde'))).toBe('APPROVAL_REQUIRED')
    expect(await store('aabbccdd')).toMatchObject({ stored: true, version: 1 })
  })
})

test('a yes is not spent on a call that fails before it begins', async () => {
  await allow(
    await question(client.call('use', { path, operation: 'sign', params: { data: 'x' } })),
  )
  const legacy = { data: 'x', algorithm: 'hmac-sha1' }
  expect(await codeOf(client.call('use', { path, operation: 'sign', params: legacy }))).toBe(
    'UNUSABLE_CREDENTIAL',
  )
  expect(await codeOf(client.call('use', { path, operation: 'sign', params: { data: 'x' } }))).toBe(
    'ok',
  )
})

test('a question lapses after a day', async () => {
  const id = await question(retrieve())
  advance(24 * 3_600_000)
  await vestry.relogin()
  expect(await codeOf(allow(id))).toBe('NOT_FOUND')
  const scout = await vestry.addAgent(`late${next}`)
  const late = await vestry.agent(scout)
  expect(await question(late.call('retrieve', { path }))).not.toBe(id)
})

test('an agent cannot bury the operators in questions', async () => {
  const flooder = await vestry.agent(await vestry.addAgent('flooder'))
  for (let ttl = 1; ttl <= 100; ttl += 1) await question(flooder.call('retrieve', { path, ttl }))
  await expect(flooder.call('retrieve', { path, ttl: 101 })).rejects.toMatchObject({
    code: 'RATE_LIMITED',
    error: { context: { scope: 'approvals', limit: 100, retry_after_ms: expect.any(Number) } },
  })
})
