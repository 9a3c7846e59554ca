/** The exporter on a real log, against a real receiver, through the guarded way out. */
import {
  mkdirSync,
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { AuditLog } from '../../packages/server/src/audit/log.ts'
import type { AuditEntry } from '../../packages/server/src/audit/record.ts'
import { segmentName } from '../../packages/server/src/audit/segment.ts'
import { EgressPool } from '../../packages/server/src/egress/pool.ts'
import { systemResolver } from '../../packages/server/src/egress/resolve.ts'
import { Secret } from '../../packages/server/src/seal/secret.ts'
import { SpanIndex } from '../../packages/server/src/telemetry/correlation/span-index.ts'
import {
  type Made,
  rules,
  stored,
} from '../../packages/server/src/telemetry/otlp/envelopes.test-kit.ts'
import { OtlpExporter } from '../../packages/server/src/telemetry/otlp/exporter.ts'
import { httpPost, type PostDeps } from '../../packages/server/src/telemetry/otlp/http-post.ts'
import type { ExportRules } from '../../packages/server/src/telemetry/otlp/log-record.ts'
import { resourceOf } from '../../packages/server/src/telemetry/otlp/resource.ts'
import { exportPlan } from '../../packages/server/src/telemetry/otlp/targets.ts'
import { OtelSettings } from '../../packages/server/src/telemetry/settings.ts'
import { attributesOf, encodePartialSuccess, type Span } from './otlp-decode.ts'
import { type Receiver, startReceiver } from './otlp-receiver.ts'

/** Pauses are this much shorter than in earnest. */
const FASTER = 100

interface World {
  readonly dir: string
  readonly log: AuditLog
  readonly warnings: string[]
  readonly counts: Record<'exported' | 'failed' | 'refused' | 'lost', number>
  append(...made: Made[]): Promise<void>
  note(): Promise<number>
  /** Another exporter on the same log and place; the one before it must be stopped. */
  exporter(
    endpoint: string,
    settings?: object,
    more?: Partial<PostDeps>,
    given?: Partial<ExportRules>,
  ): OtlpExporter
}

async function world(): Promise<World> {
  const temporary = mkdtempDisposableSync(join(tmpdir(), 'vestry-otlp-'))
  onTestFinished(() => temporary.remove())
  const dir = temporary.path
  const log = await AuditLog.open({
    dir: join(dir, 'audit'),
    podName: 'ledger',
    now: Date.now,
    limits: { segmentBytes: 1_048_576 },
  })
  const pool = new EgressPool()
  onTestFinished(() => pool.destroy())
  onTestFinished(() => log.close())
  const counts = { exported: 0, failed: 0, refused: 0, lost: 0 }
  const add = (name: keyof typeof counts, count: number): void => {
    counts[name] += count
  }
  const warnings: string[] = []
  return {
    dir,
    log,
    warnings,
    counts,
    append: async (...made) => {
      for (const one of made) {
        const {
          v: _v,
          seq: _s,
          timestamp: _t,
          pod_name: _p,
          prev: _r,
          hash: _h,
          ...entry
        } = stored(1, one)
        await log.append(entry as AuditEntry, 'written')
      }
    },
    note: () =>
      log.append(
        {
          action: 'note',
          phase: 'single',
          detail: '',
          success: true,
          actor: 'system',
          source: 'host',
        },
        'written',
      ),
    exporter: (endpoint, settings = {}, more = {}, given = {}) => {
      const otel = OtelSettings.parse({ endpoint, timeout_ms: 5_000, ...settings })
      const plan = exportPlan(otel)
      const egress = {
        pool,
        resolver: systemResolver,
        rules: { holes: [], ownListeners: () => [], localAddresses: () => [] },
        userAgent: 'vestry/test',
        now: Date.now,
      }
      const credentials = { open: () => Promise.reject(new Error('there is no vault')) }
      const exporter = new OtlpExporter({
        log,
        path: join(dir, 'cursor.json'),
        targets: plan,
        rules: rules({ content: otel.content, genAi: otel.gen_ai, ...given }),
        resource: resourceOf({ serviceName: 'l', podId: 'p', podName: 'l', hostName: 'h' }),
        attributor: () => new SpanIndex(),
        meter: {
          exported: (count) => add('exported', count),
          exportFailed: () => add('failed', 1),
          exportRefused: (count) => add('refused', count),
          exportLost: (count) => add('lost', count),
        },
        warn: (line) => void warnings.push(line),
        post: httpPost({ egress, credentials, ...more }),
        isAlive: () => true,
        now: Date.now,
        monotonicMs: () => performance.now(),
        random: () => 0.5,
        sleep: (ms, signal) => delay(ms / FASTER, undefined, { signal }).catch(() => undefined),
        pollMs: 10,
        lingerMs: 50,
      })
      onTestFinished(() => exporter.stop(0))
      return exporter
    },
  }
}

async function started(exporter: OtlpExporter): Promise<OtlpExporter> {
  exporter.start()
  const endsAt = performance.now() + 10_000
  while (exporter.status.state === 'starting' && performance.now() < endsAt) await delay(10)
  return exporter
}

const fn = (number: number) => `fn-${number}`
const point = (number: number): Made => ({
  kind: 'agent.step.start',
  span: `sp_${(number + 1).toString(16).padStart(16, '0')}`,
  payload: { fn: fn(number), op: 'step' },
})
const end = (number: number): Made => ({
  ...point(number),
  kind: 'agent.step.end',
  atMs: 5,
  payload: { fn: fn(number), op: 'step', status: 'ok', duration_ms: 5 },
})
const told = ({ logs }: Receiver) => logs.map((record) => attributesOf(record)['envpod.fn'])
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => fn(from + at))

