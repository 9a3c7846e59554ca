/** How many secrets there are, for metrics: counted through the back end now and then, and moved along with our writes. */
import { untilAborted, within } from './deadline.ts'

const FRESH_MS = 30_000
const COUNT_MS = 15_000

export class CachedCount {
  readonly #ask: (signal: AbortSignal) => Promise<number>
  readonly #now: () => number
  #value: { count: number; atMs: number } | undefined
  #asking: Promise<number> | undefined
  /** Raised with each change and drop, so that a count begun before it does not stand after it. */
  #epoch = 0

  constructor(ask: (signal: AbortSignal) => Promise<number>, now: () => number) {
    this.#ask = ask
    this.#now = now
  }

  read(signal: AbortSignal): Promise<number> {
    const known = this.#value
    if (known !== undefined && this.#now() - known.atMs < FRESH_MS)
      return Promise.resolve(known.count)
    this.#asking ??= this.#recount().finally(() => {
      this.#asking = undefined
    })
    // A back end that is away makes the number old, not the metrics unreadable; health tells of it.
    return untilAborted(this.#asking, signal).catch(() => this.#value?.count ?? 0)
  }

  /** By a write of ours. */
  changed(by: number): void {
    this.#epoch += 1
    if (this.#value !== undefined)
      this.#value = { ...this.#value, count: Math.max(0, this.#value.count + by) }
  }

  drop(): void {
    this.#epoch += 1
    this.#value = undefined
  }

  async #recount(): Promise<number> {
    const epoch = this.#epoch
    const count = await this.#ask(within(new AbortController().signal, COUNT_MS))
    if (epoch === this.#epoch) this.#value = { count, atMs: this.#now() }
    return count
  }
}
