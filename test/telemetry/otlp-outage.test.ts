/** A receiver that is away for ten minutes of the exporter's own clocks, while agents go on. */
import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as breathe } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { AuditLog } from '../../packages/server/src/audit/log.ts'
import type { AuditEntry } from '../../packages/server/src/audit/record.ts'
import { verifyLog } from '../../packages/server/src/audit/verify.ts'
import { SpanIndex } from '../../packages/server/src/telemetry/correlation/span-index.ts'
import { rules, stored } from '../../packages/server/src/telemetry/otlp/envelopes.test-kit.ts'
import { OtlpExporter } from '../../packages/server/src/telemetry/otlp/exporter.ts'
import { resourceOf } from '../../packages/server/src/telemetry/otlp/resource.ts'
import { exportPlan } from '../../packages/server/src/telemetry/otlp/targets.ts'
import { OtelSettings } from '../../packages/server/src/telemetry/settings.ts'
import { attributesOf, logsOf } from './otlp-decode.ts'

const AWAY_MS = 10 * 60_000
const TAKEN = { status: 200, retryAfter: undefined, body: Buffer.from('{}') }

test('telemetry §16.43: ten minutes without a receiver: the log has everything at once, and the receiver gets it all, in order and once', async () => {
  const temporary = mkdtempDisposableSync(join(tmpdir(), 'vestry-outage-'))
  onTestFinished(() => temporary.remove())
  const dir = join(temporary.path, 'audit')
  const log = await AuditLog.open({ dir, podName: 'ledger', now: Date.now })
  onTestFinished(() => log.close())

  let passedMs = 0
  let appended = 0
  /** A step of an agent each simulated second, in the log before the exporter goes on. */
  const append = async (): Promise<void> => {
    const made = stored(1, {
      kind: 'agent.step.start',
      span: `sp_${(appended + 1).toString(16).padStart(16, '0')}`,
      payload: { fn: `fn-${appended}`, op: 'step' },
    })
    const { v: _v, seq: _s, timestamp: _t, pod_name: _p, prev: _r, hash: _h, ...entry } = made
    await log.append(entry as AuditEntry, 'written')
    appended += 1
  }
  const attemptsMs: number[] = []
  const taken: string[] = []
  const counts = { failed: 0, lost: 0, refused: 0 }
  const add = (name: keyof typeof counts, count: number): void => {
    counts[name] += count
  }
  const otel = OtelSettings.parse({
    endpoint: 'http://collector.internal:4318',
    protocol: 'http/json',
    signals: ['logs'],
  })
  const exporter = new OtlpExporter({
    log,
    path: join(temporary.path, 'cursor.json'),
    targets: exportPlan(otel),
    rules: rules(),
    resource: resourceOf({ serviceName: 'l', podId: 'p', podName: 'l', hostName: 'h' }),
    attributor: () => new SpanIndex(),
    meter: {
      exported: () => undefined,
      exportFailed: () => add('failed', 1),
      exportRefused: (count) => add('refused', count),
      exportLost: (count) => add('lost', count),
    },
    warn: () => undefined,
    post: async (request) => {
      attemptsMs.push(passedMs)
      if (passedMs < AWAY_MS) throw new Error('connect ECONNREFUSED')
      for (const record of logsOf(JSON.parse(Buffer.from(request.body).toString())))
        taken.push(String(attributesOf(record)['envpod.fn']))
      return TAKEN
    },
    isAlive: () => true,
    now: () => Date.now() + passedMs,
    monotonicMs: () => passedMs,
    random: () => 0.5,
    sleep: async (ms, signal) => {
      const untilMs = passedMs + ms
      while (passedMs < untilMs && !signal.aborted) {
        passedMs = Math.min(untilMs, passedMs + 1_000)
        if (passedMs < AWAY_MS) await append()
      }
      await breathe()
    },
    pollMs: 10,
    lingerMs: 20,
  })
  onTestFinished(() => exporter.stop(0))
  exporter.start()
  await expect.poll(() => exporter.status.state, { timeout: 10_000 }).not.toBe('starting')
  await append()
  await expect.poll(() => taken.length, { timeout: 25_000 }).toBeGreaterThan(0)
  await expect.poll(() => taken.length, { timeout: 25_000 }).toBe(appended)

  expect(appended).toBeGreaterThan(500)
  expect(taken).toEqual(Array.from({ length: appended }, (_, at) => `fn-${at}`))
  expect(counts).toMatchObject({ lost: 0, refused: 0 })
  expect(counts.failed).toBeGreaterThan(10)
  // It asked again and again, without hammering, and was back within one pause of the receiver.
  const during = attemptsMs.filter((ms) => ms < AWAY_MS)
  expect(during.length).toBeGreaterThan(20)
  expect(during.length).toBeLessThan(600)
  expect(attemptsMs.find((ms) => ms >= AWAY_MS)).toBeLessThan(AWAY_MS + 40_000)
  expect(log.available).toBe(true)
  await log.flush()
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact' })
})