describe.each(['http/protobuf', 'http/json'] as const)('telemetry §16.40: %s', (protocol) => {
  test('takes events and spans to the receiver, in order and once', async () => {
    await using receiver = await startReceiver()
    const { append, exporter } = await world()
    const running = await started(exporter(receiver.endpoint, { protocol }))
    for (let number = 0; number < 1_300; number += 1) await append(point(number), end(number))
    await receiver.until(() => running.status.sent.spans >= 1_300, 'all spans')
    expect(told(receiver)).toEqual(numbers(0, 1_300).flatMap((name) => [name, name]))
    expect(new Set(receiver.spans.map(({ spanId }) => spanId)).size).toBe(1_300)
    expect(receiver.requests.every(({ path }) => /^\/v1\/(?:logs|traces)$/.test(path))).toBe(true)
    expect(running.status).toMatchObject({ lag: 0, sent: { logs: 2_600, spans: 1_300 } })
  })
})

test('the first export begins at the end of the log, and says so', async () => {
  await using receiver = await startReceiver()
  const { append, exporter, warnings, log } = await world()
  await append(point(0), point(1))
  await log.flush()
  await started(exporter(receiver.endpoint))
  await append(point(2))
  await receiver.until(() => receiver.logs.length > 0, 'the event')
  expect(told(receiver)).toEqual([fn(2)])
  expect(warnings).toEqual([expect.stringContaining('vestry telemetry export --from 1')])
})

