/**
 * Events between their emission and the moment nobody needs them any more: in order of their numbers,
 * first the written ones that wait for an acknowledgement, then those handed over, then the waiting ones.
 * Bounded by count and by bytes; when it is full, what matters least goes.
 */
import { Chain } from './chain.ts'
import type { Part } from './sink.ts'

export interface Entry {
  readonly seq: number
  /** The line with its newline. */
  readonly text: string
  readonly bytes: number
  /** Of an extension kind, thus the first to go. */
  readonly detail: boolean
  readonly part: Part
  readonly spanId: string
  state: 'waiting' | 'handed' | 'written'
  /** It was told on stderr, whatever else becomes of it. */
  spilled: boolean
  everWritten: boolean
  /** It went to the collector, which may have it: only an acknowledgement tells. */
  sent: boolean
  before: Entry | undefined
  after: Entry | undefined
  kinBefore: Entry | undefined
  kinAfter: Entry | undefined
}

export interface Batch {
  readonly text: string
  readonly lastSeq: number
}

export interface Limits {
  readonly events: number
  readonly bytes: number
}

export class Ring {
  events = 0
  bytes = 0
  highWater = 0
  waiting = 0
  waitingBytes = 0
  readonly #limits: Limits
  readonly #evicted: (entry: Entry) => void
  readonly #order = new Chain('order')
  /** Only what waits is in these two. */
  readonly #details = new Chain('kin')
  readonly #starts = new Chain('kin')
  /** The oldest that waits. */
  #next: Entry | undefined
  /** Spans whose start was lost before it was sent: nothing is gained by keeping their end. */
  readonly #headless = new Set<string>()

  /** @param evicted Told of each entry that had to leave for a newer one. */
  constructor(limits: Limits, evicted: (entry: Entry) => void) {
    this.#limits = limits
    this.#evicted = evicted
  }

  /** @returns Whether there was room. */
  add(seq: number, text: string, detail: boolean, part: Part, spanId: string): boolean {
    const bytes = Buffer.byteLength(text)
    const isHeadless = part === 'end' && this.#headless.size > 0 && this.#headless.delete(spanId)
    const isOwed = part === 'end' && !detail && !isHeadless
    while (this.events + 1 > this.#limits.events || this.bytes + bytes > this.#limits.bytes) {
      // What would not fit into an empty ring must not empty it.
      const victim =
        bytes > this.#limits.bytes ? undefined : this.#victim(isOwed ? spanId : undefined)
      if (victim === undefined) {
        if (part === 'start') this.#forgetStart(spanId)
        return false
      }
      if (victim.part === 'start' && victim.state === 'waiting' && victim.spanId !== spanId)
        this.#forgetStart(victim.spanId)
      this.#remove(victim)
      this.#evicted(victim)
    }
    const entry: Entry = {
      seq,
      text,
      bytes,
      detail,
      part,
      spanId,
      state: 'waiting',
      spilled: false,
      everWritten: false,
      sent: false,
      before: undefined,
      after: undefined,
      kinBefore: undefined,
      kinAfter: undefined,
    }
    this.#order.push(entry)
    this.events += 1
    this.bytes += bytes
    if (this.events > this.highWater) this.highWater = this.events
    this.#await(entry)
    this.#next ??= entry
    return true
  }

  /**
   * Hands over the oldest that wait: at least one, and no more than `maxBytes` where one alone is not more.
   * @param form Turns a line into what is written.
   * @param isTold Those are counted as written at once.
   */
  take(
    maxBytes: number,
    form?: (line: string) => string,
    isTold?: (entry: Entry) => boolean,
  ): Batch | undefined {
    let text = ''
    let size = 0
    let last: Entry | undefined
    for (let entry = this.#next; entry !== undefined; entry = entry.after) {
      const isSkipped = isTold?.(entry) === true
      if (!isSkipped && size > 0 && size + entry.bytes > maxBytes) break
      if (!isSkipped) {
        text += form === undefined ? entry.text : form(entry.text)
        size += entry.bytes
      }
      this.#unawait(entry)
      entry.state = 'handed'
      last = entry
    }
    if (last === undefined) return undefined
    this.#next = last.after
    return { text, lastSeq: last.seq }
  }

