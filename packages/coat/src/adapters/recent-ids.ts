/** Ids met lately, bounded: what came twice must not count twice. */

export class RecentIds {
  readonly #ids = new Set<string>()
  readonly #limit: number

  constructor(limit = 10_000) {
    this.#limit = limit
  }

  /** @returns Whether the id is new. */
  add(id: string): boolean {
    if (this.#ids.has(id)) return false
    this.#ids.add(id)
    if (this.#ids.size > this.#limit) {
      const oldest = this.#ids.values().next().value
      if (oldest !== undefined) this.#ids.delete(oldest)
    }
    return true
  }

  has(id: string): boolean {
    return this.#ids.has(id)
  }
}
