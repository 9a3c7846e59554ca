import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
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

test('a stderr that the agent closed and whose number it uses again is left alone', async () => {
  const data = join(mkdtempSync(join(tmpdir(), 'coat-')), 'data')
  onTestFinished(() => rmSync(dirname(data), { recursive: true, force: true }))
  const program = `
    import { closeSync, fstatSync, openSync, writeSync } from 'node:fs'
    import { createSink } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'create-sink.ts')).href)}
    import { DEFAULTS, emitOne } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'agent-program.test-kit.ts')).href)}
    const sink = createSink({ ...DEFAULTS, transport: 'stderr' })
    emitOne(sink, 1)
    await sink.flush(1000)
    closeSync(2)
    const fd = openSync(${JSON.stringify(data)}, 'w')
    writeSync(fd, 'mine')
    emitOne(sink, 2)
    await sink.flush(1000)
    const { written, dropped } = sink.stats()
    console.log(fd, written, dropped.lifecycle)
    emitOne(sink, 3)`
  const log = openSync(`${data}.log`, 'w')
  const child = spawn(
    process.execPath,
    ['--conditions=source', '--no-warnings', '--input-type=module', '--eval', program],
    { stdio: ['ignore', 'pipe', log], timeout: 60_000 },
  )
  closeSync(log)
  let stdout = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  expect([code, stdout]).toEqual([0, '2 1 1\n'])
  expect(readFileSync(data, 'utf8')).toBe('mine')
  expect(envelopesIn(readFileSync(`${data}.log`, 'utf8'))).toHaveLength(1)
})
