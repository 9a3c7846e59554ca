import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { budgetUse } from '../../packages/server/src/limits/budget.ts'
import { type LlmWorld, startLlmWorld, tokens } from './llm-world.ts'
import { type RawReply, rawRequest, requestBytes } from './raw-http.ts'

const CHAT = '/v1/chat/completions'
const HELLO = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }], max_tokens: 100 }

let world: LlmWorld
const start = async (...args: Parameters<typeof startLlmWorld>) => {
  world = await startLlmWorld(...args)
  return world
}
afterEach(() => world[Symbol.asyncDispose]())

function errorOf({ body }: RawReply): Record<string, unknown> {
  return (JSON.parse(body) as { error: Record<string, unknown> }).error
}

test('sage §21.43: too many requests of a run are told a whole number of seconds, after which it works again', async () => {
  await start({ llm: { requests_per_run_minute: 60 } })
  const run = await world.run()
  const other = await world.run()
  for (let i = 0; i < 60; i += 1) {
    world.parts.limits.take({
      kind: 'bucket',
      key: `llm:requests_per_run_minute:${run.run.id}`,
      scope: 'llm.requests_per_run_minute',
      perSecond: 1,
      burst: 60,
    })
  }
  const refused = await world.post(CHAT, HELLO, tokens(run))
  expect(refused.status).toBe(429)
  expect(refused.headers['retry-after']).toBe('1')
  expect(errorOf(refused)).toMatchObject({ type: 'rate_limit_error', code: 'rate_limited' })
  expect((await world.post(CHAT, HELLO, tokens(other))).status).toBe(200)
  await sleep(1_050)
  expect((await world.post(CHAT, HELLO, tokens(run))).status).toBe(200)
})

test('sage §21.43: the waiting time is never longer than a minute', async () => {
  await start({ llm: { requests_per_org_minute: 1 } })
  const [one, two] = [await world.run(), await world.run()]
  expect((await world.post(CHAT, HELLO, tokens(one))).status).toBe(200)
  const refused = await world.post(CHAT, HELLO, tokens(two))
  expect(refused.status).toBe(429)
  expect(Number(refused.headers['retry-after'])).toBe(60)
})

test('a run has a bounded number of requests under way', async () => {
  await start({ llm: { in_flight_per_run: 2 } })
  const run = await world.run()
  world.fakes.openai.script({ delayMs: 200 }, { delayMs: 200 })
  const replies = await Promise.all([1, 2, 3, 4].map(() => world.post(CHAT, HELLO, tokens(run))))
  expect(replies.map(({ status }) => status).sort()).toEqual([200, 200, 429, 429])
  const limited = replies.find(({ status }) => status === 429)
  expect(limited?.headers['retry-after']).toBe('1')
  expect((await world.post(CHAT, HELLO, tokens(run))).status).toBe(200)
})

test('more connections than there is room for are told so', async () => {
  await start({ llm: { connections: 3 } })
  const idle = await Promise.all(
    [1, 2, 3].map(async () => {
      const socket = connect(world.socket)
      await new Promise((resolve) => socket.once('connect', resolve))
      return socket
    }),
  )
  const run = await world.run()
  const reply = await world.post(CHAT, HELLO, tokens(run))
  expect([reply.status, errorOf(reply)['code']]).toEqual([503, 'gateway_overloaded'])
  expect((await world.get('/health')).status).toBe(200)
  for (const socket of idle) socket.destroy()
  await sleep(20)
  expect((await world.post(CHAT, HELLO, tokens(run))).status).toBe(200)
})

