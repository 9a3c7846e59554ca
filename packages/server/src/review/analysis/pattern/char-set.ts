/** Sets of characters as sorted ranges: enough to ask whether two parts of a pattern can take the same character. */

export type Range = readonly [first: number, last: number]
export type CharSet = readonly Range[]

const LAST = 0x10ffff

export const ANY: CharSet = [[0, LAST]]
export const DIGIT: CharSet = [[0x30, 0x39]]
export const WORD: CharSet = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
export const SPACE: CharSet = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]
const LINE_END: CharSet = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]
export const DOT = complement(LINE_END)

export function union(ranges: readonly Range[]): CharSet {
  const sorted = [...ranges].sort(([a], [b]) => a - b)
  const out: [number, number][] = []
  for (const [first, last] of sorted) {
    const before = out.at(-1)
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else out.push([first, last])
  }
  return out
}

export function complement(set: CharSet): CharSet {
  const out: Range[] = []
  let next = 0
  for (const [first, last] of set) {
    if (first > next) out.push([next, first - 1])
    next = last + 1
  }
  if (next <= LAST) out.push([next, LAST])
  return out
}

export function intersect(a: CharSet, b: CharSet): CharSet {
  const out: Range[] = []
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    const [aFirst, aLast] = a[i] ?? [0, -1]
    const [bFirst, bLast] = b[j] ?? [0, -1]
    const first = Math.max(aFirst, bFirst)
    const last = Math.min(aLast, bLast)
    if (first <= last) out.push([first, last])
    if (aLast < bLast) i += 1
    else j += 1
  }
  return out
}

export function overlap(a: CharSet, b: CharSet): boolean {
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    const [aFirst, aLast] = a[i] ?? [0, -1]
    const [bFirst, bLast] = b[j] ?? [0, -1]
    if (Math.max(aFirst, bFirst) <= Math.min(aLast, bLast)) return true
    if (aLast < bLast) i += 1
    else j += 1
  }
  return false
}
