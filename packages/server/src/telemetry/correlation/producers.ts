/** What each producer of events numbered, and what of that never arrived. Counts without keeping the numbers. */
import type { AuditRecord } from '../../audit/record.ts'
import type { CoatEvent } from './coat-event.ts'

export interface ProducerReport {
  readonly id: string
  readonly pid: number | null
  readonly first_seq: number
  readonly last_seq: number
  readonly stored: number
  /** Numbers between the first and the last that are not there. */
  readonly missing: number
  /** Reported by the producer itself, over the same part of its life. */
  readonly dropped: number
  /** Missing, neither reported as dropped nor refused by the collector. */
  readonly unexplained: number
}

/** What the collector itself recorded of events that are not there. */
export type Losses =
  /** It refused some of this process, and does not say of which producer. */
  | { readonly kind: 'refused'; readonly pid: number }
  /** It counted a producer to the end of its connection. */
  | {
      readonly kind: 'counted'
      readonly id: string
      readonly pid: number | undefined
      readonly startTime: string
      /** When it was noticed, epoch ms. */
      readonly atMs: number
      readonly missing: number
      readonly dropped: number
    }

export function lossesOf({
  source,
  action,
  pid,
  data,
  timestamp,
}: AuditRecord): Losses | undefined {
  if (source !== 'coat' || data === undefined) return undefined
  if (action === 'coat_reject') return pid === undefined ? undefined : { kind: 'refused', pid }
  const { producer, start_time, missing, dropped } = data
  if (action !== 'coat_gap' || typeof producer !== 'string') return undefined
  return {
    kind: 'counted',
    id: producer,
    pid,
    startTime: typeof start_time === 'string' ? start_time : '',
    atMs: Date.parse(timestamp),
    missing: Number(missing) || 0,
    dropped: Number(dropped) || 0,
  }
}

interface Counted {
  readonly pid: number | null
  /** Numbers that are there, as ranges in order: `[from, to]`. */
  readonly ranges: [number, number][]
  droppedBefore: number
  dropped: number
  /** Ranges that were given up to stay within bounds. */
  merged: number
}

const MAX_PRODUCERS = 10_000
const MAX_RANGES = 4_096

export class ProducerCount {
  readonly #producers = new Map<string, Counted & { readonly id: string }>()
  readonly #refused = new Set<number>()
  readonly #counted = new Map<string, Extract<Losses, { kind: 'counted' }>>()
  readonly #isWhole: boolean

  /** @param isWhole The log was read from its beginning, so producers are expected to start with 1. */
  constructor(isWhole: boolean) {
    this.#isWhole = isWhole
  }

  add({ producer, caller }: CoatEvent): void {
    if (producer === undefined) return
    // Another process that uses the same id must not fill the gaps of this one.
    const key = keyOf(producer.id, caller.pid, caller.startTime)
    let counted = this.#producers.get(key)
    if (counted === undefined) {
      if (this.#producers.size >= MAX_PRODUCERS) return
      counted = {
        id: producer.id,
        pid: caller.pid ?? null,
        ranges: [],
        droppedBefore: this.#isWhole ? 0 : producer.dropped,
        dropped: producer.dropped,
        merged: 0,
      }
      this.#producers.set(key, counted)
    }
    counted.dropped = Math.max(counted.dropped, producer.dropped)
    include(counted, producer.seq)
  }

  lost(losses: Losses): void {
    if (losses.kind === 'counted')
      this.#counted.set(keyOf(losses.id, losses.pid, losses.startTime), losses)
    else if (this.#refused.size < MAX_PRODUCERS) this.#refused.add(losses.pid)
  }

  /** In the order in which they began. */
  get reports(): ProducerReport[] {
    return [...this.#producers].map(([key, counted]) => {
      const report = this.#report(counted)
      const told = this.#counted.get(key)
      const dropped = Math.max(report.dropped, told?.dropped ?? 0)
      // Refused events have numbers, too: where there were any, only the collector knows what else is missing.
      const refused = report.pid !== null && this.#refused.has(report.pid)
      const missing = refused ? (told?.missing ?? 0) : report.missing
      return { ...report, dropped, unexplained: Math.max(0, missing - dropped) }
    })
  }

  #report({
    id,
    pid,
    ranges,
    dropped,
    droppedBefore,
    merged,
  }: Counted & { id: string }): ProducerReport {
    const first = this.#isWhole ? 1 : (ranges[0]?.[0] ?? 0)
    const last = ranges.at(-1)?.[1] ?? 0
    const stored = ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0) - merged
    const missing = Math.max(0, last - first + 1 - stored)
    const reported = dropped - droppedBefore
    return {
      id,
      pid,
      first_seq: ranges[0]?.[0] ?? 0,
      last_seq: last,
      stored,
      missing,
      dropped: reported,
      unexplained: Math.max(0, missing - reported),
    }
  }
}

function keyOf(id: string, pid: number | undefined, startTime: string): string {
  return `${id}:${pid}:${startTime}`
}

function include(counted: Counted, seq: number): void {
  const { ranges } = counted
  const last = ranges.at(-1)
  if (last !== undefined && seq === last[1] + 1) last[1] = seq
  else if (last === undefined || seq > last[1]) ranges.push([seq, seq])
  else insert(ranges, seq)
  if (ranges.length <= MAX_RANGES) return
  const [first, second] = ranges
  if (first === undefined || second === undefined) return
  // Still counted as missing, only no longer known which.
  counted.merged += second[0] - first[1] - 1
  ranges.splice(0, 2, [first[0], second[1]])
}

/** A number that came late. */
function insert(ranges: [number, number][], seq: number): void {
  const at = ranges.findIndex(([, to]) => seq <= to + 1)
  const range = ranges[at]
  if (range === undefined) return
  const [from, to] = range
  if (seq >= from && seq <= to) return
  if (seq === to + 1) {
    range[1] = seq
    const next = ranges[at + 1]
    if (next !== undefined && next[0] === seq + 1) ranges.splice(at, 2, [from, next[1]])
  } else if (seq === from - 1) range[0] = seq
  else ranges.splice(at, 0, [seq, seq])
}