describe('telemetry §16.43: a receiver', () => {
  test('that is away costs nothing but time, and holds the log up for nothing', async () => {
    await using away = await startReceiver()
    const { port, endpoint } = away
    await away.close()
    const { append, exporter, counts, log } = await world()
    const running = await started(exporter(endpoint))
    for (let number = 0; number < 1_000; number += 1) await append(point(number))
    await away.until(() => counts.failed >= 3, 'failures')
    expect(log.available).toBe(true)
    expect(running.status.problem).toContain(endpoint)
    await using receiver = await startReceiver(port)
    await receiver.until(() => counts.exported >= 1_000, 'all events')
    expect(told(receiver)).toEqual(numbers(0, 1_000))
    expect(counts).toMatchObject({ exported: 1_000, refused: 0, lost: 0 })
  })

  test('that has enough for now gets the same again, after the time it asked for', async () => {
    await using receiver = await startReceiver()
    receiver.answer = (_path, nth) =>
      nth < 2 ? { status: nth === 0 ? 429 : 503, headers: { 'retry-after': '1' } } : undefined
    const { append, exporter, counts } = await world()
    await started(exporter(receiver.endpoint, { timeout_ms: 10_000, signals: ['logs'] }))
    await append(point(0), point(1))
    await receiver.until(() => receiver.logs.length > 0, 'the events')
    expect(told(receiver)).toEqual([fn(0), fn(1)])
    expect(receiver.requests.map(({ status }) => status)).toEqual([429, 503, 200])
    expect(counts.failed).toBe(0)
  })

  test('that breaks off in the middle gets the same again', async () => {
    await using receiver = await startReceiver()
    receiver.answer = (_path, nth) => (nth < 3 ? { cut: true } : undefined)
    const { append, exporter } = await world()
    await started(exporter(receiver.endpoint, { timeout_ms: 10_000, signals: ['logs'] }))
    await append(point(0))
    await receiver.until(() => receiver.logs.length > 0, 'the event')
    expect(told(receiver)).toEqual([fn(0)])
  })

  test('that takes a part is not asked again, and it is counted', async () => {
    await using receiver = await startReceiver()
    receiver.answer = (path) =>
      path.endsWith('logs')
        ? {
            body: encodePartialSuccess('logs', {
              rejectedLogRecords: 1,
              errorMessage: 'too old',
            }),
          }
        : undefined
    const { append, exporter, counts, warnings } = await world()
    const running = await started(exporter(receiver.endpoint, { signals: ['logs'] }))
    await append(point(0), point(1), point(2))
    await receiver.until(() => counts.exported === 2, 'the answer')
    expect(counts).toEqual({ exported: 2, failed: 0, refused: 1, lost: 0 })
    expect(running.status.rejected).toBe(1)
    expect(warnings.at(-1)).toContain('took 2 of 3 logs: too old')
    expect(receiver.requests.length).toBe(1)
  })

  test('that refuses is told of, skipped, and can be given it once more', async () => {
    await using receiver = await startReceiver()
    receiver.answer = (_path, nth) => (nth === 0 ? { status: 400 } : undefined)
    const { append, exporter, counts, log, warnings } = await world()
    const running = await started(exporter(receiver.endpoint, { signals: ['logs'] }))
    const first = log.head().seq + 1
    await append(point(0), point(1))
    await receiver.until(() => counts.refused === 2, 'the refusal')
    await append(point(2))
    await receiver.until(() => receiver.logs.length === 1, 'the next one')
    expect(told(receiver)).toEqual([fn(2)])
    expect(running.status.refused).toMatchObject({ count: 2, first })
    expect(warnings.at(-1)).toContain(`--from ${first}`)
    await running.replay(first)
    await receiver.until(() => receiver.logs.length === 4, 'the replay')
    expect(told(receiver).slice(1)).toEqual(numbers(0, 3))
  })

  test('that finds a request too big gets it in halves', async () => {
    await using receiver = await startReceiver()
    receiver.answer = (_path, nth) => (nth === 0 ? { status: 413 } : undefined)
    const { append, exporter } = await world()
    await started(exporter(receiver.endpoint, { signals: ['logs'] }))
    await append(point(0), point(1), point(2))
    await receiver.until(() => receiver.logs.length === 3, 'all events')
    expect(told(receiver)).toEqual(numbers(0, 3))
    expect(receiver.requests.length).toBe(3)
  })

  test('gets everything from a record on, however long ago that was', async () => {
    await using receiver = await startReceiver()
    const { append, exporter, log } = await world()
    for (let number = 0; number < 1_200; number += 1) await append(point(number), end(number))
    await log.flush()
    const running = await started(exporter(receiver.endpoint))
    expect(receiver.logs).toEqual([])
    await running.replay(1)
    await receiver.until(() => receiver.spans.length >= 1_200, 'all spans')
    expect(told(receiver)).toEqual(numbers(0, 1_200).flatMap((name) => [name, name]))
    await expect(running.replay(log.head().seq + 1_000)).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
    })
  })
})

