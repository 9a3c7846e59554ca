import { expect, test } from 'vitest'
import { hashingEmbedder } from '../embedding/hashing.ts'
import { type Measured, relevance } from './calibration.ts'

const { calibrated } = hashingEmbedder()
const of = (measured: Partial<Measured>) =>
  relevance({ cosine: 0, bm25: 0, words: 0, isSame: false, ...measured }, calibrated)
const STEPS = Array.from({ length: 101 }, (_, at) => at / 100)

test('runtime §10.4: the same text is worth 1 and nothing else is', () => {
  expect(of({ isSame: true })).toBe(1)
  expect(of({ cosine: 1, bm25: 2.2, words: 1 })).toBeLessThan(1)
  expect(of({ cosine: undefined, words: 1 })).toBeLessThan(1)
})

test('runtime §10.4: more of the meaning or more of the words is never worth less', () => {
  for (const other of [0, 0.3, 0.9]) {
    const byMeaning = STEPS.map((cosine) => of({ cosine, bm25: other }))
    const byWords = STEPS.map((at) => of({ cosine: other, bm25: at * 2.2 }))
    const byWordsAlone = STEPS.map((words) => of({ cosine: undefined, words }))
    for (const scores of [byMeaning, byWords, byWordsAlone]) {
      expect(scores).toEqual([...scores].sort((a, b) => a - b))
      expect(scores.every((score) => score >= 0 && score < 1)).toBe(true)
    }
  }
  expect(of({})).toBe(0)
  expect(of({ cosine: -1 })).toBe(0)
})
