/**
 * Puts spans together from the records of the log as they come: both ends, what was reported in between, and what
 * else happened because of them. Bounded: what is too much goes out as incomplete. Decides nothing about sending.
 */
import type { AuditDecision, AuditRecord } from '../../audit/record.ts'
import { pairKey } from '../../audit/record.ts'
import { RecentMap } from '../../store/recent-map.ts'
import { isEffect } from '../correlation/effect.ts'
import { type CoatEvent, coatEventOf, number, text } from './coat-event.ts'
import { screened } from './content.ts'
import { FAMILIES, type FamilyName, familyOf, isEnd } from './family.ts'
import { bareId } from './ids.ts'
import { type Built, type ExportRules, isExported, logRecordOf, TIE } from './log-record.ts'
import {
  MAX_EVENT_BYTES,
  MAX_EVENTS,
  recordEvent,
  type SpanEvent,
  spanOf,
  tieEvent,
} from './span.ts'

/** Which span caused a record. Of the correlation only this much is needed here. */
export interface Attributor {
  observe(record: AuditRecord): void
  attribute(record: AuditRecord): {
    readonly method: string
    readonly span_id?: string | undefined
    readonly trace_id?: string | undefined
  }
}

export interface AssemblerDeps {
  readonly rules: ExportRules
  readonly attributor: Attributor
  /** Epoch ms. */
  readonly now: () => number
  /** Whether the process that had this pid then still runs. */
  readonly isAlive: (pid: number, startTime: string | undefined) => boolean
  /** A record that cannot be told is one record, and not the end of the export. */
  readonly onBroken: (seq: number, error: unknown) => void
}

export interface TakeOptions {
  /** When records are read again after a restart: first records of the spans that had not gone out. */
  readonly known?: ReadonlySet<number> | undefined
  /** Of the record in the log. */
  readonly bytes?: number | undefined
}

export interface AssemblerCounts {
  /** Spans without an end. */
  readonly open: number
  /** Ends of spans that had already gone out as incomplete. */
  readonly lateEnds: number
  /** What happened in a span that had already gone out. */
  readonly lateEvents: number
  /** Spans that went out early because there were too many. */
  readonly evicted: number
}

/** Spans that are held, whatever they wait for. */
export const MAX_HELD = 4096
/** Bytes that the records of these spans have in the log, and what was kept of others. */
export const MAX_HELD_BYTES = 33_554_432
/** Records that wait to be attributed. */
const MAX_WAITING = 4096
/** Producers send in batches: a record may be in the log before the span that caused it. */
const SETTLE_MS = 1_000
/** What a span caused may be told a little after its end. */
const LINGER_MS = 2_500
/** A span whose process has ended gets no end any more, unless it is still on its way. */
const ABANDONED_MS = 15 * 60_000
const LOOK_AT_PROCESSES_MS = 60_000
const REMEMBERED = 8_192

interface Held {
  readonly key: string
  /** The same, whoever wrote it. */
  readonly ids: string
  readonly family: FamilyName
  /** Of its first record. */
  readonly seq: number
  start: CoatEvent | undefined
  end: CoatEvent | undefined
  readonly events: SpanEvent[]
  eventBytes: number
  droppedEvents: number
  /** All that is held of it, roughly. */
  bytes: number
  lastSeenMs: number
  goneSinceMs: number | undefined
}

interface Waiting {
  readonly record: AuditRecord
  readonly dueMs: number
}

export class SpanAssembler {
  readonly #deps: AssemblerDeps
  readonly #held = new Map<string, Held>()
  /** Trace and span → key, for records that were written by others. */
  readonly #byIds = new Map<string, string>()
  #heldBytes = 0
  readonly #done: RecentMap<string, 'whole' | 'incomplete'>
  readonly #modelCalls = new RecentMap<string, true>(REMEMBERED)
  readonly #conversations = new RecentMap<string, string>(REMEMBERED)
  /** Sessions are no spans: what is in them belongs to what they are in. */
  readonly #sessions = new RecentMap<string, string>(REMEMBERED)
  readonly #decisions = new RecentMap<string, AuditDecision>(REMEMBERED)
  #waiting: Waiting[] = []
  #incomplete: string[]
  #logMs = 0
  #lookedMs = 0
  #lateEnds = 0
  #lateEvents = 0
  #evicted = 0
  /** Evicted ones, until they are asked for. */
  #early: Held[] = []

  /** @param incomplete Keys of spans that went out without an end, as {@link incomplete} told them. */
  constructor(deps: AssemblerDeps, incomplete: readonly string[] = []) {
    this.#deps = deps
    this.#incomplete = [...incomplete]
    this.#done = new RecentMap(REMEMBERED)
    for (const key of incomplete) this.#done.set(key, 'incomplete')
  }

