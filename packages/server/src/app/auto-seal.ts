/** Seals a vault nobody has used for a while. Requests under way count as use. */

export class AutoSeal {
  readonly #idleMs: number
  readonly #now: () => number
  readonly #seal: () => void
  #running = 0
  #usedAt: number
  #timer: NodeJS.Timeout | undefined

  /** @param now Monotonic milliseconds: a clock that is set must not seal, nor keep from sealing. */
  constructor(deps: { idleSeconds: number; now: () => number; seal: () => void }) {
    this.#idleMs = deps.idleSeconds * 1_000
    this.#now = deps.now
    this.#seal = deps.seal
    this.#usedAt = deps.now()
  }

  start(): void {
    this.#usedAt = this.#now()
    if (this.#idleMs > 0) this.#plan(this.#idleMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  /** Runs one request. */
  async during<T>(run: () => Promise<T>): Promise<T> {
    this.#running += 1
    try {
      return await run()
    } finally {
      this.#running -= 1
      this.#usedAt = this.#now()
    }
  }

  #plan(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#look(), ms).unref()
  }

  #look(): void {
    const idle = this.#running > 0 ? 0 : this.#now() - this.#usedAt
    if (idle >= this.#idleMs) this.#seal()
    else this.#plan(this.#idleMs - idle)
  }
}
