/** A binary heap of things that end at a time: one sweep instead of one timer each. */

export interface Due<T> {
  readonly item: T
  readonly dueMs: number
}

export class ExpiryHeap<T> {
  #heap: Due<T>[] = []

  get size(): number {
    return this.#heap.length
  }

  add(item: T, dueMs: number): void {
    const heap = this.#heap
    let at = heap.length
    const entry = { item, dueMs }
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Due<T>
      if (above.dueMs <= dueMs) break
      heap[at] = above
      at = parent
    }
    heap[at] = entry
  }

  /** Removes and yields everything due at or before `nowMs`, earliest first. */
  *takeDue(nowMs: number): Generator<Due<T>> {
    for (
      let first = this.#heap[0];
      first !== undefined && first.dueMs <= nowMs;
      first = this.#heap[0]
    ) {
      this.#removeFirst()
      yield first
    }
  }

  /** Drops entries that no longer matter; the order of the rest is restored. */
  retain(matters: (entry: Due<T>) => boolean): void {
    // A sorted list is a valid heap.
    this.#heap = this.#heap.filter(matters).sort((a, b) => a.dueMs - b.dueMs)
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      const right = heap[child + 1]
      if (right !== undefined && right.dueMs < (heap[child] as Due<T>).dueMs) child += 1
      const candidate = heap[child] as Due<T>
      if (candidate.dueMs >= last.dueMs) break
      heap[at] = candidate
      at = child
    }
    heap[at] = last
  }
}
