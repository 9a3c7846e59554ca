/**
 * Which numbers of one producer have been seen. Numbers come in order but for what was dropped and what a connection
 * still held when the next one began, so a mark and a few holes below it say it all.
 */

/** Holes remembered: an event from an older one is taken for a repetition. */
const MAX_HOLES = 64

/** Numbers from `from` to `to`, both included. */
interface Hole {
  from: number
  to: number
}

export class Sequence {
  #highest: number
  /** undefined: the first that comes is the first that was expected. */
  #first: number | undefined
  #seen = 0
  /** Numbers of holes that were forgotten: they stay missing. */
  #given = 0
  /** Oldest first. */
  readonly #holes: Hole[] = []

  /** @param first The first that is expected, where that is known; what is below it is taken as seen. */
  constructor(first?: number) {
    this.#highest = (first ?? 1) - 1
    this.#first = first
  }

  get highest(): number {
    return this.#highest
  }

  /** The first number that was expected. */
  get first(): number | undefined {
    return this.#first
  }

  get seen(): number {
    return this.#seen
  }

  /** Numbers below the highest that never came. */
  get missing(): number {
    let count = this.#given
    for (const { from, to } of this.#holes) count += to - from + 1
    return count
  }

  /** @returns false when it was seen before. */
  take(seq: number): boolean {
    if (this.#first === undefined) {
      this.#first = seq
      this.#highest = seq - 1
    }
    if (seq > this.#highest) {
      if (seq > this.#highest + 1) this.#open({ from: this.#highest + 1, to: seq - 1 })
      this.#highest = seq
      this.#seen += 1
      return true
    }
    const at = this.#holes.findLastIndex(({ from, to }) => seq >= from && seq <= to)
    const hole = this.#holes[at]
    if (hole === undefined) return false
    const rest = [
      { from: hole.from, to: seq - 1 },
      { from: seq + 1, to: hole.to },
    ].filter(({ from, to }) => from <= to)
    this.#holes.splice(at, 1, ...rest)
    this.#forgetOldest()
    this.#seen += 1
    return true
  }

  #open(hole: Hole): void {
    this.#holes.push(hole)
    this.#forgetOldest()
  }

  #forgetOldest(): void {
    while (this.#holes.length > MAX_HOLES) {
      const { from, to } = this.#holes.shift() as Hole // there are more than MAX_HOLES
      this.#given += to - from + 1
    }
  }
}
