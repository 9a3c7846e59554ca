import { expect, test } from 'vitest'
import { Signatures } from './signatures.ts'

const DIMENSION = 48

let state = 11
function random(): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
  return state / 2 ** 32 - 0.5
}

function vector(): Float32Array {
  const numbers = Float32Array.from({ length: DIMENSION }, random)
  const length = Math.hypot(...numbers)
  return numbers.map((one) => one / length)
}

const dot = (a: Float32Array, b: Float32Array) =>
  a.reduce((sum, one, at) => sum + one * (b[at] ?? 0), 0)

test('runtime §10.4: the nearest of permitted classes are found, whatever comes and goes', () => {
  const signatures = new Signatures(DIMENSION)
  const there = new Map<number, { readonly of: number; readonly vector: Float32Array }>()
  for (let id = 0; id < 3_000; id++) {
    const made = { of: id % 3, vector: vector() }
    signatures.add(id, made.of, made.vector)
    there.set(id, made)
    if (id % 4 !== 0) continue
    signatures.remove(id / 2)
    there.delete(id / 2)
  }
  expect(signatures.size).toBe(there.size)
  for (const classes of [[0, 1, 2], [1], [0, 2]]) {
    const query = vector()
    const wanted = [...there]
      .filter(([, one]) => classes.includes(one.of))
      .sort(([, a], [, b]) => dot(query, b.vector) - dot(query, a.vector))
      .slice(0, 10)
      .map(([id]) => id)
    const found = signatures.nearest(query, new Set(classes), 32)
    expect(found).toHaveLength(32)
    for (const id of found) expect(classes).toContain(there.get(id)?.of)
    expect(found).toEqual(expect.arrayContaining(wanted))
  }
})

test('all of a class are given where they are no more than were asked for, and none of another one', () => {
  const signatures = new Signatures(DIMENSION)
  const same = vector()
  for (let id = 0; id < 20; id++) signatures.add(id, id % 2, same)
  expect(signatures.nearest(same, new Set([1]), 10)).toEqual([1, 3, 5, 7, 9, 11, 13, 15, 17, 19])
  expect(signatures.nearest(same, new Set([7]), 10)).toEqual([])
  expect(signatures.nearest(same, new Set([0]), 3)).toHaveLength(3)
  const other = vector()
  signatures.add(99, 0, other)
  const found = signatures.nearest(other, new Set([0]), 3)
  expect(found).toHaveLength(3)
  expect(found).toContain(99)
})

test('a vector of nothing, and one that is removed twice, harm nobody', () => {
  const signatures = new Signatures(DIMENSION)
  const other = vector()
  signatures.add(1, 1, new Float32Array(DIMENSION))
  signatures.add(2, 1, other)
  signatures.remove(1)
  signatures.remove(1)
  signatures.remove(9)
  expect(signatures.nearest(new Float32Array(DIMENSION), new Set([1]), 5)).toEqual([2])
  expect(signatures.size).toBe(1)
})
