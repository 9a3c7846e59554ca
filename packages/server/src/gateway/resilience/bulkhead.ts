/** At most so many calls of one tool at a time; others wait their turn, but not for long (gateway contract §12.1). */
import { VestryError } from '@vestry/contract/errors'

export interface BulkheadOptions {
  readonly concurrency: number
  /** Default 1 s. */
  readonly maxWaitMs?: number
  /** Calls that may wait at once; further ones are refused at once. Default 1000. */
  readonly maxWaiting?: number
}

interface Waiter {
  admit: () => void
}

export class Bulkhead {
  readonly #tool: string
  readonly #concurrency: number
  readonly #maxWaitMs: number
  readonly #maxWaiting: number
  /** In order of arrival. */
  readonly #waiters = new Set<Waiter>()
  #active = 0

  constructor(
    tool: string,
    { concurrency, maxWaitMs = 1_000, maxWaiting = 1_000 }: BulkheadOptions,
  ) {
    this.#tool = tool
    this.#concurrency = concurrency
    this.#maxWaitMs = maxWaitMs
    this.#maxWaiting = maxWaiting
  }

  get active(): number {
    return this.#active
  }

  get waiting(): number {
    return this.#waiters.size
  }

  /**
   * @returns The permit: dispose it when the call is over.
   * @throws VestryError `CIRCUIT_OPEN` when no place came free in time; the reason of `signal`.
   */
  async enter(signal?: AbortSignal): Promise<Disposable> {
    signal?.throwIfAborted()
    if (this.#active < this.#concurrency) this.#active += 1
    else await this.#turn(signal)
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (!held) return
        held = false
        this.#leave()
      },
    }
  }

  /** Resolves with a place that is already counted as taken. */
  #turn(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiters.size >= this.#maxWaiting) return Promise.reject(this.#refusal())
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter: Waiter = {
      admit: () => {
        end()
        resolve()
      },
    }
    const abort = () => {
      end()
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      end()
      reject(this.#refusal())
    }, this.#maxWaitMs)
    const end = () => {
      this.#waiters.delete(waiter)
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
    signal?.addEventListener('abort', abort, { once: true })
    this.#waiters.add(waiter)
    return promise
  }

  /** The place goes straight to whoever waits longest, so that nobody who comes later takes it. */
  #leave(): void {
    const [next] = this.#waiters
    if (next === undefined) this.#active -= 1
    else next.admit()
  }

  #refusal(): VestryError {
    return new VestryError('CIRCUIT_OPEN', `Tool "${this.#tool}" has too many calls at once`, {
      hint: 'Retry a moment later.',
      context: { tool: this.#tool, retry_after_ms: 1_000 },
    })
  }
}
