import { expect, onTestFinished, test } from 'vitest'
import { startAgent } from './agent.test-kit.ts'
import { TestCollector } from './collector.test-kit.ts'

async function collector() {
  const made = await new TestCollector().listen()
  made.isForgetful = true
  onTestFinished(() => made[Symbol.asyncDispose]())
  return made
}

const MIB = 1024 * 1024

/** How much later the event loop is then, bench/coat.ts measures. */
test('telemetry §16.16: twenty thousand events a second are all delivered, and the agent goes on meanwhile', async () => {
  const peer = await collector()
  const agent = startAgent({
    options: { socketPath: peer.path },
    steps: [
      { do: 'emit-slowly', count: 110_000, perSecond: 20_000 },
      { do: 'flush', ms: 10_000 },
      { do: 'stats' },
    ],
  })
  const told = (await agent.ended()).told as { loopP99Ms: number; dropped: object }
  expect(told.dropped).toEqual({ lifecycle: 0, detail: 0 })
  expect(peer.count).toBe(110_000)
  expect(told.loopP99Ms).toBeLessThan(1_000)
}, 60_000)

test('telemetry §16.15: a million events leave no more than 2 MiB behind', async () => {
  const peer = await collector()
  const agent = startAgent({
    options: { socketPath: peer.path },
    steps: [
      { do: 'emit-slowly', count: 50_000, perSecond: 40_000 },
      { do: 'flush', ms: 10_000 },
      { do: 'heap', as: 'before' },
      { do: 'emit-slowly', count: 1_000_000, perSecond: 40_000 },
      { do: 'flush', ms: 10_000 },
      { do: 'heap', as: 'after' },
      { do: 'stats' },
    ],
  })
  const { before, after, emitted } = (await agent.ended()).told as Record<string, number>
  expect(emitted).toBe(1_050_000)
  expect(Number(after) - Number(before)).toBeLessThan(2 * MIB)
}, 120_000)

test('telemetry §16.20: a stalled peer delays the end by 200 ms, however the process ends', async () => {
  const peer = await collector()
  for (const how of ['exit', undefined] as const) {
    const agent = startAgent({
      options: { socketPath: peer.path },
      steps: [
        { do: 'emit', count: 1 },
        { do: 'flush', ms: 10_000 },
        { do: 'say', text: 'ready' },
        { do: 'listen' },
        { do: 'emit', count: 4000 },
        { do: 'time-end' },
        ...(how === undefined ? [] : [{ do: how }]),
      ],
    })
    await agent.line()
    peer.stall()
    agent.child.stdin?.write('go\n')
    const { endMs } = (await agent.ended()).told as { endMs: number }
    peer.resume()
    expect(endMs).toBeGreaterThan(150)
    // The steps of waiting, and a busy machine, come on top.
    expect(endMs).toBeLessThan(1_000)
  }
})
