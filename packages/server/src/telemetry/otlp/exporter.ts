/**
 * Exports the log: reads it behind a cursor of its own, sends what came of it, and moves the cursor only when the
 * receiver has answered. It holds one batch; all else waits in the log, so an outage costs nothing but time.
 */
import { setImmediate as breathe } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import { followLog } from '../../audit/follow.ts'
import type { AuditLog } from '../../audit/log.ts'
import { readLog, type Stored } from '../../audit/query.ts'
import { type Cursor, cursorAt, readCursor, writeCursor } from './cursor.ts'
import { type DeliveryDeps, deliver, type Outcome, type Target } from './delivery.ts'
import type { Built, ExportRules } from './log-record.ts'
import { encodeRequest, type Signal } from './request.ts'
import { pauseMs } from './retry.ts'
import type { Message } from './schema.ts'
import { type AssemblerDeps, type Attributor, SpanAssembler } from './span-assembler.ts'

/** Records of one request. */
export const BATCH_RECORDS = 512
/** What they take together, roughly; receivers have limits, too. */
const BATCH_BYTES = 4_194_304
/** Records of the log between two looks at the cursor file, when none of them is exported. */
const IDLE_RECORDS = 4096
const POLL_MS = 200
/** The log is synced ten times per second. */
const UNSYNCED_MS = 50
const LINGER_MS = 500
/** The event loop is everybody's. */
const BREATHE_EVERY = 32
/** Between two lines about the same that goes on. */
const SAY_EVERY_MS = 60_000

export interface ExportTargets {
  readonly logs: Target | undefined
  readonly spans: Target | undefined
}

/** For metrics and `vestry telemetry status`. */
export interface ExportMeter {
  exported(count: number): void
  exportFailed(): void
  exportRefused(count: number): void
  exportLost(count: number): void
}

export interface ExporterDeps extends DeliveryDeps, Pick<AssemblerDeps, 'isAlive'> {
  readonly log: Pick<AuditLog, 'dir' | 'chain' | 'head'>
  readonly path: string
  readonly targets: ExportTargets
  readonly rules: ExportRules
  readonly resource: Message
  /** A fresh one for each pass over the log. */
  readonly attributor: () => Attributor
  readonly meter: ExportMeter
  /** One line for the operator; never a secret. */
  readonly warn: (line: string) => void
  /** Milliseconds between looks at the end of the log. */
  readonly pollMs?: number
  /** How long a record may wait for others to be sent with. */
  readonly lingerMs?: number
}

export type ExportState = 'starting' | 'idle' | 'sending' | 'waiting' | 'stopped'

export interface ExportStatus {
  readonly state: ExportState
  /** Records up to this one are dealt with. */
  readonly seq: number
  /** Records in the log beyond it. */
  readonly lag: number
  readonly open_spans: number
  readonly sent: Readonly<Record<Signal, number>>
  /** Series of attempts that failed since the start. */
  readonly failures: number
  readonly refused: Cursor['refused']
  /** Of requests that were taken, by what receivers said. */
  readonly rejected: number
  /** Records that were gone before they could be read. */
  readonly lost: number
  readonly late_ends: number
  readonly late_events: number
  readonly evicted: number
  /** Why it waits. */
  readonly problem: string | undefined
}

/** Thrown through the pass to end it: told to stop, or to begin elsewhere. */
class PassEnded extends Error {}

export class OtlpExporter {
  readonly #deps: ExporterDeps
  #cursor: Cursor
  #assembler: SpanAssembler
  #pass = new AbortController()
  #running: Promise<void> | undefined
  #stopped = false
  /** Everything that was read is dealt with, and the place is on disk. */
  #quiet = false
  /** The cursor is where it belongs. */
  #placed = false
  #state: ExportState = 'starting'
  #problem: string | undefined
  #caughtUp: (() => void)[] = []
  /** Ends a pause early. */
  #nudge = new AbortController()
  /** Replays that were asked for. */
  #turn: Promise<void> = Promise.resolve()
  /** Records up to this one were dealt with before a replay. */
  #replayed = 0
  readonly #sent: Record<Signal, number> = { logs: 0, spans: 0 }
  #failures = 0
  #rejected = 0
  #lost = 0
  #said = ''
  readonly #saidAtMs = new Map<string, number>()

  constructor(deps: ExporterDeps) {
    this.#deps = deps
    this.#cursor = cursorAt(deps.log.chain, 0)
    this.#assembler = this.#newAssembler([])
  }

