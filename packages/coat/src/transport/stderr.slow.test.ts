import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { envelopesIn, startAgent } from './agent.test-kit.ts'
import type { Plan } from './agent-program.test-kit.ts'

const onStderr = (...steps: Plan['steps']): Plan => ({ options: { transport: 'stderr' }, steps })

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'coat-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A pipe that nobody reads until {@link all} does. */
function stalledPipe() {
  const path = join(directory(), 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(path, constants.O_WRONLY)
  let isOpen = true
  const close = () => {
    if (isOpen) closeSync(reader)
    isOpen = false
  }
  onTestFinished(close)
  return {
    writer,
    close,
    all(): string {
      const chunks: Buffer[] = []
      const chunk = Buffer.alloc(65_536)
      for (;;) {
        const count = readSync(reader, chunk)
        if (count === 0) return Buffer.concat(chunks).toString()
        chunks.push(Buffer.from(chunk.subarray(0, count)))
      }
    },
  }
}

test('telemetry §16.24: a reader that stalls holds up neither the agent nor its end; the rest is dropped and counted', async () => {
  const pipe = stalledPipe()
  const agent = startAgent(
    onStderr(
      { do: 'emit', count: 100 },
      { do: 'sleep', ms: 100 },
      { do: 'stats' },
      { do: 'emit', count: 20_000 },
      { do: 'sleep', ms: 100 },
      { do: 'stats' },
    ),
    { stdio: ['pipe', 'pipe', pipe.writer] },
  )
  closeSync(pipe.writer)
  const { code, told } = await agent.ended()
  expect(code).toBe(0)
  const { emitted, written, dropped } = told as unknown as {
    emitted: number
    written: number
    dropped: { lifecycle: number }
  }
  expect(emitted).toBe(20_100)
  // What waits is within 256 KiB of lines that are longer than 400 bytes.
  expect(emitted - written - dropped.lifecycle).toBeLessThan((256 * 1024) / 400)
  expect(dropped.lifecycle).toBeGreaterThan(15_000)
  const text = pipe.all()
  expect(text.length).toBeLessThanOrEqual(65_536)
  expect(text.endsWith('\n')).toBe(true)
  expect(envelopesIn(text).length).toBe(text.split('\n').length - 1)
})

test('telemetry §16.24: as well when stderr is a socket, as a parent process may make it', async () => {
  const agent = startAgent(
    onStderr(
      { do: 'emit', count: 20_000 },
      { do: 'sleep', ms: 50 },
      { do: 'emit', count: 20_000 },
      { do: 'stats' },
      { do: 'exit' },
    ),
  )
  agent.child.stderr?.pause()
  await new Promise((resolve) => agent.child.once('exit', resolve))
  agent.child.stderr?.resume()
  const { code, stderr, told } = await agent.ended()
  expect(code).toBe(0)
  expect((told['dropped'] as { lifecycle: number }).lifecycle).toBeGreaterThan(10_000)
  expect(envelopesIn(stderr).length).toBeGreaterThan(50)
})

test('telemetry §16.24: a stderr that nobody will ever read again: everything is counted, nothing fails', async () => {
  const pipe = stalledPipe()
  const agent = startAgent(
    onStderr(
      { do: 'say', text: 'ready' },
      { do: 'listen' },
      { do: 'emit', count: 1000 },
      { do: 'sleep', ms: 100 },
      { do: 'emit', count: 1000 },
      { do: 'flush', ms: 10_000 },
      { do: 'stats' },
    ),
    { stdio: ['pipe', 'pipe', pipe.writer] },
  )
  closeSync(pipe.writer)
  await agent.line()
  pipe.close()
  agent.child.stdin?.write('go\n')
  const { code, told } = await agent.ended()
  expect(code).toBe(0)
  expect(told).toMatchObject({ emitted: 2000, written: 0, dropped: { lifecycle: 2000, detail: 0 } })
})

test('what else the agent prints stays whole, and so do the envelopes', async () => {
  const file = join(directory(), 'stderr.txt')
  const fd = openSync(file, 'w')
  const agent = startAgent(
    {
      options: { socketPath: '/nonexistent/queue.sock' },
      steps: [{ do: 'emit', count: 500 }, { do: 'throw' }],
    },
    { stdio: ['pipe', 'pipe', fd] },
  )
  closeSync(fd)
  expect((await agent.ended()).code).toBe(1)
  const text = readFileSync(file, 'utf8')
  expect(envelopesIn(text).filter(({ kind }) => kind === 'agent.step.start')).toHaveLength(500)
  expect(text).toContain('Error: the agent failed')
})
