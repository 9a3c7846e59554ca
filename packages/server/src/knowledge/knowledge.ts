/** Knowledge as the rest of the daemon sees it. */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Stations } from '../call/perform.ts'
import type { Agent } from '../identity/agent.ts'
import type { Caller } from '../identity/caller.ts'
import type { RowGuard } from '../identity/row-guard.ts'
import type { Journal } from '../journal/journal.ts'
import type { Store } from '../store/store.ts'
import type { ConversationMemory } from './context/conversation.ts'
import type { Embedder } from './embedder.ts'
import { Follower } from './index/follower.ts'
import { IndexThread } from './index/index-thread.ts'
import type { KnowledgeDeps } from './knowledge-deps.ts'
import { Pending } from './pending.ts'
import { Reading } from './reading.ts'
import type { Asking, SearchOptions } from './requests.ts'
import type { Found } from './search/search.ts'
import { ClassStore } from './store/class-store.ts'
import { ItemStore } from './store/item-store.ts'
import { Writing } from './writing.ts'

export interface KnowledgeOptions {
  readonly stations: Stations
  readonly store: Pick<Store, 'db' | 'write' | 'change'>
  readonly guard: RowGuard
  readonly journal: Pick<Journal, 'register' | 'reserve'>
  readonly agents: { byName(name: string): Promise<Agent | undefined> }
  /** Of this node; the index is kept in it. */
  readonly directory: string
  /** Names the store for good. @throws VestryError VAULT_LOCKED */
  readonly lineage: () => string
  readonly embedder: () => Embedder
  readonly olderEmbedders?: () => readonly Embedder[]
  readonly memory?: () => ConversationMemory | undefined
  /** Epoch ms. */
  readonly now: () => number
  readonly warn: (line: string) => void
}

/** For programs and workflows: a search as `caller`, under its policies. */
export type SearchFor = (asking: Asking, query: string, options?: SearchOptions) => Promise<Found>

export class Knowledge implements AsyncDisposable {
  readonly reading: Reading
  readonly writing: Writing
  readonly #deps: KnowledgeDeps
  readonly #thread: IndexThread
  readonly #options: KnowledgeOptions
  #pending: Pending | undefined

  constructor(options: KnowledgeOptions) {
    const { stations, store, guard, now, warn } = options
    this.#options = options
    const classes = new ClassStore({ store, guard, now })
    const items = new ItemStore({ store, classes: () => classes.all(), now })
    this.#thread = new IndexThread(join(options.directory, 'index.db'))
    const { lineage } = options
    const index = new Follower({ items, thread: this.#thread, lineage })
    this.#deps = {
      stations,
      items,
      classes,
      index,
      agents: options.agents,
      embedder: options.embedder,
      olderEmbedders: options.olderEmbedders ?? (() => []),
      pending: () => this.#waiting(),
      memory: options.memory ?? (() => undefined),
      now,
      warn,
    }
    this.reading = new Reading(this.#deps)
    this.writing = new Writing(this.#deps)
  }

  /** An agent looks among its own and what is shared, unless it says otherwise. */
  readonly searchFor: SearchFor = (asking, query, options = {}) =>
    this.reading.search(asking, query, { agentId: ownName(asking.caller), ...options })

  /** The vault is open. What was left to embed goes on; the index is made ready beside that. */
  async open(): Promise<void> {
    mkdirSync(this.#options.directory, { recursive: true, mode: 0o700 })
    this.#waiting()
    this.#deps.index.drop()
    await this.#waiting().look()
  }

  count(): Promise<number> {
    return this.#deps.items.count()
  }

  onChange(tables: readonly string[]): void {
    if (tables.includes('knowledge_class')) this.#deps.classes.drop()
    if (tables.includes('knowledge_change')) this.#deps.index.changed()
  }

  async prune(): Promise<void> {
    await this.#deps.items.prune()
    await this.#waiting().look()
  }

  /** Sealed: nothing of it stays in memory. */
  async close(): Promise<void> {
    this.#deps.classes.drop()
    this.#deps.index.drop()
    await this.#thread[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #waiting(): Pending {
    const { journal, embedder, warn } = this.#options
    const { items, index } = this.#deps
    this.#pending ??= new Pending({
      journal,
      items,
      embedder,
      changed: () => index.changed(),
      warn,
    })
    return this.#pending
  }
}

function ownName({ principal }: Caller): string | undefined {
  return principal.kind === 'agent' ? principal.agent.name : undefined
}
