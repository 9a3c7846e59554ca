/** So many at once, a bounded number waiting in order, each no longer than it wants to. */
import { VestryError } from '@vestry/contract/errors'

interface Waiting {
  readonly start: () => void
}

export class Slots {
  readonly #most: number
  readonly #mostWaiting: number
  readonly #waiting = new Set<Waiting>()
  #used = 0

  constructor(most: number, mostWaiting: number) {
    this.#most = most
    this.#mostWaiting = mostWaiting
  }

  get used(): number {
    return this.#used
  }

  /**
   * @returns To be disposed when the work is over.
   * @throws VestryError MCP_TIMEOUT when none became free in time, or too many wait; the reason of `signal`.
   */
  async take(signal: AbortSignal, timeoutMs: number): Promise<Disposable> {
    signal.throwIfAborted()
    if (this.#used < this.#most) {
      this.#used += 1
      return this.#held()
    }
    if (this.#waiting.size >= this.#mostWaiting) throw busy()
    await this.#turn(signal, timeoutMs)
    return this.#held()
  }

  /** The slot is handed over, so that nobody overtakes who waited. */
  #turn(signal: AbortSignal, timeoutMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting: Waiting = { start: resolve }
    this.#waiting.add(waiting)
    // Out of the queue at once: a slot that becomes free in between must not go to who has left.
    const leave = (reason: unknown) => {
      this.#waiting.delete(waiting)
      reject(reason)
    }
    const late = setTimeout(() => leave(busy()), timeoutMs)
    const abort = () => leave(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    return promise.finally(() => {
      clearTimeout(late)
      signal.removeEventListener('abort', abort)
    })
  }

  #held(): Disposable {
    let over = false
    return {
      [Symbol.dispose]: () => {
        if (over) return
        over = true
        const [next] = this.#waiting
        if (next === undefined) {
          this.#used -= 1
          return
        }
        this.#waiting.delete(next)
        next.start()
      },
    }
  }
}

function busy(): VestryError {
  return new VestryError('MCP_TIMEOUT', 'Too many calls of this server are under way', {
    hint: 'Try again in a moment.',
  })
}
