/**
 * Which span caused a record. Works as the log grows, within bounds, and over a part of it that was read whole. An
 * answer that is not marked as a guess is a promise: as far as is known here, exactly one span can have caused it.
 */
import type { AuditRecord } from '../../audit/record.ts'
import { type CallerFacts, type CoatEvent, coatEvent, processKey, row } from './coat-event.ts'
import { type Effect, effectOf } from './effect.ts'
import {
  type Around,
  EARLY_MS,
  endOf,
  hasAnnounced,
  type IndexedSpan,
  ProcessSpans,
} from './process-spans.ts'
import { type Losses, lossesOf } from './producers.ts'

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

/** The same, with the span itself: its id alone may be said by several processes. */
export interface Caused {
  readonly attribution: Attribution
  readonly span: IndexedSpan | undefined
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
/** Spans that name the same action. */
const MAX_NAMERS = 16
/** Of all processes together. */
const MAX_HINTS = 200_000
const MAX_PARENTS = 20_000
const MAX_OWN = 50_000
const MAX_PRODUCERS = 10_000
const MAX_HOPS = 16
const MAX_DEPTH = 256
const MAX_TOLD = 16
/** Of all processes together, where nobody knows which one it was. */
const MAX_AROUND = 256
/** Comparing more of them with each other would take long, and they run at the same time anyway. */
const MAX_COMPARED = 64

export class SpanIndex {
  readonly #maxSpans: number
  readonly #tree: ProcessTree | undefined
  /** Spans with the same id: what a process says of one is said of its own. */
  readonly #spans = new Map<string, IndexedSpan[]>()
  #size = 0
  readonly #processes = new Map<number, ProcessSpans[]>()
  /** Process → its parent, and since when that is known: numbers are used again. */
  readonly #parents = new Map<number, { pid: number; sinceMs: number }[]>()
  /** Action in the queue → the spans that named it; null for too many. */
  readonly #named = new Map<string, Set<IndexedSpan> | null>()
  /** Action in the queue → who submitted it. */
  readonly #submitters = new Map<string, { readonly pid: number; readonly atMs: number }>()
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
    return this.#size
  }

