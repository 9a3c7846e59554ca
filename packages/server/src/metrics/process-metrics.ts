/** What the process itself uses: memory, processor time, event-loop delay, uptime. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Registry } from './registry.ts'

const SECOND_NS = 1e9
/** How often the event loop is probed, in ms; the probe wakes the loop, so not too often. */
const PROBE_MS = 20

/** @returns Stops the event-loop probe when disposed. */
export function defineProcessMetrics(registry: Registry): Disposable {
  const startedAt = Date.now() / 1000 - process.uptime()
  const delay = monitorEventLoopDelay({ resolution: PROBE_MS })
  delay.enable()

  registry.observed(
    { name: 'process_start_time_seconds', help: 'Start of the process, Unix time in seconds' },
    () => startedAt,
  )
  registry.observed(
    { name: 'process_uptime_seconds', help: 'Seconds since the start of the process' },
    () => process.uptime(),
  )
  registry.observed(
    { name: 'process_cpu_seconds_total', help: 'User and system processor time in seconds' },
    () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    },
    'counter',
  )
  registry.observed(
    { name: 'process_resident_memory_bytes', help: 'Resident memory in bytes' },
    () => process.memoryUsage.rss(),
  )
  registry.observed(
    { name: 'nodejs_heap_used_bytes', help: 'JavaScript heap in use in bytes' },
    () => process.memoryUsage().heapUsed,
  )
  const lag = { name: 'nodejs_eventloop_lag', help: 'Event-loop delay beyond the probe interval' }
  for (const [suffix, read] of [
    ['mean', () => delay.mean],
    ['p99', () => delay.percentile(99)],
    ['max', () => delay.max],
  ] as const) {
    registry.observed(
      { name: `${lag.name}_${suffix}_seconds`, help: `${lag.help}, ${suffix}` },
      () =>
        // Before the first probe the histogram is empty: its mean is NaN, its minimum a sentinel.
        delay.count === 0 ? 0 : Math.max(0, read() - PROBE_MS * 1e6) / SECOND_NS,
    )
  }
  return {
    [Symbol.dispose]() {
      delay.disable()
    },
  }
}
