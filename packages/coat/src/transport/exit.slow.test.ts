import { expect, onTestFinished, test } from 'vitest'
import { envelopesIn, startAgent, warningsIn } from './agent.test-kit.ts'
import type { Plan } from './agent-program.test-kit.ts'
import { TestCollector } from './collector.test-kit.ts'
import { numbers, until } from './sink.test-kit.ts'

async function collector() {
  const made = await new TestCollector().listen()
  onTestFinished(() => made[Symbol.asyncDispose]())
  return made
}

const plan = (socketPath: string, ...steps: Plan['steps']): Plan => ({
  options: { socketPath },
  steps,
})

test('telemetry §16.20: as well when the reader is stalled at that moment and resumes later', async () => {
  const peer = await collector()
  const agent = startAgent(
    plan(
      peer.path,
      { do: 'emit', count: 1 },
      { do: 'flush', ms: 10_000 },
      { do: 'say', text: 'ready' },
      { do: 'listen' },
      { do: 'emit', count: 400 },
      { do: 'exit' },
    ),
  )
  await agent.line()
  peer.stall()
  agent.child.stdin?.write('go\n')
  expect(await agent.ended()).toMatchObject({ code: 0, stderr: '' })
  peer.resume()
  await until(() => peer.stored.length === 401, 'all are stored')
  expect(peer.seqs()).toEqual(numbers(1, 401))
})

test('telemetry §16.20: a stalled peer delays the end by 200 ms at most; what it did not take is counted on stderr', async () => {
  const peer = await collector()
  const ends = async (how: 'exit' | undefined) => {
    const agent = startAgent(
      plan(
        peer.path,
        { do: 'emit', count: 1 },
        { do: 'flush', ms: 10_000 },
        { do: 'say', text: 'ready' },
        { do: 'listen' },
        { do: 'emit', count: 4000 },
        { do: 'say', text: 'over' },
        ...(how === undefined ? [] : [{ do: how }]),
      ),
    )
    await agent.line()
    peer.stall()
    agent.child.stdin?.write('go\n')
    await agent.line()
    const overMs = performance.now()
    const { code, stderr } = await agent.ended()
    const tookMs = performance.now() - overMs
    expect(code).toBe(0)
    const before = peer.stored.length
    peer.resume()
    await until(() => peer.broken.length > 0, 'the torn line is seen')
    const stored = peer.stored.length - before + 1
    expect(stored).toBeGreaterThan(400)
    const [health] = envelopesIn(stderr)
    expect(health).toMatchObject({ kind: 'x.coat.health', payload: { emitted: 4001 } })
    const dropped = health?.payload['dropped'] as { lifecycle: number } | undefined
    expect(stored + Number(dropped?.lifecycle)).toBe(4001)
    peer.broken.length = 0
    return tookMs
  }
  // The process itself takes its time; far more would mean that both ways of ending waited.
  expect(await ends('exit')).toBeLessThan(2000)
  expect(await ends(undefined)).toBeLessThan(2000)
})

test('an uncaught exception ends the process as it always does, and nothing is lost', async () => {
  const peer = await collector()
  const agent = startAgent(plan(peer.path, { do: 'emit', count: 300 }, { do: 'throw' }))
  const { code, stderr } = await agent.ended()
  expect(code).toBe(1)
  expect(stderr).toContain('Error: the agent failed')
  await until(() => peer.stored.length === 300, 'all are stored')
})

test('telemetry §16.22: SIGKILL loses no more than the last flush interval and one batch', async () => {
  const peer = await collector()
  const agent = startAgent(
    plan(
      peer.path,
      { do: 'emit-slowly', count: 1000, perSecond: 2000 },
      { do: 'sleep', ms: 200 },
      { do: 'emit', count: 10 },
      { do: 'kill' },
    ),
  )
  expect((await agent.ended()).signal).toBe('SIGKILL')
  await until(() => peer.stored.length >= 1000, 'all but the last are stored')
  expect(peer.seqs().slice(0, 1000)).toEqual(numbers(1, 1000))
})

test('signals end the process with what is left, only when that was asked for', async () => {
  const peer = await collector()
  const killed = async (flushOnSignals: boolean) => {
    const agent = startAgent({
      options: { socketPath: peer.path, flushOnSignals, flushMs: 60_000 },
      steps: [
        // Once the connection rests, nothing goes out before its time.
        { do: 'emit', count: 1 },
        { do: 'flush', ms: 10_000 },
        { do: 'emit', count: 20 },
        { do: 'say', text: 'ready' },
        { do: 'listen' },
      ],
    })
    await agent.line()
    agent.child.kill('SIGTERM')
    expect((await agent.ended()).signal).toBe('SIGTERM')
  }
  await killed(true)
  await until(() => peer.stored.length === 21, 'all are stored')
  await killed(false)
  expect(peer.stored.length).toBe(22)
})

test('a collector that is gone when the process ends: what it may not have is told on stderr', async () => {
  const peer = await collector()
  const agent = startAgent(
    plan(
      peer.path,
      { do: 'emit', count: 1 },
      { do: 'flush', ms: 10_000 },
      { do: 'say', text: 'ready' },
      { do: 'listen' },
      { do: 'emit', count: 30 },
    ),
  )
  await agent.line()
  await peer.kill()
  agent.child.stdin?.write('go\n')
  const { code, stderr } = await agent.ended()
  expect(code).toBe(0)
  const steps = envelopesIn(stderr).filter(({ kind }) => kind === 'agent.step.start')
  expect(steps.map(({ payload }) => payload['number'])).toEqual(numbers(2, 31))
  expect(warningsIn(stderr)).toHaveLength(1)
})
