/**
 * Spans of one process that have ended, by when they ran. They lie apart by length, so that looking for those that
 * contain a moment reads little more than it finds, however long a few of them are.
 */
import { InOrder } from './in-order.ts'

export interface Lasting {
  readonly startMs: number
  readonly endMs: number
  /** No longer of interest; it is passed over, and removed in time. */
  readonly gone: boolean
}

/** Lengths up to 100 ms, 400 ms, 1.6 s … */
const SHORTEST_MS = 100
const FACTOR = 4
const CLASSES = 16
/** Additions to one class between two looks for what is gone. */
const TIDY_EVERY = 2_048

export class SpanShelf<T extends Lasting> {
  readonly #classes: { readonly spans: InOrder<T>; readonly maxMs: number; added: number }[] =
    Array.from({ length: CLASSES }, (_, index) => ({
      spans: new InOrder<T>(({ startMs }) => startMs),
      maxMs: index === CLASSES - 1 ? Number.POSITIVE_INFINITY : SHORTEST_MS * FACTOR ** index,
      added: 0,
    }))

  add(span: T): void {
    const length = span.endMs - span.startMs
    const shelf = this.#classes.find(({ maxMs }) => length <= maxMs)
    if (shelf === undefined) return // a length that is no number
    shelf.spans.add(span)
    shelf.added += 1
    if (shelf.added % TIDY_EVERY === 0) shelf.spans.keep(({ gone }) => !gone)
  }

  /**
   * Those that run at some time from `fromMs` to `toMs`, both included, the latest-started of each length first.
   *
   * @param maxLooked So many are looked at; where that is not enough, the last one is `undefined`.
   */
  *within(fromMs: number, toMs: number, maxLooked: number): Generator<T | undefined, void> {
    let left = maxLooked
    for (const { spans, maxMs } of this.#classes) {
      if (spans.length === 0) continue
      const { sorted } = spans
      const first = spans.before(fromMs - maxMs)
      for (let at = spans.through(toMs) - 1; at >= first; at -= 1) {
        if (left === 0) {
          yield undefined // there may be more
          return
        }
        left -= 1
        const span = sorted[at]
        if (span !== undefined && span.endMs >= fromMs && !span.gone) yield span
      }
    }
  }
}
