/**
 * Agent processes that operators started, for as long as they run. Whoever starts one says when it ends; of those whose
 * starter was killed before it could, the end is noticed here.
 */
import type { ProcessTable } from './process-table.ts'

export interface StartedDeps {
  readonly processes: Pick<ProcessTable, 'read' | 'owner'>
  /** Does not jump. */
  readonly monotonicMs: () => number
}

interface Started {
  /** undefined: it was gone by then. */
  readonly startTime: string | undefined
  readonly startedMs: number
  goneSinceMs: number | undefined
  readonly onLost: (ranMs: number) => void
}

/** At the same time, on this node. Of more, nobody notices that their starter was killed. */
const MAX_STARTED = 10_000
/** Who started it has this long to say how it ended. */
const GRACE_MS = 10_000
const CHECK_EVERY_MS = 1_000

export class StartedProcesses implements Disposable {
  readonly #deps: StartedDeps
  readonly #started = new Map<number, Started>()
  #timer: NodeJS.Timeout | undefined

  constructor(deps: StartedDeps) {
    this.#deps = deps
  }

  /**
   * @param starter Who says so, as the kernel knows it.
   * @param onLost Called once when it is gone and nobody said so.
   */
  add(pid: number, starter: number | undefined, onLost: Started['onLost']): void {
    const { processes, monotonicMs } = this.#deps
    const found = processes.read(pid)
    const owner = starter === undefined ? undefined : processes.owner(starter)
    // In a namespace of its own the number means another process.
    if (owner === undefined ? found === undefined : owner.nsPid !== starter) return
    if (this.#started.size >= MAX_STARTED) return
    const startedMs = monotonicMs()
    this.#started.set(pid, {
      startTime: found?.startTime,
      startedMs,
      goneSinceMs: found === undefined ? startedMs : undefined,
      onLost,
    })
    this.#timer ??= setInterval(() => this.check(), CHECK_EVERY_MS).unref()
  }

  /** Its end was told. */
  forget(pid: number): void {
    this.#started.delete(pid)
    if (this.#started.size === 0) this[Symbol.dispose]()
  }

  check(): void {
    const nowMs = this.#deps.monotonicMs()
    for (const [pid, started] of this.#started) {
      if (started.goneSinceMs === undefined) {
        const found = this.#deps.processes.read(pid)
        const lives = found !== undefined && found.startTime === started.startTime && !found.ended
        if (!lives) started.goneSinceMs = nowMs
      } else if (nowMs >= started.goneSinceMs + GRACE_MS) {
        this.forget(pid)
        started.onLost(started.goneSinceMs - started.startedMs)
      }
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
