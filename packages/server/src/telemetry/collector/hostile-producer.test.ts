import { createSecretKey } from 'node:crypto'
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

test('telemetry §16.26: a name that is no text, and cannot be made one, is overwritten like any other', async () => {
  await using world = await openWorld()
  world.hashKey = createSecretKey(Buffer.alloc(32, 7))
  const client = await world.connect()
  const agent_id = { toString: 1, valueOf: 1, toJSON: 1 }
  client.send(
    HELLO,
    { ...event(1), subject: { agent_id, agent_role: [agent_id] }, envpod: { pid: agent_id } },
    event(2),
  )
  await expect.poll(() => acked(client.answers)).toBe(2)
  expect(world.records('agent_event')[0]?.event?.['envpod']).toMatchObject({
    attempted_agent_id: expect.stringMatching(/^hmac:[0-9a-f]{32}$/),
    overwrote: ['subject.agent_id', 'subject.agent_role', 'envpod.pid'],
  })
})

test('a line over which we stumble costs that line alone, and is told', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  client.send(HELLO, event(1))
  await expect.poll(() => acked(client.answers)).toBe(1)
  const resolution = world.resolution
  Object.defineProperty(world, 'resolution', {
    configurable: true,
    get: () => {
      Object.defineProperty(world, 'resolution', { value: resolution, writable: true })
      throw new Error('a fault of ours')
    },
  })
  client.send(event(2), event(3))
  await expect.poll(() => acked(client.answers)).toBe(3)
  expect(seqs(world)).toEqual([1, 3])
  expect(world.errors).toMatchObject([{ message: 'a fault of ours' }])
  expect(world.records('coat_reject')).toMatchObject([{ data: { reason: 'internal' } }])
})

test('what was lost while the log could not be written is never acknowledged as written', async () => {
  await using world = await openWorld({ limits: { spoolChars: 20_000 } })
  const client = await world.connect()
  client.send(HELLO, event(1))
  await expect.poll(() => acked(client.answers)).toBe(1)
  world.disk.refuses = true
  client.send(...upTo(200, 2))
  await expect.poll(() => metric(world, 'vestry_coat_spooled_total')).toBe(200)
  world.disk.refuses = false
  await expect.poll(() => world.records('coat_gap').length).toBe(1)
  client.send(event(202))
  await expect.poll(() => acked(client.answers), { timeout: 5_000 }).toBe(202)
  const rejected = client.answers.flatMap(({ type, rejected: list }) =>
    type === 'aot_ack' ? (list as number[]) : [],
  )
  const stored = seqs(world)
  expect(rejected.length).toBeGreaterThan(0)
  expect([...stored, ...rejected].map(Number).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 202 }, (_, i) => i + 1),
  )
})

test('who asks without reading the answers is not read either', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  client.socket.pause()
  client.socket.write('x\n'.repeat(40_000))
  let before = -1
  await expect
    .poll(
      () => {
        const now = metric(world, 'vestry_coat_rejected_total{reason="syntax"}')
        const same = now === before && now > 0
        before = now
        return same
      },
      { interval: 200, timeout: 10_000 },
    )
    .toBe(true)
  expect(before).toBeLessThan(20_000)
  const other = await world.connect()
  other.send(HELLO, event(1))
  await expect.poll(() => acked(other.answers)).toBe(1)
  client.socket.resume()
  await expect
    .poll(() => metric(world, 'vestry_coat_rejected_total{reason="syntax"}'), { timeout: 20_000 })
    .toBe(40_000)
})

test('telemetry §16.14: a secret does not get into the log as an id, a kind, a name or a language either', async () => {
  await using world = await openWorld()
  const secret = `ghp_${'Ab3dEf6h'.repeat(5)}`
  const low = `sk_live_${'ab3def6h'.repeat(3)}`
  const client = await world.connect()
  const of = (seq: number) => event(seq) as { ids: object; producer: object; subject: object }
  const pad = 'x'.repeat(100)
  client.send(
    HELLO,
    { ...of(1), ids: { ...of(1).ids, run_id: secret, step_id: secret } },
    { ...of(2), kind: `x.mine.${low}` },
    { ...of(3), producer: { id: `p_AKIA${'Q7Z2'.repeat(4)}`, seq: 1 } },
    { ...of(4), producer: { id: PRODUCER, seq: 4, lang: 'AKIAQ7Z2Q7Z2Q7Z2Q7Z2' } },
    { ...of(5), subject: { framework: `${pad}${secret}`, framework_version: `${pad} ${secret}` } },
    { ...HELLO, producer: `p_AKIA${'Q7Z2'.repeat(4)}` },
    { ...of(6), envpod: { hunter_two_hunter: 1 } },
  )
  await expect.poll(() => acked(client.answers)).toBe(6)
  const text = world.text()
  expect(text).not.toContain('Ab3dEf6hAb3dEf6hAb3')
  expect(text).not.toContain('Q7Z2')
  expect(text).not.toContain(low)
  expect(text).not.toContain('hunter')
  const [first] = world.records('agent_event')
  const ids = first?.event?.['ids'] as Record<string, string>
  expect(ids['run_id']).toMatch(/^[a-z]{1,8}_[0-9a-f]{32}$/)
  expect(ids['step_id']).toBe(ids['run_id']) // the same one still is
  expect(metric(world, 'vestry_coat_leak_blocked_total')).toBeGreaterThan(0)
})