describe('budgets', () => {
  test('what a call used is taken from its budgets, and what is spent is refused for good', async () => {
    await start({ llm: { budgets: { run: { tokens: 2_000 } } } })
    const run = await world.run()
    const key = `llm:run:${run.run.id}:tokens`
    world.fakes.openai.script({ usage: { prompt: 900, completion: 150 } })
    expect((await world.post(CHAT, HELLO, tokens(run))).status).toBe(200)
    expect(await budgetUse(world.parts.store.db, key)).toEqual({ reserved: 0, spent: 1_050 })
    const refused = await world.post(CHAT, HELLO, tokens(run))
    expect([refused.status, errorOf(refused)['code']]).toEqual([403, 'budget_exhausted'])
    expect(refused.headers['retry-after']).toBeUndefined()
    expect(await budgetUse(world.parts.store.db, key)).toEqual({ reserved: 0, spent: 1_050 })
    expect((await world.audit()).at(-1)).toMatchObject({
      success: false,
      outcome: { code: 'BUDGET_EXHAUSTED', status: 403 },
      data: { model: 'gpt-4o', run: run.run.id },
    })
  })

  test('a call that the provider refuses costs nothing, one that it broke off what had come', async () => {
    await start({ llm: { budgets: { agent: { tokens: 1_000_000, per: 'day' } } } })
    const run = await world.run()
    const key = () => `llm:agent:${run.run.agentId}:tokens:${new Date().toISOString().slice(0, 10)}`
    const use = () => budgetUse(world.parts.store.db, key())
    world.fakes.openai.script({ status: 500, body: { error: { message: 'no' } } })
    expect((await world.post(CHAT, HELLO, tokens(run))).status).toBe(502)
    expect(await use()).toEqual({ reserved: 0, spent: 0 })
    world.fakes.openai.script({ text: 'a'.repeat(200), cutAfter: 20 })
    await world.post(CHAT, { ...HELLO, stream: true }, tokens(run))
    const { reserved, spent } = await use()
    expect(reserved).toBe(0)
    expect(spent).toBeGreaterThan(20)
  })

  test('many calls at once never spend more than there is', async () => {
    await start({
      llm: { budgets: { total: { tokens: 12_000, per: 'month' } }, in_flight_per_run: 64 },
    })
    const run = await world.run()
    const usage = { prompt: 400, completion: 100 }
    world.fakes.openai.script(...Array.from({ length: 40 }, () => ({ usage, delayMs: 10 })))
    const replies = await Promise.all(
      Array.from({ length: 40 }, () => world.post(CHAT, HELLO, tokens(run))),
    )
    const done = replies.filter(({ status }) => status === 200).length
    expect(done).toBeGreaterThan(1)
    const { spent, reserved } = await budgetUse(
      world.parts.store.db,
      `llm:total:tokens:${new Date().toISOString().slice(0, 7)}`,
    )
    expect({ spent, reserved }).toEqual({ spent: done * 500, reserved: 0 })
    expect(spent).toBeLessThanOrEqual(12_000)
    for (const reply of replies) {
      if (reply.status === 429) expect(Number(reply.headers['retry-after'])).toBeLessThanOrEqual(60)
      else if (reply.status !== 200) expect(errorOf(reply)['code']).toBe('budget_exhausted')
    }
  })
})

describe('calls that come again', () => {
  const keyed = (run: Parameters<typeof tokens>[0], key: string) => ({
    ...tokens(run),
    'Idempotency-Key': key,
  })

  test('the same key and body reach the provider once, also while the first is under way', async () => {
    await start()
    const run = await world.run()
    world.fakes.openai.script({ text: 'only once', delayMs: 80 })
    const replies = await Promise.all(
      [1, 2, 3].map(() => world.post(CHAT, HELLO, keyed(run, 'k1'))),
    )
    replies.push(await world.post(CHAT, HELLO, keyed(run, 'k1')))
    for (const reply of replies) {
      expect(reply.status).toBe(200)
      expect(reply.body).toBe(replies[0]?.body)
    }
    expect(world.fakes.openai.requests).toHaveLength(1)
    const outcomes = (await world.audit()).filter(({ outcome }) => outcome?.code === 'OK')
    expect(outcomes).toHaveLength(4)
    expect(outcomes.filter(({ outcome }) => outcome?.['replayed'] === true)).toHaveLength(3)
    for (const { data } of outcomes) expect(data).toMatchObject({ idempotency_key: 'k1' })
  })

  test('another body, another run, no key, and a failure are calls of their own', async () => {
    await start()
    const [run, other] = [await world.run(), await world.run()]
    world.fakes.openai.script({ status: 503, body: { error: { message: 'busy' } } })
    expect((await world.post(CHAT, HELLO, keyed(run, 'k'))).status).toBe(503)
    expect((await world.post(CHAT, HELLO, keyed(run, 'k'))).status).toBe(200)
    await world.post(CHAT, { ...HELLO, seed: 1 }, keyed(run, 'k'))
    await world.post(CHAT, HELLO, keyed(other, 'k'))
    await world.post(CHAT, HELLO, tokens(run))
    expect(world.fakes.openai.requests).toHaveLength(5)
  })

  test('the first attempt goes on while somebody waits for it, and ends with the last', async () => {
    await start()
    const run = await world.run()
    world.fakes.openai.script({ delayMs: 300 }, { delayMs: 3_000 })
    const bytes = requestBytes('POST', CHAT, keyed(run, 'k'), HELLO)
    const first = connect(world.socket, () => first.write(bytes))
    await expect.poll(() => world.fakes.openai.requests.length).toBe(1)
    const second = rawRequest({ path: world.socket }, bytes)
    await sleep(50)
    first.destroy()
    expect((await second).status).toBe(200)
    expect(world.fakes.openai.requests[0]?.aborted).toBe(false)
    const alone = connect(world.socket, () =>
      alone.write(requestBytes('POST', CHAT, keyed(run, 'k2'), HELLO)),
    )
    await expect.poll(() => world.fakes.openai.requests.length).toBe(2)
    alone.destroy()
    await expect.poll(() => world.fakes.openai.requests[1]?.aborted).toBe(true)
  })
})

