/** Calls under way on this node: a second arrival of the same call waits for the first instead of running. */

export interface Flight<T> {
  /** What was asked under the key. */
  readonly fingerprint: string
  readonly landed: Promise<T>
}

export class Flights<T> {
  readonly #running = new Map<string, Flight<T>>()
  /** Flights without a key: nobody can join them, but a shutdown waits for them too. */
  readonly #anonymous = new Set<Promise<T>>()

  get(key: string): Flight<T> | undefined {
    return this.#running.get(key)
  }

  /** Runs `work`; it goes on when nobody waits any more. */
  start(key: string | undefined, fingerprint: string, work: () => Promise<T>): Promise<T> {
    const landed = work().finally(() => {
      if (key === undefined) this.#anonymous.delete(landed)
      else this.#running.delete(key)
    })
    if (key === undefined) this.#anonymous.add(landed)
    else this.#running.set(key, { fingerprint, landed })
    // Whoever waits meets its error; when nobody does, it must not end the process.
    landed.catch(() => undefined)
    return landed
  }

  /** Resolves when everything that runs now has ended, or after `budgetMs`. */
  async settled(budgetMs: number): Promise<void> {
    const all = [...this.#anonymous, ...Array.from(this.#running.values(), ({ landed }) => landed)]
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, budgetMs)
    await Promise.race([Promise.allSettled(all), late])
    clearTimeout(timer)
  }
}
