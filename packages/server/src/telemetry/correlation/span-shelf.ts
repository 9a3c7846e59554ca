/**
 * Spans of one process that have ended, by when they ran. They lie apart by length, so that looking for those that
 * contain a moment reads little more than it finds, however long a few of them are.
 */

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
  readonly #classes: { readonly spans: T[]; readonly maxMs: number; added: number }[] = Array.from(
    { length: CLASSES },
    (_, index) => ({
      spans: [],
      maxMs: index === CLASSES - 1 ? Number.POSITIVE_INFINITY : SHORTEST_MS * FACTOR ** index,
      added: 0,
    }),
  )

  add(span: T): void {
    const length = span.endMs - span.startMs
    const shelf = this.#classes.find(({ maxMs }) => length <= maxMs)
    if (shelf === undefined) return // a length that is no number
    const { spans } = shelf
    // Nearly always the last place: they come in the order in which they end.
    let at = spans.length
    while (at > 0 && (spans[at - 1]?.startMs ?? 0) > span.startMs) at -= 1
    spans.splice(at, 0, span)
    shelf.added += 1
    if (shelf.added % TIDY_EVERY !== 0) return
    const kept = spans.filter(({ gone }) => !gone)
    if (kept.length < spans.length) spans.splice(0, spans.length, ...kept)
  }

  /** Those that run at some time from `fromMs` to `toMs`, both included. */
  *within(fromMs: number, toMs: number): Generator<T, void> {
    for (const { spans, maxMs } of this.#classes) {
      for (let at = lastStartedBy(spans, toMs); at >= 0; at -= 1) {
        const span = spans[at]
        if (span === undefined || span.startMs < fromMs - maxMs) break
        if (span.endMs >= fromMs && !span.gone) yield span
      }
    }
  }
}

/** Index of the last one that starts no later; -1 for none. */
function lastStartedBy(spans: readonly Lasting[], toMs: number): number {
  let low = 0
  let high = spans.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((spans[middle]?.startMs ?? 0) <= toMs) low = middle + 1
    else high = middle
  }
  return low - 1
}
