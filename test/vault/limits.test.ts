import { afterEach, describe, expect, test } from 'vitest'
import { advance } from '../harness/clock.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { RawClient } from '../harness/raw-client.ts'
import { recordsOf } from '../harness/record.ts'
import { codeOf } from '../harness/refusal.ts'

const VALUE = 'value-0123456789'
const RULE = {
  name: 'r',
  principals: ['agent:*'],
  resources: ['**'],
  actions: ['retrieve', 'use:sign'],
}

let running: TestDaemon | undefined
afterEach(async () => {
  await running?.stop()
  running = undefined
})

async function startWith(rules: object[], config: object = {}): Promise<TestDaemon> {
  running = await startTestDaemon({ config })
  for (const path of ['a/b', 'a/c']) await running.addCredential(path, VALUE)
  await running.addPolicy({ version: 1, policies: rules })
  return running
}

/** Sends `count` requests at once over each connection; counts what they came to. */
async function storm(clients: RawClient[], count: number, method: string, params: object) {
  const tally: Record<string, number> = {}
  for (const client of clients) {
    for (let n = 1; n <= count; n += 1) client.send({ id: `s${n}`, method, params })
  }
  for (const client of clients) {
    for (let n = 1; n <= count; n += 1) {
      const frame = await client.next()
      const code = frame?.error?.code ?? 'ok'
      tally[code] = (tally[code] ?? 0) + 1
    }
  }
  return tally
}

describe('vault §28.28: max_uses', () => {
  test('so many retrieves and uses per credential and agent, and not one more, also at once', async () => {
    const vestry = await startWith([{ ...RULE, max_uses: 7, max_lifetime: 600 }])
    const scout = await vestry.addAgent('scout')
    const clients = await Promise.all([1, 2, 3].map(() => vestry.agent(scout)))
    expect(await storm(clients, 10, 'retrieve', { path: 'a/b' })).toEqual({
      ok: 7,
      LEASE_EXHAUSTED: 23,
    })
    const [client] = clients as [RawClient]
    const sign = { path: 'a/b', operation: 'sign', params: { data: 'x' } }
    await expect(client.call('use', sign), 'uses count too').rejects.toMatchObject({
      code: 'LEASE_EXHAUSTED',
      error: {
        message: 'Lease use limit reached',
        context: { limit: '7/600s sliding', retry_after_ms: expect.any(Number) },
      },
    })
    expect(await codeOf(client.call('retrieve', { path: 'a/c' })), 'another credential').toBe('ok')
    const ada = await vestry.agent(await vestry.addAgent('ada'))
    expect(await codeOf(ada.call('retrieve', { path: 'a/b' })), 'another agent').toBe('ok')
    expect(
      recordsOf(vestry, 'credential.retrieve').filter(({ phase }) => phase === 'intent'),
    ).toHaveLength(9)

    await vestry.restart()
    const back = await vestry.agent(scout)
    expect(await codeOf(back.call('retrieve', { path: 'a/b' })), 'it outlives a restart').toBe(
      'LEASE_EXHAUSTED',
    )
    advance(600_000)
    expect(await codeOf(back.call('retrieve', { path: 'a/b' })), 'the window has passed').toBe('ok')
  })

  test('renewing, releasing, asking and being refused are no uses', async () => {
    const vestry = await startWith([{ ...RULE, max_uses: 2 }])
    const client = await vestry.agent(await vestry.addAgent('scout'))
    const { lease_id } = await client.call('retrieve', { path: 'a/b' })
    for (let n = 0; n < 5; n += 1) {
      await client.call('renew_lease', { lease_id })
      await client.call('check_access', { path: 'a/b', action: 'retrieve' })
      expect(await codeOf(client.call('retrieve', { path: 'a/b', ttl: 0 }))).toBe('INVALID_PARAMS')
      expect(
        await codeOf(
          client.call('use', { path: 'a/b', operation: 'encrypt', params: { data: 'x' } }),
        ),
      ).toBe('ACCESS_DENIED')
      expect(
        await codeOf(
          client.call('use', {
            path: 'a/b',
            operation: 'sign',
            params: { data: 'x', algorithm: 'hmac-sha1' },
          }),
        ),
      ).toBe('UNUSABLE_CREDENTIAL')
    }
    expect(await codeOf(client.call('retrieve', { path: 'a/b' }))).toBe('ok')
    expect(await codeOf(client.call('retrieve', { path: 'a/b' }))).toBe('LEASE_EXHAUSTED')
  })

  test('each rule counts for itself: a call charges all rules that allow it, or none', async () => {
    const vestry = await startWith([
      { ...RULE, name: 'both', max_uses: 3 },
      { ...RULE, name: 'signs', actions: ['use:sign'], max_uses: 1 },
    ])
    const client = await vestry.agent(await vestry.addAgent('scout'))
    const sign = () =>
      codeOf(client.call('use', { path: 'a/b', operation: 'sign', params: { data: 'x' } }))
    const retrieve = () => codeOf(client.call('retrieve', { path: 'a/b' }))
    expect(await sign()).toBe('ok')
    expect(await sign()).toBe('LEASE_EXHAUSTED')
    expect(await sign()).toBe('LEASE_EXHAUSTED')
    expect(await retrieve()).toBe('ok')
    expect(await retrieve()).toBe('ok')
    expect(await retrieve()).toBe('LEASE_EXHAUSTED')
  })
})