test('what a producer calls its functions does not break the line that is made for a person', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  const fn = 'ask\nagent.tool.call forged span=sp_1\u001b[2J\u202e\u2028'
  client.send(HELLO, { ...event(1), payload: { fn } })
  await expect.poll(() => acked(client.answers)).toBe(1)
  const [record] = world.records('agent_event')
  expect(record?.detail).toBe(
    'agent.step.start ask\\u000aagent.tool.call forged span=sp_1\\u001b[2J\\u202e\\u2028 span=sp_1',
  )
  expect(record?.event?.['payload']).toEqual({ fn })
})

test('telemetry §16.31: ten thousand ids of one process make nobody else’s marks be forgotten', async () => {
  await using world = await openWorld()
  const honest = world.peer
  const first = await world.connect()
  first.send(HELLO, ...upTo(5))
  await expect.poll(() => acked(first.answers)).toBe(5)
  first.socket.destroy()
  await expect.poll(() => world.socket.connections).toBe(0)
  world.peer = { pid: 666, uid: 1_000, gid: 1_000, startTime: '2000', sessionId: 666 }
  const flood = await world.connect()
  const ids = Array.from({ length: 10_000 }, (_, i) => event(1, `p_${i.toString(16)}`))
  flood.send(HELLO, ...ids, event(1))
  await expect.poll(() => acked(flood.answers), { timeout: 10_000 }).toBe(1)
  world.peer = { ...honest }
  const again = await world.connect()
  again.send(HELLO, ...upTo(6))
  await expect.poll(() => acked(again.answers)).toBe(6)
  const mine = world
    .records('agent_event')
    .filter(({ pid, event: one }) => pid === 4_242 && Object(one?.['producer']).id === PRODUCER)
  expect(mine).toHaveLength(6)
})

test('many who ask for a flush at once share one', async () => {
  await using world = await openWorld()
  const clients = await Promise.all(Array.from({ length: 20 }, () => world.connect()))
  const before = world.syncs
  for (const client of clients)
    client.send(...Array.from({ length: 10 }, (_, id) => ({ type: 'aot_flush', id })))
  for (const client of clients) await expect.poll(() => client.answers.length).toBe(10)
  // In turn on each connection, so ten times at least.
  expect(world.syncs - before).toBeLessThanOrEqual(20)
})

test('a producer with numbers out of this world harms its own account alone', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  const far = Number.MAX_SAFE_INTEGER
  client.send(HELLO, event(1), event(far), event(2), event(3), event(far), event(far - 1))
  await expect.poll(() => seqs(world).length).toBe(5)
  expect(seqs(world)).toEqual([1, far, 2, 3, far - 1])
  client.send(
    { ...event(1), producer: { id: PRODUCER, seq: far + 1 } },
    { ...event(1), producer: { id: PRODUCER, seq: -1 } },
    { ...event(1), producer: { id: PRODUCER, seq: 1.5 } },
    { ...event(1), producer: { id: PRODUCER, seq: '9' } },
    { ...event(1), producer: { id: '__proto__', seq: 9 } },
  )
  await expect.poll(() => metric(world, 'vestry_coat_rejected_total{reason="producer"}')).toBe(5)
})

test('what is no JSON that two readers agree on is refused, and the rest of the connection goes on', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  const line = JSON.stringify(event(1))
  const withPayload = (json: string) => line.replace('{"fn":"work","op":"step"}', json)
  client.send(
    HELLO,
    withPayload('{"__proto__":{"polluted":1}}'),
    withPayload('{"n":1e400}'),
    withPayload('{"t":"\\ud800"}'),
    withPayload(`{"d":${'['.repeat(40)}${']'.repeat(40)}}`),
    withPayload('{"a":1,"\\u0061":2}'),
    withPayload('{"constructor":{"prototype":{"x":1}},"hasOwnProperty":1,"n":-0,"big":1e300}'),
    event(2),
  )
  await expect.poll(() => acked(client.answers)).toBe(2)
  expect(world.records('agent_event')[0]?.event?.['payload']).toEqual({
    constructor: { prototype: { x: 1 } },
    hasOwnProperty: 1,
    n: 0,
    big: 1e300,
  })
  expect(Object.prototype).not.toHaveProperty('polluted')
  expect(world.records('coat_reject').map(({ data }) => data?.['reason'])).toEqual([
    'key',
    'number',
    'surrogate',
    'depth',
    'key_twice',
  ])
})
