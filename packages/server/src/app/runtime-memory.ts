/** Puts memories of agents and collections of vectors together. */
import { Collections } from '../knowledge/collections/collections.ts'
import type { Embedder } from '../knowledge/embedder.ts'
import { hashingEmbedder } from '../knowledge/embedding/hashing.ts'
import { Memory } from '../knowledge/memory/memory.ts'
import { MemoryStore } from '../knowledge/memory/memory-store.ts'
import { collectionVerbs } from '../runtime/collection-verbs.ts'
import { memoryRoutes } from '../runtime/routes/memory.ts'
import { vectorRoutes } from '../runtime/routes/vectors.ts'
import type { RuntimeRoute } from '../runtime/wire/route.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import type { Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface MemoryPieceDeps {
  readonly door: VerbDoor
  /** What embeds; without, the built-in one. */
  readonly embedder?: () => Embedder
  readonly searchKnowledge: RuntimeRoute['handle']
}

export interface MemoryPiece extends RuntimePiece {
  readonly memory: Memory
}

export function assembleMemoryPiece(parts: Parts, deps: MemoryPieceDeps): MemoryPiece {
  const { store, vault, agents } = parts
  const { now, stations } = vault
  const builtIn = hashingEmbedder()
  const memory = new Memory({
    stations,
    store: new MemoryStore({ store }),
    agents,
    embedder: deps.embedder ?? (() => builtIn),
    now,
  })
  const collections = new Collections({ store, now })
  const { door: verbs, searchKnowledge } = deps
  return {
    memory,
    routes: [...memoryRoutes(memory), ...vectorRoutes({ collections, verbs, searchKnowledge })],
    verbs: collectionVerbs(collections),
    prune: () => memory.prune(),
  }
}
