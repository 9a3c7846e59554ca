/**
 * How well is knowledge found? nDCG@10 over the labelled set of `test/retrieval`, with the index and the formula of a
 * search: by keywords, by vectors, and by both together, for each embedder that needs no provider. Bar: both together
 * beat either alone. For comparison, BM25 over stems as textbooks have it. And how fast are passages embedded?
 */

import type { Embedder } from '../packages/server/src/knowledge/embedder.ts'
import { hashingEmbedder } from '../packages/server/src/knowledge/embedding/hashing.ts'
import {
  offlineEmbedder,
  offlineInstalled,
} from '../packages/server/src/knowledge/embedding/offline.ts'
import { stem } from '../packages/server/src/knowledge/embedding/stem.ts'
import { wordsOf } from '../packages/server/src/knowledge/embedding/words.ts'
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
  textbook_bm25_ndcg10: textbook(),
  embedders: results,
})
if (results.some(({ ndcg10: of }) => of.both <= Math.max(of.keywords, of.vectors))) {
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
  const mean = (score: (candidate: Candidate) => number): number => {
    const each = queries.map((query, at) => ndcg10(ranked(found[at] ?? [], score), query))
    return each.reduce((sum, one) => sum + one, 0) / each.length
  }
  return {
    embedder: embedder.id,
    ndcg10: {
      keywords: mean(({ words }) => words),
      vectors: mean(({ cosine = -1 }) => cosine),
      both: mean(({ cosine, words }) => {
        const meaning = cosine === undefined ? undefined : embedder.calibrated(cosine)
        return relevance({ meaning, words, isSame: false })
      }),
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

/** BM25, k1 = 1.2 and b = 0.75. */
function textbook(): number {
  const stemsOf = (text: string) => [...wordsOf(text)].map((word) => stem(word.text))
  const documents = passages.map(({ heading, text }) => stemsOf(`${heading}\n${text}`))
  const counts = documents.map((stems) => Map.groupBy(stems, (one) => one))
  const within = Map.groupBy(
    counts.flatMap((of) => [...of.keys()]),
    (one) => one,
  )
  const average = documents.reduce((sum, { length }) => sum + length, 0) / documents.length
  const each = queries.map((query) => {
    const terms = new Set(stemsOf(query.query))
    const scored = passages.map(({ section }, at) => {
      const norm = 0.25 + (0.75 * (documents[at]?.length ?? 0)) / average
      let score = 0
      for (const term of terms) {
        const count = counts[at]?.get(term)?.length ?? 0
        const df = within.get(term)?.length ?? 0
        const idf = Math.log(1 + (documents.length - df + 0.5) / (df + 0.5))
        score += (idf * count * 2.2) / (count + 1.2 * norm)
      }
      return { section, score }
    })
    return ndcg10(
      scored.sort((a, b) => b.score - a.score).map(({ section }) => section),
      query,
    )
  })
  return each.reduce((sum, one) => sum + one, 0) / each.length
}
