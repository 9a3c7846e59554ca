/** Runs that have begun and not ended, by the framework's own id: bounded, the longest unused goes first. */

export const MAX_OPEN_RUNS = 10_000

export class OpenRuns<Run> {
  readonly #runs = new Map<string, Run>()
  readonly #abandon: (run: Run, id: string) => void
  readonly #limit: number
  #evicted = 0

  /** @param abandon Ends a run that had to make room for another. */
  constructor(abandon: (run: Run, id: string) => void, limit = MAX_OPEN_RUNS) {
    this.#abandon = abandon
    this.#limit = limit
  }

  get size(): number {
    return this.#runs.size
  }

  /** How many had to make room so far. */
  get evicted(): number {
    return this.#evicted
  }

  has(id: string): boolean {
    return this.#runs.has(id)
  }

  /** A look counts as use. */
  get(id: string): Run | undefined {
    const run = this.#runs.get(id)
    if (run === undefined) return undefined
    this.#runs.delete(id)
    this.#runs.set(id, run)
    return run
  }

  set(id: string, run: Run): void {
    this.#runs.delete(id)
    this.#runs.set(id, run)
    while (this.#runs.size > this.#limit) {
      const oldest = this.#runs.entries().next().value
      if (oldest === undefined) return
      this.#runs.delete(oldest[0])
      this.#evicted += 1
      this.#abandon(oldest[1], oldest[0])
    }
  }

  /** Gives the run away: it is open no more. */
  take(id: string): Run | undefined {
    const run = this.#runs.get(id)
    this.#runs.delete(id)
    return run
  }

  /** Gives all runs away, the youngest first, so that children end before their parents. */
  drain(): Run[] {
    const all = [...this.#runs.values()].reverse()
    this.#runs.clear()
    return all
  }

  ids(): string[] {
    return [...this.#runs.keys()]
  }
}
