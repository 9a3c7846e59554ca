import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defineProcessMetrics } from './process-metrics.ts'
import { Registry } from './registry.ts'

/** The page without the registry's own family, which has no series unless labels were folded. */
const page = (registry: Registry) =>
  registry
    .render()
    .split('\n')
    .filter((line) => !line.includes('vestry_metrics_folded_total'))
    .join('\n')

describe('the text page', () => {
  it('has one HELP and TYPE per family, then its series', () => {
    const registry = new Registry()
    const requests = registry.counter({
      name: 'vault_requests_total',
      help: 'Requests by method\nand code \\ result',
      labels: ['method', 'code'],
    })
    requests.at('retrieve', 'OK').inc()
    requests.at('retrieve', 'OK').inc(2)
    requests.at('list', 'ACCESS_DENIED').inc()
    registry.gauge({ name: 'vault_sessions', help: 'Live sessions' }).at().set(7)
    expect(page(registry)).toBe(
      [
        '# HELP vault_requests_total Requests by method\\nand code \\\\ result',
        '# TYPE vault_requests_total counter',
        'vault_requests_total{method="retrieve",code="OK"} 3',
        'vault_requests_total{method="list",code="ACCESS_DENIED"} 1',
        '# HELP vault_sessions Live sessions',
        '# TYPE vault_sessions gauge',
        'vault_sessions 7',
        '',
      ].join('\n'),
    )
  })

  it('shows histograms cumulatively, bounds included, with +Inf equal to the count', () => {
    const registry = new Registry()
    const latency = registry.histogram({
      name: 'call_seconds',
      help: 'Duration',
      labels: ['method'],
      buckets: [0.1, 1],
    })
    for (const value of [0.05, 0.1, 0.5, 3, Number.NaN]) latency.at('list').observe(value)
    expect(page(registry).split('\n').slice(2, -1)).toEqual([
      'call_seconds_bucket{method="list",le="0.1"} 2',
      'call_seconds_bucket{method="list",le="1"} 3',
      'call_seconds_bucket{method="list",le="+Inf"} 4',
      'call_seconds_sum{method="list"} 3.65',
      'call_seconds_count{method="list"} 4',
    ])
  })

  it('reads observed values when scraped', () => {
    const registry = new Registry()
    let depth = 1
    registry.observed({ name: 'queue_depth', help: 'Depth' }, () => depth)
    expect(page(registry)).toContain('queue_depth 1\n')
    depth = Number.POSITIVE_INFINITY
    expect(page(registry)).toContain('queue_depth +Inf\n')
  })

  it('survives every label value: what a strict reader unescapes is what was counted', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (value) => {
        const registry = new Registry()
        registry
          .counter({ name: 'x_total', help: 'x', labels: ['a'] })
          .at(value)
          .inc()
        const line = page(registry).split('\n')[2] ?? ''
        const [, escaped = ''] = /^x_total\{a="((?:[^"\\\n]|\\["\\n])*)"\} 1$/s.exec(line) ?? []
        const read = escaped.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c))
        expect(read).toBe(value.toWellFormed())
      }),
    )
  })
})

