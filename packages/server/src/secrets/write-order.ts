/**
 * Writes of one secret happen one after the other; and all of them can be held back for a moment, for what must see
 * none under way. Bounded: whoever would wait behind too many is told to come again.
 */
import { VestryError } from '@vestry/contract/errors'
import { untilAborted } from './deadline.ts'

const MAX_WAITING = 2_000

export class WriteOrder {
  readonly #last = new Map<string, Promise<unknown>>()
  readonly #maxWaiting: number
  #waiting = 0
  #running = 0
  #gate: PromiseWithResolvers<void> | undefined
  #idle: PromiseWithResolvers<void> | undefined

  constructor(maxWaiting: number = MAX_WAITING) {
    this.#maxWaiting = maxWaiting
  }

  /** Runs `work` when those before it with the same key have ended, and the gate is open. */
  async run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#maxWaiting) {
      throw new VestryError('BACKEND_UNAVAILABLE', 'Too many secrets are being written', {
        context: { retry_after_ms: 1_000 },
      })
    }
    this.#waiting += 1
    const before = this.#last.get(key) ?? Promise.resolve()
    const mine = Promise.withResolvers<void>()
    const turn = before.then(() => mine.promise)
    this.#last.set(key, turn)
    try {
      await untilAborted(before, signal)
      // Opened and shut again meanwhile, it is waited for again.
      while (this.#gate !== undefined) await untilAborted(this.#gate.promise, signal)
      return await this.#counted(work)
    } finally {
      this.#waiting -= 1
      mine.resolve()
      if (this.#last.get(key) === turn) this.#last.delete(key)
    }
  }

  /** Holds new writes back, and resolves when none is under way. Disposing it lets them go. */
  async shut(signal: AbortSignal): Promise<Disposable> {
    const gate = Promise.withResolvers<void>()
    this.#gate = gate
    const open = { [Symbol.dispose]: () => this.#open(gate) }
    try {
      if (this.#running > 0) {
        this.#idle ??= Promise.withResolvers<void>()
        await untilAborted(this.#idle.promise, signal)
      }
      return open
    } catch (error) {
      open[Symbol.dispose]()
      throw error
    }
  }

  async #counted<T>(work: () => Promise<T>): Promise<T> {
    this.#running += 1
    try {
      return await work()
    } finally {
      this.#running -= 1
      if (this.#running === 0) {
        this.#idle?.resolve()
        this.#idle = undefined
      }
    }
  }

  #open(gate: PromiseWithResolvers<void>): void {
    if (this.#gate === gate) this.#gate = undefined
    gate.resolve()
  }
}
