/** How far the executions that run here have come, for whoever watches them. */
import type { Step } from './loop.ts'
import { StepCount } from './runner.ts'

export interface Progress extends Disposable {
  readonly count: StepCount
  readonly onStep: (step: Step) => void
  /** What the work itself wrote down, cut off after so much. */
  readonly log: readonly string[]
  readonly onLog: (line: string) => void
}

const MAX_LOG_LINES = 1_000
const MAX_LOG_CHARS = 262_144

interface Kept {
  readonly count: StepCount
  readonly listeners: Set<() => void>
}

export class ProgressBook {
  readonly #running = new Map<string, Kept>()

  has(id: string): boolean {
    return this.#running.has(id)
  }

  /** Of one that runs here; undefined for any other. */
  steps(id: string): readonly Step[] | undefined {
    return this.#running.get(id)?.count.steps
  }

  /** Until it is disposed. */
  begin(id: string): Progress {
    const count = new StepCount()
    const listeners = new Set<() => void>()
    const log: string[] = []
    let chars = 0
    this.#running.set(id, { count, listeners })
    const tell = () => {
      for (const listener of listeners) listener()
    }
    return {
      count,
      onStep: (step) => {
        count.add(step)
        tell()
      },
      log,
      onLog: (line) => {
        if (log.length >= MAX_LOG_LINES || chars >= MAX_LOG_CHARS) return
        chars += line.length
        const isLast = log.length === MAX_LOG_LINES - 1 || chars >= MAX_LOG_CHARS
        log.push(isLast ? '[the log is full]' : line)
      },
      [Symbol.dispose]: () => {
        this.#running.delete(id)
        tell()
      },
    }
  }

  /** Resolves once there are more than `seen` steps; never for what does not run here. Dispose it. */
  watch(id: string, seen: number): Disposable & { readonly moved: Promise<void> } {
    const { promise: moved, resolve } = Promise.withResolvers<void>()
    const kept = this.#running.get(id)
    const look = () => {
      if ((this.steps(id)?.length ?? 0) > seen) resolve()
    }
    kept?.listeners.add(look)
    look()
    return { moved, [Symbol.dispose]: () => void kept?.listeners.delete(look) }
  }
}
