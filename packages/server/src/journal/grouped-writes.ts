/**
 * Writes that wait together share one transaction, as on SQLite they share one commit: on PostgreSQL each commit is
 * a trip to the disk, and each notification waits for the one before. What fails as a group is written one by one.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { WriteFn } from '../store/engine.ts'
import type { Store, WriteOptions } from '../store/store.ts'

/** Transactions at once: the others of the store's connections are left to whoever else writes. */
const LANES = 2
/** Writes of one transaction, so that none waits long for the others. */
const MOST = 32
const MAX_WAITING = 10_000

interface Waiting {
  readonly fn: WriteFn<unknown>
  readonly tell: WriteOptions['tell']
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/** For writes of which none reads what another one writes, or loses nothing if it does. */
export class GroupedWrites {
  readonly #store: Pick<Store, 'write'>
  #waiting: Waiting[] = []
  #running = 0

  constructor(store: Pick<Store, 'write'>) {
    this.#store = store
  }

  /** As the store's, and `fn` may run again after the failure of another one. */
  write<T>(fn: WriteFn<T>, { tell }: Pick<WriteOptions, 'tell'> = {}): Promise<T> {
    if (this.#waiting.length >= MAX_WAITING)
      return Promise.reject(new VestryError('STORE_UNAVAILABLE', 'Too many writes are waiting'))
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting.push({ fn, tell, resolve, reject })
    this.#next()
    return promise as Promise<T> // what its own `fn` resolved to
  }

  #next(): void {
    while (this.#running < LANES && this.#waiting.length > 0) {
      this.#running += 1
      void this.#together(this.#waiting.splice(0, MOST)).finally(() => {
        this.#running -= 1
        this.#next()
      })
    }
  }

  /** Never rejects. */
  async #together(group: readonly Waiting[]): Promise<void> {
    const [first] = group
    if (group.length === 1 && first !== undefined) return this.#alone(first)
    const tell = [...new Set(group.flatMap((one) => one.tell ?? []))]
    try {
      const values = await this.#store.write(
        async (trx) => {
          const values: unknown[] = []
          for (const { fn } of group) values.push(await fn(trx))
          return values
        },
        { tell },
      )
      for (const [index, { resolve }] of group.entries()) resolve(values[index])
    } catch (error) {
      // It may be on disk for all we know, so nobody writes it a second time.
      if (asVestryError(error).code === 'STORE_UNAVAILABLE')
        for (const { reject } of group) reject(error)
      else await Promise.all(group.map((one) => this.#alone(one)))
    }
  }

  async #alone({ fn, tell, resolve, reject }: Waiting): Promise<void> {
    await this.#store.write(fn, tell === undefined ? {} : { tell }).then(resolve, reject)
  }
}
