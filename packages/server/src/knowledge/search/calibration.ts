/** From what was measured to what it is worth, from 0 to 1. Pure; changes of it are changes of {@link CALIBRATION}. */

/** Names the weights below; the part of it that is an embedder's own is in the embedder's id. */
export const CALIBRATION = 'sum-3'

const VECTOR_WEIGHT = 0.7
const WORDS_WEIGHT = 0.3
/**
 * The more words an answer has, the less each adds (half of the most at 1.2), and one that has six tenths of them has
 * enough to count in full. Chosen with the first half of the labelled queries; the second half is for measuring.
 */
const WORDS_MOST = 3
const WORDS_HALF = 1.2
/** Of the sum, so that it is worth what a cosine of that size is: set with the pairs of `test/retrieval/pairs.ts`. */
const SCALE = 0.7
/** Whatever is not the same text is worth less than 1. */
const NEARLY = 0.99
/** Of what has no vector yet: words alone say less. */
const WORDS_ALONE = 0.8

export interface Measured {
  /** Undefined where there is no vector. */
  readonly cosine: number | undefined
  /** Of what a passage has that has each word of the query once. */
  readonly bm25: number
  /** Part of the query's words that are there, by weight. */
  readonly words: number
  readonly isSame: boolean
}

/** @param calibrated Of the embedder whose cosine it is. */
export function relevance(
  { cosine, bm25, words, isSame }: Measured,
  calibrated: (cosine: number) => number,
): number {
  if (isSame) return 1
  if (cosine === undefined) return Math.min(NEARLY, words * WORDS_ALONE)
  const sum = VECTOR_WEIGHT * cosine + (WORDS_WEIGHT * WORDS_MOST * bm25) / (bm25 + WORDS_HALF)
  return Math.min(NEARLY, calibrated(SCALE * sum))
}
