/**
 * A list that is nearly always added to at its end. What comes far out of order, as forged times do, is sorted in once
 * somebody looks: finding its place each time would take as long as the list for every addition.
 */

const NEAR = 64

export class InOrder<T> {
  #items: T[] = []
  #isSorted = true
  readonly #keyOf: (item: T) => number

  constructor(keyOf: (item: T) => number) {
    this.#keyOf = keyOf
  }

  get length(): number {
    return this.#items.length
  }

  add(item: T): void {
    const items = this.#items
    const key = this.#keyOf(item)
    let at = items.length
    const nearest = Math.max(0, at - NEAR)
    while (at > nearest && this.#keyAt(at - 1) > key) at -= 1
    if (at > 0 && at === nearest && this.#keyAt(at - 1) > key) {
      this.#isSorted = false
      items.push(item)
    } else if (at === items.length) items.push(item)
    else items.splice(at, 0, item)
  }

  /** In order. Not to be changed, and not to be kept. */
  get sorted(): readonly T[] {
    if (!this.#isSorted) {
      this.#items.sort((one, other) => this.#keyOf(one) - this.#keyOf(other))
      this.#isSorted = true
    }
    return this.#items
  }

  /** How many of them have a smaller key. */
  before(key: number): number {
    return this.#count((at) => at < key)
  }

  /** How many of them have no greater key. */
  through(key: number): number {
    return this.#count((at) => at <= key)
  }

  /** Those with keys from `from` to `to`, both included; of more than `max` the last. */
  within(from: number, to: number, max: number): T[] {
    const end = this.through(to)
    return this.sorted.slice(Math.max(this.before(from), end - max), end)
  }

  keep(isKept: (item: T) => boolean): void {
    this.#items = this.#items.filter(isKept)
  }

  /** @returns The first ones, which are no longer there. */
  shift(count: number): T[] {
    return this.sorted.length === 0 ? [] : this.#items.splice(0, count)
  }

  #count(isBelow: (key: number) => boolean): number {
    let low = 0
    let high = this.sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isBelow(this.#keyAt(middle))) low = middle + 1
      else high = middle
    }
    return low
  }

  #keyAt(index: number): number {
    const item = this.#items[index]
    return item === undefined ? Number.POSITIVE_INFINITY : this.#keyOf(item)
  }
}
