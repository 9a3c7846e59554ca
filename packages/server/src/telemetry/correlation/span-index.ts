/**
 * Which span caused a record. Works as the log grows, within bounds, and over a part of it that was read whole. An
 * answer that is not marked as a guess is a promise: as far as is known here, exactly one span can have caused it.
 */
import type { AuditRecord } from '../../audit/record.ts'
import { type CoatEvent, coatEvent, row } from './coat-event.ts'
import { type Effect, effectOf } from './effect.ts'
import { EARLY_MS, hasAnnounced, type IndexedSpan, ProcessSpans } from './process-spans.ts'

export type Method = 'exact' | 'hint' | 'sole' | 'heuristic' | 'window' | 'none'

export interface SpanRef {
  readonly span_id: string
  readonly trace_id: string
}

export interface Attribution {
  readonly method: Method
  /** As the agent writes them. */
  readonly span_id?: string
  readonly trace_id?: string
  /** Those that may have caused it, the chosen one first; at most 16 are told. */
  readonly candidates: readonly SpanRef[]
}

/** A guess: several may have caused it, or nobody knows which process did. */
export function isGuess({ method }: Attribution): boolean {
  return method === 'heuristic' || method === 'window'
}

/** Parents of processes, for records that do not say them. */
export interface ProcessTree {
  parentOf(pid: number): number | undefined
}

export interface SpanIndexOptions {
  /** Spans kept; the oldest are forgotten first. */
  maxSpans?: number | undefined
  processTree?: ProcessTree | undefined
}

const MAX_SPANS = 100_000
const MAX_PROCESSES = 4_096
/** Of one pid, one after the other. */
const MAX_GENERATIONS = 8
const MAX_NAMED = 10_000
/** Of all processes together. */
const MAX_HINTS = 200_000
const MAX_PARENTS = 20_000
const MAX_OWN = 50_000
const MAX_PRODUCERS = 10_000
const MAX_HOPS = 16
const MAX_DEPTH = 64
const MAX_TOLD = 16
/** Comparing more of them with each other would take long, and they run at the same time anyway. */
const MAX_COMPARED = 64

export class SpanIndex {
  readonly #maxSpans: number
  readonly #tree: ProcessTree | undefined
  readonly #spans = new Map<string, IndexedSpan>()
  readonly #processes = new Map<number, ProcessSpans[]>()
  /** Process → its parent, and since when that is known: numbers are used again. */
  readonly #parents = new Map<number, { pid: number; sinceMs: number }[]>()
  /** Action in the queue → the span that named it; null when several did. */
  readonly #named = new Map<string, IndexedSpan | null>()
  /** Vestry's own spans → their parents. */
  readonly #own = new Map<string, string>()
  readonly #producers = new Map<string, { seq: number; atMs: number }>()
  #hints = 0

  constructor({ maxSpans = MAX_SPANS, processTree }: SpanIndexOptions = {}) {
    this.#maxSpans = maxSpans
    this.#tree = processTree
  }

  /** Spans that are known at present. */
  get size(): number {
    return this.#spans.size
  }

  /** Takes in one record, in the order of the log. */
  observe(record: AuditRecord): void {
    const event = coatEvent(record)
    if (event !== undefined) this.observeEvent(event)
    this.#observeProcess(record)
    const effect = record.span === undefined || event !== undefined ? undefined : effectOf(record)
    if (effect !== undefined) this.observeEffect(effect)
  }

  observeEvent(event: CoatEvent): void {
    const process = this.#processOf(event)
    this.#watchProducer(event, process)
    const span = this.#spanOf(event, process)
    if (span === undefined) return
    if (event.part === 'end') this.#end(span, event)
    const { targets, queueId } = event.facts
    if (targets !== undefined && process !== undefined)
      this.#announce(process, span, targets, event)
    if (queueId !== undefined) this.#name(queueId, span)
  }