  /** Finds its place and begins, in the background. Idempotent. */
  start(): void {
    if (this.#running !== undefined || this.#stopped) return
    this.#running = this.#run()
  }

  get status(): ExportStatus {
    const { read, refused } = this.#cursor
    const { open, lateEnds, lateEvents, evicted } = this.#assembler.counts
    return {
      state: this.#stopped ? 'stopped' : this.#state,
      seq: read,
      lag: this.lag,
      open_spans: open,
      sent: { ...this.#sent },
      failures: this.#failures,
      refused,
      rejected: this.#rejected,
      lost: this.#lost,
      late_ends: lateEnds,
      late_events: lateEvents,
      evicted,
      problem: this.#problem,
    }
  }

  get lag(): number {
    return Math.max(0, this.#deps.log.head().seq - this.#cursor.read)
  }

  /** What was in the way may be gone: the vault was opened, a credential changed. */
  wake(): void {
    this.#nudge.abort()
  }

  /**
   * Goes back and sends everything from `seq` on once more.
   * @throws VestryError INVALID_PARAMS for a place beyond the present one; INTERNAL_ERROR when it cannot be kept.
   */
  replay(seq: number): Promise<void> {
    // One after the other: two passes over the log would send everything twice.
    const turn = this.#turn.then(() => this.#goBack(seq))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #goBack(seq: number): Promise<void> {
    if (this.#stopped) throw new VestryError('SHUTTING_DOWN', 'the export has been stopped')
    if (seq > this.#cursor.read + 1) {
      throw new VestryError(
        'INVALID_PARAMS',
        `the export is at record ${this.#cursor.read} and cannot skip to ${seq}`,
        { hint: 'Give a record that was exported before' },
      )
    }
    await this.#endPass()
    // Of what began before, only the end is sent once more; what has not gone out at all still does, whole.
    const { chain } = this.#deps.log
    const open = this.#cursor.open.filter((first) => first < seq)
    this.#replayed = Math.max(this.#replayed, this.#cursor.read)
    this.#cursor = { ...cursorAt(chain, Math.max(0, seq - 1)), open }
    try {
      await writeCursor(this.#deps.path, this.#cursor)
    } finally {
      this.#placed = true
      this.#pass = new AbortController()
      this.#running = this.#stopped ? undefined : this.#run()
    }
  }

  /** Sends what is there if that takes no longer than this; the rest is sent after the next start. */
  async stop(budgetMs: number): Promise<void> {
    if (this.#stopped) return
    const busy = !this.#quiet || this.lag > 0
    if (this.#running !== undefined && this.#problem === undefined && busy) {
      const done = Promise.withResolvers<void>()
      this.#caughtUp.push(done.resolve)
      const timer = setTimeout(done.resolve, budgetMs)
      await done.promise
      clearTimeout(timer)
    }
    this.#stopped = true
    await this.#endPass()
    await this.#turn
    await this.#endPass()
  }

  async #endPass(): Promise<void> {
    this.#pass.abort(new PassEnded())
    await this.#running
  }

  #newAssembler(incomplete: readonly string[]): SpanAssembler {
    const { rules, now, isAlive, attributor } = this.#deps
    const onBroken = (seq: number, error: unknown): void =>
      this.#refuse('logs', [{ seq }], `record ${seq}: ${(error as Error).message}`)
    return new SpanAssembler(
      { rules, now, isAlive, attributor: attributor(), onBroken },
      incomplete,
    )
  }

  /** From the file; else the present end of the log, which is said. */
  async #place(): Promise<Cursor> {
    const { log, path, warn } = this.#deps
    const end = cursorAt(log.chain, log.head().seq)
    const found = await readCursor(path).catch((error: unknown) => {
      warn(
        `${path} cannot be read, so the export begins after record ${end.read}: ${(error as Error).message}`,
      )
      return undefined
    })
    if (found !== undefined && found.chain === log.chain && found.read <= end.read) return found
    if (found !== undefined) {
      warn(
        `the log is not the one that was exported before, or ends earlier: the export begins after record ${end.read}`,
      )
    } else
      warn(
        `the export begins after record ${end.read}; "vestry telemetry export --from 1" sends what is older`,
      )
    await writeCursor(path, end)
    return end
  }

  async #run(): Promise<void> {
    const { signal } = this.#pass
    for (let failures = 1; ; failures += 1) {
      try {
        if (!this.#placed) this.#cursor = await this.#place()
        this.#placed = true
        this.#assembler = this.#newAssembler(this.#cursor.incomplete)
        await this.#readAgain(signal)
        await this.#follow(signal)
      } catch (error) {
        if (signal.aborted) return
        // A disk that cannot be read or written: the place on it still stands.
        this.#wait(`the export pauses: ${(error as Error).message}`)
        await this.#pause(pauseMs(failures), signal)
      }
      if (signal.aborted) return
    }
  }

  /** Puts the spans together again that had not gone out. */
  async #readAgain(signal: AbortSignal): Promise<void> {
    const { open, read } = this.#cursor
    const [first] = open
    if (first === undefined) return
    const known = new Set(open)
    const { dir } = this.#deps.log
    for await (const { record, length } of readLog(dir, { fromSeq: first, signal })) {
      if (record.seq > read) return
      this.#assembler.take(record, { known, bytes: length })
      if (record.seq % BREATHE_EVERY === 0) await breathe()
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { log, pollMs = POLL_MS, lingerMs = LINGER_MS } = this.#deps
    const records = followLog(log.dir, { afterSeq: this.#cursor.read, signal, pollMs })
    const batch = new Batch(this.#cursor.read, lingerMs)
    let next: Promise<IteratorResult<Stored, void>> | undefined
    try {
      for (;;) {
        next ??= records.next()
        const found = await soon(next, lingerMs)
        if (signal.aborted) return
        if (found === undefined) {
          await this.#send(batch, true, signal)
          this.#state = 'idle'
          this.#quiet = true
          for (const resolve of this.#caughtUp.splice(0)) resolve()
          continue
        }
        next = undefined
        if (found.done === true) return
        this.#quiet = false
        if (found.value.record.seq > log.head().seq) {
          // A failing disk can take it back, and its number would be another record's.
          next = Promise.resolve(found)
          await this.#deps.sleep(UNSYNCED_MS, signal)
        } else {
          this.#take(found.value, batch)
          if (batch.records % BREATHE_EVERY === 0) await breathe()
        }
        if (batch.due) await this.#send(batch, false, signal)
      }
    } finally {
      await next?.catch(() => undefined)
      await records.return()
    }
  }

  #take({ record, length }: Stored, batch: Batch): void {
    this.#countMissing(Math.max(batch.read, this.#replayed), record.seq)
    const built = this.#assembler.take(record, { bytes: length })
    const wanted = this.#deps.targets.logs !== undefined && record.seq > this.#cursor.logs
    batch.add(record.seq, length, wanted ? built : undefined)
  }

  /** @param after What comes later was never exported. */
  #countMissing(after: number, seq: number): void {
    const missing = seq - after - 1
    if (missing <= 0) return
    this.#lost += missing
    this.#deps.meter.exportLost(missing)
    this.#say(`records ${after + 1} to ${seq - 1} were gone before their export`)
  }

  /** Empties the batch. Returns only when each of its records was taken, or refused for good. */
  async #send(batch: Batch, caughtUp: boolean, signal: AbortSignal): Promise<void> {
    const { targets, path } = this.#deps
    const { logs } = batch
    const ripe: Built[] = []
    for (;;) {
      const some = this.#assembler.ripe(caughtUp, BREATHE_EVERY)
      ripe.push(...some)
      if (some.length < BREATHE_EVERY) break
      await breathe()
    }
    const spans = targets.spans === undefined ? [] : ripe
    if (logs.length === 0 && ripe.length === 0 && batch.records === 0) return
    if (targets.logs !== undefined && logs.length > 0) {
      await this.#sendAll('logs', targets.logs, logs, signal)
      this.#cursor = { ...this.#cursor, logs: batch.read }
      // So that a failure of the other signal does not send these twice.
      if (spans.length > 0) await writeCursor(path, this.#cursor)
    }
    if (targets.spans !== undefined) await this.#sendAll('spans', targets.spans, spans, signal)
    this.#cursor = {
      ...this.#cursor,
      read: batch.read,
      logs: batch.read,
      open: targets.spans === undefined ? [] : this.#assembler.unsent,
      incomplete: [...this.#assembler.incomplete],
    }
    batch.clear()
    await writeCursor(path, this.#cursor)
  }

  async #sendAll(
    signal: Signal,
    target: Target,
    records: readonly Built[],
    abort: AbortSignal,
  ): Promise<void> {
    for (const part of partsOf(records)) await this.#sendPart(signal, target, part, abort)
  }

  async #sendPart(
    signal: Signal,
    target: Target,
    given: readonly Built[],
    abort: AbortSignal,
  ): Promise<void> {
    const { resource } = this.#deps
    const { body, broken } = await encodeRequest(signal, target.protocol, resource, given)
    if (broken.length > 0) this.#refuse(signal, broken, 'they cannot be written')
    const records = given.filter((record) => !broken.includes(record))
    if (records.length === 0) return
    for (let series = 1; ; series += 1) {
      this.#state = 'sending'
      const outcome = await deliver(target, body, this.#deps, abort)
      abort.throwIfAborted()
      if (outcome.kind !== 'failed') {
        this.#problem = undefined
        this.#said = ''
        return this.#settled(signal, target, records, outcome, abort)
      }
      this.#failures += 1
      this.#deps.meter.exportFailed()
      this.#wait(
        `${target.shown} does not take ${signal}: ${outcome.reason}; nothing is lost, it is tried again`,
      )
      await this.#pause(Math.max(pauseMs(series), outcome.retryAfterMs ?? 0), abort)
      abort.throwIfAborted()
    }
  }

  async #settled(
    signal: Signal,
    target: Target,
    records: readonly Built[],
    outcome: Exclude<Outcome, { kind: 'failed' }>,
    abort: AbortSignal,
  ): Promise<void> {
    const { meter } = this.#deps
    const { length } = records
    if (outcome.kind === 'refused') {
      if (outcome.status === 413 && length > 1) {
        // Too much at once: half of it may do.
        const middle = length >> 1
        await this.#sendPart(signal, target, records.slice(0, middle), abort)
        return this.#sendPart(signal, target, records.slice(middle), abort)
      }
      this.#refuse(signal, records, `${target.shown}: ${outcome.reason}`)
      return
    }
    const rejected = outcome.kind === 'partial' ? Math.min(outcome.rejected, length) : 0
    if (outcome.kind === 'partial') {
      this.#rejected += rejected
      meter.exportRefused(rejected)
      const why = outcome.message === '' ? '' : `: ${outcome.message}`
      this.#sayAtTimes(
        `${signal} partial`,
        `${target.shown} took ${length - rejected} of ${length} ${signal}${why}`,
      )
    }
    this.#sent[signal] += length - rejected
    meter.exported(length - rejected)
  }

  #refuse(signal: Signal, records: readonly { readonly seq: number }[], reason: string): void {
    const seqs = records.map(({ seq }) => seq)
    const before = this.#cursor.refused
    const first = Math.min(before?.first ?? Number.POSITIVE_INFINITY, ...seqs)
    this.#cursor = {
      ...this.#cursor,
      refused: {
        count: (before?.count ?? 0) + records.length,
        first,
        last: Math.max(before?.last ?? 0, ...seqs),
        reason: `${signal}: ${reason}`,
      },
    }
    this.#deps.meter.exportRefused(records.length)
    this.#sayAtTimes(
      `${signal} refused`,
      `${records.length} ${signal} are refused, ${reason}; "vestry telemetry export --from ${first}" sends them again`,
    )
  }

  #wait(problem: string): void {
    this.#state = 'waiting'
    this.#problem = problem
    this.#say(problem)
  }

  /** Once for as long as it stays the same. */
  #say(line: string): void {
    if (line === this.#said) return
    this.#said = line
    this.#deps.warn(line)
  }

  /** A receiver that wants none of a signal says so with every request. */
  #sayAtTimes(what: string, line: string): void {
    const nowMs = this.#deps.monotonicMs()
    if (nowMs < (this.#saidAtMs.get(what) ?? Number.NEGATIVE_INFINITY) + SAY_EVERY_MS) return
    this.#saidAtMs.set(what, nowMs)
    this.#deps.warn(line)
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    this.#nudge = new AbortController()
    await this.#deps.sleep(ms, AbortSignal.any([signal, this.#nudge.signal]))
  }
}