  /** @returns How many were written for the first time. */
  written(upToSeq: number, isSpill: boolean): number {
    let count = 0
    // From the newest handed over back to the ones that are written already.
    let entry = this.#next === undefined ? this.#order.last : this.#next.before
    for (; entry !== undefined && entry.state === 'handed'; entry = entry.before) {
      if (entry.seq > upToSeq) continue
      entry.state = 'written'
      if (isSpill) entry.spilled = true
      else entry.sent = true
      if (!entry.everWritten) count += 1
      entry.everWritten = true
    }
    return count
  }

  /** Of those handed over, the first bytes have left: whole lines of them are written. */
  writtenBytes(bytes: number): number {
    let first = this.#next === undefined ? this.#order.last : this.#next.before
    if (first?.state !== 'handed') return 0
    while (first.before?.state === 'handed') first = first.before
    let left = bytes
    let upToSeq = 0
    for (let entry: Entry | undefined = first; entry?.state === 'handed'; entry = entry.after) {
      left -= entry.bytes
      if (left < 0) break
      upToSeq = entry.seq
    }
    return this.written(upToSeq, false)
  }

  /** Forgets what was written and is needed no longer. @returns How many. */
  releaseWritten(upToSeq: number): number {
    return this.#release((first) => first.seq <= upToSeq && first.state === 'written')
  }

  /** Forgets everything up to a number, sent or not, because it is known to have arrived. */
  releaseAll(upToSeq: number): number {
    return this.#release((first) => first.seq <= upToSeq)
  }

  /** All that is left waits again, as if nothing had been sent. */
  rewind(): void {
    for (let entry = this.#order.first; entry !== this.#next; entry = entry?.after) {
      if (entry === undefined) break
      entry.state = 'waiting'
    }
    this.#details.first = this.#details.last = undefined
    this.#starts.first = this.#starts.last = undefined
    this.waiting = this.waitingBytes = 0
    for (let entry = this.#order.first; entry !== undefined; entry = entry.after) {
      entry.kinBefore = entry.kinAfter = undefined
      this.#await(entry)
    }
    this.#next = this.#order.first
  }

  /** Empties the ring. @param visit Sees each entry that leaves. */
  clear(visit: (entry: Entry) => void): void {
    for (let first = this.#order.first; first !== undefined; first = this.#order.first) {
      this.#remove(first)
      visit(first)
    }
  }

  /** Whether something up to this number waits or is on its way. */
  isUnsent(upToSeq: number): boolean {
    const handed = this.#next === undefined ? this.#order.last : this.#next.before
    if (handed?.state === 'handed') return this.#firstHanded(handed).seq <= upToSeq
    return this.#next !== undefined && this.#next.seq <= upToSeq
  }

  /** Whether something up to this number is still here, written or not. */
  holds(upToSeq: number): boolean {
    return this.#order.first !== undefined && this.#order.first.seq <= upToSeq
  }

  #release(isDone: (first: Entry) => boolean): number {
    let count = 0
    for (;;) {
      const first = this.#order.first
      if (first === undefined || !isDone(first)) return count
      this.#remove(first)
      count += 1
    }
  }

  #firstHanded(entry: Entry): Entry {
    let first = entry
    while (first.before?.state === 'handed') first = first.before
    return first
  }

  /** @param endOf The span whose end needs room, if it may have that of others. */
  #victim(endOf: string | undefined): Entry | undefined {
    // What is written has most likely arrived, and what stderr told is not lost: both are the least loss.
    const first = this.#order.first
    if (first?.state === 'written' || (first?.state === 'waiting' && first.spilled)) return first
    if (this.#details.first !== undefined) return this.#details.first
    if (endOf === undefined) return undefined
    // The newest start: its span has told least so far.
    const newest = this.#starts.last
    return newest?.spanId === endOf ? (newest.kinBefore ?? newest) : newest
  }

  #forgetStart(spanId: string): void {
    if (this.#headless.size >= this.#limits.events) this.#headless.clear()
    this.#headless.add(spanId)
  }

  #remove(entry: Entry): void {
    if (entry === this.#next) this.#next = entry.after
    if (entry.state === 'waiting') this.#unawait(entry)
    this.#order.remove(entry)
    this.events -= 1
    this.bytes -= entry.bytes
  }

  #await(entry: Entry): void {
    this.waiting += 1
    this.waitingBytes += entry.bytes
    if (entry.detail) this.#details.push(entry)
    else if (entry.part === 'start') this.#starts.push(entry)
  }

  #unawait(entry: Entry): void {
    this.waiting -= 1
    this.waitingBytes -= entry.bytes
    if (entry.detail) this.#details.remove(entry)
    else if (entry.part === 'start') this.#starts.remove(entry)
  }
}
