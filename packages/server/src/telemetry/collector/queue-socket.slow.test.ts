import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type CollectorWorld, event, HELLO, metric, openWorld } from './collector.test-kit.ts'

const acked = (answers: readonly Record<string, unknown>[]): unknown =>
  answers.findLast(({ type }) => type === 'aot_ack')?.['seq']

function seqs(world: CollectorWorld): unknown[] {
  return world.records('agent_event').map((record) => Object(record.event?.['producer']).seq)
}

const upTo = (count: number, from = 1) => Array.from({ length: count }, (_, i) => event(from + i))

test('while the disk refuses, events are read and kept, and acknowledged once they are written', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  client.send(HELLO, ...upTo(10))
  await expect.poll(() => acked(client.answers)).toBe(10)
  world.disk.refuses = true
  client.send(...upTo(200, 11))
  await expect.poll(() => metric(world, 'vestry_coat_spooled_total')).toBe(200)
  await delay(150)
  expect(acked(client.answers)).toBe(10)
  client.send({ type: 'aot_flush', id: 1 })
  await delay(50)
  expect(client.answers.some(({ type }) => type === 'aot_flushed')).toBe(false)
  world.disk.refuses = false
  await expect.poll(() => acked(client.answers), { timeout: 5_000 }).toBe(210)
  await expect
    .poll(() => client.answers.at(-1), { timeout: 5_000 })
    .toEqual({
      type: 'aot_flushed',
      id: 1,
      seq: 210,
    })
  expect(seqs(world)).toEqual(Array.from({ length: 210 }, (_, i) => i + 1))
  expect(world.records('coat_gap')).toMatchObject([
    { data: { reason: 'audit_unavailable', lost: 0 } },
  ])
})

test('a producer that was there before there was a daemon is missing nothing', async () => {
  await using world = await openWorld()
  world.peer = { pid: 4_242, uid: 1_000, gid: 1_000, startTime: '500', sessionId: 4_000 }
  const client = await world.connect()
  client.send(HELLO, event(900), event(902))
  await expect.poll(() => acked(client.answers)).toBe(902)
  client.socket.end()
  await expect.poll(() => world.records('coat_gap').length, { timeout: 5_000 }).toBe(1)
  expect(world.records('coat_gap')[0]?.data).toMatchObject({ first_seq: 900, missing: 1 })
})

test('what comes late from an earlier connection fills the hole, and is not told as missing', async () => {
  await using world = await openWorld()
  const [one, two] = [await world.connect(), await world.connect()]
  one.send(HELLO, event(1), event(4))
  await expect.poll(() => acked(one.answers)).toBe(4)
  one.socket.end()
  two.send(HELLO, event(2), event(3))
  await expect.poll(() => seqs(world)).toEqual([1, 4, 2, 3])
  two.socket.end()
  await delay(1_500)
  expect(world.records('coat_gap')).toEqual([])
})
