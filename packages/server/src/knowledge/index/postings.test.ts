import { expect, test } from 'vitest'
import { Postings, packed } from './postings.ts'

const K1 = 1.2
const B = 0.75

interface Passage {
  readonly id: number
  readonly of: number
  readonly terms: Uint32Array
}

/** Word by word, as BM25 is written down. */
function bm25(all: readonly Passage[], passage: Passage, asked: readonly (number | undefined)[]) {
  const count = (of: Passage, term: number | undefined) =>
    (of.terms.find((one) => one >>> 8 === term) ?? 0) & 255
  const length = (of: Passage) => of.terms.reduce((sum, one) => sum + (one & 255), 0)
  const average = all.reduce((sum, one) => sum + length(one), 0) / all.length
  let score = 0
  let sum = 0
  for (const term of asked) {
    const within = all.filter((one) => count(one, term) > 0).length
    // As if there were ten more passages without any of the words.
    const weight = Math.log(1 + (all.length + 10 - within + 0.5) / (within + 0.5))
    sum += weight
    const tf = count(passage, term)
    score += (weight * tf * (K1 + 1)) / (tf + K1 * (1 - B + (B * length(passage)) / average))
  }
  return score / sum
}

let state = 7
function random(below: number): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}

function passage(id: number): Passage {
  const counts = new Map<number, number>()
  for (let n = 0; n <= random(30); n++) {
    const term = Math.floor(random(30) ** 2 / 30)
    counts.set(term, (counts.get(term) ?? 0) + 1)
  }
  const terms = Uint32Array.from(counts, ([term, count]) => packed(term, count))
  return { id, of: random(4), terms }
}

test('runtime §10.4: words are worth what BM25 says of permitted passages, whatever comes and goes', () => {
  const postings = new Postings()
  const there = new Map<number, Passage>()
  for (let id = 1; id <= 2_500; id++) {
    const made = passage(id)
    postings.add(id, made.of, made.terms)
    there.set(id, made)
    const gone = there.get(random(id))
    if (gone === undefined) continue
    postings.remove(gone.id, gone.terms)
    there.delete(gone.id)
  }
  for (const classes of [[0, 1, 2, 3], [2], [0, 3]]) {
    const permitted = [...there.values()].filter(({ of }) => classes.includes(of))
    const asked = [0, 3, 11, undefined]
    const found = postings.search(asked, new Set(classes), 20)
    const wanted = permitted
      .map((one) => ({ id: one.id, score: bm25(permitted, one, asked) }))
      .sort((a, b) => b.score - a.score)
    for (const { id, score } of wanted) expect(found.of(id).bm25).toBeCloseTo(score, 4)
    expect(found.ids).toHaveLength(20)
    const least = wanted[19]?.score ?? 1
    for (const id of found.ids)
      expect(wanted.find((one) => one.id === id)?.score).toBeGreaterThan(least - 1e-4)
  }
})

test('what a caller may not see has no part in what words are worth', () => {
  const alone = new Postings()
  const among = new Postings()
  for (const postings of [alone, among]) {
    postings.add(1, 1, Uint32Array.of(packed(5, 1), packed(6, 2)))
    postings.add(2, 1, Uint32Array.of(packed(6, 1)))
  }
  for (let id = 3; id < 200; id++) among.add(id, 2, Uint32Array.of(packed(5, 9)))
  const [one, other] = [alone, among].map((of) => of.search([5, 6], new Set([1]), 10))
  expect(other?.ids).toEqual(one?.ids)
  expect(other?.of(1)).toEqual(one?.of(1))
  expect(other?.of(3)).toEqual({ bm25: 0, share: 0 })
})

test('a word that no passage has any more is told, so that it is forgotten', () => {
  const postings = new Postings()
  postings.add(1, 1, Uint32Array.of(packed(5, 1), packed(6, 2)))
  postings.add(2, 1, Uint32Array.of(packed(6, 300)))
  expect(postings.remove(1, Uint32Array.of(packed(5, 1), packed(6, 2)))).toEqual([5])
  expect(postings.remove(1, Uint32Array.of(packed(5, 1)))).toEqual([])
  expect(postings.search([6], new Set([1]), 10).ids).toEqual([2])
  expect(postings.remove(2, Uint32Array.of(packed(6, 300)))).toEqual([6])
  expect(postings.search([5, 6], new Set([1]), 10).ids).toEqual([])
  expect(postings.search([], new Set([1]), 10).of(1)).toEqual({ bm25: 0, share: 0 })
})
