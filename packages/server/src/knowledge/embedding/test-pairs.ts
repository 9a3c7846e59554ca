/** How an embedder does on the labelled pairs, with the questions it was fitted on or those held out. */
import { cosine } from '../../../../../test/retrieval/labelled.ts'
import { ITEMS } from '../../../../../test/retrieval/pairs.ts'
import type { Embedder } from '../embedder.ts'

export interface PairScores {
  /** Part of the questions whose item is more like them than any other item. */
  readonly rightFirst: number
  /** Calibrated, of each question with its item, ascending. */
  readonly answered: readonly number[]
  readonly near: readonly number[]
  readonly unrelated: readonly number[]
  readonly same: readonly number[]
}

export async function pairScores(
  embedder: Embedder,
  which: 'fit' | 'heldOut',
): Promise<PairScores> {
  const signal = AbortSignal.timeout(60_000)
  const of = (texts: readonly string[]) => embedder.embed(texts, signal)
  const items = await of(ITEMS.map(({ text }) => text))
  const again = await of(ITEMS.map(({ text }) => text))
  const asked = await of(ITEMS.map(({ answered }) => answered[which === 'fit' ? 0 : 1]))
  const near = await of(ITEMS.map((item) => item.near))
  const score = (a: Float32Array | undefined, b: Float32Array | undefined): number =>
    a === undefined || b === undefined ? Number.NaN : embedder.calibrated(cosine(a, b))
  const own = (vectors: readonly Float32Array[]) =>
    vectors.map((vector, at) => score(vector, items[at]))
  const others = asked.flatMap((vector, at) =>
    items.flatMap((item, of) => (of === at ? [] : [score(vector, item)])),
  )
  const right = asked.filter((vector, at) =>
    items.every((item, of) => of === at || score(vector, item) < score(vector, items[at])),
  )
  return {
    rightFirst: right.length / asked.length,
    answered: ascending(own(asked)),
    near: ascending(own(near)),
    unrelated: ascending(others),
    same: ascending(own(again)),
  }
}

/** Part of the scores that are within bounds. */
export function within(scores: readonly number[], from: number, to: number): number {
  return scores.filter((score) => score >= from && score < to).length / scores.length
}

function ascending(scores: readonly number[]): number[] {
  return [...scores].sort((a, b) => a - b)
}