  /** Spans of Vestry's own lead on to the span of the agent that caused them. */
  observeEffect({ span }: Effect): void {
    if (span === undefined || span.parent === '' || span.parent === span.span) return
    bounded(this.#own, `${span.trace}:${span.span}`, `${span.trace}:${span.parent}`, MAX_OWN)
  }

  /** The process is over: what it left open has ended. */
  processExited(pid: number, atMs: number, startTime?: string): void {
    for (const process of this.#processes.get(pid) ?? []) {
      if (startTime === undefined || process.startTime === startTime) process.exited(atMs)
    }
  }

  attribute(record: AuditRecord): Attribution {
    return this.attributeEffect(effectOf(record))
  }

  attributeEffect(effect: Effect): Attribution {
    const exact = this.#carried(effect) ?? this.#byQueueId(effect)
    if (exact !== undefined) return answer('exact', exact, [exact])
    if (effect.pid === undefined) return this.#byTime(effect)
    for (const process of this.#lineage(effect.pid, effect.beganMs)) {
      const found = this.#inProcess(process, effect, process.pid === effect.pid)
      if (found !== undefined) return found
    }
    return { method: 'none', candidates: [] }
  }

  /** Whether `above` is an ancestor of `span`, or the span itself. */
  #isWithin(span: IndexedSpan, above: IndexedSpan): boolean {
    let at: IndexedSpan | undefined = span
    for (let depth = 0; at !== undefined && depth < MAX_DEPTH; depth += 1) {
      if (at === above) return true
      at = this.#above(at)
    }
    return false
  }

