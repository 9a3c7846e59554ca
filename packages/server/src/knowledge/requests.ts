/** What is asked of knowledge, by clients and by parts of the daemon. */
import type { Caller } from '../identity/caller.ts'
import type { DocumentSource } from './document.ts'

/** Who asks, and for how long. */
export interface Asking {
  readonly caller: Caller
  readonly requestId: string
  readonly signal: AbortSignal
}

export interface NewItem {
  readonly id: string
  readonly content: string
  readonly embedding?: readonly number[] | undefined
  readonly source: string
  readonly sourceType: string
  /** Name of the agent whose own it is; undefined: shared. */
  readonly agentId: string | undefined
  readonly labels: readonly string[]
  /** Epoch ms; now unless told. */
  readonly timestamp?: number | undefined
  readonly chunkIndex?: number | undefined
  /** Kept as it is. */
  readonly metadata?: Readonly<Record<string, unknown>>
}

export interface NewDocument extends Omit<NewItem, 'content' | 'embedding' | 'chunkIndex'> {
  readonly document: DocumentSource
}

export interface Added {
  readonly id: string
  readonly replaced: boolean
  readonly chunks: number
  readonly embeddingModel: string
  readonly dimension: number
  /** False: its words are found already, its meaning is when the embedder has done its work. */
  readonly embedded: boolean
  readonly warnings: readonly string[]
}

export interface SearchOptions {
  /** Name of the agent as whom it is looked for. */
  readonly agentId?: string | undefined
  /** Empty: all. */
  readonly sourceTypes?: readonly string[]
  /** 1 to 100; default 10. */
  readonly limit?: number
  /** 0 to 1; default 0.7. */
  readonly threshold?: number
}

export interface ContextOptions {
  readonly agentId?: string | undefined
  readonly sourceTypes?: readonly string[]
  /** 1 to 50; default 5. */
  readonly maxItems?: number
  readonly maxTokens?: number | undefined
  /** Default true. */
  readonly includeConversation?: boolean
}

export interface Context {
  readonly passages: readonly ContextPassage[]
  readonly warnings: readonly string[]
}

export interface ContextPassage {
  readonly id: string
  readonly text: string
  readonly source: string
  readonly score: number
}
