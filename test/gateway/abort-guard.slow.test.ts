import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { temporaryHome } from '../harness/boot.ts'
import { type Providers, startProviders } from '../old-clients/gateway/fake-providers.ts'
import { type GatewayNode, LETTER, startNode } from './world.ts'

const home = temporaryHome()
let providers: Providers
let node: GatewayNode
let token: string
beforeAll(async () => {
  providers = await startProviders()
  const gateway = { retry_max_retries: 0, cb_fail_threshold: 1_000 }
  node = await startNode(home, { providers, gateway })
  ;({ token } = await node.caller())
})
afterAll(async () => {
  await node[Symbol.asyncDispose]()
  await providers[Symbol.asyncDispose]()
  home[Symbol.dispose]()
})

const JS = '@4runr/gateway/1.0.0'
const from = (agent: string, id = `req_${randomUUID()}`) => ({
  'user-agent': agent,
  'x-correlation-id': id,
})
const search = (headers: Record<string, string>, params: object = { q: 'a' }) =>
  node.call(token, 'serpapi:search', params, {}, headers)

describe.concurrent('gateway §19.9: the JavaScript client is not led into a retry that ends its process', () => {
  test('its first two attempts may hear of a 5xx, the third hears 424 with the same words', async () => {
    providers.become('serpapi', { status: 500 })
    const headers = from(JS)
    const first = await search(headers)
    await sleep(1_000)
    const second = await search(headers)
    await sleep(2_000)
    const third = await search(headers)
    expect([first.status, second.status, third.status]).toEqual([502, 502, 424])
    expect(third.json).toEqual(first.json)
    // Every other client is told as it is, on every attempt.
    const py = from('runrgateway/1.0.0')
    for (let n = 0; n < 4; n += 1) expect((await search(py)).status).toBe(502)
    // And a new call of this one begins anew.
    expect((await search(from(JS))).status).toBe(502)
  })

  test('a call that is not finished is answered after 5.5 s, goes on, and its result is to be had', async () => {
    providers.become('gmail_send', { slowMs: 6_500 })
    const letter = { ...LETTER, idempotency_key: `idemp_${randomUUID()}` }
    const startedMs = performance.now()
    const answer = await node.call(token, 'gmail_send:send', letter, {}, from(JS))
    const tookMs = performance.now() - startedMs
    expect(answer).toMatchObject({ status: 424, json: { code: 'DEADLINE_EXCEEDED' } })
    expect(tookMs).toBeGreaterThan(5_400)
    expect(tookMs).toBeLessThan(5_950)
    const later = await node.call(token, 'gmail_send:send', letter, {}, from('other/1'))
    expect(later).toMatchObject({ status: 200, json: { metadata: { idempotent_replay: true } } })
    expect(providers.requests('gmail_send')).toHaveLength(1)
  })

  test('its polling and its errors below 500 are left alone', async () => {
    const headers = from(JS)
    expect((await search(headers, { q: 7 })).status).toBe(400)
    const unknown = await node.http('GET', '/api/jobs/job_0123456789abcdef', undefined, headers)
    expect(unknown.status).toBe(404)
  })
})

test('the guard can be switched off', async () => {
  using other = temporaryHome()
  await using plain = await startNode(other, { gateway: { mode: 'live', js_abort_guard: false } })
  const { token: own } = await plain.caller()
  const headers = from(JS)
  for (let n = 0; n < 6; n += 1)
    expect((await plain.call(own, 'serpapi:search', { q: 'a' }, {}, headers)).status).toBe(503)
})