  /** Its parent, as far as that is known. Looked up once: this is what takes the time. */
  #above(span: IndexedSpan): IndexedSpan | undefined {
    const { parent } = span
    if (parent !== undefined && !parent.gone) return parent
    span.parent = span.parentKey === '' ? undefined : this.#spans.get(span.parentKey)
    return span.parent
  }

  #carried({ span }: Effect): IndexedSpan | undefined {
    if (span === undefined) return undefined
    const own = this.#spans.get(`${span.trace}:${span.span}`)
    if (own !== undefined) return own
    let key = `${span.trace}:${span.parent}`
    for (let hop = 0; hop < MAX_HOPS; hop += 1) {
      const found = this.#spans.get(key)
      if (found !== undefined) return found
      const above = this.#own.get(key)
      if (above === undefined) return undefined
      key = above
    }
    return undefined
  }

  #byQueueId({ queueIds }: Effect): IndexedSpan | undefined {
    const named = queueIds.map((id) => this.#named.get(id)).filter((span) => span !== undefined)
    const [only] = named
    return named.every((span) => span === only) ? (only ?? undefined) : undefined
  }

  /** Of one process. @returns undefined when none of its spans can have caused it. */
  #inProcess(process: ProcessSpans, effect: Effect, isOwn: boolean): Attribution | undefined {
    const { beganMs: at, targets, span } = effect
    const around = process.at(at)
    const isComplete = process.isComplete(at)
    // What Vestry does on behalf of an agent goes to hosts that the agent itself does not talk to.
    const isAnnounced = isOwn && span === undefined && targets.length > 0
    if (isAnnounced) {
      const hinted = this.#hinted(process, targets, at, around)
      if (hinted !== undefined) {
        const sure = hinted.spans.length === 1 && isComplete
        return answer(
          sure ? 'hint' : 'heuristic',
          hinted.best,
          sure ? hinted.spans : [...hinted.spans, ...around],
        )
      }
    }
    if (around.length === 0) return undefined
    const running = around.filter(({ startMs, endMs }) => startMs <= at && at <= endMs)
    const best = this.#innermost(running.length > 0 ? running : around)
    // Where a process that does several things at once says what it does, what it did not say may be anybody's.
    const isDoubtful = !isComplete || (isAnnounced && process.announces && process.hasRunSideBySide)
    const isSole = !isDoubtful && this.#isSole(running, around)
    return answer(isSole ? 'sole' : 'heuristic', best, around)
  }

  /**
   * The spans that announced it: within the time in which that counts, or earlier where they still run, since what is
   * announced over and over is told once.
   */
  #hinted(
    process: ProcessSpans,
    targets: readonly string[],
    at: number,
    around: readonly IndexedSpan[],
  ): { spans: IndexedSpan[]; best: IndexedSpan } | undefined {
    const lately = process.hintedBy(targets, at)
    const earlier = around.filter((span) => hasAnnounced(span, targets, at))
    const best = lately.at(-1) ?? this.#innermost(earlier)
    if (best === undefined) return undefined
    return { best, spans: [...new Set([best, ...lately, ...earlier])] }
  }

  /**
   * Whether only the innermost of the running spans can have caused it. Spans that have just ended count only where
   * spans ran side by side: one after the other, the earlier one was over before the later one began.
   */
  #isSole(running: readonly IndexedSpan[], around: readonly IndexedSpan[]): boolean {
    if (running.length === 0) return around.length === 1
    if (around.length > MAX_COMPARED) return false
    for (const [index, one] of around.entries()) {
      for (const other of around.slice(index + 1)) {
        if (this.#isWithin(one, other) || this.#isWithin(other, one)) continue
        const bothRun = running.includes(one) && running.includes(other)
        if (bothRun || (one.startMs < other.endMs && other.startMs < one.endMs)) return false
      }
    }
    const innermost = this.#innermost(running)
    return !running.some((span) => span !== innermost && span.forked)
  }

  /** The latest-started of those that contain none of the others. */
  #innermost(spans: readonly IndexedSpan[]): IndexedSpan | undefined {
    // Children start after their parents, as a rule; of very many, the answer is a guess in any case.
    const isExact = spans.length <= MAX_COMPARED
    let best: IndexedSpan | undefined
    for (const span of spans) {
      if (best === undefined || (isExact && this.#isWithin(span, best))) best = span
      else if (span.startMs >= best.startMs && !(isExact && this.#isWithin(best, span))) best = span
    }
    return best
  }

  /** Nobody knows which process it was, so it is a guess even where there is only one candidate. */
  #byTime({ beganMs }: Effect): Attribution {
    const around: IndexedSpan[] = []
    for (const generations of this.#processes.values())
      for (const process of generations) around.push(...process.at(beganMs))
    if (around.length === 0) return { method: 'none', candidates: [] }
    const running = around.filter(({ startMs, endMs }) => startMs <= beganMs && beganMs <= endMs)
    return answer('window', this.#innermost(running.length > 0 ? running : around), around)
  }

  /** The process with this pid at that time, its parent, and so on. */
  *#lineage(pid: number, atMs: number): Generator<ProcessSpans, void> {
    const seen = new Set<number>()
    let at: number | undefined = pid
    for (let hop = 0; at !== undefined && at > 1 && hop < MAX_HOPS && !seen.has(at); hop += 1) {
      seen.add(at)
      const process = this.#generation(at, atMs)
      if (process !== undefined) yield process
      at = this.#parentOf(at, atMs)
    }
  }

  #parentOf(pid: number, atMs: number): number | undefined {
    const all = this.#parents.get(pid) ?? []
    const then = all.findLast(({ sinceMs }) => sinceMs <= atMs + EARLY_MS) ?? all[0]
    return then?.pid ?? this.#tree?.parentOf(pid)
  }

  #setParent(pid: number, parent: number, sinceMs: number): void {
    const all = this.#parents.get(pid) ?? []
    if (all.at(-1)?.pid !== parent) all.push({ pid: parent, sinceMs })
    if (all.length > MAX_GENERATIONS) all.shift()
    bounded(this.#parents, pid, all, MAX_PARENTS)
  }

  #generation(pid: number, atMs: number): ProcessSpans | undefined {
    const all = this.#processes.get(pid) ?? []
    // The last one that had begun to speak by then.
    return all.findLast(({ firstMs }) => firstMs <= atMs + EARLY_MS) ?? all[0]
  }

  #processOf({ caller, atMs }: CoatEvent): ProcessSpans | undefined {
    const { pid, startTime } = caller
    if (pid === undefined || pid <= 0) return undefined
    let generations = this.#processes.get(pid)
    const known = generations?.find((process) => process.startTime === startTime)
    if (known !== undefined) {
      known.lastMs = Math.max(known.lastMs, atMs)
      return known
    }
    const process = new ProcessSpans(pid, startTime, atMs)
    if (generations === undefined) generations = []
    // The pid belongs to somebody else by now.
    for (const earlier of generations) earlier.exited(atMs)
    generations.push(process)
    if (generations.length > MAX_GENERATIONS) generations.shift()
    bounded(this.#processes, pid, generations, MAX_PROCESSES)
    return process
  }

  /** A gap in the numbers of a producer makes a time of which not everything is known. */
  #watchProducer({ producer, atMs, caller }: CoatEvent, process: ProcessSpans | undefined): void {
    if (producer === undefined || process === undefined) return
    const id = `${producer.id}:${caller.pid}:${caller.startTime}`
    const before = this.#producers.get(id)
    if (before !== undefined && producer.seq > before.seq + 1)
      process.lost(Math.min(before.atMs, atMs), Math.max(before.atMs, atMs))
    if (before !== undefined && producer.seq <= before.seq) return
    bounded(this.#producers, id, { seq: producer.seq, atMs }, MAX_PRODUCERS)
  }

  /** The span an event belongs to, made with its first event. */
  #spanOf(event: CoatEvent, process: ProcessSpans | undefined): IndexedSpan | undefined {
    const { key, part, atMs, facts } = event
    if (key === '') return undefined
    const known = this.#spans.get(key)
    if (known !== undefined) return known
    // What happened within a span may have an id of its own, below that of the span.
    if (part === 'point') return this.#spans.get(event.parentKey)
    const span: IndexedSpan = {
      traceId: event.traceId,
      spanId: event.spanId,
      key,
      parentKey: event.parentKey,
      parent: undefined,
      op: event.op,
      // Its beginning was lost, or stands before what was read.
      startMs: part === 'end' ? atMs - (facts.durationMs ?? 0) : atMs,
      endMs: Number.POSITIVE_INFINITY,
      forked: false,
      openChildren: 0,
      gone: false,
      targets: new Map(),
      process,
    }
    this.#spans.set(key, span)
    process?.started(span, this.#openAbove(span))
    const parent = this.#above(span)
    if (parent !== undefined) {
      if (parent.openChildren > 0) parent.forked = true
      parent.openChildren += 1
    }
    this.#trim()
    return span
  }

  /** How many of its ancestors run in the same process. */
  #openAbove(span: IndexedSpan): number {
    let count = 0
    let above = this.#above(span)
    for (let depth = 0; above !== undefined && depth < MAX_DEPTH; depth += 1) {
      if (above.process === span.process && above.endMs === Number.POSITIVE_INFINITY) count += 1
      above = this.#above(above)
    }
    return count
  }

  #end(span: IndexedSpan, { atMs }: CoatEvent): void {
    if (span.endMs !== Number.POSITIVE_INFINITY) return
    const parent = this.#above(span)
    if (parent !== undefined && parent.openChildren > 0) parent.openChildren -= 1
    const endMs = Math.max(span.startMs, atMs)
    if (span.process === undefined) span.endMs = endMs
    else span.process.ended(span, endMs)
  }

  #announce(
    process: ProcessSpans,
    span: IndexedSpan,
    targets: readonly string[],
    { atMs }: CoatEvent,
  ): void {
    const before = process.hintCount
    process.announced(span, targets, atMs)
    this.#hints += process.hintCount - before
    if (this.#hints <= MAX_HINTS) return
    this.#hints = 0
    for (const generations of this.#processes.values()) {
      for (const one of generations) {
        one.forgetHints()
        this.#hints += one.hintCount
      }
    }
  }

  #name(queueId: string, span: IndexedSpan): void {
    const before = this.#named.get(queueId)
    const isOther = before === null || (before !== undefined && before !== span)
    bounded(this.#named, queueId, isOther ? null : span, MAX_NAMED)
  }

  /** Facts about processes that records of any kind bring along. */
  #observeProcess(record: AuditRecord): void {
    const { pid } = record
    if (pid === undefined) return
    const data = row(record.data)
    const atMs = Date.parse(record.timestamp)
    let below = pid
    for (const above of parentsIn(data)) {
      this.#setParent(below, above, atMs)
      below = above
    }
    if (!isExit(record)) return
    const startTime = data['start_time']
    this.processExited(pid, atMs, typeof startTime === 'string' ? startTime : undefined)
  }

  #trim(): void {
    for (const [key, span] of this.#spans) {
      if (this.#spans.size <= this.#maxSpans) return
      this.#spans.delete(key)
      span.parent = undefined // or a chain without end would be kept by its last member
      if (span.process === undefined) span.gone = true
      else span.process.forget(span)
    }
  }
}

