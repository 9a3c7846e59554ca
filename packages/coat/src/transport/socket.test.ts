import { expect, onTestFinished, test } from 'vitest'
import { emitOne } from './agent-program.test-kit.ts'
import { TestCollector } from './collector.test-kit.ts'
import { newSink, numbers, until } from './sink.test-kit.ts'

async function collector(manners: TestCollector['manners'] = 'acknowledging') {
  const made = await new TestCollector().listen()
  made.manners = manners
  onTestFinished(() => made[Symbol.asyncDispose]())
  return made
}

function sinkFor(path: string, options: Parameters<typeof newSink>[1] = {}) {
  const made = newSink(path, options)
  onTestFinished(() => made.sink.shutdown())
  return made
}

test('a producer says hello, then sends envelopes numbered from one, and they are acknowledged', async () => {
  const peer = await collector()
  const { sink } = sinkFor(peer.path, { agentId: 'auditor' })
  for (let i = 1; i <= 500; i += 1) emitOne(sink, i)
  expect(await sink.flush(10_000)).toBe(true)
  expect(peer.hellos).toEqual([
    {
      type: 'aot_hello',
      spec: 'aotp/0.1',
      producer: 'p_0123456789abcdef',
      ack: true,
      framework: 'envpod-coat',
      version: '0.0.0',
    },
  ])
  expect(peer.seqs()).toEqual(numbers(1, 500))
  expect(peer.stored.map(({ payload }) => payload['number'])).toEqual(numbers(1, 500))
  // Who speaks is for the collector to say.
  expect(peer.stored[0]?.subject).toMatchObject({ agent_id: '', agent_role: '' })
  expect(peer.stored[0]?.producer).not.toHaveProperty('dropped')
  expect(sink.stats()).toMatchObject({
    emitted: 500,
    written: 500,
    acked: 500,
    dropped: { lifecycle: 0, detail: 0 },
    transport: 'socket',
    reconnects: 0,
  })
})

test('events go out without waiting for a welcome', async () => {
  const peer = await collector('silent')
  const { sink } = sinkFor(peer.path)
  emitOne(sink, 1)
  await until(() => peer.stored.length === 1, 'the event arrives')
  expect(sink.stats()).toMatchObject({ written: 1, acked: 0, transport: 'socket' })
})

test('a single event leaves within the flush interval, without anybody asking', async () => {
  const peer = await collector()
  const { sink } = sinkFor(peer.path, { flushMs: 50 })
  emitOne(sink, 1)
  await until(() => sink.stats().acked === 1, 'the event is acknowledged')
})

test('lines are no longer than the collector takes', async () => {
  const peer = await collector()
  peer.maxLine = 2048
  const { sink } = sinkFor(peer.path)
  emitOne(sink, 1)
  await until(() => sink.stats().acked === 1, 'the welcome is heard')
  const ids = peer.stored[0]?.ids
  if (ids === undefined) throw new Error('nothing was stored')
  const payload = { fn: 'f', preview: { args: ['x'.repeat(5000)] } }
  sink.emit({ kind: 'agent.step.start', ids, capture: { mode: 'raw' }, payload }, 'start')
  expect(await sink.flush(10_000)).toBe(true)
  expect(peer.stored[1]?.payload).toEqual({ fn: 'f', shed: ['preview'] })
})

test('telemetry §16.19: a collector that is killed and comes back misses nothing and gets nothing twice', async () => {
  const peer = await collector()
  const { sink, stderr } = sinkFor(peer.path)
  for (let i = 1; i <= 1000; i += 1) emitOne(sink, i)
  expect(await sink.flush(10_000)).toBe(true)
  // Stored, but nobody will hear of it.
  peer.isMute = true
  for (let i = 1001; i <= 1500; i += 1) emitOne(sink, i)
  await until(() => peer.stored.length === 1500, 'everything is stored')
  await peer.kill()
  for (let i = 1501; i <= 4000; i += 1) emitOne(sink, i)
  peer.isMute = false
  await peer.listen()
  expect(await sink.flush(10_000)).toBe(true)
  expect(peer.seqs()).toEqual(numbers(1, 4000))
  expect(peer.duplicates).toBe(0)
  expect(stderr.text).toBe('')
  expect(sink.stats()).toMatchObject({
    acked: 4000,
    dropped: { lifecycle: 0, detail: 0 },
    reconnects: 1,
  })
})

test('telemetry §16.21: on overflow, emitted is stored plus dropped, and the gaps in the numbers are the drops', async () => {
  const peer = await collector()
  const { sink } = sinkFor(peer.path, { events: 500 })
  emitOne(sink, 1)
  expect(await sink.flush(10_000)).toBe(true)
  peer.stall()
  for (let i = 2; i <= 5000; i += 1)
    emitOne(sink, i, 465, i % 3 === 0 ? 'x.coat.tie' : 'agent.step.start')
  const { dropped } = sink.stats()
  expect(dropped.lifecycle).toBeGreaterThan(1000)
  expect(dropped.detail).toBeGreaterThan(500)
  peer.resume()
  expect(await sink.flush(10_000)).toBe(true)
  // The next event tells how many are missing.
  emitOne(sink, 5001)
  expect(await sink.flush(10_000)).toBe(true)
  const after = sink.stats()
  const lost = after.dropped.lifecycle + after.dropped.detail
  expect(after.emitted).toBe(5001)
  expect(peer.stored.length + lost).toBe(after.emitted)
  expect(after.acked).toBe(peer.stored.length)
  expect(peer.duplicates).toBe(0)
  const seqs = peer.seqs()
  expect(seqs).toEqual([...seqs].sort((one, other) => one - other))
  const last = peer.stored.at(-1)?.producer
  expect(last).toMatchObject({ seq: 5001, dropped: lost })
  expect(5001 - peer.stored.length).toBe(lost)
})

