/** What goes to the index and comes from it. Shapes only; all of them can be handed to another thread. */
import type { ChangedItem } from '../store/item-store.ts'

export type IndexedItem = ChangedItem

export interface IndexQuery {
  /** As `termsOf` gives them; what has one of them is found. */
  readonly terms: readonly string[]
  /** The query as each embedder sees it; vectors are compared with those of the same embedder only. */
  readonly vectors: readonly { readonly embedder: string; readonly vector: Float32Array }[]
  /** Nothing of another class is looked at. */
  readonly classes: readonly string[]
}

/** A chunk that may answer. */
export interface Candidate {
  readonly item: string
  readonly seq: number
  readonly classId: string
  /** Which vectors were compared, and what came of it; undefined for one without a vector of these embedders. */
  readonly embedder: string | undefined
  readonly cosine: number | undefined
  /** Of what one would have that has each word of the query once; up to 2.2. */
  readonly bm25: number
  /** From 0 to 1: which part of the query's words it has, rare ones counting for more. */
  readonly words: number
}

export type IndexRequest =
  | { readonly op: 'open'; readonly path: string; readonly lineage: string }
  | { readonly op: 'apply'; readonly items: readonly IndexedItem[]; readonly revision: number }
  | { readonly op: 'search'; readonly query: IndexQuery }

export interface IndexCall {
  readonly id: number
  readonly request: IndexRequest
}

export interface IndexReply {
  readonly id: number
  readonly revision: number
  readonly candidates: readonly Candidate[]
  readonly error: string | undefined
}
