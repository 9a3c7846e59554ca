/** Those who wait for the end of an execution, wherever it runs. Each is told once, by an event or by a look. */
import { VestryError } from '@vestry/contract/errors'
import { type Execution, hasEnded } from './execution.ts'
import type { ExecutionReads, Found } from './execution-reads.ts'

type Waiter = (look: Promise<Execution | undefined>) => void

export class Waiters {
  readonly #get: (id: string) => Found
  readonly #stillOpen: (ids: readonly string[]) => Promise<Set<string>>
  readonly #waiting = new Map<string, Set<Waiter>>()
  #checking = false
  #told = false

  constructor(reads: Pick<ExecutionReads, 'get' | 'stillOpen'>) {
    this.#get = (id) => reads.get(id)
    this.#stillOpen = (ids) => reads.stillOpen(ids)
  }

  /** @throws the signal's reason; VestryError JOB_NOT_FOUND, STORE_UNAVAILABLE when the first look fails. */
  wait(id: string, signal: AbortSignal): Promise<Execution> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const leave = () => {
        signal.removeEventListener('abort', onAbort)
        this.#remove(id, waiter)
      }
      const onAbort = () => {
        leave()
        reject(signal.reason)
      }
      const waiter: Waiter = (look) => {
        look.then(
          (execution) => {
            if (execution !== undefined && !hasEnded(execution)) return
            leave()
            if (execution === undefined) reject(new VestryError('JOB_NOT_FOUND'))
            else resolve(execution)
          },
          (error) => {
            leave()
            reject(error)
          },
        )
      }
      signal.addEventListener('abort', onAbort)
      // Added before the look, so that an end between the two is not missed.
      this.#add(id, waiter)
      waiter(this.#look(id))
    })
  }

  /** The execution may have ended. */
  async check(id: string): Promise<void> {
    const waiters = this.#waiting.get(id)
    if (waiters === undefined) return
    try {
      const execution = await this.#look(id)
      for (const waiter of [...waiters]) waiter(Promise.resolve(execution))
    } catch {
      // The store is away: whoever waits goes on waiting, and the next look tells.
    }
  }

  /**
   * Something may have ended elsewhere. One round at a time, and one more for what is told meanwhile.
   * @param isHere Executions whose end is told by `check`.
   */
  async checkAll(isHere: (id: string) => boolean): Promise<void> {
    this.#told = true
    if (this.#checking) return
    this.#checking = true
    try {
      while (this.#told) {
        this.#told = false
        const ids = [...this.#waiting.keys()].filter((id) => !isHere(id))
        if (ids.length === 0) continue
        const open = await this.#stillOpen(ids)
        for (const id of ids) if (!open.has(id)) await this.check(id)
      }
    } catch {
      // The store is away; the next look tells.
    } finally {
      this.#checking = false
    }
  }

  async #look(id: string): Promise<Execution | undefined> {
    return this.#get(id)
  }

  #add(id: string, waiter: Waiter): void {
    const waiters = this.#waiting.get(id) ?? new Set()
    waiters.add(waiter)
    this.#waiting.set(id, waiters)
  }

  #remove(id: string, waiter: Waiter): void {
    const waiters = this.#waiting.get(id)
    waiters?.delete(waiter)
    if (waiters?.size === 0) this.#waiting.delete(id)
  }
}