/** What was read and is not sent. */
class Batch {
  logs: Built[] = []
  read: number
  records = 0
  #bytes = 0
  readonly #lingerMs: number
  #dueMs = Number.POSITIVE_INFINITY

  constructor(read: number, lingerMs: number) {
    this.read = read
    this.#lingerMs = lingerMs
  }

  /** Full, or waited for long enough. */
  get due(): boolean {
    return (
      performance.now() >= this.#dueMs ||
      this.logs.length >= BATCH_RECORDS ||
      this.#bytes >= BATCH_BYTES ||
      this.records >= IDLE_RECORDS
    )
  }

  /** @param bytes Of the record in the log: what it leaves in memory, too. */
  add(seq: number, bytes: number, log: Built | undefined): void {
    this.read = seq
    if (this.records === 0) this.#dueMs = performance.now() + this.#lingerMs
    this.records += 1
    this.#bytes += Math.max(bytes, log?.bytes ?? 0)
    if (log !== undefined) this.logs.push(log)
  }

  clear(): void {
    this.logs = []
    this.records = 0
    this.#bytes = 0
    this.#dueMs = Number.POSITIVE_INFINITY
  }
}

/** Requests of bounded size, in order. */
export function* partsOf(records: readonly Built[]): Generator<readonly Built[]> {
  let part: Built[] = []
  let bytes = 0
  for (const record of records) {
    if (part.length >= BATCH_RECORDS || (part.length > 0 && bytes + record.bytes > BATCH_BYTES)) {
      yield part
      part = []
      bytes = 0
    }
    part.push(record)
    bytes += record.bytes
  }
  if (part.length > 0) yield part
}

/** @returns undefined when it takes longer. */
async function soon<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const timer = Promise.withResolvers<undefined>()
  const timeout = setTimeout(timer.resolve, ms, undefined)
  try {
    return await Promise.race([promise, timer.promise])
  } finally {
    clearTimeout(timeout)
  }
}
