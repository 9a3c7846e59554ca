/** The library of the agent and the daemon together, under load and while one of them is stopped or killed. */
import { createReadStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startAgent, warningsIn } from '../../packages/coat/src/transport/agent.test-kit.ts'
import type { Plan } from '../../packages/coat/src/transport/agent-program.test-kit.ts'
import { homeAt } from '../../packages/server/src/app/home.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'

let dir: string
let daemon: DaemonProcess

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'vestry-'))
  daemon = await DaemonProcess.start(dir)
})

afterEach(async () => {
  daemon.child.kill('SIGCONT')
  await daemon.kill()
  rmSync(dir, { recursive: true, force: true })
})

const plan = (...steps: Plan['steps']): Plan => ({
  options: { socketPath: String(daemon.ready.queue_socket) },
  steps,
})

interface Told {
  readonly emitted: number
  readonly acked: number
  readonly dropped: { readonly lifecycle: number; readonly detail: number }
  readonly spilled: number
  readonly isFlushed: boolean
  readonly reconnects: number
  readonly p99Ms: number
  readonly calls: number
}

interface Stored {
  /** In the order of the log. */
  readonly seqs: number[]
  readonly gaps: Record<string, unknown>[]
}

async function stored(): Promise<Stored> {
  const seqs: number[] = []
  const gaps: Record<string, unknown>[] = []
  const lines = createInterface({
    input: createReadStream(join(homeAt(dir, {}).audit, 'audit.jsonl')),
  })
  for await (const line of lines) {
    const { action, event, data } = JSON.parse(line) as {
      action: string
      event?: { producer: { seq: number } }
      data?: Record<string, unknown>
    }
    if (action === 'agent_event') seqs.push(event?.producer.seq ?? 0)
    else if (action === 'coat_gap' && data?.['reason'] === 'producer') gaps.push(data)
  }
  return { seqs, gaps }
}

async function storedOnce(isSo: (stored: Stored) => boolean): Promise<Stored> {
  const endsAt = performance.now() + 30_000
  for (;;) {
    const now = await stored()
    if (isSo(now) || performance.now() > endsAt) return now
    await sleep(100)
  }
}

/** Numbers that are there twice or out of order. */
function misplaced(seqs: readonly number[]): number {
  return seqs.filter((seq, at) => at > 0 && seq <= (seqs[at - 1] ?? 0)).length
}

