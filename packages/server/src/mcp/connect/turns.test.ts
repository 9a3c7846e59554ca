import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Refresher } from './refresher.ts'
import { Slots } from './slots.ts'

const never = new AbortController().signal
const failing = (code: string) => expect.objectContaining({ code })

test('slots are given in the order they were asked for, and never more than there are', async () => {
  const slots = new Slots(2, 10)
  const order: number[] = []
  let most = 0
  const use = async (at: number) => {
    using _slot = await slots.take(never, 5_000)
    most = Math.max(most, slots.used)
    order.push(at)
    await sleep(1)
  }
  await Promise.all([1, 2, 3, 4, 5, 6].map(use))
  expect(order).toEqual([1, 2, 3, 4, 5, 6])
  expect(most).toBe(2)
  expect(slots.used).toBe(0)
})

test('who waits too long, gives up or comes too late is refused, and no slot is lost', async () => {
  const slots = new Slots(1, 2)
  const held = await slots.take(never, 1_000)
  const left = new AbortController()
  const late = slots.take(never, 5)
  const gone = slots.take(left.signal, 5_000)
  await expect(slots.take(never, 5_000)).rejects.toEqual(failing('MCP_TIMEOUT'))
  const reason = new Error('gone')
  left.abort(reason)
  await expect(gone).rejects.toBe(reason)
  await expect(slots.take(left.signal, 5_000)).rejects.toBe(reason)
  await expect(late).rejects.toEqual(failing('MCP_TIMEOUT'))
  held[Symbol.dispose]()
  held[Symbol.dispose]()
  using _again = await slots.take(never, 1_000)
  expect(slots.used).toBe(1)
})

test('many announcements are one listing; who asks meanwhile waits for what it brings', async () => {
  let runs = 0
  using refresher = new Refresher({
    work: async () => {
      await sleep(5)
      runs += 1
    },
    onFailure: () => expect.unreachable(),
    delayMs: 5,
    gapMs: () => 5,
    now: () => performance.now(),
  })
  await refresher.settled()
  expect(runs).toBe(0)
  for (let at = 0; at < 100; at += 1) refresher.trigger()
  await refresher.settled()
  expect(runs).toBe(1)
})

test('a listing that fails is tried again, and who waits waits for that; after three it is given up', async () => {
  let runs = 0
  const failures: unknown[] = []
  using refresher = new Refresher({
    work: async () => {
      runs += 1
      if (runs !== 2) throw new Error(`run ${runs}`)
    },
    onFailure: (error) => void failures.push(error),
    delayMs: 1,
    gapMs: () => 1,
    now: () => performance.now(),
  })
  refresher.trigger()
  await refresher.settled()
  expect(runs).toBe(2)
  refresher.trigger()
  await refresher.settled()
  expect([runs, failures]).toEqual([5, [new Error('run 5')]])
})

test('after a run that cost more the next one comes later', async () => {
  const begun: number[] = []
  let gap = 1
  using refresher = new Refresher({
    work: async () => {
      begun.push(performance.now())
      gap = 60
    },
    onFailure: () => expect.unreachable(),
    delayMs: 1,
    gapMs: () => gap,
    now: () => performance.now(),
  })
  for (const _ of [1, 2]) {
    refresher.trigger()
    await refresher.settled()
  }
  // Timers may come a little early.
  expect((begun[1] ?? 0) - (begun[0] ?? 0)).toBeGreaterThan(50)
})

test('whoever waits is let go when it ends', async () => {
  const refresher = new Refresher({
    work: async () => undefined,
    onFailure: () => undefined,
    delayMs: 60_000,
    gapMs: () => 60_000,
    now: () => performance.now(),
  })
  refresher.trigger()
  const waiting = refresher.settled()
  refresher[Symbol.dispose]()
  await waiting
  refresher.trigger()
  await refresher.settled()
})
