import { expect, test } from 'vitest'
import {
  type CollectorWorld,
  event,
  HELLO,
  metric,
  openWorld,
  PRODUCER,
} from './collector.test-kit.ts'

const acked = (answers: readonly Record<string, unknown>[]): unknown =>
  answers.findLast(({ type }) => type === 'aot_ack')?.['seq']

function seqs(world: CollectorWorld): unknown[] {
  return world.records('agent_event').map((record) => Object(record.event?.['producer']).seq)
}

const upTo = (count: number, from = 1) => Array.from({ length: count }, (_, i) => event(from + i))

test('what exceeds the memory kept for it is counted in the log, and nothing else is lost', async () => {
  await using world = await openWorld({ limits: { spoolChars: 20_000 } })
  const client = await world.connect()
  world.disk.refuses = true
  client.send(...upTo(400))
  await expect.poll(() => metric(world, 'vestry_coat_spooled_total')).toBe(400)
  world.disk.refuses = false
  await expect.poll(() => world.records('coat_gap').length).toBe(1)
  await expect.poll(() => seqs(world).length).toBeGreaterThan(0)
  const [gap] = world.records('coat_gap')
  expect(seqs(world).length + Number(gap?.data?.['lost'])).toBe(400)
})

test('telemetry §16.31: marks are of one process: another one with the same id, also a later owner of the pid, has its own', async () => {
  await using world = await openWorld()
  const first = await world.connect()
  first.send(HELLO, ...upTo(50))
  await expect.poll(() => acked(first.answers)).toBe(50)
  world.peer = { pid: 4_242, uid: 1_000, gid: 1_000, startTime: '3000', sessionId: 4_000 }
  const second = await world.connect()
  second.send(HELLO, event(1), event(2))
  await expect.poll(() => acked(second.answers)).toBe(2)
  expect(second.answers[0]).toMatchObject({ type: 'aot_welcome', last_seq: 0 })
  expect(seqs(world)).toHaveLength(52)
})

test('telemetry §16.30: callers that cannot be told apart make nothing of each other look stored', async () => {
  await using world = await openWorld()
  world.peer = { unavailable: 'no credentials' }
  const one = await world.connect()
  one.send(HELLO, ...upTo(5))
  await expect.poll(() => acked(one.answers)).toBe(5)
  const other = await world.connect()
  other.send(HELLO, ...upTo(3))
  await expect.poll(() => acked(other.answers)).toBe(3)
  const stored = world.records('agent_event')
  expect(stored).toHaveLength(8)
  for (const { pid, uid, event: envelope } of stored) {
    expect([pid, uid]).toEqual([undefined, undefined])
    expect(envelope?.['envpod']).toMatchObject({
      uid: -1,
      claim_kind: 'anonymous',
      peercred: 'unavailable',
    })
  }
})

test('a producer from before the restart goes on: its marks are read from the log, also its holes', async () => {
  await using world = await openWorld()
  world.peer = { pid: 4_242, uid: 1_000, gid: 1_000, startTime: '500', sessionId: 4_000 }
  const before = await world.connect()
  before.send(HELLO, ...[1, 2, 3, 5, 8].map((seq) => event(seq)))
  await expect.poll(() => acked(before.answers)).toBe(8)
  await world.restart()
  const after = await world.connect()
  after.send(HELLO, ...[3, 4, 5, 8, 9].map((seq) => event(seq)))
  await expect.poll(() => acked(after.answers)).toBe(9)
  expect(after.answers[0]).toMatchObject({ last_seq: 8 })
  expect(seqs(world)).toEqual([1, 2, 3, 5, 8, 4, 9])
  expect(metric(world, 'vestry_coat_duplicates_total')).toBe(3)
})

test('an answer for an action client is not sent to a producer that wrote something wrong', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  client.send('nonsense')
  await expect.poll(() => client.answers).toMatchObject([{ ok: false, status: 'error' }])
  const producer = await world.connect()
  producer.send(HELLO, 'nonsense', '{"spec":"aotp/0.1"}', event(1))
  await expect.poll(() => acked(producer.answers)).toBe(1)
  expect(producer.answers.map(({ type }) => type)).toEqual(['aot_welcome', 'aot_ack'])
})

test('a greeting that is none is not answered', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  client.send(
    { ...HELLO, spec: 'other/1' },
    { ...HELLO, producer: 'x' },
    { ...HELLO, producer: 7 },
    { type: 'aot_flush' },
    { type: 'aot_flush', id: { a: 1 } },
    { ...HELLO, ack: false },
    { ...HELLO, producer: 'p_another' },
  )
  await expect.poll(() => client.answers.length).toBe(1)
  expect(client.answers[0]).toMatchObject({ type: 'aot_welcome', ack: false })
  expect(world.records('coat_reject').map(({ data }) => data?.['reason'])).toEqual([
    'spec',
    'producer',
    'lane',
  ])
})

test('more producers on one connection than it follows are stored all the same', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  client.send(HELLO, ...Array.from({ length: 40 }, (_, i) => event(1, `p_${i}`)), event(1))
  await expect.poll(() => acked(client.answers)).toBe(1)
  expect(world.records('agent_event')).toHaveLength(41)
  client.send(event(1, 'p_0'), event(2))
  await expect.poll(() => acked(client.answers)).toBe(2)
  expect(
    world
      .records('agent_event')
      .filter(({ event: one }) => Object(one?.['producer']).id === PRODUCER),
  ).toHaveLength(2)
  expect(world.records('agent_event')).toHaveLength(42)
})
