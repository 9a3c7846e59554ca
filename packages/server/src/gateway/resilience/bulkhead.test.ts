import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Bulkhead } from './bulkhead.ts'

const refused = expect.objectContaining({
  code: 'CIRCUIT_OPEN',
  context: { tool: 'crm', retry_after_ms: 1_000 },
})

test('no more run at once than there are places, and all get their turn', async () => {
  const bulkhead = new Bulkhead('crm', { concurrency: 10 })
  let running = 0
  let most = 0
  const call = async () => {
    using _permit = await bulkhead.enter()
    running += 1
    most = Math.max(most, running)
    await turn()
    running -= 1
  }
  await Promise.all(Array.from({ length: 100 }, call))
  expect(most).toBe(10)
  expect([bulkhead.active, bulkhead.waiting]).toEqual([0, 0])
})

test('who waits longest is next, also before one who comes at the very moment', async () => {
  const bulkhead = new Bulkhead('crm', { concurrency: 1 })
  const order: number[] = []
  const first = await bulkhead.enter()
  const call = async (name: number) => {
    using _permit = await bulkhead.enter()
    order.push(name)
    await turn()
  }
  const waiting = [1, 2, 3].map(call)
  first[Symbol.dispose]()
  await Promise.all([...waiting, call(4)])
  expect(order).toEqual([1, 2, 3, 4])
})

test('waiting ends in a refusal, and the place is not lost', async () => {
  const bulkhead = new Bulkhead('crm', { concurrency: 1, maxWaitMs: 30 })
  const held = await bulkhead.enter()
  const startedMs = performance.now()
  await expect(bulkhead.enter()).rejects.toThrow(refused)
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(28)
  expect(bulkhead.waiting).toBe(0)
  held[Symbol.dispose]()
  using _next = await bulkhead.enter()
  expect(bulkhead.active).toBe(1)
})

test('the line is bounded', async () => {
  const bulkhead = new Bulkhead('crm', { concurrency: 1, maxWaiting: 2 })
  const held = await bulkhead.enter()
  const waiting = [bulkhead.enter(), bulkhead.enter()]
  await expect(bulkhead.enter()).rejects.toThrow(refused)
  held[Symbol.dispose]()
  for (const permit of waiting) (await permit)[Symbol.dispose]()
  expect([bulkhead.active, bulkhead.waiting]).toEqual([0, 0])
})

test('a caller may give up: it gets its own reason and leaves the line', async () => {
  const bulkhead = new Bulkhead('crm', { concurrency: 1 })
  const held = await bulkhead.enter()
  const reason = new Error('gone')
  const abort = new AbortController()
  const waiting = bulkhead.enter(abort.signal)
  const behind = bulkhead.enter()
  abort.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  await expect(bulkhead.enter(AbortSignal.abort(reason))).rejects.toBe(reason)
  held[Symbol.dispose]()
  ;(await behind)[Symbol.dispose]()
  expect([bulkhead.active, bulkhead.waiting]).toEqual([0, 0])
})

test('an abort that comes when the place was already given does not lose it', async () => {
  const bulkhead = new Bulkhead('crm', { concurrency: 1 })
  const held = await bulkhead.enter()
  const abort = new AbortController()
  const waiting = bulkhead.enter(abort.signal)
  held[Symbol.dispose]()
  abort.abort(new Error('too late'))
  ;(await waiting)[Symbol.dispose]()
  expect(bulkhead.active).toBe(0)
})

test('a permit gives its place back once', async () => {
  const bulkhead = new Bulkhead('crm', { concurrency: 2 })
  const one = await bulkhead.enter()
  using _other = await bulkhead.enter()
  one[Symbol.dispose]()
  one[Symbol.dispose]()
  expect(bulkhead.active).toBe(1)
})

test('nothing leaks however calls end', async () => {
  const bulkhead = new Bulkhead('crm', { concurrency: 3, maxWaitMs: 5 })
  const call = async (name: number) => {
    const signal = AbortSignal.timeout(name % 7)
    using _permit = await bulkhead.enter(signal)
    await delay(name % 4)
    if (name % 3 === 0) throw new Error('failed inside')
  }
  const ends = await Promise.allSettled(Array.from({ length: 200 }, (_, name) => call(name)))
  expect(new Set(ends.map(({ status }) => status))).toEqual(new Set(['fulfilled', 'rejected']))
  expect([bulkhead.active, bulkhead.waiting]).toEqual([0, 0])
})