function lost({ dropped, spilled }: Told): number {
  return dropped.lifecycle + dropped.detail + spilled
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

test('telemetry §16.18: a hundred thousand events at ten thousand a second are stored, in order, once each', async () => {
  const agent = startAgent(
    plan(
      { do: 'emit-slowly', count: 100_000, perSecond: 10_000 },
      { do: 'flush', ms: 30_000 },
      { do: 'stats' },
    ),
  )
  const { told, stderr } = await agent.ended()
  expect(stderr).toBe('')
  expect(told).toMatchObject({ emitted: 100_000, acked: 100_000, isFlushed: true })
  const { seqs, gaps } = await stored()
  expect(seqs).toHaveLength(100_000)
  expect([seqs[0], seqs.at(-1), misplaced(seqs)]).toEqual([1, 100_000, 0])
  expect(gaps).toEqual([])
})

test('telemetry §16.19: the daemon is killed and started again in the middle, twice: nothing is lost, nothing is there twice', async () => {
  const agent = startAgent(
    plan(
      { do: 'emit-slowly', count: 14_000, perSecond: 1000 },
      { do: 'flush', ms: 30_000 },
      { do: 'stats' },
    ),
  )
  for (const ms of [2000, 5000]) {
    await sleep(ms)
    await daemon.kill()
    daemon = await DaemonProcess.start(dir)
  }
  const { stderr, told } = await agent.ended()
  const { emitted, isFlushed, reconnects, dropped } = told as unknown as Told
  expect(dropped).toEqual({ lifecycle: 0, detail: 0 })
  expect(isFlushed).toBe(true)
  expect(reconnects).toBe(2)
  expect(warningsIn(stderr).length).toBeLessThanOrEqual(1)
  // As it ends, the process tells that it was connected again.
  const { seqs, gaps } = await storedOnce((now) => now.seqs.length > emitted)
  expect(seqs).toHaveLength(emitted + 1)
  expect([seqs[0], seqs.at(-1), misplaced(seqs)]).toEqual([1, emitted + 1, 0])
  expect(gaps).toEqual([])
})

test('telemetry §16.20: process.exit() right after 400 events, while the daemon stands still: all of them are stored', async () => {
  const running = startAgent(plan({ do: 'emit', count: 400 }, { do: 'exit' }))
  expect(await running.ended()).toMatchObject({ code: 0, stderr: '' })
  expect((await storedOnce(({ seqs }) => seqs.length === 400)).seqs).toHaveLength(400)

  const agent = startAgent(
    plan(
      { do: 'emit', count: 1 },
      { do: 'flush', ms: 10_000 },
      { do: 'say', text: 'ready' },
      { do: 'listen' },
      { do: 'emit', count: 400 },
      { do: 'exit' },
    ),
  )
  await agent.line()
  daemon.child.kill('SIGSTOP')
  agent.child.stdin?.write('go\n')
  expect(await agent.ended()).toMatchObject({ code: 0, stderr: '' })
  daemon.child.kill('SIGCONT')
  const { seqs, gaps } = await storedOnce((now) => now.seqs.length === 801)
  expect(seqs).toHaveLength(801)
  expect(gaps).toEqual([])
})

test('telemetry §16.21: on overflow, what was emitted is what was stored and what was dropped; the daemon says the same', async () => {
  const agent = startAgent(
    plan(
      { do: 'emit', count: 1 },
      { do: 'flush', ms: 10_000 },
      { do: 'say', text: 'ready' },
      { do: 'listen' },
      { do: 'emit', count: 15_000 },
      { do: 'emit', count: 15_000, kind: 'x.coat.tie' },
      { do: 'say', text: 'full' },
      { do: 'listen' },
      { do: 'flush', ms: 30_000 },
      { do: 'emit', count: 1 },
      { do: 'flush', ms: 30_000 },
      { do: 'stats' },
    ),
  )
  await agent.line()
  daemon.child.kill('SIGSTOP')
  agent.child.stdin?.write('go\n')
  await agent.line()
  daemon.child.kill('SIGCONT')
  agent.child.stdin?.write('go\n')
  const told = (await agent.ended()).told as unknown as Told
  expect(told.isFlushed).toBe(true)
  expect(told.dropped.lifecycle).toBeGreaterThan(1000)
  expect(told.dropped.detail).toBeGreaterThan(10_000)
  const { seqs, gaps } = await storedOnce((now) => now.gaps.length > 0)
  // What the process says of itself as it ends comes after its own count.
  const inTime = seqs.filter((seq) => seq <= told.emitted)
  expect(inTime.length + lost(told)).toBe(told.emitted)
  expect(misplaced(seqs)).toBe(0)
  expect(gaps).toHaveLength(1)
  expect(gaps[0]).toMatchObject({ missing: lost(told), dropped: lost(told) })
})

test('telemetry §16.22: an agent that is killed loses what was younger than a flush interval and a batch', async () => {
  const perSecond = 2000
  const agent = startAgent(
    plan(
      { do: 'emit-slowly', count: 4000, perSecond },
      { do: 'say', text: 'over' },
      { do: 'kill' },
    ),
  )
  await agent.line()
  expect((await agent.ended()).signal).toBe('SIGKILL')
  const most = 64 + (perSecond * 50) / 1000
  const { seqs } = await storedOnce((now) => now.seqs.length >= 4000 - most)
  expect(seqs.length).toBeGreaterThanOrEqual(4000 - most)
  expect([seqs[0], misplaced(seqs), seqs.at(-1)]).toEqual([1, 0, seqs.length])
})

test('telemetry §16.17: a daemon that stands still for thirty seconds under load: the agent does not feel it, and every event is accounted for', async () => {
  const agent = startAgent(
    plan(
      { do: 'emit', count: 1 },
      { do: 'flush', ms: 10_000 },
      { do: 'say', text: 'ready' },
      { do: 'listen' },
      { do: 'emit-measured', seconds: 30, perSecond: 5000 },
      { do: 'say', text: 'over' },
      { do: 'listen' },
      { do: 'flush', ms: 30_000 },
      { do: 'stats' },
    ),
  )
  await agent.line()
  daemon.child.kill('SIGSTOP')
  agent.child.stdin?.write('go\n')
  await agent.line()
  daemon.child.kill('SIGCONT')
  agent.child.stdin?.write('go\n')
  const { stderr, told: given } = await agent.ended()
  const told = given as unknown as Told
  expect(told.calls).toBeGreaterThan(100_000)
  // No call waits for the daemon; what a call costs meanwhile, bench/coat.ts measures.
  expect(told.p99Ms).toBeLessThan(100)
  expect(told.isFlushed).toBe(true)
  expect(warningsIn(stderr)).toEqual([])
  const { seqs, gaps } = await storedOnce((now) => now.gaps.length > 0)
  const inTime = seqs.filter((seq) => seq <= told.emitted)
  expect(inTime.length + lost(told)).toBe(told.emitted)
  expect(misplaced(seqs)).toBe(0)
  expect(gaps[0]).toMatchObject({ missing: lost(told), dropped: lost(told) })
})
