/** From what was measured to what it is worth, from 0 to 1. Pure; changes of it are changes of {@link CALIBRATION}. */

/** Names the weights and the line below; the part of it that is an embedder's own is in the embedder's id. */
export const CALIBRATION = 'sum-2'

const VECTOR_WEIGHT = 0.7
const WORDS_WEIGHT = 0.3
/** Whatever is not the same text is worth less than 1. */
const NEARLY = 0.99
/** Of what has no vector yet: words alone say less. */
const WORDS_ALONE = 0.8

/**
 * Sums that were measured on labelled pairs, and what they are to be worth: what answers a question is at 0.62 and
 * more, what is on its topic only is below that.
 */
const LINE = [
  [0, 0],
  [0.3, 0.27],
  [0.62, 0.7],
  [0.9, 0.92],
  [1, NEARLY],
] as const

export interface Measured {
  /** As the embedder calibrates its cosine; undefined where there is no vector. */
  readonly meaning: number | undefined
  /** Part of the query's words that are there, by weight. */
  readonly words: number
  readonly isSame: boolean
}

export function relevance({ meaning, words, isSame }: Measured): number {
  if (isSame) return 1
  if (meaning === undefined) return Math.min(NEARLY, words * WORDS_ALONE)
  return onLine(VECTOR_WEIGHT * meaning + WORDS_WEIGHT * words)
}

function onLine(sum: number): number {
  let [fromX, fromY]: readonly [number, number] = LINE[0]
  for (const [toX, toY] of LINE) {
    if (sum <= toX && toX > fromX) return fromY + ((sum - fromX) / (toX - fromX)) * (toY - fromY)
    ;[fromX, fromY] = [toX, toY]
  }
  return sum <= 0 ? 0 : NEARLY
}
