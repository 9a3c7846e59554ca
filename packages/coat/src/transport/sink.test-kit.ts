/** A sink of this process whose stderr is kept in memory. */
import type { Envelope } from '../aot.ts'
import { DEFAULTS } from './agent-program.test-kit.ts'
import { Dispatcher } from './dispatcher.ts'
import type { Outlet } from './outlet.ts'

export interface MemoryStderr extends Outlet {
  text: string
  /** Takes nothing while this is set. */
  isStalled: boolean
  reason: string
  envelopes(): Envelope[]
}

export function memoryStderr(): MemoryStderr {
  let rest = ''
  return {
    text: '',
    isStalled: false,
    taken: 0,
    reason: '',
    get left() {
      return rest.length
    },
    write(chunk) {
      rest += chunk.toString()
    },
    progress() {
      if (this.reason !== '') return 'broken'
      if (rest === '') return 'idle'
      if (this.isStalled) return 'busy'
      this.text += rest
      Object.assign(this, { taken: this.taken + rest.length })
      rest = ''
      return 'idle'
    },
    close() {},
    envelopes() {
      return this.text
        .split('\n')
        .filter((line) => line.startsWith('[coat] '))
        .map((line) => JSON.parse(line.slice('[coat] '.length)) as Envelope)
    },
  }
}

export function newSink(
  socketPath: string | undefined,
  {
    events = DEFAULTS.bufferEvents,
    bytes = DEFAULTS.bufferBytes,
    maxLineBytes = DEFAULTS.maxLineBytes,
    flushMs = 5,
    agentId = '',
  } = {},
) {
  const stderr = memoryStderr()
  const sink = new Dispatcher({
    origin: { producerId: 'p_0123456789abcdef', pid: process.pid, tid: 0, version: '0.0.0' },
    limits: { events, bytes },
    flushMs,
    maxLineBytes,
    agentId,
    agentRole: '',
    flushOnSignals: false,
    socketPath,
    openFile: undefined,
    openStderr: () => stderr,
  })
  return { sink, stderr }
}

/** Waits until something is so, and fails when that takes far too long. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}
