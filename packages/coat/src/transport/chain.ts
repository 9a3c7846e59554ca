/** A doubly linked list through members of its own entries: taking one out of the middle costs nothing. */
import type { Entry } from './ring.ts'

export class Chain {
  first: Entry | undefined
  last: Entry | undefined
  readonly #before: 'before' | 'kinBefore'
  readonly #after: 'after' | 'kinAfter'

  constructor(links: 'order' | 'kin') {
    this.#before = links === 'order' ? 'before' : 'kinBefore'
    this.#after = links === 'order' ? 'after' : 'kinAfter'
  }

  push(entry: Entry): void {
    entry[this.#before] = this.last
    if (this.last === undefined) this.first = entry
    else this.last[this.#after] = entry
    this.last = entry
  }

  /** @param entry One of this chain. */
  remove(entry: Entry): void {
    const before = entry[this.#before]
    const after = entry[this.#after]
    if (before === undefined) this.first = after
    else before[this.#after] = after
    if (after === undefined) this.last = before
    else after[this.#before] = before
    // A removed entry that still pointed at others would keep them from being collected.
    entry[this.#before] = undefined
    entry[this.#after] = undefined
  }
}
