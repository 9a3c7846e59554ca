/** The numbers behind a series: plain fields, so that counting allocates nothing. */

export class CounterCell {
  #value = 0

  get value(): number {
    return this.#value
  }

  /** @param by Not negative; anything else is ignored, because a counter that falls reads as a restart. */
  inc(by = 1): void {
    if (by > 0) this.#value += by
  }
}

export class GaugeCell {
  #value = 0

  get value(): number {
    return this.#value
  }

  set(value: number): void {
    this.#value = value
  }

  add(by: number): void {
    this.#value += by
  }
}

export class HistogramCell {
  readonly #bounds: Float64Array
  /** One more than bounds: the last counts what exceeds them all. Not cumulative. */
  readonly #counts: Float64Array
  #sum = 0
  #count = 0

  constructor(bounds: Float64Array) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  get sum(): number {
    return this.#sum
  }

  get count(): number {
    return this.#count
  }

  get counts(): Readonly<Float64Array> {
    return this.#counts
  }

  observe(value: number): void {
    if (Number.isNaN(value)) return
    const bounds = this.#bounds
    let low = 0
    let high = bounds.length
    // First bucket whose upper bound is not below the value.
    while (low < high) {
      const middle = (low + high) >> 1
      if ((bounds[middle] ?? 0) < value) low = middle + 1
      else high = middle
    }
    this.#counts[low] = (this.#counts[low] ?? 0) + 1
    this.#sum += value
    this.#count += 1
  }
}
