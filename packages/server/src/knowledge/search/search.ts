/** Searches the index and settles, from the store alone, what of it may be shown. */
import type { Embedder } from '../embedder.ts'
import type { Candidate } from '../index/index-query.ts'
import { embedTexts } from '../ingest.ts'
import { type KnowledgeClass, type KnowledgeItem, normalised, type StoredChunk } from '../item.ts'
import type { ItemStore } from '../store/item-store.ts'
import { relevance } from './calibration.ts'
import { type ParsedQuery, parseQuery } from './query.ts'

export interface SearchDeps {
  readonly items: Pick<ItemStore, 'classIds' | 'many' | 'chunk'>
  readonly index: {
    search(query: {
      readonly terms: readonly string[]
      readonly vectors: readonly { readonly embedder: string; readonly vector: Float32Array }[]
      readonly classes: readonly string[]
    }): Promise<readonly Candidate[]>
  }
  /** The first embeds what comes in; the others, what is not embedded again yet. */
  readonly embedders: () => readonly Embedder[]
  readonly warn: (line: string) => void
}

export interface SearchLimits {
  readonly limit: number
  readonly threshold: number
}

export interface Hit {
  readonly item: KnowledgeItem
  /** The piece of it that answers best. */
  readonly chunk: StoredChunk
  /** From 0 to 1. */
  readonly score: number
}

export interface Found {
  readonly hits: readonly Hit[]
  /** Items that reach the threshold, before the limit. */
  readonly total: number
}

interface Scored {
  readonly candidate: Candidate
  readonly score: number
}

/** One that has every word of a query and looks like it is read, to see whether it is the same text. */
const MAY_BE_SAME = { words: 0.99, cosine: 0.95 }
const MOST_COMPARED = 64

/** @throws VestryError VALIDATION_ERROR, BACKEND_ERROR, STORE_UNAVAILABLE; the signal's reason */
export async function searchItems(
  deps: SearchDeps,
  query: string,
  classes: readonly KnowledgeClass[],
  { limit, threshold }: SearchLimits,
  signal: AbortSignal,
): Promise<Found> {
  const parsed = parseQuery(query)
  if (classes.length === 0) return { hits: [], total: 0 }
  const embedders = deps.embedders()
  const vectors = await queryVectors(deps, embedders, parsed, signal)
  const classIds = classes.map(({ id }) => id)
  const candidates = await deps.index.search({ terms: parsed.terms, vectors, classes: classIds })
  signal.throwIfAborted()
  const scored = await score(deps, candidates, embedders, parsed)
  const best = bestOfEach(scored.filter(({ score: one }) => one >= threshold))
  return shown(deps, best, new Set(classIds), limit)
}

/** An embedder that is down leaves the words: a search is still answered. */
async function queryVectors(
  { warn }: SearchDeps,
  embedders: readonly Embedder[],
  { text }: ParsedQuery,
  signal: AbortSignal,
) {
  const all = await Promise.all(
    embedders.map(async (embedder) => {
      try {
        const [vector] = await embedTexts(embedder, [text], signal)
        return vector === undefined ? [] : [{ embedder: embedder.id, vector }]
      } catch (error) {
        signal.throwIfAborted()
        warn(`knowledge: searched without ${embedder.name}: ${String(error)}`)
        return []
      }
    }),
  )
  return all.flat()
}

async function score(
  { items }: SearchDeps,
  candidates: readonly Candidate[],
  embedders: readonly Embedder[],
  { text }: ParsedQuery,
): Promise<Scored[]> {
  const byId = new Map(embedders.map((embedder) => [embedder.id, embedder]))
  let read = 0
  return Promise.all(
    candidates.map(async (candidate) => {
      const { item, seq, embedder: name = '', cosine, bm25, words } = candidate
      const embedder = byId.get(name)
      const mayBeSame =
        words >= MAY_BE_SAME.words && (cosine === undefined || cosine >= MAY_BE_SAME.cosine)
      const chunk = mayBeSame && read++ < MOST_COMPARED ? await items.chunk(item, seq) : undefined
      const isSame = chunk !== undefined && normalised(chunk.text) === text
      const compared = embedder === undefined ? undefined : cosine
      const measured = { cosine: compared, bm25, words, isSame }
      return { candidate, score: relevance(measured, (one) => embedder?.calibrated(one) ?? 0) }
    }),
  )
}

/** The best first; the same score by id, so that the order is the same each time. */
function bestOfEach(scored: readonly Scored[]): Scored[] {
  const best = new Map<string, Scored>()
  for (const one of scored) {
    const { item, seq } = one.candidate
    const known = best.get(item)
    const isBetter =
      known === undefined ||
      one.score > known.score ||
      (one.score === known.score && seq < known.candidate.seq)
    if (isBetter) best.set(item, one)
  }
  return [...best.values()].sort(
    (a, b) => b.score - a.score || (a.candidate.item < b.candidate.item ? -1 : 1),
  )
}

/** The index may be a moment behind: what is gone, or of another class by now, is not shown. */
async function shown(
  { items }: SearchDeps,
  best: readonly Scored[],
  allowed: ReadonlySet<string>,
  limit: number,
): Promise<Found> {
  const now = await items.classIds(best.map(({ candidate }) => candidate.item))
  const there = best.filter(({ candidate }) => allowed.has(now.get(candidate.item) ?? ''))
  const first = there.slice(0, limit)
  const full = await items.many(first.map(({ candidate }) => candidate.item))
  const hits = await Promise.all(
    first.map(async ({ candidate, score: value }) => {
      const item = full.get(candidate.item)
      const chunk = await items.chunk(candidate.item, candidate.seq)
      const isShown =
        item !== undefined &&
        chunk !== undefined &&
        allowed.has(item.class.id) &&
        chunk.classId === item.class.id
      return isShown ? [{ item, chunk, score: value }] : []
    }),
  )
  const kept = hits.flat()
  return { hits: kept, total: there.length - (first.length - kept.length) }
}