test('telemetry §16.21: the account stays exact when sent events had to leave and the collector never stored them', async () => {
  const peer = await collector()
  const { sink } = sinkFor(peer.path, { events: 300 })
  emitOne(sink, 1)
  expect(await sink.flush(10_000)).toBe(true)
  peer.stall()
  for (let i = 2; i <= 1500; i += 1) emitOne(sink, i)
  // What the kernel took dies with the collector.
  await peer.kill()
  await peer.listen()
  peer.resume()
  await until(() => sink.stats().reconnects === 1, 'it is connected again')
  expect(await sink.flush(10_000)).toBe(true)
  const { emitted, acked, dropped } = sink.stats()
  expect(peer.seqs().length).toBe(acked)
  expect(emitted).toBe(peer.stored.length + dropped.lifecycle + dropped.detail)
  expect(peer.duplicates).toBe(0)
})

test('code that never yields loses nothing while the collector reads', async () => {
  const peer = await collector()
  const { sink } = sinkFor(peer.path)
  emitOne(sink, 0)
  expect(await sink.flush(10_000)).toBe(true)
  // This process is the collector too, so what fits is what the kernel and the ring hold.
  for (let i = 1; i <= 8500; i += 1) emitOne(sink, i)
  expect(sink.stats().dropped).toEqual({ lifecycle: 0, detail: 0 })
  expect(await sink.flush(10_000)).toBe(true)
  expect(peer.seqs()).toEqual(numbers(1, 8501))
})

for (const manners of ['action-only', 'hanging-up'] as const) {
  test(`telemetry §16.25: a peer that is ${manners} gets one connection, and everything goes to stderr`, async () => {
    const peer = await collector(manners)
    const { sink, stderr } = sinkFor(peer.path, { agentId: 'auditor' })
    for (let i = 1; i <= 100; i += 1) emitOne(sink, i)
    await until(() => sink.stats().transport === 'stderr', 'it falls back')
    for (let i = 101; i <= 200; i += 1) emitOne(sink, i)
    expect(await sink.flush(10_000)).toBe(true)
    expect(stderr.envelopes().map(({ payload }) => payload['number'])).toEqual(numbers(1, 200))
    expect(stderr.envelopes()[0]?.subject.agent_id).toBe('auditor')
    expect(sink.stats()).toMatchObject({ written: 200, dropped: { lifecycle: 0, detail: 0 } })
    expect(peer.connections).toBe(1)
  })
}

test('what the agent emits while its payload is read is numbered before, and nothing is out of order', async () => {
  const peer = await collector()
  const { sink } = sinkFor(peer.path)
  emitOne(sink, 1)
  const ids = {
    session_id: '',
    run_id: '',
    step_id: '',
    trace_id: '',
    span_id: '',
    parent_span_id: '',
  }
  const nosy = {
    toJSON() {
      emitOne(sink, 2)
      return 'seen'
    },
  }
  sink.emit(
    { kind: 'agent.step.start', ids, capture: { mode: 'none' }, payload: { number: 3, nosy } },
    'start',
  )
  expect(await sink.flush(10_000)).toBe(true)
  expect(peer.seqs()).toEqual([1, 2, 3])
  expect(peer.stored.map(({ payload }) => payload['number'])).toEqual([1, 2, 3])
})

test('a draft that makes no sense is counted and hurts nobody', async () => {
  const peer = await collector()
  const { sink } = sinkFor(peer.path)
  sink.emit({} as never, 'point')
  emitOne(sink, 1)
  expect(await sink.flush(10_000)).toBe(true)
  expect(sink.stats()).toMatchObject({ emitted: 2, dropped: { lifecycle: 1, detail: 0 } })
  expect(peer.stored[0]?.producer).toMatchObject({ seq: 2, dropped: 1 })
})

test('after shutdown events are counted as dropped, and nothing stays open', async () => {
  const peer = await collector()
  const { sink } = sinkFor(peer.path)
  emitOne(sink, 1)
  await sink.shutdown()
  emitOne(sink, 2)
  await until(() => peer.stored.length === 1, 'the first event arrives')
  expect(sink.stats()).toMatchObject({ emitted: 2, written: 1, dropped: { lifecycle: 1 } })
  expect(await sink.flush(10_000)).toBe(true)
})

test('telemetry §16.21: what arrived without being acknowledged is not counted as dropped when it has to make room', async () => {
  const peer = await collector()
  const { sink } = sinkFor(peer.path, { events: 100 })
  emitOne(sink, 1)
  expect(await sink.flush(10_000)).toBe(true)
  peer.isMute = true
  for (let i = 2; i <= 91; i += 1) emitOne(sink, i, 465, 'x.coat.tie')
  await until(() => peer.stored.length === 91, 'all are stored')
  await peer.kill()
  await new Promise((resolve) => setTimeout(resolve, 50))
  for (let i = 92; i <= 171; i += 1) emitOne(sink, i)
  peer.isMute = false
  await peer.listen()
  expect(await sink.flush(10_000)).toBe(true)
  expect(peer.seqs()).toEqual(numbers(1, 171))
  expect(sink.stats()).toMatchObject({
    emitted: 171,
    acked: 171,
    spilled: 0,
    dropped: { lifecycle: 0, detail: 0 },
  })
})
