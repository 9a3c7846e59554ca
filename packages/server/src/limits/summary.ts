/**
 * Turns a flood of refusals into one summary per key and interval, so that refused requests cannot fill the
 * audit log. Counts everything; keys beyond the bound are counted together and said to be so.
 */

export interface RefusalSummary<D> {
  readonly key: string
  readonly count: number
  /** Epoch ms of the first and the last refusal it covers. */
  readonly firstMs: number
  readonly lastMs: number
  /** What the first refusal said of itself. */
  readonly detail: D
}

export interface SummaryOptions<D> {
  readonly now: () => number
  /** Takes what is due, e.g. writes it to the audit log as `ratelimit.summary`. Must not throw. */
  readonly emit: (summary: RefusalSummary<D>) => void
  /** 10 seconds unless told. */
  readonly intervalMs?: number
  readonly maxKeys?: number
}

/** The key under which refusals are counted once there are too many keys. */
export const OTHER_KEYS = 'other keys'

interface Count<D> {
  count: number
  readonly firstMs: number
  lastMs: number
  readonly detail: D
}

/** The timer runs only while something waits and does not keep the process alive; disposing emits what waits. */
export class RefusalSummaries<D> implements Disposable {
  readonly #options: Required<SummaryOptions<D>>
  readonly #counts = new Map<string, Count<D>>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: SummaryOptions<D>) {
    this.#options = { intervalMs: 10_000, maxKeys: 1_000, ...options }
  }

  add(key: string, detail: D): void {
    const nowMs = this.#options.now()
    const known = this.#counts.get(key)
    if (known !== undefined) {
      known.count += 1
      known.lastMs = nowMs
      return
    }
    if (this.#counts.size >= this.#options.maxKeys && key !== OTHER_KEYS) {
      this.add(OTHER_KEYS, detail)
      return
    }
    this.#counts.set(key, { count: 1, firstMs: nowMs, lastMs: nowMs, detail })
    this.#timer ??= setInterval(() => this.flush(), this.#options.intervalMs).unref()
  }

  /** Emits what has been counted so far. */
  flush(): void {
    const due = [...this.#counts]
    this.#counts.clear()
    if (due.length === 0) {
      // An idle interval: only now, so that a key is not summed up twice within one.
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    for (const [key, counted] of due) this.#options.emit({ key, ...counted })
  }

  [Symbol.dispose](): void {
    this.flush()
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