  get counts(): AssemblerCounts {
    return {
      open: this.#held.size,
      lateEnds: this.#lateEnds,
      lateEvents: this.#lateEvents,
      evicted: this.#evicted,
    }
  }

  /** First records of all spans that have not gone out: what a restart has to read again. */
  get unsent(): number[] {
    const held = [...this.#held.values(), ...this.#early].map(({ seq }) => seq)
    return held.sort((one, other) => one - other)
  }

  /** Newest last. */
  get incomplete(): readonly string[] {
    return this.#incomplete
  }

  /**
   * Takes the next record.
   *
   * @returns The log record of it, if it has one and was not read again.
   */
  take(record: AuditRecord, options: TakeOptions = {}): Built | undefined {
    try {
      return this.#takeIn(record, options)
    } catch (error) {
      this.#deps.onBroken(record.seq, error)
      return undefined
    }
  }

  #takeIn(record: AuditRecord, { known, bytes = 0 }: TakeOptions): Built | undefined {
    const atMs = Date.parse(record.timestamp)
    if (atMs > this.#logMs) this.#logMs = atMs
    this.#deps.attributor.observe(record)
    const found = coatEventOf(record)
    if (found === undefined) {
      this.#wait(record, atMs)
      return undefined
    }
    if (!isExported(found)) return undefined
    const event = screened(found, this.#deps.rules)
    const conversation = this.#conversationOf(event)
    const family = familyOf(event.kind)
    if (family === 'llm') this.#modelCalls.set(event.ids.trace, true)
    const key = keyOf(event, event.ids.span)
    const start = this.#held.get(key)?.start
    const { trace, span } = event.ids
    if (event.kind === TIE) this.#tie(event)
    else if (family !== undefined && span !== '' && trace !== '')
      this.#end(family, key, event, { known, bytes })
    if (known !== undefined) return undefined
    const around = { start, conversation, modelCalls: this.#modelCalls.has(event.ids.trace) }
    return logRecordOf(event, around, this.#deps.rules)
  }

  /**
   * Spans whose time has come.
   *
   * @param caughtUp Nothing more is in the log: from then on the clock counts, not the time of its records.
   * @param limit Fewer come only when there are no more.
   */
  ripe(caughtUp: boolean, limit = Number.POSITIVE_INFINITY): Built[] {
    const nowMs = this.#deps.now()
    const reachedMs = caughtUp ? Math.max(nowMs, this.#logMs) : this.#logMs
    this.#attribute(reachedMs)
    this.#lookAtProcesses(nowMs)
    const out = this.#early.splice(0, limit)
    for (const held of this.#held.values()) {
      if (out.length >= limit) break
      const ended = held.end !== undefined && reachedMs >= held.end.observedMs + LINGER_MS
      const gone = held.goneSinceMs !== undefined && nowMs >= held.goneSinceMs + ABANDONED_MS
      if (!ended && !(held.end === undefined && gone)) continue
      this.#release(held)
      out.push(held)
    }
    return out.flatMap((held) => this.#build(held))
  }

  #build(held: Held): Built[] {
    const { key, family, start, end } = held
    if (end === undefined) {
      this.#incomplete = [...this.#incomplete.slice(1 - REMEMBERED / 8), key]
      this.#done.set(key, 'incomplete')
    } else this.#done.set(key, 'whole')
    if (FAMILIES[family].kind === undefined) return []
    const first = (start ?? end) as CoatEvent // a held span has one of them
    const parts = { ...held, parent: this.#parentOf(first) }
    const around = {
      conversation: this.#conversationOf(first),
      modelCalls: this.#modelCalls.has(first.ids.trace),
    }
    try {
      return [{ ...spanOf(parts, around, this.#deps.rules), seq: held.seq }]
    } catch (error) {
      this.#deps.onBroken(held.seq, error)
      return []
    }
  }

  /** Either end of a span; most of the time the start comes first. */
  #end(
    family: FamilyName,
    key: string,
    event: CoatEvent,
    { known, bytes }: { known: ReadonlySet<number> | undefined; bytes: number },
  ): void {
    const ends = isEnd(event)
    if (family === 'session' && !ends) this.#sessions.set(key, event.ids.parent)
    const held = this.#held.get(key)
    if (held !== undefined) {
      if (held[ends ? 'end' : 'start'] !== undefined) return
      held[ends ? 'end' : 'start'] = event
      this.#grow(held, bytes)
      return
    }
    if (known !== undefined && !known.has(event.seq)) return
    const done = this.#done.get(key)
    if (done !== undefined) {
      if (ends && done === 'incomplete') this.#lateEnds += 1
      return
    }
    const ids = idsOf(event.ids.trace, event.ids.span)
    const made: Held = {
      key,
      ids,
      family,
      seq: event.seq,
      start: ends ? undefined : event,
      end: ends ? event : undefined,
      events: [],
      eventBytes: 0,
      droppedEvents: 0,
      bytes: 0,
      lastSeenMs: event.tsMs,
      goneSinceMs: undefined,
    }
    this.#held.set(key, made)
    // Of two processes that say the same ids, the first one may be right.
    if (!this.#byIds.has(ids)) this.#byIds.set(ids, key)
    this.#grow(made, bytes)
  }

  #grow(held: Held, bytes: number): void {
    held.bytes += bytes
    this.#heldBytes += bytes
    for (const oldest of this.#held.values()) {
      if (this.#held.size <= MAX_HELD && this.#heldBytes <= MAX_HELD_BYTES) return
      this.#evicted += 1
      this.#release(oldest)
      this.#early.push(oldest)
    }
  }

  #release({ key, ids, bytes }: Held): void {
    this.#held.delete(key)
    this.#heldBytes -= bytes
    if (this.#byIds.get(ids) === key) this.#byIds.delete(ids)
  }

  #tie(event: CoatEvent): void {
    const { parent } = event.ids
    if (parent === '') return
    this.#attach(keyOf(event, parent), tieEvent(event, this.#deps.rules))
  }

  #attach(key: string | undefined, event: SpanEvent): void {
    const held = key === undefined ? undefined : this.#held.get(key)
    if (held === undefined) {
      this.#lateEvents += 1
      return
    }
    held.lastSeenMs = Math.max(held.lastSeenMs, event.atMs)
    if (held.events.length >= MAX_EVENTS || held.eventBytes + event.bytes > MAX_EVENT_BYTES) {
      held.droppedEvents += 1
      return
    }
    held.events.push(event)
    held.eventBytes += event.bytes
    this.#grow(held, event.bytes)
  }

  #wait(record: AuditRecord, atMs: number): void {
    const { decision } = record
    // The outcome tells what came of it; who decided is told by the intent.
    if (record.phase === 'intent') {
      if (decision !== undefined) this.#decisions.set(pairKey(record), decision)
      return
    }
    if (!isEffect(record)) return
    this.#waiting.push({ record, dueMs: atMs + SETTLE_MS })
    if (this.#waiting.length > MAX_WAITING) this.#attribute(Number.POSITIVE_INFINITY)
  }

  #attribute(reachedMs: number): void {
    let done = 0
    for (const { record, dueMs } of this.#waiting) {
      if (dueMs > reachedMs) break
      done += 1
      const { method, span_id: span, trace_id: trace } = this.#deps.attributor.attribute(record)
      if (span === undefined) continue
      const decision = this.#decisions.get(pairKey(record))
      const event = recordEvent(record, method, decision, this.#deps.rules)
      this.#attach(this.#byIds.get(idsOf(trace ?? '', span)), event)
    }
    if (done > 0) this.#waiting = this.#waiting.slice(done)
  }

  /** A process that ended cannot end its spans. */
  #lookAtProcesses(nowMs: number): void {
    if (nowMs - this.#lookedMs < LOOK_AT_PROCESSES_MS) return
    this.#lookedMs = nowMs
    const alive = new Map<string, boolean>()
    for (const held of this.#held.values()) {
      if (held.end !== undefined || held.goneSinceMs !== undefined) continue
      const pid = number(held.start?.envpod['pid'])
      const startTime = text(held.start?.envpod['start_time'])
      const process = `${pid} ${startTime}`
      const lives = alive.get(process) ?? (pid !== undefined && this.#deps.isAlive(pid, startTime))
      alive.set(process, lives)
      if (!lives) held.goneSinceMs = nowMs
    }
  }

  /** As the run or the session said when it began. */
  #conversationOf({ ids, kind, payload }: CoatEvent): string | undefined {
    const named = text(payload['conversation_id'])
    if (named !== undefined) {
      if (kind === 'agent.session.start') this.#conversations.set(`s ${ids.session}`, named)
      else if (ids.run !== '') this.#conversations.set(`r ${ids.run}`, named)
      return named
    }
    return this.#conversations.get(`r ${ids.run}`) ?? this.#conversations.get(`s ${ids.session}`)
  }

  #parentOf(event: CoatEvent): string {
    let { parent } = event.ids
    // Bounded: a session in a session in a session is already strange.
    for (let depth = 0; depth < 4 && parent !== ''; depth += 1) {
      const above = this.#sessions.get(keyOf(event, parent))
      if (above === undefined) break
      parent = above
    }
    return parent
  }
}

/**
 * A span of one process. Another one that learnt its ids, as those that are called do, must not end it, or put words
 * into it.
 */
function keyOf({ ids, envpod }: CoatEvent, span: string): string {
  return `${idsOf(ids.trace, span)} ${number(envpod['pid'])} ${text(envpod['start_time']) ?? ''}`
}

function idsOf(trace: string, span: string): string {
  return `${bareId(trace)} ${bareId(span)}`
}
