/**
 * How well is knowledge found? nDCG@10 over the labelled set of `test/retrieval`, with the index and the formula of a
 * search: by keywords (BM25), by vectors, and by both together, for each embedder that needs no provider. What can be
 * chosen was chosen with the first half of the queries, every other one; the second half is held out. Bar: both
 * together beat either alone, with each embedder, on both halves. And how fast are passages embedded?
 */

import type { Embedder } from '../packages/server/src/knowledge/embedder.ts'
import { hashingEmbedder } from '../packages/server/src/knowledge/embedding/hashing.ts'
import {
  offlineEmbedder,
  offlineInstalled,
} from '../packages/server/src/knowledge/embedding/offline.ts'
import { IndexFile } from '../packages/server/src/knowledge/index/index-file.ts'
import type { Candidate, IndexedItem } from '../packages/server/src/knowledge/index/index-query.ts'
import { relevance } from '../packages/server/src/knowledge/search/calibration.ts'
import { parseQuery } from '../packages/server/src/knowledge/search/query.ts'
import { labelledPassages, labelledQueries, ndcg10 } from '../test/retrieval/labelled.ts'
import { report } from './report.ts'

const CLASS = 'all'
const passages = await labelledPassages()
const queries = labelledQueries()
const signal = new AbortController().signal
const sections = new Map(passages.map(({ id, section }) => [id, section]))

await using offline = offlineEmbedder()
const embedders: Embedder[] = [hashingEmbedder(), ...(offlineInstalled() ? [offline] : [])]
const results = []
for (const embedder of embedders) results.push(await measured(embedder))

report('retrieval', {
  passages: passages.length,
  queries: queries.length,
  embedders: results,
})
const figures = results.flatMap(({ ndcg10: of }) => [of.fitted_on, of.held_out])
if (figures.some((of) => of.both <= Math.max(of.keywords, of.vectors))) {
  console.error('both together do not beat either alone')
  process.exitCode = 1
}

async function measured(embedder: Embedder) {
  await embedder.embed(['once, so that it is loaded'], signal)
  const startedMs = performance.now()
  const vectors = await embedder.embed(
    passages.map(({ heading, text }) => (heading === '' ? text : `${heading}\n${text}`)),
    signal,
  )
  const embedMs = performance.now() - startedMs
  using index = IndexFile.open(':memory:', 'bench')
  index.apply(
    passages.map(
      ({ id, heading, text }, at): IndexedItem => ({
        id,
        classId: CLASS,
        embedder: embedder.id,
        chunks: [{ seq: 0, heading, text, vector: vectors[at] }],
      }),
    ),
    1,
  )
  const asked = await embedder.embed(
    queries.map(({ query }) => query),
    signal,
  )
  const found = queries.map(({ query }, at) => candidates(index, embedder, query, asked[at]))
  const each = (score: (candidate: Candidate) => number): number[] =>
    queries.map((query, at) => ndcg10(ranked(found[at] ?? [], score), query))
  const keywords = each(({ bm25 }) => bm25)
  const vectorsOnly = each(({ cosine = -1 }) => cosine)
  const both = each(({ cosine, bm25, words }) =>
    relevance({ cosine, bm25, words, isSame: false }, (one) => embedder.calibrated(one)),
  )
  const half = (which: (at: number) => boolean) => ({
    keywords: mean(keywords.filter((_, at) => which(at))),
    vectors: mean(vectorsOnly.filter((_, at) => which(at))),
    both: mean(both.filter((_, at) => which(at))),
  })
  return {
    embedder: embedder.id,
    ndcg10: {
      all: half(() => true),
      fitted_on: half((at) => at % 2 === 0),
      held_out: half((at) => at % 2 === 1),
    },
    passages_per_second: passages.length / (embedMs / 1_000),
    rss_mib: Math.round(process.memoryUsage().rss / 2 ** 20),
  }
}

function candidates(
  index: IndexFile,
  { id }: Embedder,
  query: string,
  vector: Float32Array | undefined,
): Candidate[] {
  const vectors = vector === undefined ? [] : [{ embedder: id, vector }]
  return index.search({ terms: parseQuery(query).terms, vectors, classes: [CLASS] })
}

/** Sections, best first; what is equal by id, so that the order is the same each time. */
function ranked(found: readonly Candidate[], score: (of: Candidate) => number): string[] {
  return found
    .map((candidate) => ({ id: candidate.item, score: score(candidate) }))
    .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
    .map(({ id }) => sections.get(id) ?? '')
}

function mean(scores: readonly number[]): number {
  return scores.reduce((sum, one) => sum + one, 0) / scores.length
}