describe('series', () => {
  it('exist at zero once asked for, and from the start without labels', () => {
    const registry = new Registry()
    registry.counter({ name: 'plain_total', help: 'x' })
    registry.counter({ name: 'by_tool_total', help: 'x', labels: ['tool'] }).at('http')
    expect(page(registry)).toContain('plain_total 0\n')
    expect(page(registry)).toContain('by_tool_total{tool="http"} 0\n')
  })

  it('are the same cell for the same labels, whatever characters they hold', () => {
    const family = new Registry().counter({ name: 'x_total', help: 'x', labels: ['a', 'b'] })
    expect(family.at('1', '2')).toBe(family.at('1', '2'))
    expect(family.at('1,2')).not.toBe(family.at('1', '2'))
    expect(family.at('__proto__', 'constructor')).toBe(family.at('__proto__', 'constructor'))
  })

  it('are bounded: what exceeds them is folded and counted, never lost', () => {
    const registry = new Registry()
    const family = registry.counter({ name: 'x_total', help: 'x', labels: ['a'], maxSeries: 3 })
    for (let n = 0; n < 100; n += 1) family.at(`v${n}`).inc()
    family.at('v1').inc()
    family.at('y'.repeat(200)).inc()
    expect(page(registry).split('\n').slice(2, -1)).toEqual([
      'x_total{a="v0"} 1',
      'x_total{a="v1"} 2',
      'x_total{a="v2"} 1',
      'x_total{a="other"} 98',
    ])
    expect(registry.render()).toContain('vestry_metrics_folded_total{metric="x_total"} 98\n')
  })

  it('of counters never fall', () => {
    const cell = new Registry().counter({ name: 'x_total', help: 'x' }).at()
    cell.inc(3)
    for (const by of [-1, 0, Number.NaN]) cell.inc(by)
    expect(cell.value).toBe(3)
  })

  it('count a million updates without growing the heap by them', () => {
    const family = new Registry().counter({ name: 'x_total', help: 'x', labels: ['a', 'b'] })
    const count = (times: number) => {
      for (let n = 0; n < times; n += 1) family.at('retrieve', n % 2 === 0 ? 'OK' : 'DENIED').inc()
    }
    count(50_000)
    const before = process.memoryUsage().heapUsed
    count(1_000_000)
    // One object per update would be 16 MB and more.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(8_000_000)
    expect(family.at('retrieve', 'OK').value).toBe(525_000)
  })
})

describe('definitions', () => {
  const registry = new Registry()
  registry.gauge({ name: 'taken', help: 'x' })
  it.each([
    ['a name twice', () => registry.gauge({ name: 'taken', help: 'x' })],
    ['a bad name', () => registry.gauge({ name: 'a-b', help: 'x' })],
    ['a bad label', () => registry.gauge({ name: 'a', help: 'x', labels: ['__a'] })],
    ['the label of histograms', () => registry.gauge({ name: 'a', help: 'x', labels: ['le'] })],
    ['a label twice', () => registry.gauge({ name: 'a', help: 'x', labels: ['b', 'b'] })],
    ['five labels', () => registry.gauge({ name: 'a', help: 'x', labels: [...'bcdef'] })],
    ['a counter without _total', () => registry.counter({ name: 'a', help: 'x' })],
    ['falling buckets', () => registry.histogram({ name: 'a', help: 'x', buckets: [2, 1] })],
  ])('refuse %s', (_, define) => {
    expect(define).toThrow(expect.objectContaining({ code: 'INTERNAL_ERROR' }))
  })

  it('refuse labels that would publish who holds what', () => {
    for (const label of ['agent', 'agent_id', 'path', 'token', 'session_id', 'secret', 'url'])
      expect(() => registry.gauge({ name: 'a', help: 'x', labels: [label] })).toThrow(
        'confidential',
      )
  })
})

describe('process metrics', () => {
  it('are present, finite and move', async () => {
    const registry = new Registry()
    using _probe = defineProcessMetrics(registry)
    await new Promise((resolve) => setTimeout(resolve, 80))
    const values = new Map(
      page(registry)
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => line.split(' ') as [string, string]),
    )
    expect([...values.keys()]).toEqual([
      'process_start_time_seconds',
      'process_uptime_seconds',
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'nodejs_heap_used_bytes',
      'nodejs_eventloop_lag_mean_seconds',
      'nodejs_eventloop_lag_p99_seconds',
      'nodejs_eventloop_lag_max_seconds',
    ])
    for (const [name, value] of values) expect(Number(value), name).toBeGreaterThanOrEqual(0)
    expect(Number(values.get('process_resident_memory_bytes'))).toBeGreaterThan(10_000_000)
  })
})