  /** Takes in one record, in the order of the log. */
  observe(record: AuditRecord): void {
    const event = coatEvent(record)
    if (event !== undefined) this.observeEvent(event)
    this.#observeProcess(record)
    const losses = lossesOf(record)
    if (losses !== undefined) this.observeLosses(losses)
    const isEffect = event === undefined && (record.span !== undefined || record.source === 'queue')
    if (isEffect) this.observeEffect(effectOf(record))
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

  /** Spans of Vestry's own lead on to the span of the agent that caused them; a submission says whose an action is. */
  observeEffect({ span, source, pid, queueIds, beganMs }: Effect): void {
    if (source === 'queue' && pid !== undefined) {
      for (const id of queueIds) {
        if (!this.#submitters.has(id))
          bounded(this.#submitters, id, { pid, atMs: beganMs }, MAX_NAMED)
      }
    }
    if (span === undefined || span.parent === '' || span.parent === span.span) return
    bounded(this.#own, `${span.trace}:${span.span}`, `${span.trace}:${span.parent}`, MAX_OWN)
  }

  /** What a producer sent last may be among what never arrived. */
  observeLosses(losses: Losses): void {
    if (losses.kind !== 'counted' || losses.pid === undefined || losses.missing === 0) return
    const { pid, startTime, atMs } = losses
    const process = this.#processes.get(pid)?.find((one) => one.startTime === startTime)
    process?.lost(process.lastMs, atMs)
  }

  /** The process is over: what it left open has ended. */
  processExited(pid: number, atMs: number, startTime?: string): void {
    for (const process of this.#processes.get(pid) ?? []) {
      if (startTime === undefined || process.startTime === startTime) process.exited(atMs)
    }
  }

  /** When a process was over; undefined while it may still run. */
  exitOf({ pid, startTime }: Pick<CallerFacts, 'pid' | 'startTime'>): number | undefined {
    const process = this.#processes.get(pid ?? 0)?.find((one) => one.startTime === startTime)
    return process === undefined || process.exitedMs === Number.POSITIVE_INFINITY
      ? undefined
      : process.exitedMs
  }

  attribute(record: AuditRecord): Attribution {
    return this.causeOf(effectOf(record)).attribution
  }

  causeOf(effect: Effect): Caused {
    const carried = this.#carried(effect)
    if (carried?.isSure === true) return answer('exact', carried.span, [])
    const named = this.#byQueueId(effect)
    if (named !== undefined) return answer('exact', named, [])
    const { attribution, span } = this.#byProcess(effect)
    // Whose span it is, is the word of somebody else: it counts as one of those that may be.
    if (carried === undefined) return { attribution, span }
    const { best, candidates } =
      span === undefined
        ? { best: carried.span, candidates: [] }
        : { best: span, candidates: [carried.span, ...this.#around(effect)] }
    return answer('heuristic', best, candidates)
  }

  #byProcess(effect: Effect): Caused {
    if (effect.pid === undefined) return this.#byTime(effect)
    for (const process of this.#lineage(effect.pid, effect.beganMs)) {
      const found = this.#inProcess(process, effect, process.pid === effect.pid)
      if (found !== undefined) return found
    }
    return NOBODY
  }

  #around({ pid, beganMs }: Effect): readonly IndexedSpan[] {
    const [process] = pid === undefined ? [] : this.#lineage(pid, beganMs)
    return process?.at(beganMs).spans ?? []
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

  /** It, and its ancestors in the same process. */
  #line(span: IndexedSpan): Set<IndexedSpan> {
    const line = new Set<IndexedSpan>()
    let at: IndexedSpan | undefined = span
    while (at !== undefined && !line.has(at) && line.size < MAX_DEPTH) {
      line.add(at)
      at = this.#above(at)
    }
    return line
  }

  /** Its parent, as far as that is known. Looked up once: this is what takes the time. */
  #above(span: IndexedSpan): IndexedSpan | undefined {
    const { parent } = span
    if (parent !== undefined && !parent.gone) return parent
    span.parent = this.#ownSpan(span.parentKey, span.process)
    return span.parent
  }

  #ownSpan(key: string, process: ProcessSpans | undefined): IndexedSpan | undefined {
    return key === '' ? undefined : this.#spans.get(key)?.find((span) => span.process === process)
  }

  #carried(effect: Effect): { span: IndexedSpan; isSure: boolean } | undefined {
    const { span } = effect
    if (span === undefined) return undefined
    const own = this.#spans.get(`${span.trace}:${span.span}`)
    if (own !== undefined) return this.#carrier(own, effect)
    let key = `${span.trace}:${span.parent}`
    for (let hop = 0; hop < MAX_HOPS; hop += 1) {
      const found = this.#spans.get(key)
      if (found !== undefined) return this.#carrier(found, effect)
      const above = this.#own.get(key)
      if (above === undefined) return undefined
      key = above
    }
    return undefined
  }

  /**
   * Which of those with the id it carries. Anybody can write an id down: it is sure where it comes from the process of
   * the span or one below it, or, with no process known, from nobody who is known to be somebody else.
   */
  #carrier(
    spans: readonly IndexedSpan[],
    { pid, agent, beganMs }: Effect,
  ): { span: IndexedSpan; isSure: boolean } | undefined {
    const [first] = spans
    if (first === undefined) return undefined
    if (pid !== undefined) {
      for (const process of this.#lineage(pid, beganMs)) {
        const span = spans.find((one) => one.process === process)
        if (span !== undefined) return { span, isSure: true }
      }
      return { span: first, isSure: false }
    }
    const [same, ...more] = agent === undefined ? [] : spans.filter((one) => one.agent === agent)
    if (same !== undefined) return { span: same, isSure: more.length === 0 }
    const isOther = agent !== undefined && first.agent !== undefined
    return { span: first, isSure: spans.length === 1 && !isOther }
  }