describe('telemetry §16.43: what is sent once more', () => {
  test('is sent once, however often it is asked for at the same time', async () => {
    await using receiver = await startReceiver()
    const { append, exporter, log } = await world()
    const running = await started(exporter(receiver.endpoint, { signals: ['logs'] }))
    await append(...Array.from({ length: 20 }, (_, at) => point(at)))
    await receiver.until(() => receiver.logs.length === 20, 'all events')
    await Promise.all([1, 1, 1, 1].map((seq) => running.replay(seq)))
    await receiver.until(() => running.status.seq === log.head().seq, 'the replay')
    const before = receiver.logs.length
    await append(point(20))
    await receiver.until(() => told(receiver).includes(fn(20)), 'the next event')
    expect(told(receiver).slice(before)).toEqual([fn(20)])
    expect(told(receiver).filter((name) => name === fn(20))).toHaveLength(1)
  })

  test('keeps the beginning of what has not ended yet', async () => {
    await using receiver = await startReceiver()
    const { append, exporter, log } = await world()
    const running = await started(exporter(receiver.endpoint))
    await append(point(0), point(1), end(1))
    await receiver.until(() => receiver.spans.length === 1, 'the whole span')
    await running.replay(log.head().seq + 1)
    await append(end(0))
    await receiver.until(() => receiver.spans.length === 2, 'the other span')
    const { startTimeUnixNano, endTimeUnixNano } = receiver.spans[1] as Span
    expect(attributesOf(receiver.spans[1] as Span)['envpod.kind']).toBe('agent.step.start')
    expect(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)).toBe(5_000_000n)
    expect(told(receiver)).toEqual([0, 1, 1, 0].map(fn))
  })

  test('is no loss where it was sent before it was deleted', async () => {
    await using receiver = await startReceiver()
    const { append, exporter, log, counts, note } = await world()
    const running = await started(exporter(receiver.endpoint, { signals: ['logs'] }))
    await append(point(0))
    await log.rotate()
    await append(point(1))
    await note()
    await receiver.until(() => receiver.logs.length === 2, 'the events')
    for (const name of readdirSync(log.dir)) if (/^audit-\d/.test(name)) rmSync(join(log.dir, name))
    await running.replay(1)
    await receiver.until(() => receiver.logs.length === 3, 'the replay')
    expect(told(receiver)).toEqual([0, 1, 1].map(fn))
    expect([counts.lost, running.status.lost]).toEqual([0, 0])
  })

  test('is not sent by an exporter that was stopped', async () => {
    await using receiver = await startReceiver()
    const { append, exporter } = await world()
    const running = await started(exporter(receiver.endpoint, { signals: ['logs'] }))
    await append(point(0))
    await receiver.until(() => receiver.logs.length === 1, 'the event')
    const asked = running.replay(1).catch(({ code }) => code)
    await Promise.all([running.stop(0), asked])
    await expect(running.replay(1)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
    const { length } = receiver.requests
    await append(point(1))
    await delay(200)
    expect(receiver.requests.length).toBe(length)
    expect(running.status.state).toBe('stopped')
  })
})

describe('telemetry §16.43: a receiver that took a request', () => {
  test.each([
    ['says so in no coding that it named', { headers: { 'content-encoding': 'gzip' }, body: 'x' }],
    ['says much too much', { body: 'x'.repeat(1_000_000) }],
    ['never ends its sentence', { headers: { 'content-length': '100' }, body: 'x', open: true }],
  ])('and %s, does not get it again', async (_what, answer) => {
    await using receiver = await startReceiver()
    receiver.answer = (_path, nth) => (nth === 0 ? answer : undefined)
    const { append, exporter, counts } = await world()
    const running = await started(exporter(receiver.endpoint, { signals: ['logs'] }))
    await append(point(0))
    await receiver.until(() => running.status.sent.logs === 1, 'the answer')
    await append(point(1))
    await receiver.until(() => receiver.logs.length === 2, 'the next event')
    expect(told(receiver)).toEqual([fn(0), fn(1)])
    expect(counts.failed).toBe(0)
  })
})

test('a record that cannot be told is skipped and counted, and ends nothing', async () => {
  await using receiver = await startReceiver()
  const { append, exporter, counts, log } = await world()
  const redact = (): never => {
    throw new Error('cannot be read')
  }
  const running = await started(exporter(receiver.endpoint, { signals: ['logs'] }, {}, { redact }))
  await append(point(0), { ...point(1), mode: 'raw' }, point(2))
  await receiver.until(() => receiver.logs.length === 2, 'the others')
  expect(told(receiver)).toEqual([fn(0), fn(2)])
  expect(counts.refused).toBe(1)
  expect(running.status.refused).toMatchObject({
    count: 1,
    last: log.head().seq - 1,
    reason: expect.stringContaining('cannot be read'),
  })
})

