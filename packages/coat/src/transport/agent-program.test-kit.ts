/** The program of an agent in tests: emits as its plan says and ends as its plan says. */
import { writeSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Envelope } from '../aot.ts'
import { createSink, type SinkOptions } from './create-sink.ts'
import type { Sink } from './sink.ts'

export interface Plan {
  readonly options: Partial<SinkOptions>
  readonly steps: readonly Step[]
}

export type Step =
  | { readonly do: 'emit'; readonly count: number; readonly bytes?: number; readonly kind?: string }
  /** Tells the 99th percentile of the event loop's delay, in milliseconds, with the next stats. */
  | { readonly do: 'emit-slowly'; readonly count: number; readonly perSecond: number }
  /** Tells the 99th percentile of a call, in milliseconds, with the next stats. */
  | { readonly do: 'emit-measured'; readonly seconds: number; readonly perSecond: number }
  | { readonly do: 'sleep'; readonly ms: number }
  /** Prints this on stdout, for the test to act upon. */
  | { readonly do: 'say'; readonly text: string }
  /** Until a line arrives on stdin. */
  | { readonly do: 'listen' }
  | { readonly do: 'flush'; readonly ms: number }
  | { readonly do: 'stats' }
  /** Tells the heap's size after a collection, in bytes, with the next stats. */
  | { readonly do: 'heap'; readonly as: string }
  /** Tells how long the end of the process takes from here on, in milliseconds. */
  | { readonly do: 'time-end' }
  | { readonly do: 'exit' | 'throw' | 'kill' | 'shutdown' }

const IDS: Envelope['ids'] = {
  session_id: 'sess_0123456789abcdef',
  run_id: 'run_0123456789abcdef',
  step_id: '',
  trace_id: 'tr_0123456789abcdef0123456789abcdef',
  span_id: 'sp_0123456789abcdef',
  parent_span_id: '',
}

export const DEFAULTS: SinkOptions = {
  transport: 'socket',
  inPod: true,
  socketPath: '/nonexistent/queue.sock',
  bufferEvents: 8192,
  bufferBytes: 8 * 1024 * 1024,
  flushMs: 50,
  maxLineBytes: 65_536,
  agentId: '',
  agentRole: '',
  version: '0.0.0',
  flushOnSignals: false,
}

/** @param bytes Of the whole line, about. */
export function emitOne(sink: Sink, number: number, bytes = 465, kind = 'agent.step.start'): void {
  const payload = { fn: 'work', op: 'step', number, filler: 'x'.repeat(Math.max(0, bytes - 440)) }
  sink.emit({ kind, ids: IDS, capture: { mode: 'none' }, payload }, 'point')
}

if (process.argv[1] === import.meta.filename) await run()

async function run(): Promise<void> {
  const { options, steps } = JSON.parse(process.argv[2] ?? '') as Plan
  const sink = createSink({ ...DEFAULTS, ...options })
  let number = 0
  let extra = {}
  let collect: (() => void) | undefined
  for (const step of steps) {
    switch (step.do) {
      case 'emit':
        for (let i = 0; i < step.count; i += 1) emitOne(sink, ++number, step.bytes, step.kind)
        break
      case 'emit-slowly': {
        const startMs = performance.now()
        const delay = monitorEventLoopDelay({ resolution: 1 })
        delay.enable()
        const end = number + step.count
        while (number < end) {
          const due = Math.ceil(((performance.now() - startMs) / 1000) * step.perSecond)
          const first = end - step.count
          while (number < end && number - first < due) emitOne(sink, ++number)
          await sleep(2)
        }
        extra = { ...extra, loopP99Ms: delay.percentile(99) / 1e6 }
        break
      }
      case 'emit-measured': {
        const took: number[] = []
        const startMs = performance.now()
        for (let ms = 0; ms < step.seconds * 1000; ms = performance.now() - startMs) {
          while (took.length < (ms / 1000) * step.perSecond) {
            const beforeMs = performance.now()
            emitOne(sink, ++number)
            took.push(performance.now() - beforeMs)
          }
          await sleep(2)
        }
        took.sort((one, other) => one - other)
        extra = { ...extra, calls: took.length, p99Ms: took[Math.floor(took.length * 0.99)] }
        break
      }
      case 'sleep':
        await sleep(step.ms)
        break
      case 'say':
        process.stdout.write(`${step.text}\n`)
        break
      case 'listen':
        await new Promise<void>((resolve) => {
          process.stdin.ref()
          process.stdin.resume()
          process.stdin.once('data', () => {
            process.stdin.pause()
            process.stdin.unref()
            resolve()
          })
        })
        break
      case 'flush': {
        const startMs = performance.now()
        const isFlushed = await sink.flush(step.ms)
        extra = { ...extra, isFlushed, flushMs: performance.now() - startMs }
        break
      }
      case 'stats':
        process.stdout.write(`${JSON.stringify({ ...sink.stats(), ...extra })}\n`)
        break
      case 'heap':
        collect ??= collector()
        collect()
        extra = { ...extra, [step.as]: process.memoryUsage().heapUsed }
        break
      case 'time-end': {
        const fromMs = performance.now()
        // After the library's own listener, which came with the first event.
        process.on('exit', () => {
          writeSync(1, `{"endMs":${performance.now() - fromMs}}\n`)
        })
        break
      }
      case 'shutdown':
        await sink.shutdown()
        break
      case 'exit':
        process.exit(0)
        break
      case 'throw':
        throw new Error('the agent failed')
      case 'kill':
        process.kill(process.pid, 'SIGKILL')
        await sleep(10_000)
    }
  }
}

function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