/** Whether a record says anything of processes. */
export function tellsOfProcess(record: AuditRecord): boolean {
  return record.pid !== undefined && (isExit(record) || parentsIn(row(record.data)).length > 0)
}

function isExit({ action, source }: AuditRecord): boolean {
  return action === 'identity_exit' || (action === 'stop' && source === 'pod')
}

/** Its parent, the parent of that, and so on. */
function parentsIn({ ancestors, ppid }: Readonly<Record<string, unknown>>): number[] {
  const all: readonly unknown[] = Array.isArray(ancestors) ? ancestors : [ppid]
  const end = all.findIndex((pid) => !Number.isSafeInteger(pid) || (pid as number) < 1)
  return all.slice(0, end === -1 ? MAX_HOPS : Math.min(end, MAX_HOPS)) as number[] // checked
}

function answer(
  method: Method,
  best: IndexedSpan | undefined,
  candidates: readonly IndexedSpan[],
): Attribution {
  if (best === undefined) return { method: 'none', candidates: [] }
  const told = new Set([best])
  for (const candidate of candidates) {
    if (told.size === MAX_TOLD) break
    told.add(candidate)
  }
  return {
    method,
    span_id: best.spanId,
    trace_id: best.traceId,
    candidates: [...told].map(({ spanId, traceId }) => ({ span_id: spanId, trace_id: traceId })),
  }
}

/** Sets, and drops what was set first where there is no more room. */
function bounded<K, V>(map: Map<K, V>, key: K, value: V, max: number): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= max) return
  for (const oldest of map.keys()) {
    map.delete(oldest)
    return
  }
}
