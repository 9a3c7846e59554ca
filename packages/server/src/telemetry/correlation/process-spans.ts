/** The spans of one process: which of them run, which ran, what they announced, and when its events were lost. */
import { InOrder } from './in-order.ts'
import { SpanShelf } from './span-shelf.ts'

/** A span as the index knows it. */
export interface IndexedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly key: string
  readonly parentKey: string
  /** Of the same process: what others say of ancestors proves nothing of who runs. */
  parent: IndexedSpan | undefined
  /** Who reported it; undefined without a claim. */
  readonly agent: string | undefined
  readonly startMs: number
  /** Infinite while it is open. */
  endMs: number
  openChildren: number
  gone: boolean
  /** What it announced that it would do → when first, epoch ms. */
  readonly targets: Map<string, number>
  readonly process: ProcessSpans | undefined
}

export interface Around {
  readonly spans: readonly IndexedSpan[]
  /** There are no others. */
  readonly isAll: boolean
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
/** Spans at one moment that are told, and that are looked at: with more than that, any answer is a guess. */
const MAX_AT = 256
const MAX_LOOKED = 4_096
const MAX_HINTS_LOOKED = 2_048
/** Additions between two looks for spans that have ended. */
const TIDY_EVERY = 1_024

export class ProcessSpans {
  readonly pid: number
  readonly startTime: string
  /** When it was first heard of, and last; never later than that was stored. */
  readonly firstMs: number
  lastMs: number
  /** It is over since then, or another process has its pid: what is still open ended with it. */
  exitedMs = Number.POSITIVE_INFINITY
  /** A span ran here while another one began that is not below it, or went on when its parent was over. */
  hasRunSideBySide = false
  /** It may have spans that are not known: its first events are not, or some were forgotten. */
  hasUnknown = false
  /** Around all of its spans. */
  #fromMs = Number.POSITIVE_INFINITY
  #toMs = Number.NEGATIVE_INFINITY
  /** In the order in which they were told, with some that have ended. */
  #opened: IndexedSpan[] = []
  #openCount = 0
  #openings = 0
  readonly #ended = new SpanShelf<IndexedSpan>()
  readonly #hints = new InOrder<Hint>(({ atMs }) => atMs)
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
    if (this.#openCount > above) this.hasRunSideBySide = true
    this.#fromMs = Math.min(this.#fromMs, span.startMs)
    this.#opened.push(span)
    this.#openCount += 1
    this.#openings += 1
    if (this.#openings % TIDY_EVERY === 0) this.#opened = this.#opened.filter(isOpen)
  }

  ended(span: IndexedSpan, endMs: number): void {
    if (span.openChildren > 0) this.hasRunSideBySide = true
    this.#openCount -= 1
    span.endMs = endMs
    this.#toMs = Math.max(this.#toMs, endMs)
    this.#ended.add(span)
  }

  exited(atMs: number): void {
    this.exitedMs = Math.min(this.exitedMs, atMs)
  }

  forget(span: IndexedSpan): void {
    span.gone = true
    if (span.endMs !== Number.POSITIVE_INFINITY) return
    this.#openCount -= 1
    this.hasUnknown = true
  }

  announced(span: IndexedSpan, targets: readonly string[], atMs: number): void {
    for (const target of targets) {
      if (!span.targets.has(target) && span.targets.size < MAX_TARGETS)
        span.targets.set(target, atMs)
      this.#hints.add({ atMs, target, span })
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
    const dropped = this.#hints.shift(Math.ceil(this.#hints.length / 2))
    this.#hintsFromMs = Math.max(this.#hintsFromMs, dropped.at(-1)?.atMs ?? this.#hintsFromMs)
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

  /** Spans whose window contains the moment; of very many some of the latest. */
  at(atMs: number): Around {
    const spans: IndexedSpan[] = []
    if (atMs < this.#fromMs - EARLY_MS || atMs > this.#lastMs + LATE_MS)
      return { spans, isAll: true }
    for (const span of this.#ended.within(atMs - LATE_MS, atMs + EARLY_MS, MAX_LOOKED)) {
      if (span === undefined || spans.length === MAX_AT) return { spans, isAll: false }
      spans.push(span)
    }
    if (atMs > this.exitedMs + LATE_MS) return { spans, isAll: true }
    const opened = this.#opened
    const first = Math.max(0, opened.length - MAX_LOOKED)
    for (let at = opened.length - 1; at >= first; at -= 1) {
      const span = opened[at]
      if (span === undefined || !isOpen(span) || span.startMs > atMs + EARLY_MS) continue
      if (spans.length === MAX_AT) return { spans, isAll: false }
      spans.push(span)
    }
    return { spans, isAll: first === 0 }
  }

  get #lastMs(): number {
    return this.#openCount > 0 ? Math.max(this.#toMs, this.exitedMs) : this.#toMs
  }

  /** More than these are more than any producer announces, and prove nothing. */
  #hintsWithin(fromMs: number, toMs: number): readonly Hint[] {
    return this.#hints.within(fromMs, toMs, MAX_HINTS_LOOKED)
  }
}

function isOpen({ endMs, gone }: IndexedSpan): boolean {
  return endMs === Number.POSITIVE_INFINITY && !gone
}

/** When it ended, as far as is known; infinite while it is open. */
export function endOf({ endMs, process }: IndexedSpan): number {
  return Math.min(endMs, process?.exitedMs ?? Number.POSITIVE_INFINITY)
}

/** Whether it announced this by then; of one that announced very much, not everything is known. */
export function hasAnnounced(span: IndexedSpan, targets: readonly string[], atMs: number): boolean {
  return targets.some((target) => {
    const first = span.targets.get(target)
    return first === undefined ? span.targets.size >= MAX_TARGETS : first <= atMs
  })
}