test('strangers that keep asking are slowed down, and leave a summary and not a record each', async () => {
  await start()
  const statuses: number[] = []
  for (let i = 0; i < 140; i += 1) statuses.push((await world.get('/v1/models')).status)
  expect(statuses.slice(0, 120).every((status) => status === 401)).toBe(true)
  expect(statuses.at(-1)).toBe(429)
  expect((await world.audit()).length).toBeLessThanOrEqual(125)
  // Who has good tokens is served all the same.
  const run = await world.run()
  expect((await world.post(CHAT, HELLO, tokens(run))).status).toBe(200)
})

test('a run that keeps being refused is slowed down, and no other one', async () => {
  await start()
  const [run, other] = [await world.run(), await world.run()]
  const denied = { ...HELLO, model: 'gpt-4.1' }
  const statuses: number[] = []
  for (let i = 0; i < 140; i += 1)
    statuses.push((await world.post(CHAT, denied, tokens(run))).status)
  expect(statuses[0]).toBe(403)
  expect(statuses.at(-1)).toBe(429)
  expect((await world.post(CHAT, denied, tokens(other))).status).toBe(403)
  expect((await world.post(CHAT, HELLO, tokens(other))).status).toBe(200)
})

describe('the end', () => {
  test('sage §21.42: while it drains, what runs ends well and nothing new begins', async () => {
    await start()
    const run = await world.run()
    world.fakes.openai.script({ delayMs: 150, text: 'in time' })
    const running = world.post(CHAT, HELLO, tokens(run))
    await expect.poll(() => world.fakes.openai.requests.length).toBe(1)
    world.draining = true
    const refused = await world.post(CHAT, HELLO, tokens(run))
    expect([refused.status, errorOf(refused)['code']]).toEqual([503, 'shutting_down'])
    expect((await world.get('/health')).status).toBe(503)
    await world.part.drain(2_000)
    const reply = await running
    expect([reply.status, reply.body.includes('in time')]).toEqual([200, true])
  })

  test('sage §21.42: what takes too long is told, whole or streamed', async () => {
    await start()
    const run = await world.run()
    world.fakes.openai.script({ delayMs: 5_000 }, { text: 'a'.repeat(300), pauseMs: 40 })
    const whole = world.post(CHAT, HELLO, tokens(run))
    await expect.poll(() => world.fakes.openai.requests.length).toBe(1)
    const streamed = world.post(CHAT, { ...HELLO, stream: true }, tokens(run))
    await expect.poll(() => world.fakes.openai.requests.length).toBe(2)
    await sleep(80)
    world.draining = true
    await world.part.drain(300)
    const reply = await whole
    expect([reply.status, errorOf(reply)['code']]).toEqual([503, 'shutting_down'])
    expect((await streamed).body).toMatch(/"code":"shutting_down"[^\n]*\n\n$/)
    await expect.poll(() => world.fakes.openai.requests.every(({ aborted }) => aborted)).toBe(true)
  })

  test('while the vault is sealed every call is told to come back', async () => {
    await start()
    const run = await world.run()
    await world.part.close()
    await world.parts.seal.seal('test')
    const reply = await world.post(CHAT, HELLO, tokens(run))
    expect([reply.status, errorOf(reply)['code']]).toEqual([503, 'gateway_overloaded'])
    expect((await world.get('/health')).status).toBe(200)
  })
})
