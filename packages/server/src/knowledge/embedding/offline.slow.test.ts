import { expect, test } from 'vitest'
import { offlineEmbedder, offlineInstalled } from './offline.ts'
import { pairScores, within } from './test-pairs.ts'

test.runIf(offlineInstalled()).each(['fit', 'heldOut'] as const)(
  'runtime §20.21: what a similarity of the offline embedder is worth, on the pairs of %s',
  async (which) => {
    await using embedder = offlineEmbedder()
    const scores = await pairScores(embedder, which)
    expect(scores.rightFirst).toBeGreaterThanOrEqual(0.9)
    expect(within(scores.answered, 0.7, 1)).toBeGreaterThanOrEqual(0.9)
    expect(within(scores.unrelated, 0, 0.3)).toBeGreaterThanOrEqual(0.98)
    expect(within(scores.near, 0.2, 0.75)).toBeGreaterThanOrEqual(0.8)
    expect(scores.same.every((score) => score === 1)).toBe(true)
  },
)

test.runIf(offlineInstalled())(
  'runtime §10.4: the thread ends when nobody asks, and begins again',
  async () => {
    await using embedder = offlineEmbedder({ idleMs: 1 })
    const signal = AbortSignal.timeout(30_000)
    const [first] = await embedder.embed(['one'], signal)
    const [again] = await embedder.embed(['one'], signal)
    expect(again).toEqual(first)
  },
)
