import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { VestryError } from '@vestry/contract/errors'
import { afterEach, expect, test, vi } from 'vitest'
import { containerLimits } from './cgroup.ts'
import { CpuSampler } from './cpu-sampler.ts'
import { HealthChecks } from './health.ts'
import { type CpuReading, hostUsage, readCpu, readText } from './host-usage.ts'

afterEach(() => void vi.useRealTimers())

const near = (value: number, wanted: number, slack: number) => {
  expect(value).toBeGreaterThanOrEqual(wanted - slack)
  expect(value).toBeLessThanOrEqual(wanted + slack)
}

test('runtime §20.28: disk and memory are what the operating system says', async () => {
  const usage = await hostUsage(tmpdir(), 12.5)
  const df = execFileSync('df', ['-B1', '--output=used,pcent', tmpdir()], { encoding: 'utf8' })
  const [used = '', percent = ''] = df.trim().split('\n').at(-1)?.trim().split(/\s+/) ?? []
  near(usage.disk_usage_bytes, Number(used), 0.1 * Number(used))
  near(usage.disk_usage_percent, Number.parseInt(percent, 10), 2)
  expect(usage.cpu_usage_percent).toBe(12.5)
  expect(usage.memory_usage_percent).toBeGreaterThan(0)
  const meminfo = readFileSync('/proc/meminfo', 'utf8')
  const bytesOf = (name: string) =>
    1_024 * Number(new RegExp(`^${name}: *(\\d+)`, 'm').exec(meminfo)?.[1])
  const total = containerLimits(readText).memory?.limitBytes ?? bytesOf('MemTotal')
  near(usage.memory_usage_percent, (100 * usage.memory_usage_bytes) / total, 0.01)
  // Neighbours on the machine come and go meanwhile.
  if (total === bytesOf('MemTotal'))
    near(usage.memory_usage_bytes, total - bytesOf('MemAvailable'), 0.1 * total)
  for (const value of [usage.memory_usage_bytes, usage.disk_usage_bytes])
    expect(Number.isSafeInteger(value)).toBe(true)
})

test('the real counters of processor time go forward', () => {
  const before = readCpu(readText, 0)
  const now = readCpu(readText, 1_000)
  expect(now.usedMs).toBeGreaterThanOrEqual(before.usedMs)
  expect(now.possibleMs).toBeGreaterThanOrEqual(before.possibleMs)
})

test('processor use is that of the last seconds, never of less than one', () => {
  vi.useFakeTimers()
  let nowMs = 0
  let reading: CpuReading = { usedMs: 0, possibleMs: 0 }
  using sampler = new CpuSampler({ read: () => reading, now: () => nowMs })
  const pass = (ms: number, used: number) => {
    nowMs += ms
    reading = { usedMs: reading.usedMs + used, possibleMs: reading.possibleMs + 2 * ms }
    vi.advanceTimersByTime(ms)
  }
  pass(500, 500)
  expect(sampler.percent()).toBe(0)
  pass(500, 500)
  expect(sampler.percent()).toBe(50)
  pass(4_000, 0)
  pass(1_000, 2_000)
  expect(sampler.percent()).toBe(100)
  pass(3_000, 0)
  expect(sampler.percent()).toBe(25)
  // From then on the start is forgotten.
  pass(1_000, 0)
  pass(3_000, 0)
  expect(sampler.percent()).toBe(0)
})

test('health names what does not work, and nothing of why: anybody may ask', async () => {
  let nowMs = 0
  let asked = 0
  const health = new HealthChecks(
    {
      storage: {
        check: () => {
          asked += 1
        },
        vital: true,
      },
      secrets: {
        check: () => {
          throw new VestryError('BACKEND_UNAVAILABLE', 'Host "vault.corp.internal" does not answer')
        },
        vital: false,
      },
    },
    () => nowMs,
  )
  expect(await health.health()).toEqual({
    status: 'degraded',
    checks: {
      storage: { status: 'healthy', latency_ms: 0 },
      secrets: { status: 'degraded', latency_ms: 0 },
    },
  })
  await health.health()
  expect(asked).toBe(1)
  nowMs = 1_000
  await health.health()
  expect(asked).toBe(2)
  const broken = new HealthChecks(
    { storage: { check: () => Promise.reject(new Error('/home/ada/db: EIO')), vital: true } },
    () => nowMs,
  )
  expect(await broken.health()).toEqual({
    status: 'unhealthy',
    checks: { storage: { status: 'unhealthy', latency_ms: 0 } },
  })
})

test('a check that never ends counts as failed', async () => {
  vi.useFakeTimers()
  const health = new HealthChecks(
    { storage: { check: () => new Promise(() => undefined), vital: true } },
    () => 0,
  )
  const asked = health.health()
  await vi.advanceTimersByTimeAsync(2_000)
  expect(await asked).toMatchObject({ status: 'unhealthy' })
})