describe('vault §28.28: rates of a rule', () => {
  test('a bucket admits its burst and no more, and refills', async () => {
    const vestry = await startWith([{ ...RULE, rate: { per_second: 0.1, burst: 5 } }])
    const scout = await vestry.addAgent('scout')
    const clients = await Promise.all([1, 2].map(() => vestry.agent(scout)))
    expect(await storm(clients, 10, 'retrieve', { path: 'a/b' })).toEqual({
      ok: 5,
      RATE_LIMITED: 15,
    })
    const [client] = clients as [RawClient]
    await expect(client.call('retrieve', { path: 'a/b' })).rejects.toMatchObject({
      code: 'RATE_LIMITED',
      error: {
        context: {
          scope: 'vault:r',
          retry_after_ms: expect.any(Number),
          limit: expect.any(String),
        },
      },
    })
    advance(10_000)
    expect(await storm(clients, 2, 'retrieve', { path: 'a/b' })).toEqual({ ok: 1, RATE_LIMITED: 3 })
  })

  test('a daily quota is exact and outlives a restart', async () => {
    const vestry = await startWith([{ ...RULE, rate: { per_day: 6 } }])
    const scout = await vestry.addAgent('scout')
    const clients = await Promise.all([1, 2].map(() => vestry.agent(scout)))
    expect(await storm(clients, 8, 'retrieve', { path: 'a/b' })).toEqual({
      ok: 6,
      RATE_LIMITED: 10,
    })
    await vestry.restart()
    const back = await vestry.agent(scout)
    const refused = await back.call('retrieve', { path: 'a/b' }).catch((error) => error)
    expect(refused).toMatchObject({ code: 'RATE_LIMITED' })
    advance(refused.error.context.retry_after_ms)
    await back.login(scout)
    expect(await codeOf(back.call('retrieve', { path: 'a/b' }))).toBe('ok')
  })
})

describe('limits of the daemon', () => {
  test('requests of an agent share one bucket over its connections; status and ping do not count', async () => {
    const vestry = await startWith([RULE], {
      limits: { agent_requests: { per_second: 0.5, burst: 10 } },
    })
    const scout = await vestry.addAgent('scout')
    const clients = await Promise.all([1, 2].map(() => vestry.agent(scout)))
    expect(await storm(clients, 10, 'whoami', {})).toEqual({ ok: 10, RATE_LIMITED: 10 })
    expect(await storm(clients, 20, 'ping', {})).toEqual({ ok: 40 })
    expect(await storm(clients, 20, 'status', {})).toEqual({ ok: 40 })
    const [client] = clients as [RawClient]
    await expect(client.call('whoami')).rejects.toMatchObject({
      error: {
        context: { scope: 'agent', retry_after_ms: expect.any(Number), limit: '0.5/s burst 10' },
      },
    })
    const ada = await vestry.agent(await vestry.addAgent('ada'))
    expect(await ada.call('whoami')).toMatchObject({
      agent: 'ada',
      limits: { requests_per_second: 0.5, burst: 10, leases: 10_000 },
      leases: 0,
    })
  })

  test('a flood of refusals leaves a summary per agent and limit, with exact counts', async () => {
    const vestry = await startWith([{ ...RULE, rate: { per_second: 0.001, burst: 1 } }], {
      limits: { agent_requests: { per_second: 0.001, burst: 40 } },
    })
    const scout = await vestry.addAgent('scout')
    const client = await vestry.agent(scout)
    expect(await storm([client], 30, 'retrieve', { path: 'a/b' })).toEqual({
      ok: 1,
      RATE_LIMITED: 29,
    })
    expect(await storm([client], 30, 'whoami', {})).toEqual({ ok: 10, RATE_LIMITED: 20 })
    const before = vestry.auditLines().length
    expect(recordsOf(vestry, 'ratelimit.summary'), 'not one each').toEqual([])
    client.destroy()
    await vestry.restart() // what waits is written when the daemon stops
    expect(before).toBeLessThan(40)
    const summaries = recordsOf(vestry, 'ratelimit.summary').map(({ actor, data }) => [
      actor,
      data?.['scope'],
      data?.['count'],
    ])
    expect(summaries.sort()).toEqual([
      ['agent:scout', 'agent', 20],
      ['agent:scout', 'vault:r', 29],
    ])
  })

  test('challenges are limited per source, whatever they ask for', async () => {
    const vestry = await startWith([RULE], {
      limits: { authenticate: { per_second: 0.5, burst: 4 } },
    })
    const scout = await vestry.addAgent('scout')
    const client = await vestry.agent(scout)
    const codes = []
    for (let n = 0; n < 6; n += 1)
      codes.push(await codeOf(client.call('authenticate', { agent_name: 'x' })))
    // The operator and the agent came from the same uid.
    expect(codes).toEqual([
      'ok',
      'ok',
      'RATE_LIMITED',
      'RATE_LIMITED',
      'RATE_LIMITED',
      'RATE_LIMITED',
    ])
    expect(await codeOf(client.call('authenticate', {}))).toBe('RATE_LIMITED')
    advance(2_000)
    expect(await codeOf(client.call('authenticate', { agent_name: 'scout' }))).toBe('ok')
  })

  test('sessions of an agent are limited', async () => {
    const vestry = await startWith([RULE], { vault: { sessions_per_agent: 2 } })
    const scout = await vestry.addAgent('scout')
    const [one] = await Promise.all([vestry.agent(scout), vestry.agent(scout)])
    await expect(vestry.agent(scout)).rejects.toMatchObject({
      code: 'RATE_LIMITED',
      error: { context: { scope: 'sessions', limit: 2, retry_after_ms: expect.any(Number) } },
    })
    await one.call('logout')
    expect(await (await vestry.agent(scout)).call('ping')).toEqual({ pong: true })
  })
})
