/** The spans of one process: which of them run, which ran, what they announced, and when its events were lost. */
import { SpanShelf } from './span-shelf.ts'

/** A span as the index knows it. */
export interface IndexedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly key: string
  readonly parentKey: string
  parent: IndexedSpan | undefined
  readonly op: string
  startMs: number
  /** Infinite while it is open. */
  endMs: number
  /** Children of it ran at the same time: its own code may go on beside any of them. */
  forked: boolean
  openChildren: number
  gone: boolean
  /** What it announced that it would do → when first, epoch ms. */
  readonly targets: Map<string, number>
  readonly process: ProcessSpans | undefined
}

interface Hint {
  readonly atMs: number
  readonly target: string
  readonly span: IndexedSpan
}

/** A span may cause what is recorded so much before it starts, and after it has ended. */
export const EARLY_MS = 5
export const LATE_MS = 250

/** What was announced is expected within this time. */
const HINT_EARLY_MS = 50
const HINT_LATE_MS = 2_000
/** Producers announce no more than this in a second: beyond it some may not have been announced. */
const HINTS_PER_SECOND = 200
const MAX_TARGETS = 256
const MAX_HINTS = 20_000
const MAX_LOSSES = 256

export class ProcessSpans {
  readonly pid: number
  readonly startTime: string
  readonly firstMs: number
  lastMs: number
  /** It is over since then, or another process has its pid. */
  exitedMs = Number.POSITIVE_INFINITY
  /** A span began here while another one ran that is none of its ancestors. */
  hasRunSideBySide = false
  readonly #open = new Set<IndexedSpan>()
  readonly #ended = new SpanShelf<IndexedSpan>()
  /** In the order of their times. */
  readonly #hints: Hint[] = []
  /** What was announced before is forgotten. */
  #hintsFromMs = Number.NEGATIVE_INFINITY
  readonly #losses: { fromMs: number; toMs: number }[] = []

  constructor(pid: number, startTime: string, firstMs: number) {
    this.pid = pid
    this.startTime = startTime
    this.firstMs = firstMs
    this.lastMs = firstMs
  }

  /** @param above Ancestors of it that run here. */
  started(span: IndexedSpan, above: number): void {
    if (this.#open.size > above) this.hasRunSideBySide = true
    this.#open.add(span)
  }

  ended(span: IndexedSpan, endMs: number): void {
    this.#open.delete(span)
    span.endMs = endMs
    this.#ended.add(span)
  }

  /** What is still open ends with the process. */
  exited(atMs: number): void {
    this.exitedMs = Math.min(this.exitedMs, atMs)
    for (const span of [...this.#open]) this.ended(span, Math.max(span.startMs, this.exitedMs))
  }

  forget(span: IndexedSpan): void {
    span.gone = true
    this.#open.delete(span)
  }

  announced(span: IndexedSpan, targets: readonly string[], atMs: number): void {
    for (const target of targets) {
      if (!span.targets.has(target) && span.targets.size < MAX_TARGETS)
        span.targets.set(target, atMs)
      this.#insert({ atMs, target, span })
    }
    if (this.#hints.length > MAX_HINTS) this.forgetHints()
  }

  /** It announces what it does at all. */
  get announces(): boolean {
    return this.#hints.length > 0 || this.#hintsFromMs > Number.NEGATIVE_INFINITY
  }

  get hintCount(): number {
    return this.#hints.length
  }

  /** Drops the older half. */
  forgetHints(): void {
    const dropped = this.#hints.splice(0, Math.ceil(this.#hints.length / 2))
    this.#hintsFromMs = dropped.at(-1)?.atMs ?? this.#hintsFromMs
  }

  /** Spans that announced one of these shortly before, in the order in which they did. */
  hintedBy(targets: readonly string[], atMs: number): IndexedSpan[] {
    return this.#hintsWithin(atMs - HINT_LATE_MS, atMs + HINT_EARLY_MS)
      .filter(({ target }) => targets.includes(target))
      .map(({ span }) => span)
  }

  lost(fromMs: number, toMs: number): void {
    this.#losses.push({ fromMs, toMs })
    if (this.#losses.length > MAX_LOSSES) {
      // Two become one, so that nothing is taken for complete that was not.
      const [first, second] = this.#losses.splice(0, 2)
      if (first !== undefined && second !== undefined)
        this.#losses.unshift({ fromMs: first.fromMs, toMs: Math.max(first.toMs, second.toMs) })
    }
  }

  /** Whether what is known of this time is all there was. */
  isComplete(atMs: number): boolean {
    const near = this.#losses.some(
      ({ fromMs, toMs }) => atMs >= fromMs - HINT_LATE_MS && atMs <= toMs + HINT_LATE_MS,
    )
    if (near) return false
    if (atMs <= this.#hintsFromMs + HINT_LATE_MS) return false
    // Any second that reaches into the time in which a hint would count.
    const hints = this.#hintsWithin(atMs - HINT_LATE_MS - 1_000, atMs + HINT_EARLY_MS + 1_000)
    return !hints.some(({ atMs: end }, at) => {
      const first = hints[at - HINTS_PER_SECOND + 1]?.atMs
      if (first === undefined || end - first >= 1_000) return false
      return atMs >= first - HINT_EARLY_MS && atMs <= end + HINT_LATE_MS
    })
  }

  /** Spans whose window contains the moment. */
  at(atMs: number): IndexedSpan[] {
    const found = [...this.#ended.within(atMs - LATE_MS, atMs + EARLY_MS)]
    for (const span of this.#open) if (span.startMs <= atMs + EARLY_MS) found.push(span)
    return found
  }

  #insert(hint: Hint): void {
    const hints = this.#hints
    let at = hints.length
    while (at > 0 && (hints[at - 1]?.atMs ?? 0) > hint.atMs) at -= 1
    hints.splice(at, 0, hint)
  }

  #hintsWithin(fromMs: number, toMs: number): Hint[] {
    return this.#hints.slice(this.#hintsBefore(fromMs), this.#hintsBefore(toMs + 1))
  }

  /** How many of them are earlier. */
  #hintsBefore(atMs: number): number {
    let low = 0
    let high = this.#hints.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#hints[middle]?.atMs ?? 0) < atMs) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Whether it announced this by then; of one that announced very much, not everything is known. */
export function hasAnnounced(span: IndexedSpan, targets: readonly string[], atMs: number): boolean {
  return targets.some((target) => {
    const first = span.targets.get(target)
    return first === undefined ? span.targets.size >= MAX_TARGETS : first <= atMs
  })
}