test('a receiver of one signal only is told of once, not with every request', async () => {
  await using receiver = await startReceiver()
  receiver.answer = (path) => (path.endsWith('logs') ? { status: 404 } : undefined)
  const { append, exporter, counts, warnings } = await world()
  await started(exporter(receiver.endpoint))
  for (let number = 0; number < 4; number += 1) {
    await append(point(number), end(number))
    await receiver.until(() => counts.refused === 2 * (number + 1), 'the refusal')
  }
  expect(warnings.filter((line) => line.includes('are refused'))).toHaveLength(1)
  await receiver.until(() => receiver.spans.length === 4, 'the spans')
})

test('signals that go to the same address have each their own headers', async () => {
  await using receiver = await startReceiver()
  const { append, exporter } = await world()
  const endpoint = `${receiver.endpoint}/in?key=hush-hush`
  const running = await started(
    exporter(receiver.endpoint, {
      logs: { endpoint, headers: { 'x-signal': 'logs' } },
      traces: { endpoint, headers: { 'x-signal': 'traces' } },
    }),
  )
  receiver.answer = () => ({ status: 400 })
  await append(point(0), end(0))
  await receiver.until(() => receiver.requests.length >= 2, 'both requests')
  expect(receiver.requests.map(({ headers }) => headers['x-signal'])).toEqual(['logs', 'traces'])
  expect(receiver.requests[0]?.path).toBe('/in?key=hush-hush')
  await receiver.until(() => running.status.refused?.count === 3, 'both refusals')
  expect(JSON.stringify(running.status)).not.toContain('hush')
})

describe('telemetry §16.43: a stop', () => {
  test('in the middle of a span, and of an outage, loses nothing and repeats nothing', async () => {
    await using receiver = await startReceiver()
    const { append, exporter } = await world()
    const before = await started(exporter(receiver.endpoint))
    await append(point(0), point(1), end(1))
    await receiver.until(() => receiver.spans.length === 1, 'the whole span')
    expect(before.status.open_spans).toBe(1)
    await before.stop(1_000)
    receiver.answer = () => ({ status: 503 })
    const during = await started(exporter(receiver.endpoint))
    await append(point(2), end(2))
    await receiver.until(() => during.status.problem !== undefined, 'the outage')
    await during.stop(0)
    await append(point(3))
    receiver.answer = () => undefined
    await started(exporter(receiver.endpoint))
    await append(end(0), end(3))
    await receiver.until(() => receiver.spans.length === 4, 'all spans')
    expect(told(receiver)).toEqual([0, 1, 1, 2, 2, 3, 0, 3].map(fn))
    expect(new Set(receiver.spans.map(({ name }) => name))).toEqual(new Set(numbers(0, 4)))
    expect(receiver.spans.every((span) => !('envpod.incomplete' in attributesOf(span)))).toBe(true)
  })

  test('sends what is there', async () => {
    await using receiver = await startReceiver()
    const { append, exporter, log } = await world()
    const running = await started(exporter(receiver.endpoint, { signals: ['logs'] }))
    await append(point(0))
    await log.flush()
    await running.stop(5_000)
    expect(told(receiver)).toEqual([fn(0)])
    expect(running.status.state).toBe('stopped')
  })
})

test('records that were deleted before their export are counted', async () => {
  await using receiver = await startReceiver()
  const { append, exporter, log, dir, counts, note } = await world()
  const first = await started(exporter(receiver.endpoint, { signals: ['logs'] }))
  await append(point(0))
  await receiver.until(() => receiver.logs.length === 1, 'the event')
  await first.stop(1_000)
  const { read } = JSON.parse(readFileSync(join(dir, 'cursor.json'), 'utf8')) as { read: number }
  await append(point(1))
  await log.rotate()
  await note()
  await log.rotate()
  await note()
  await log.flush()
  const gone = readdirSync(log.dir).filter(
    (name) => /^audit-\d/.test(name) && name <= segmentName(read + 1),
  )
  for (const name of gone) rmSync(join(log.dir, name))
  await started(exporter(receiver.endpoint, { signals: ['logs'] }))
  await append(point(2))
  await receiver.until(() => receiver.logs.length === 2, 'the next event')
  expect(told(receiver)).toEqual([fn(0), fn(2)])
  expect(counts.lost).toBeGreaterThan(0)
})

