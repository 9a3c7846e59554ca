/** The leases a client holds, so that close() can give them back. An expired one is forgotten. */

export class LeaseBook {
  readonly #now: () => number
  /** Lease id → when it ends, epoch ms. */
  readonly #ends = new Map<string, number>()
  /** No lease ends before this: most look-ups need no sweep. */
  #earliest = Number.POSITIVE_INFINITY

  constructor(now: () => number) {
    this.#now = now
  }

  /** @param ttlSeconds As granted; a lease without a known end stays until it is released. */
  add(leaseId: string, ttlSeconds: number | undefined): void {
    this.#sweep()
    const ends =
      ttlSeconds === undefined ? Number.POSITIVE_INFINITY : this.#now() + ttlSeconds * 1_000
    this.#ends.set(leaseId, ends)
    this.#earliest = Math.min(this.#earliest, ends)
  }

  has(leaseId: string): boolean {
    return this.#ends.has(leaseId)
  }

  remove(leaseId: string): void {
    this.#ends.delete(leaseId)
  }

  clear(): void {
    this.#ends.clear()
    this.#earliest = Number.POSITIVE_INFINITY
  }

  /** A copy: live leases, oldest first. */
  ids(): Set<string> {
    this.#sweep()
    return new Set(this.#ends.keys())
  }

  #sweep(): void {
    const now = this.#now()
    if (now < this.#earliest) return
    this.#earliest = Number.POSITIVE_INFINITY
    for (const [id, ends] of this.#ends) {
      if (ends <= now) this.#ends.delete(id)
      else this.#earliest = Math.min(this.#earliest, ends)
    }
  }
}
