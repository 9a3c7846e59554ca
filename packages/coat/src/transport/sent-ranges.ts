/**
 * Numbers of events that were sent and then left the ring before they were acknowledged. When the
 * connection breaks, it turns out which of them were lost, and the account stays exact.
 */

/** Events that leave the ring follow each other closely, so a few ranges hold them all. */
const MOST_RANGES = 1024

export interface Lost {
  lifecycle: number
  detail: number
}

interface Range extends Lost {
  readonly from: number
  to: number
}

export class SentRanges {
  #ranges: Range[] = []

  add(seq: number, isDetail: boolean): void {
    let last = this.#ranges.at(-1)
    if (last === undefined || (seq !== last.to + 1 && this.#ranges.length < MOST_RANGES)) {
      last = { from: seq, to: seq, lifecycle: 0, detail: 0 }
      this.#ranges.push(last)
    }
    last.to = seq
    if (isDetail) last.detail += 1
    else last.lifecycle += 1
  }

  /** @returns How many of them are acknowledged by this. */
  confirm(upToSeq: number): number {
    let count = 0
    while (this.#ranges[0] !== undefined && this.#ranges[0].to <= upToSeq) {
      const range = this.#ranges.shift()
      count += (range?.lifecycle ?? 0) + (range?.detail ?? 0)
    }
    const first = this.#ranges[0]
    if (first === undefined || first.from > upToSeq) return count
    // Part of a range: every number of it is one event, unless ranges had to be joined.
    const share = (upToSeq - first.from + 1) / (first.to - first.from + 1)
    const lifecycle = Math.round(first.lifecycle * share)
    const detail = Math.round((first.lifecycle + first.detail) * share) - lifecycle
    this.#ranges[0] = {
      from: upToSeq + 1,
      to: first.to,
      lifecycle: first.lifecycle - lifecycle,
      detail: first.detail - detail,
    }
    return count + lifecycle + detail
  }

  /** Gives up on all that is left. */
  lose(): Lost {
    const lost = { lifecycle: 0, detail: 0 }
    for (const range of this.#ranges) {
      lost.lifecycle += range.lifecycle
      lost.detail += range.detail
    }
    this.#ranges = []
    return lost
  }
}