test('a place that cannot be read, or belongs to another log, is said, and export goes on at the end', async () => {
  await using receiver = await startReceiver()
  for (const text of [
    '{',
    JSON.stringify({ version: 1, chain: 'other', read: 1, logs: 1, open: [], incomplete: [] }),
  ]) {
    const { append, exporter, dir, warnings, log } = await world()
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, 'cursor.json'), text)
    await append(point(0))
    await log.flush()
    const seen = receiver.logs.length
    await started(exporter(receiver.endpoint, { signals: ['logs'] }))
    await append(point(1))
    await receiver.until(() => receiver.logs.length > seen, 'the event')
    expect(told(receiver).slice(seen)).toEqual([fn(1)])
    expect(warnings[0]).toContain('the export begins after record')
  }
})

describe('headers', () => {
  const credentials = (value: () => string) => ({
    open: async (path: string) => ({
      secret: Secret.copy(Buffer.from(value())),
      version: 1,
      credential: { path } as never,
    }),
  })

  test('come from the vault, anew for each request, and are told nowhere', async () => {
    await using receiver = await startReceiver()
    receiver.answer = (_path, nth) =>
      nth === 1 ? { status: 400, body: 'you sent Bearer token-in-the-vault-2' } : undefined
    const { append, exporter, warnings } = await world()
    let version = 1
    const headers = { authorization: 'vault:OTEL_AUTH', 'x-team': 'ledger' }
    const settings = { headers, signals: ['logs'], protocol: 'http/json' }
    const running = await started(
      exporter(receiver.endpoint, settings, {
        credentials: credentials(() => `Bearer token-in-the-vault-${version}`),
      }),
    )
    await append(point(0))
    await receiver.until(() => receiver.requests.length === 1, 'one request')
    version = 2
    await append(point(1))
    await receiver.until(() => running.status.refused !== undefined, 'the refusal')
    expect(receiver.requests.map(({ headers: sent }) => sent['authorization'])).toEqual([
      'Bearer token-in-the-vault-1',
      'Bearer token-in-the-vault-2',
    ])
    expect(receiver.requests[0]?.headers['x-team']).toBe('ledger')
    expect(JSON.stringify([warnings, running.status])).not.toContain('token-in-the-vault')
  })

  test('that cannot be opened make the export wait until they can', async () => {
    await using receiver = await startReceiver()
    let sealed = true
    const open = credentials(() => 'Bearer x').open
    const { append, exporter } = await world()
    const running = await started(
      exporter(
        receiver.endpoint,
        { headers: { authorization: 'vault:OTEL_AUTH' }, signals: ['logs'] },
        {
          credentials: {
            open: (path) => (sealed ? Promise.reject(new Error('sealed')) : open(path)),
          },
        },
      ),
    )
    await append(point(0))
    await receiver.until(() => running.status.problem !== undefined, 'the wait')
    expect(receiver.requests).toEqual([])
    sealed = false
    running.wake()
    await receiver.until(() => receiver.logs.length === 1, 'the event')
  })
})

test('the daemon’s own listeners are no receivers, and a redirect is not followed', async () => {
  await using other = await startReceiver()
  await using receiver = await startReceiver()
  receiver.answer = () => ({ status: 307, headers: { location: `${other.endpoint}/v1/logs` } })
  const { append, exporter } = await world()
  const redirected = await started(exporter(receiver.endpoint, { signals: ['logs'] }))
  await append(point(0))
  await receiver.until(
    () => redirected.status.refused !== undefined || redirected.status.problem !== undefined,
    'an end',
  )
  expect(other.requests).toEqual([])
  expect(redirected.status.refused?.reason).toContain('307')
  await redirected.stop(0)
  const metadata = await started(exporter('http://169.254.169.254', { signals: ['logs'] }))
  await append(point(0))
  await receiver.until(() => metadata.status.problem !== undefined, 'the refusal')
  expect(metadata.status.problem).toContain('cloud metadata')
  await metadata.stop(0)
  const egress = {
    pool: new EgressPool(),
    resolver: systemResolver,
    rules: {
      holes: [],
      ownListeners: () => [{ address: '127.0.0.1', port: receiver.port }],
      localAddresses: () => [],
    },
    userAgent: 'vestry/test',
    now: Date.now,
  }
  onTestFinished(() => egress.pool.destroy())
  const seen = receiver.requests.length
  const own = await started(exporter(receiver.endpoint, { signals: ['logs'] }, { egress }))
  await append(point(1))
  await receiver.until(() => own.status.problem !== undefined, 'the refusal')
  expect(own.status.problem).toContain("this daemon's own listener")
  expect(receiver.requests.length).toBe(seen)
})
