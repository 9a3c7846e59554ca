/**
 * Calls that come again: a client that lost the answer asks with the same key, and gets the answer of the first
 * attempt instead of paying for a second one. In memory and bounded; after a restart a repeated call runs anew.
 */
const KEEP_MS = 600_000
const MAX_ANSWERS = 1_000
const MAX_BYTES = 32 * 1_024 * 1_024

interface Flight<T> {
  readonly landed: Promise<T>
  readonly controller: AbortController
  waiting: number
}

interface Kept<T> {
  readonly answer: T
  readonly untilMs: number
}

export class Duplicates<T extends { readonly body: Uint8Array }> {
  readonly #flights = new Map<string, Flight<T>>()
  /** Oldest first. */
  readonly #kept = new Map<string, Kept<T>>()
  readonly #now: () => number
  #bytes = 0

  /** @param now Milliseconds of a clock that is never set back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Whether the first attempt runs, or has succeeded a short while ago. */
  has(key: string): boolean {
    return this.#flights.has(key) || this.#fresh(key) !== undefined
  }

  /**
   * The answer of the first attempt, which is broken off when nobody waits for it any more.
   *
   * @throws the reason of `signal`; what the first attempt threw, which is not kept.
   */
  async join(key: string, signal: AbortSignal): Promise<T | undefined> {
    const flight = this.#flights.get(key)
    return flight === undefined ? this.#fresh(key)?.answer : this.#await(flight, signal)
  }

  /** Runs `work` as the first attempt unless there is one; it gets a signal of its own. */
  async first(
    key: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const running = this.#flights.get(key)
    if (running !== undefined) return this.#await(running, signal)
    const controller = new AbortController()
    const over = (): void => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
    }
    const landed = work(controller.signal)
      .then((answer) => {
        this.#keep(key, answer)
        return answer
      })
      .finally(over)
    landed.catch(() => undefined) // whoever waits meets it
    const flight = { landed, controller, waiting: 0 }
    this.#flights.set(key, flight)
    // Whoever asks once it was given up begins anew, however long its end takes.
    controller.signal.addEventListener('abort', over, { once: true })
    return this.#await(flight, signal)
  }

  clear(): void {
    this.#kept.clear()
    this.#bytes = 0
  }

  async #await(flight: Flight<T>, signal: AbortSignal): Promise<T> {
    const { promise: left, reject } = Promise.withResolvers<never>()
    let waits = true
    const leave = (): void => {
      waits = false
      flight.waiting -= 1
      // When nobody is left, the attempt itself says how it ended, once its end is recorded.
      if (flight.waiting > 0) reject(signal.reason)
      else flight.controller.abort(signal.reason)
    }
    flight.waiting += 1
    if (signal.aborted) leave()
    else signal.addEventListener('abort', leave, { once: true })
    try {
      return await Promise.race([flight.landed, left])
    } finally {
      if (waits) flight.waiting -= 1
      signal.removeEventListener('abort', leave)
    }
  }

  #fresh(key: string): Kept<T> | undefined {
    const kept = this.#kept.get(key)
    if (kept === undefined || kept.untilMs > this.#now()) return kept
    this.#drop(key)
    return undefined
  }

  #keep(key: string, answer: T): void {
    this.#drop(key)
    if (answer.body.length > MAX_BYTES / 4) return
    this.#kept.set(key, { answer, untilMs: this.#now() + KEEP_MS })
    this.#bytes += answer.body.length
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MAX_ANSWERS && this.#bytes <= MAX_BYTES) return
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    const kept = this.#kept.get(key)
    if (kept === undefined) return
    this.#kept.delete(key)
    this.#bytes -= kept.answer.body.length
  }
}
