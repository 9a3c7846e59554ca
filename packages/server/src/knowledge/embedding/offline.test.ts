import { expect, test } from 'vitest'
import { offlineEmbedder, offlineInstalled } from './offline.ts'
import { windowsOf } from './windows.ts'

const signal = new AbortController().signal

test.runIf(offlineInstalled())(
  'runtime §10.4: the offline model embeds beside the event loop',
  async () => {
    await using embedder = offlineEmbedder()
    let turns = 0
    const ticking = setInterval(() => turns++, 1)
    const texts = ['A short sentence.', '', '🎉', 'Another one.', 'A short sentence.']
    const vectors = await embedder.embed(texts, signal)
    clearInterval(ticking)
    expect(turns).toBeGreaterThan(10)
    expect(vectors.map(({ length }) => length)).toEqual(texts.map(() => embedder.dimension))
    for (const vector of vectors) expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
    expect(vectors[0]).toEqual(vectors[4])
  },
)

test('runtime §10.4: more texts than may wait are refused, and who leaves is not waited for', async () => {
  await using embedder = offlineEmbedder({ waiting: 1 })
  const left = new AbortController()
  const first = embedder.embed(['one'], left.signal)
  const second = embedder.embed(['two'], left.signal)
  await expect(embedder.embed(['three'], signal)).rejects.toThrow(
    expect.objectContaining({ code: 'QUEUE_FULL' }),
  )
  left.abort(new Error('gone'))
  await expect(first).rejects.toThrow('gone')
  await expect(second).rejects.toThrow('gone')
})

test('windows hold the whole text, in order', () => {
  const text = Array.from({ length: 300 }, (_, at) => `word${at}${at % 9 === 0 ? '.' : ''}`).join(
    ' ',
  )
  const windows = windowsOf(text)
  expect(windows.join(' ')).toBe(text)
  expect(Math.max(...windows.map(({ length }) => length))).toBeLessThanOrEqual(320)
  expect(windowsOf('x'.repeat(8_192)).join('')).toBe('x'.repeat(8_192))
  expect(windowsOf('')).toEqual([])
})
