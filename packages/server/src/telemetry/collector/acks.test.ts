import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Acks } from './acks.ts'

type Ack = { seq: number; rejected: number[] }

function make(caughtUp: () => Promise<boolean> = () => Promise.resolve(false)) {
  const sent: Ack[] = []
  const acks = new Acks({
    send: ({ seq, rejected }) =>
      void sent.push({ seq: seq as number, rejected: rejected as number[] }),
    caughtUp,
    askAgainMs: 10,
  })
  return { acks, sent, told: () => sent.at(-1)?.seq ?? 0 }
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2_000 && !holds(); tries += 1) await delay(5)
  expect(holds()).toBe(true)
}

const yes = Promise.resolve(true)

test('sixty-four are acknowledged at once, fewer a moment later, and once', async () => {
  const { acks, sent } = make()
  for (let seq = 1; seq <= 64; seq += 1) acks.add(seq, yes)
  await Promise.resolve().then(() => undefined)
  await until(() => sent.length === 1)
  expect(sent).toEqual([{ seq: 64, rejected: [] }])
  acks.add(65, yes)
  await until(() => sent.length === 2)
  expect(sent[1]).toEqual({ seq: 65, rejected: [] })
  acks.flush()
  expect(sent).toHaveLength(2)
})

test('nothing is acknowledged before it is in the log', async () => {
  const { acks, sent } = make()
  const { promise, resolve } = Promise.withResolvers<boolean>()
  acks.add(1, promise)
  acks.flush()
  expect(sent).toEqual([])
  resolve(true)
  await until(() => sent.length === 1)
  expect(sent).toEqual([{ seq: 1, rejected: [] }])
})

test('what was refused is told together with what came before it', async () => {
  const { acks, sent } = make()
  const { promise, resolve } = Promise.withResolvers<boolean>()
  acks.add(1, promise)
  acks.reject(2, promise)
  acks.flush()
  expect(sent).toEqual([])
  resolve(true)
  await until(() => sent.length === 1)
  expect(sent).toEqual([{ seq: 2, rejected: [2] }])
})

test('what the log kept in memory is acknowledged when the log has caught up', async () => {
  let up = false
  const { acks, told } = make(() => Promise.resolve(up))
  acks.add(1, Promise.resolve(false))
  await delay(50)
  expect(told()).toBe(0)
  up = true
  await until(() => told() === 1)
  expect(acks.pending).toBe(0)
})

test('a later event that was written speaks for those before it', async () => {
  const { acks, told } = make()
  acks.add(1, Promise.resolve(false))
  acks.add(2, Promise.resolve(false))
  acks.add(3, yes)
  await until(() => told() === 3)
  acks.close()
})

test('ten thousand are acknowledged without going through them again and again', async () => {
  const { acks, told } = make()
  for (let seq = 1; seq <= 10_000; seq += 1) acks.add(seq, yes)
  await until(() => told() === 10_000)
  expect(acks.pending).toBe(0)
})
