/**
 * What does a coat cost the agent, beside an OpenTelemetry span with batching in the same run? And what does the
 * agent feel of twenty thousand events a second, and of a collector that stands still for half a minute?
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { removeHome, startScript, stop, temporaryHome } from './processes.ts'
import { report } from './report.ts'

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const STALL_MS = Number(process.env['BENCH_STALL_MS'] ?? 30_000)
const run = promisify(execFile)

interface Measured {
  p50_us: number
  p99_us: number
  cpu_us_per_call: number
  loop_delay_p99_ms: number
  heap_growth_mib: number
  per_second: number
  stats?: { dropped: { lifecycle: number; detail: number } }
}

const home = temporaryHome({})
const daemon = await startScript('./daemon-process.ts', [home])
const sink = await startScript('./coat-sink.ts', [])
const sinkUrl = sink.line.split(' ')[1] ?? ''
const ready = JSON.parse(readFileSync(`${home}/run/ready.json`, 'utf8')) as {
  queue_socket: string
  pod_id: string
}

async function measure(
  mode: string,
  options: { calls?: number; rate?: number; env?: Record<string, string> } = {},
): Promise<Measured> {
  const { calls = 20_000, rate = 4_000, env = {} } = options
  const { stdout } = await run(
    process.execPath,
    [
      ...['--conditions=source', '--expose-gc'],
      new URL('coat-agent.ts', import.meta.url).pathname,
      mode,
      String(calls),
      String(rate),
    ],
    {
      env: {
        PATH: process.env['PATH'],
        SINK_URL: sinkUrl,
        ENVPOD_POD_ID: ready.pod_id,
        ENVPOD_SOCKET: ready.queue_socket,
        ...env,
      },
      maxBuffer: 2 ** 26,
      cwd: mkdtempSync('/tmp/vestry-bench-agent-'),
    },
  )
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Measured
}

try {
  const rounds = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const bare = await measure('bare')
    const otel = await measure('otel')
    const none = await measure('none')
    const redacted = await measure('redacted', { env: { ENVPOD_COAT_CAPTURE: 'redacted' } })
    const tie = await measure('tie')
    const disabled = await measure('none', { env: { ENVPOD_COAT_DISABLED: '1' }, rate: 100_000 })
    rounds.push({
      bare,
      otel,
      none,
      redacted,
      tie,
      disabled,
      ratio_p50: (none.p50_us - bare.p50_us) / (otel.p50_us - bare.p50_us),
      ratio_cpu:
        (none.cpu_us_per_call - bare.cpu_us_per_call) /
        (otel.cpu_us_per_call - bare.cpu_us_per_call),
    })
  }
  const million = await measure('none', { calls: 1_000_000, rate: 50_000 })
  const idleLoop = await measure('bare', { calls: 50_000, rate: 10_000 })
  const busyLoop = await measure('none', { calls: 50_000, rate: 10_000 })
  const calm = await measure('none', { calls: 15_000, rate: 2_500 })
  const stalled = measure('none', { calls: (2_500 * (STALL_MS + 4_000)) / 1_000, rate: 2_500 })
  await wait(2_000)
  daemon.kill('SIGSTOP')
  await wait(STALL_MS)
  daemon.kill('SIGCONT')
  const through = await stalled
  report('coat', {
    calls_per_second: 4_000,
    rounds,
    million_calls: million,
    twenty_thousand_events: {
      baseline_loop_delay_p99_ms: idleLoop.loop_delay_p99_ms,
      loop_delay_p99_ms: busyLoop.loop_delay_p99_ms,
      per_second: busyLoop.per_second,
    },
    collector_stalled: {
      seconds: STALL_MS / 1_000,
      p99_us_before: calm.p99_us,
      p99_us: through.p99_us,
      dropped: through.stats?.dropped,
    },
  })
} finally {
  daemon.kill('SIGCONT')
  await Promise.all([stop(daemon), stop(sink)])
  removeHome(home)
}
