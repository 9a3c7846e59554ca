/** Puts knowledge together: the store, the index of this node, and who asks. */
import { join } from 'node:path'
import { rowGuard } from '../identity/row-guard.ts'
import type { Journal } from '../journal/journal.ts'
import type { ConversationMemory } from '../knowledge/context/conversation.ts'
import type { Embedder } from '../knowledge/embedder.ts'
import { chooseEmbedder } from '../knowledge/embedding/choose.ts'
import { hashingEmbedder } from '../knowledge/embedding/hashing.ts'
import { Knowledge } from '../knowledge/knowledge.ts'
import { knowledgeVerbs } from '../runtime/knowledge-verbs.ts'
import { knowledgeRoutes } from '../runtime/routes/knowledge.ts'
import type { Parts } from './assemble.ts'
import { knowledgeEmbedding } from './knowledge-embedding.ts'
import type { LlmPart } from './llm-parts.ts'
import type { RunsPart } from './runs-part.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface KnowledgePiece extends RuntimePiece {
  readonly knowledge: Knowledge
}

export interface KnowledgePieceDeps {
  readonly journal: Journal
  readonly llm: LlmPart
  readonly runs: RunsPart
  readonly memory?: () => ConversationMemory | undefined
  readonly warn: (line: string) => void
}

export function assembleKnowledgePiece(parts: Parts, deps: KnowledgePieceDeps): KnowledgePiece {
  const { config, home, store, seal, agents, vault } = parts
  const { warn } = deps
  const words = hashingEmbedder()
  const call = knowledgeEmbedding(parts, deps)
  let chosen: Embedder | undefined
  const embedder = () => {
    chosen ??= chooseEmbedder(config.runtime, { call, warn })
    return chosen
  }
  const knowledge = new Knowledge({
    stations: vault.stations,
    store,
    guard: rowGuard(() => seal.keys),
    journal: deps.journal,
    agents,
    directory: join(home.dir, 'knowledge'),
    lineage: () => seal.keys.vaultId,
    embedder,
    // It needs nothing, so what it embedded is found by its vectors until another one has done it again.
    olderEmbedders: () => (embedder().id === words.id ? [] : [words]),
    ...(deps.memory !== undefined && { memory: deps.memory }),
    now: vault.now,
    warn,
  })
  return {
    knowledge,
    routes: knowledgeRoutes(knowledge),
    verbs: knowledgeVerbs(knowledge),
    open: () => knowledge.open(),
    onChange: (tables) => knowledge.onChange(tables),
    prune: () => knowledge.prune(),
    close: async () => {
      await knowledge.close()
      const ended = chosen
      chosen = undefined
      if (ended !== undefined && isDisposable(ended)) await ended[Symbol.asyncDispose]()
    },
  }
}

function isDisposable(embedder: Embedder): embedder is Embedder & AsyncDisposable {
  return Symbol.asyncDispose in embedder
}
