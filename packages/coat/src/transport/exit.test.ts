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

test('telemetry §16.20: process.exit() right after 400 events: all of them are stored', async () => {
  const peer = await collector()
  const agent = startAgent(plan(peer.path, { do: 'emit', count: 400 }, { do: 'exit' }))
  expect(await agent.ended()).toMatchObject({ code: 0, stderr: '' })
  await until(() => peer.stored.length === 400, 'all are stored')
  expect(peer.seqs()).toEqual(numbers(1, 400))
  expect(peer.broken).toEqual([])
})

test('nothing of the library keeps a process alive, and what is left goes out when it has nothing else to do', async () => {
  const peer = await collector()
  const agent = startAgent(plan(peer.path, { do: 'emit', count: 50 }))
  expect(await agent.ended()).toMatchObject({ code: 0, stderr: '' })
  await until(() => peer.stored.length === 50, 'all are stored')
})

test('without a socket, what is left goes to stderr as the process ends', async () => {
  const agent = startAgent(
    plan('/nonexistent/queue.sock', { do: 'emit', count: 100 }, { do: 'exit' }),
  )
  const { code, stderr } = await agent.ended()
  expect(code).toBe(0)
  const steps = envelopesIn(stderr).filter(({ kind }) => kind === 'agent.step.start')
  expect(steps.map(({ payload }) => payload['number'])).toEqual(numbers(1, 100))
  expect(warningsIn(stderr)).toHaveLength(1)
})
