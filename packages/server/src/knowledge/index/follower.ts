/** Keeps the index of this node in step with the store. */
import { VestryError } from '@vestry/contract/errors'
import type { ItemStore } from '../store/item-store.ts'
import type { Candidate, IndexQuery } from './index-query.ts'
import type { IndexThread } from './index-thread.ts'

export interface FollowerDeps {
  readonly items: Pick<ItemStore, 'changesAfter' | 'revisions'>
  readonly thread: Pick<IndexThread, 'open' | 'apply' | 'search'>
  /** Names the store: an index of another one is of no use. */
  readonly lineage: () => string
}

/** Items of one round. */
const ROUND = 64

export class Follower {
  readonly #deps: FollowerDeps
  /** Undefined while it is not open. */
  #revision: number | undefined
  #behind = true
  #round: Promise<void> | undefined

  constructor(deps: FollowerDeps) {
    this.#deps = deps
  }

  /** Something was written, here or elsewhere. */
  changed(): void {
    this.#behind = true
  }

  /** The next use opens the file again. */
  drop(): void {
    this.#revision = undefined
    this.#behind = true
  }

  /** Resolves when all is taken over that was written before this was asked. */
  async catchUp(): Promise<void> {
    while (this.#behind || this.#round !== undefined) {
      this.#round ??= this.#run().finally(() => {
        this.#round = undefined
      })
      await this.#round
    }
  }

  /** @throws VestryError BACKEND_ERROR, STORE_UNAVAILABLE */
  async search(query: IndexQuery): Promise<readonly Candidate[]> {
    await this.catchUp()
    try {
      return await this.#deps.thread.search(query)
    } catch {
      // A file that broke meanwhile is found out, and made again, when it is opened.
      this.drop()
      await this.catchUp()
      return this.#deps.thread.search(query)
    }
  }

  async #run(): Promise<void> {
    this.#behind = false
    try {
      this.#revision ??= await this.#open()
      for (;;) {
        const changes = await this.#deps.items.changesAfter(this.#revision, ROUND)
        if (changes === undefined) return
        this.#revision = await this.#deps.thread.apply(changes)
      }
    } catch (error) {
      // The thread may have ended; whatever was not applied is still to be done.
      this.drop()
      throw error
    }
  }

  async #open(): Promise<number> {
    const lineage = this.#deps.lineage()
    const revision = await this.#deps.thread.open(lineage)
    const { newest, horizon } = await this.#deps.items.revisions()
    if (revision <= newest && (revision === 0 || revision >= horizon)) return revision
    // Ahead of an older store, or so far behind that deletions are forgotten: only a new one is right.
    await this.#deps.thread.open(`${lineage}:discarded`)
    const fresh = await this.#deps.thread.open(lineage)
    if (fresh !== 0) throw new VestryError('INTERNAL_ERROR', 'the index was not made anew')
    return fresh
  }
}
