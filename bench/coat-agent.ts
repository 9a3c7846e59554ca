/**
 * An agent process that is measured: `coat-agent.ts MODE CALLS PER_SECOND`, with the environment of its library.
 * Calls come in bursts with the event loop between them, so that what the calls cause is written out meanwhile.
 */
import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { coat, flush, stats, tie } from '@vestry/coat'

const [mode = 'none', callsText = '20000', rateText = '5000'] = process.argv.slice(2)
const calls = Number(callsText)
const perSecond = Number(rateText)
const BURST = 32

/** The work itself: too little to hide what is around it. */
function work(input: unknown): number {
  return typeof input === 'string' ? input.length : 1
}

const text = 'lorem ipsum dolor sit amet '.repeat(80).slice(0, 2_048)

const call = await callOf(mode)
for (let n = 0; n < 2_000; n += 1) {
  call(text)
  if (n % BURST === 0) await wait(1)
}
await settle()

const times = createHistogram()
const loop = monitorEventLoopDelay({ resolution: 1 })
loop.enable()
globalThis.gc?.()
const heapBefore = process.memoryUsage().heapUsed
const cpuBefore = process.cpuUsage()
const startedMs = performance.now()
for (let done = 0; done < calls; ) {
  for (let n = 0; n < BURST && done < calls; n += 1, done += 1) {
    const begin = process.hrtime.bigint()
    call(text)
    times.record(process.hrtime.bigint() - begin || 1n)
  }
  const ahead = (done / perSecond) * 1_000 - (performance.now() - startedMs)
  await wait(Math.max(0, ahead))
}
const seconds = (performance.now() - startedMs) / 1_000
loop.disable()
const { user, system } = process.cpuUsage(cpuBefore)
await settle()
globalThis.gc?.()
const micro = (nanoseconds: number) => nanoseconds / 1_000
process.stdout.write(
  `${JSON.stringify({
    mode,
    calls,
    per_second: calls / seconds,
    p50_us: micro(times.percentile(50)),
    p99_us: micro(times.percentile(99)),
    mean_us: micro(times.mean),
    cpu_us_per_call: (user + system) / calls,
    loop_delay_p99_ms: loop.percentile(99) / 1e6,
    heap_growth_mib: (process.memoryUsage().heapUsed - heapBefore) / 2 ** 20,
    stats: mode === 'otel' || mode === 'bare' ? undefined : stats(),
  })}\n`,
)
process.exit(0)

async function callOf(wanted: string): Promise<(input: string) => unknown> {
  if (wanted === 'bare') return work
  if (wanted === 'otel') return openTelemetry()
  if (wanted === 'tie') return coatedTie()
  return coat('tool', work)
}

/** Ties inside one span that stays open. */
function coatedTie(): (input: string) => unknown {
  let inside: (<T>(fn: () => T) => T) | undefined
  void coat('run', async (): Promise<void> => {
    const { AsyncResource } = await import('node:async_hooks')
    const resource = new AsyncResource('bench')
    inside = (fn) => resource.runInAsyncScope(fn)
    await new Promise(() => undefined)
  })()
  return () => (inside === undefined ? undefined : inside(() => tie('batch', { i: 1, size: 100 })))
}

async function openTelemetry(): Promise<(input: string) => unknown> {
  const { TracerProvider, BatchSpanProcessor } = await import('@opentelemetry/sdk-trace')
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto')
  const { ROOT_CONTEXT, context } = await import('@opentelemetry/api')
  const { AsyncLocalStorage } = await import('node:async_hooks')
  const storage = new AsyncLocalStorage<typeof ROOT_CONTEXT>()
  context.setGlobalContextManager({
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (active, fn, self, ...args) => storage.run(active, () => fn.apply(self, args)),
    bind: (_active, target) => target,
    enable: () => context as never,
    disable: () => context as never,
  })
  const exporter = new OTLPTraceExporter({ url: `${process.env['SINK_URL']}/v1/traces` })
  const provider = new TracerProvider({ spanProcessors: [new BatchSpanProcessor({ exporter })] })
  const tracer = provider.getTracer('bench')
  return (input) =>
    tracer.startActiveSpan('work', (span) => {
      try {
        return work(input)
      } finally {
        span.setAttribute('result', 1)
        span.end()
      }
    })
}

async function settle(): Promise<void> {
  if (mode !== 'otel' && mode !== 'bare') await flush(5_000)
  await wait(50)
}
