/** Bodies of steps at once; the rest wait in line. */
export class Places {
  #free: number
  readonly #line: (() => void)[] = []

  constructor(places: number) {
    this.#free = places
  }

  /** Dispose it to leave. @throws the signal's reason */
  async enter(signal: AbortSignal): Promise<Disposable> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((resolve) => this.#line.push(resolve))
    const place = { [Symbol.dispose]: () => this.#leave() }
    if (!signal.aborted) return place
    place[Symbol.dispose]()
    throw signal.reason
  }

  #leave(): void {
    const next = this.#line.shift()
    if (next === undefined) this.#free += 1
    else next()
  }
}
