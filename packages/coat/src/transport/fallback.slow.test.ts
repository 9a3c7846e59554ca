import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { envelopesIn, startAgent, warningsIn } from './agent.test-kit.ts'
import { emitOne } from './agent-program.test-kit.ts'
import { backoffMs } from './backoff.ts'
import { TestCollector } from './collector.test-kit.ts'
import { newSink, numbers, until } from './sink.test-kit.ts'

async function collector(isListening = true) {
  const made = new TestCollector()
  onTestFinished(() => made[Symbol.asyncDispose]())
  return isListening ? made.listen() : made
}

function sinkFor(path: string, options: Parameters<typeof newSink>[1] = {}) {
  const made = newSink(path, options)
  onTestFinished(() => made.sink.shutdown())
  return made
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

test('telemetry §16.24: ten thousand events without a socket: one warning, and every line that says so is an envelope', async () => {
  const agent = startAgent({
    options: { socketPath: '/nonexistent/queue.sock' },
    steps: [
      { do: 'emit-slowly', count: 10_000, perSecond: 4000 },
      { do: 'flush', ms: 10_000 },
      { do: 'stats' },
    ],
  })
  const { code, stderr, told } = await agent.ended()
  expect(code).toBe(0)
  expect(warningsIn(stderr)).toEqual([
    '[coat:warn] telemetry socket unavailable (ENOENT); writing events to stderr',
  ])
  expect(stderr.split('\n')[0]).toBe(warningsIn(stderr)[0])
  const steps = envelopesIn(stderr).filter(({ kind }) => kind === 'agent.step.start')
  expect(steps.map(({ payload }) => payload['number'])).toEqual(numbers(1, 10_000))
  expect(told).toMatchObject({ emitted: 10_000, transport: 'stderr', dropped: { lifecycle: 0 } })
  expect(told['fallbackSince']).toMatch(/^\d{4}-.*Z$/)
})

test('telemetry §16.24: the warning is one per process, not one per thread', async () => {
  const program = join(import.meta.dirname, 'worker-program.test-kit.ts')
  const child = spawn(process.execPath, ['--conditions=source', '--no-warnings', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const stderr = await text(child.stderr)
  expect(warningsIn(stderr)).toHaveLength(1)
  const steps = envelopesIn(stderr).filter(({ kind }) => kind === 'agent.step.start')
  expect(steps).toHaveLength(40)
  expect(new Set(steps.map(({ producer }) => producer?.id)).size).toBe(4)
  expect(new Set(steps.map(({ producer }) => producer?.tid)).size).toBe(4)
})

test('when the socket comes, events return to it, those that stderr had are stored too, and the interval is told', async () => {
  const peer = await collector(false)
  const { sink, stderr } = sinkFor(peer.path)
  for (let i = 1; i <= 100; i += 1) emitOne(sink, i)
  await until(() => stderr.envelopes().length === 100, 'stderr has them')
  await peer.listen()
  await until(() => sink.stats().transport === 'socket', 'it has returned')
  for (let i = 101; i <= 200; i += 1) emitOne(sink, i)
  expect(await sink.flush(10_000)).toBe(true)
  expect(stderr.envelopes().length).toBe(100)
  const steps = peer.stored.filter(({ kind }) => kind === 'agent.step.start')
  expect(steps.map(({ payload }) => payload['number'])).toEqual(numbers(1, 200))
  const health = peer.stored.find(({ kind }) => kind === 'x.coat.health')
  expect(health?.payload).toMatchObject({
    emitted: 100,
    dropped: { lifecycle: 0, detail: 0 },
    reconnects: 1,
    fallback_since: expect.stringMatching(/Z$/),
  })
  expect(sink.stats()).not.toHaveProperty('fallbackSince')
})

test('a collector that stays away: what may return to it is told on stderr, once each', async () => {
  const peer = await collector()
  const { sink, stderr } = sinkFor(peer.path)
  emitOne(sink, 1)
  expect(await sink.flush(10_000)).toBe(true)
  await peer.kill()
  for (let i = 2; i <= 50; i += 1) emitOne(sink, i)
  await until(() => stderr.envelopes().length === 49, 'stderr has them')
  // The second attempt fails as well.
  await sleep(2500)
  expect(stderr.envelopes().map(({ producer }) => producer?.seq)).toEqual(numbers(2, 50))
  await peer.listen()
  await until(() => sink.stats().reconnects === 1, 'it has returned')
  expect(await sink.flush(10_000)).toBe(true)
  expect(peer.seqs().slice(0, 50)).toEqual(numbers(1, 50))
  expect(peer.duplicates).toBe(0)
  expect(stderr.envelopes()).toHaveLength(49)
})

test('what only stderr had, because the ring was too small, is told to the collector as missing', async () => {
  const peer = await collector(false)
  const { sink, stderr } = sinkFor(peer.path, { events: 100 })
  for (let i = 1; i <= 50; i += 1) emitOne(sink, i)
  await until(() => stderr.envelopes().length === 50, 'stderr has them')
  for (let i = 51; i <= 130; i += 1) emitOne(sink, i)
  await until(() => stderr.envelopes().length === 130, 'stderr has these too')
  expect(sink.stats()).toMatchObject({ spilled: 30, dropped: { lifecycle: 0, detail: 0 } })
  await peer.listen()
  await until(() => sink.stats().transport === 'socket', 'it has returned')
  emitOne(sink, 131)
  expect(await sink.flush(10_000)).toBe(true)
  const last = peer.stored.at(-1)?.producer
  expect(last?.dropped).toBe(Number(last?.seq) - peer.stored.length)
})

test('a peer that never answers is sent to without keeping anything, and left for stderr when it goes', async () => {
  const peer = await collector()
  peer.manners = 'silent'
  const { sink, stderr } = sinkFor(peer.path)
  for (let i = 1; i <= 500; i += 1) emitOne(sink, i)
  await until(() => peer.stored.length === 500, 'they arrive')
  await sleep(1200)
  for (let i = 501; i <= 600; i += 1) emitOne(sink, i)
  expect(await sink.flush(10_000)).toBe(true)
  await until(() => peer.stored.length === 600, 'they arrive')
  expect(sink.stats()).toMatchObject({ written: 600, acked: 0, transport: 'socket' })
  await peer.kill()
  await until(() => sink.stats().transport === 'stderr', 'it falls back')
  emitOne(sink, 601)
  await until(() => stderr.envelopes().length > 0, 'stderr has it')
  expect(stderr.envelopes().map(({ payload }) => payload['number'])).toEqual([601])
})

test('a welcome that comes late is heard all the same', async () => {
  const peer = await collector()
  peer.stall()
  const { sink } = sinkFor(peer.path)
  for (let i = 1; i <= 100; i += 1) emitOne(sink, i)
  await sleep(1300)
  peer.resume()
  for (let i = 101; i <= 200; i += 1) emitOne(sink, i)
  await until(() => peer.stored.length === 200, 'they arrive')
  emitOne(sink, 201)
  expect(await sink.flush(10_000)).toBe(true)
  expect(sink.stats().acked).toBeGreaterThan(0)
  expect(peer.seqs()).toEqual(numbers(1, 201))
})

test('telemetry §16.25: an action-only server is asked once and never again', async () => {
  const peer = await collector()
  peer.manners = 'action-only'
  const { sink } = sinkFor(peer.path)
  for (let i = 1; i <= 40; i += 1) {
    emitOne(sink, i)
    await sleep(100)
  }
  expect(peer.connections).toBe(1)
  expect(sink.stats()).toMatchObject({ transport: 'stderr', emitted: 40, written: 40 })
})

test('attempts come ever less often, up to thirty seconds, and not all at once', () => {
  for (const [attempts, ms] of [
    [0, 1000],
    [1, 2000],
    [4, 16_000],
    [5, 30_000],
    [1000, 30_000],
  ] as const) {
    const waits = Array.from({ length: 200 }, () => backoffMs(attempts))
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(ms * 0.8)
    expect(Math.max(...waits)).toBeLessThanOrEqual(ms * 1.2)
    expect(new Set(waits).size).toBeGreaterThan(10)
  }
})
