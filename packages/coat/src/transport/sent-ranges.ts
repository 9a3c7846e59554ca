/**
 * Numbers of events that were sent and then left the ring before they were acknowledged. When the
 * connection breaks, it turns out which of them were lost, and the account stays exact.
 */

/** As many as a ring of usual size holds: after a break, events may leave it from the middle as well. */
const MOST_RANGES = 8192

export interface Lost {
  lifecycle: number
  detail: number
  /** Told on stderr meanwhile. */
  spilled: number
}

export type Sort = keyof Lost

interface Range extends Lost {
  from: number
  to: number
}

export class SentRanges {
  #ranges: Range[] = []

  add(seq: number, sort: Sort): void {
    let last = this.#ranges.at(-1)
    if (last === undefined || (seq !== last.to + 1 && this.#ranges.length < MOST_RANGES)) {
      last = { from: seq, to: seq, ...NONE }
      this.#ranges.push(last)
    }
    last.from = Math.min(last.from, seq)
    last.to = Math.max(last.to, seq)
    last[sort] += 1
  }

  /** @returns How many of them are acknowledged by this. */
  confirm(upToSeq: number): number {
    if (this.#ranges.length === 0) return 0
    const before = sizeOf(this.#ranges)
    this.#ranges = this.#ranges.flatMap((range) => rest(range, upToSeq))
    return before - sizeOf(this.#ranges)
  }

  /** Gives up on all that is left. */
  lose(): Lost {
    const lost = { ...NONE }
    for (const { lifecycle, detail, spilled } of this.#ranges) {
      lost.lifecycle += lifecycle
      lost.detail += detail
      lost.spilled += spilled
    }
    this.#ranges = []
    return lost
  }
}

const NONE: Readonly<Lost> = { lifecycle: 0, detail: 0, spilled: 0 }

function sizeOf(ranges: readonly Range[]): number {
  return ranges.reduce(
    (sum, { lifecycle, detail, spilled }) => sum + lifecycle + detail + spilled,
    0,
  )
}

/** What of a range lies behind a number. */
function rest(range: Range, upToSeq: number): Range[] {
  if (range.from > upToSeq) return [range]
  if (range.to <= upToSeq) return []
  // Every number of it is one event, unless ranges had to be joined.
  const share = (upToSeq - range.from + 1) / (range.to - range.from + 1)
  const sum = range.lifecycle + range.detail + range.spilled
  const lifecycle = Math.round(range.lifecycle * share)
  const spilled = Math.round(range.spilled * share)
  const detail = Math.min(range.detail, Math.max(0, Math.round(sum * share) - lifecycle - spilled))
  return [
    {
      from: upToSeq + 1,
      to: range.to,
      lifecycle: range.lifecycle - lifecycle,
      detail: range.detail - detail,
      spilled: range.spilled - spilled,
    },
  ]
}