  /** The span that named the action, of those of who submitted it. */
  #byQueueId({ queueIds, pid, beganMs }: Effect): IndexedSpan | undefined {
    const found = new Set<IndexedSpan>()
    for (const id of queueIds) {
      const named = this.#named.get(id)
      if (named === null) return undefined
      const by = pid === undefined ? this.#submitters.get(id) : { pid, atMs: beganMs }
      const processes = by === undefined ? undefined : new Set(this.#lineage(by.pid, by.atMs))
      for (const span of named ?? []) {
        const isOwn = span.process !== undefined && processes?.has(span.process) === true
        if (processes === undefined || isOwn) found.add(span)
      }
    }
    const [only] = found
    return found.size === 1 ? only : undefined
  }

  /** Of one process. @returns undefined when none of its spans can have caused it. */
  #inProcess(process: ProcessSpans, effect: Effect, isOwn: boolean): Caused | undefined {
    const { beganMs: at, targets, span } = effect
    const around = process.at(at)
    const isComplete = process.isComplete(at)
    // What Vestry does on behalf of an agent goes to hosts that the agent itself does not talk to.
    const isAnnounced = isOwn && span === undefined && targets.length > 0
    if (isAnnounced) {
      const hinted = this.#hinted(process, targets, at, around.spans)
      if (hinted !== undefined) {
        const sure = hinted.spans.length === 1 && isComplete
        return answer(
          sure ? 'hint' : 'heuristic',
          hinted.best,
          sure ? [] : [...hinted.spans, ...around.spans],
        )
      }
    }
    if (around.spans.length === 0) return undefined
    const running = runningAt(around.spans, at)
    const best = this.#innermost(running.length > 0 ? running : around.spans)
    // Where a process that does several things at once says what it does, what it did not say may be anybody's.
    const isDoubtful =
      !isComplete ||
      process.hasUnknown ||
      (isAnnounced && process.announces && process.hasRunSideBySide)
    const isSole = !isDoubtful && this.#isSole(process, running, around, at)
    return answer(isSole ? 'sole' : 'heuristic', best, around.spans)
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
   * Whether only the innermost of the running spans can have caused it. That parents wait for their children, and that
   * nothing goes on of a span that is over, holds where one thing is done after the other. Where several are done at
   * once, each span around may have caused it: a parent beside its child, and one that is over by the time its doing
   * is written down.
   */
  #isSole(
    process: ProcessSpans,
    running: readonly IndexedSpan[],
    { spans: around, isAll }: Around,
    at: number,
  ): boolean {
    if (!isAll) return false
    // What begins only later is shown for want of a better one: it cannot be promised.
    if (around.length === 1) return hasBegun(around[0], at)
    if (process.hasRunSideBySide || running.some(({ startMs }) => startMs > at)) return false
    const innermost = this.#innermost(running)
    if (innermost === undefined) return false
    const line = this.#line(innermost)
    if (running.some((span) => !line.has(span))) return false
    if (running.length === around.length) return true
    if (around.length > MAX_COMPARED) return false
    const lines = around.map((span) => this.#line(span))
    return around.every((one, index) =>
      around
        .slice(index + 1)
        .every(
          (other, after) =>
            lines[index]?.has(other) === true ||
            lines[index + 1 + after]?.has(one) === true ||
            one.startMs >= endOf(other) ||
            other.startMs >= endOf(one),
        ),
    )
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
  #byTime({ beganMs }: Effect): Caused {
    const around: IndexedSpan[] = []
    for (const generations of this.#processes.values()) {
      for (const process of generations) around.push(...process.at(beganMs).spans)
      if (around.length >= MAX_AROUND) break
    }
    const running = runningAt(around, beganMs)
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

  #processOf({ caller, atMs, storedMs }: CoatEvent): ProcessSpans | undefined {
    const { pid, startTime } = caller
    if (pid === undefined || pid <= 0) return undefined
    // What a process says of its own times does not reach beyond the time in which the kernel knew it by this number.
    const sureMs = Math.min(atMs, storedMs)
    let generations = this.#processes.get(pid)
    const known = generations?.find((process) => process.startTime === startTime)
    if (known !== undefined) {
      known.lastMs = Math.max(known.lastMs, sureMs)
      return known
    }
    if (generations === undefined) generations = []
    const firstMs = generations.reduce((max, { lastMs }) => Math.max(max, lastMs), sureMs)
    const process = new ProcessSpans(pid, startTime, firstMs)
    // The pid belongs to somebody else by now.
    for (const earlier of generations) earlier.exited(firstMs)
    generations.push(process)
    if (generations.length > MAX_GENERATIONS) generations.shift()
    bounded(this.#processes, pid, generations, MAX_PROCESSES)
    return process
  }

  /** A gap in the numbers of a producer makes a time of which not everything is known. */
  #watchProducer({ producer, atMs, caller }: CoatEvent, process: ProcessSpans | undefined): void {
    if (producer === undefined || process === undefined) return
    const id = `${producer.id}:${processKey(caller)}`
    const before = this.#producers.get(id)
    // What began before is not known, and may still run.
    if (before === undefined && producer.seq > 1) process.hasUnknown = true
    if (before !== undefined && producer.seq > before.seq + 1)
      process.lost(Math.min(before.atMs, atMs), Math.max(before.atMs, atMs))
    if (before !== undefined && producer.seq <= before.seq) return
    bounded(this.#producers, id, { seq: producer.seq, atMs }, MAX_PRODUCERS)
  }

  /** The span an event belongs to, of its own process, made with its first event. */
  #spanOf(event: CoatEvent, process: ProcessSpans | undefined): IndexedSpan | undefined {
    const { key, part, atMs, facts, caller } = event
    if (key === '') return undefined
    const known = this.#ownSpan(key, process)
    if (known !== undefined) return known
    // What happened within a span may have an id of its own, below that of the span.
    if (part === 'point') return this.#ownSpan(event.parentKey, process)
    const span: IndexedSpan = {
      traceId: event.traceId,
      spanId: event.spanId,
      key,
      parentKey: event.parentKey,
      parent: undefined,
      agent: caller.kind === 'claimed' ? caller.agent : undefined,
      // Its beginning was lost, or stands before what was read.
      startMs: part === 'end' ? atMs - (facts.durationMs ?? 0) : atMs,
      endMs: Number.POSITIVE_INFINITY,
      openChildren: 0,
      gone: false,
      targets: new Map(),
      process,
    }
    const same = this.#spans.get(key)
    if (same === undefined) this.#spans.set(key, [span])
    else same.push(span)
    this.#size += 1
    process?.started(span, this.#openAbove(span))
    const parent = this.#above(span)
    if (parent !== undefined) parent.openChildren += 1
    this.#trim()
    return span
  }

  /** How many of its ancestors run in the same process. */
  #openAbove(span: IndexedSpan): number {
    let count = 0
    let above = this.#above(span)
    for (let depth = 0; above !== undefined && depth < MAX_DEPTH; depth += 1) {
      if (above.endMs === Number.POSITIVE_INFINITY) count += 1
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
    const named = this.#named.get(queueId)
    if (named === null) return
    const all = (named ?? new Set()).add(span)
    bounded(this.#named, queueId, all.size > MAX_NAMERS ? null : all, MAX_NAMED)
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
    if (this.#size <= this.#maxSpans) return
    for (const [key, spans] of this.#spans) {
      this.#spans.delete(key)
      for (const span of spans) {
        this.#size -= 1
        span.parent = undefined // or a chain without end would be kept by its last member
        if (span.process === undefined) span.gone = true
        else span.process.forget(span)
      }
      if (this.#size <= this.#maxSpans) return
    }
  }
}

function runningAt(spans: readonly IndexedSpan[], atMs: number): IndexedSpan[] {
  return spans.filter((span) => hasBegun(span, atMs) && atMs <= endOf(span))
}

/** Times are cut to milliseconds, which may put an effect before its cause by one. */
function hasBegun(span: IndexedSpan | undefined, atMs: number): boolean {
  return span !== undefined && span.startMs <= atMs + 1
}

const NOBODY: Caused = { attribution: { method: 'none', candidates: [] }, span: undefined }

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
  others: readonly IndexedSpan[],
): Caused {
  if (best === undefined) return NOBODY
  const told = new Set([best])
  for (const candidate of others) {
    if (told.size === MAX_TOLD) break
    told.add(candidate)
  }
  return {
    attribution: {
      method,
      span_id: best.spanId,
      trace_id: best.traceId,
      candidates: [...told].map(({ spanId, traceId }) => ({ span_id: spanId, trace_id: traceId })),
    },
    span: best,
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
