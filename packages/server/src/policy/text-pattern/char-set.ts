/** Sets of UTF-16 code units, as classes of patterns name them. */

export type Range = readonly [from: number, to: number]

const LAST = 0xffff

export const DIGITS: readonly Range[] = [[0x30, 0x39]]
export const WORD: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
/** As ECMAScript reads `\s`. */
export const SPACES: readonly Range[] = [
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
export const LINE_ENDS: readonly Range[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]

export class CharSet {
  readonly ranges: readonly Range[]
  /** The answer for code units below 256, which are nearly all. */
  readonly #table = new Uint8Array(256)

  constructor(ranges: readonly Range[]) {
    this.ranges = ranges
    for (const [from, to] of ranges) this.#table.fill(1, from, Math.min(to, 255) + 1)
  }

  has(unit: number): boolean {
    if (unit < 256) return this.#table[unit] === 1
    return this.ranges.some(([from, to]) => from <= unit && unit <= to)
  }
}

/** Every code unit that is in none of `ranges`. */
export function complement(ranges: readonly Range[]): Range[] {
  const sorted = ranges.toSorted(([one], [other]) => one - other)
  const gaps: Range[] = []
  let next = 0
  for (const [from, to] of sorted) {
    if (from > next) gaps.push([next, from - 1])
    next = Math.max(next, to + 1)
  }
  if (next <= LAST) gaps.push([next, LAST])
  return gaps
}
