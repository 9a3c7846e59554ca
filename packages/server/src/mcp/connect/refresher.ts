/** Runs one piece of work again whenever it is asked to: never twice at once, never too often, never without an end. */

export interface RefresherOptions {
  readonly work: () => Promise<void>
  /** It failed several times in a row. */
  readonly onFailure: (error: unknown) => void
  /** Several requests within this time are one. */
  readonly delayMs: number
  /** From the beginning of one run to the beginning of the next; asked for before each. */
  readonly gapMs: () => number
  readonly now: () => number
}

const MAX_FAILURES = 3

export class Refresher implements Disposable {
  readonly #options: RefresherOptions
  /** A run that begins after now, for who has to see what it brings. */
  #next: PromiseWithResolvers<void> | undefined
  #current: Promise<void> | undefined
  #running = false
  #begunMs = Number.NEGATIVE_INFINITY
  #failures = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: RefresherOptions) {
    this.#options = options
  }

  trigger(): void {
    if (this.#closed) return
    this.#next ??= Promise.withResolvers<void>()
    if (!this.#running) this.#plan()
  }

  /** Resolves when nothing is to come, or the run that is to come has ended. */
  settled(): Promise<void> {
    return this.#next?.promise ?? this.#current ?? Promise.resolve()
  }

  [Symbol.dispose](): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#next?.resolve()
    this.#next = undefined
  }

  /** It may have come to be while others ran. */
  get #planned(): PromiseWithResolvers<void> | undefined {
    return this.#next
  }

  #plan(): void {
    if (this.#timer !== undefined) return
    const { delayMs, gapMs, now } = this.#options
    const waitMs = Math.max(delayMs, this.#begunMs + gapMs() * (1 + this.#failures) - now())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#run()
    }, waitMs)
    this.#timer.unref()
  }

  async #run(): Promise<void> {
    const { work, onFailure, now } = this.#options
    const mine = this.#next
    this.#next = undefined
    this.#current = mine?.promise
    this.#running = true
    this.#begunMs = now()
    try {
      await work()
      this.#failures = 0
    } catch (error) {
      this.#failures += 1
      if (this.#failures >= MAX_FAILURES) onFailure(error)
      else this.trigger()
    }
    this.#running = false
    this.#current = undefined
    // Who waits for a run that failed waits for the one that makes up for it.
    const next = this.#planned
    if (this.#failures > 0 && next !== undefined) void next.promise.then(mine?.resolve)
    else mine?.resolve()
    if (next !== undefined && !this.#closed) this.#plan()
  }
}
