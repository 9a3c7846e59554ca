/** Memories by what they mean. */
import type { Embedder } from '../embedder.ts'
import type { Embedded, MemoryStore, StoredNode } from './memory-store.ts'
import { type MemoryNode, textOf } from './node.ts'
import { dot } from './tidying.ts'

export interface MemoryRankingDeps {
  readonly store: MemoryStore
  readonly embedder: () => Embedder
}

const EMBEDDED_AT_ONCE = 256
/** Meaning less alike is something else. */
const MIN_SCORE = 0.3
const MAX_QUERY_CHARS = 8_192

export class MemoryRanking {
  readonly #deps: MemoryRankingDeps

  constructor(deps: MemoryRankingDeps) {
    this.#deps = deps
  }

  /** Those that are alike, best first. */
  async scored(all: readonly StoredNode[], text: string, signal: AbortSignal) {
    if (all.length === 0) return []
    const embedder = this.#deps.embedder()
    const [query] = await embedder.embed([text.slice(0, MAX_QUERY_CHARS)], signal)
    if (query === undefined) return []
    const vectors = await this.#vectors(all, embedder, signal)
    return all
      .map(({ node }) => {
        const vector = vectors.get(node.id)
        return { node, score: vector === undefined ? 0 : embedder.calibrated(dot(query, vector)) }
      })
      .filter(({ score }) => score >= MIN_SCORE)
      .sort((a, b) => b.score - a.score || b.node.timestamp - a.node.timestamp)
  }

  /** Those that another embedder made are made anew, and kept. */
  async #vectors(all: readonly StoredNode[], embedder: Embedder, signal: AbortSignal) {
    const vectors = new Map<string, Float32Array>()
    const others: MemoryNode[] = []
    for (const { node, embedded } of all) {
      if (embedded?.embedder === embedder.id) vectors.set(node.id, embedded.vector)
      else others.push(node)
    }
    for (let at = 0; at < others.length; at += EMBEDDED_AT_ONCE) {
      const some = others.slice(at, at + EMBEDDED_AT_ONCE)
      const made = await this.embed(some, signal)
      const kept = new Map<string, Embedded>()
      for (const [index, { id }] of some.entries()) {
        const embedded = made[index]
        if (embedded === undefined) continue
        kept.set(id, embedded)
        vectors.set(id, embedded.vector)
      }
      await this.#deps.store.embed(kept)
    }
    return vectors
  }

  async embed(nodes: readonly MemoryNode[], signal: AbortSignal): Promise<Embedded[]> {
    const embedder = this.#deps.embedder()
    const vectors = await embedder.embed(
      nodes.map(({ content }) => textOf(content)),
      signal,
    )
    return vectors.map((vector) => ({ embedder: embedder.id, vector }))
  }
}
