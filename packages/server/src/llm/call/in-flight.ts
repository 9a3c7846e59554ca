/** How many requests of one run are under way, and whether another one may begin. */
import { VestryError } from '@vestry/contract/errors'

const RETRY_MS = 1_000

export class InFlight {
  readonly #limit: number
  readonly #running = new Map<string, number>()

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Runs that have requests under way. */
  get size(): number {
    return this.#running.size
  }

  /** A place, given back when disposed. @throws VestryError RATE_LIMITED */
  enter(run: string): Disposable {
    const running = this.#running.get(run) ?? 0
    if (running >= this.#limit) {
      throw new VestryError(
        'RATE_LIMITED',
        `The run has ${this.#limit} requests under way already`,
        {
          hint: 'Wait for one of them to end',
          context: { scope: 'llm.in_flight_per_run', limit: this.#limit, retry_after_ms: RETRY_MS },
        },
      )
    }
    this.#running.set(run, running + 1)
    return {
      [Symbol.dispose]: () => {
        const left = (this.#running.get(run) ?? 1) - 1
        if (left === 0) this.#running.delete(run)
        else this.#running.set(run, left)
      },
    }
  }
}
