/** What the parts of knowledge work with. */
import type { Stations } from '../call/perform.ts'
import type { Agent } from '../identity/agent.ts'
import type { ConversationMemory } from './context/conversation.ts'
import type { Embedder } from './embedder.ts'
import type { Follower } from './index/follower.ts'
import type { Pending } from './pending.ts'
import type { ClassStore } from './store/class-store.ts'
import type { ItemStore } from './store/item-store.ts'

export interface KnowledgeDeps {
  readonly stations: Stations
  readonly items: ItemStore
  readonly classes: ClassStore
  readonly index: Follower
  readonly agents: { byName(name: string): Promise<Agent | undefined> }
  /** Embeds what comes in. @throws VestryError EMBEDDER_UNAVAILABLE */
  readonly embedder: () => Embedder
  /** Of items that are not embedded again yet; each by its own. */
  readonly olderEmbedders: () => readonly Embedder[]
  readonly pending: () => Pick<Pending, 'queue'>
  readonly memory: () => ConversationMemory | undefined
  /** Epoch ms. */
  readonly now: () => number
  readonly warn: (line: string) => void
}
