/**
 * Runs what is due: one timer to the next time, set anew when something changes. A run that a dead process began is
 * told as what its execution came to.
 */
import { asVestryError } from '@vestry/contract/errors'
import type { StartedExecution } from '../http-input/agent-invoker.ts'
import type { Claimed } from './run-store.ts'
import type { Schedule, Shown } from './schedule.ts'
import type { ScheduleStore } from './schedule-store.ts'

/** How a schedule has its agent run. */
export interface ScheduleStarter {
  /** @throws VestryError: it was not started. */
  start(schedule: Schedule, dueAt: number, requestId: string): Promise<StartedExecution>
  /** @returns undefined while it goes on. One that nobody knows has failed. */
  outcome(executionId: string): Promise<RunOutcome | undefined>
}

export interface RunOutcome {
  readonly ok: boolean
  readonly error?: string
}

export interface SchedulerDeps {
  readonly store: ScheduleStore
  readonly starter: ScheduleStarter
  /** Calls `work` after that time. @returns what takes it back. */
  readonly timer: (ms: number, work: () => void) => () => void
  readonly newRequestId: () => string
  readonly warn: (line: string) => void
  /** No other process uses this store. */
  readonly alone: boolean
  /** Epoch ms. */
  readonly now: () => number
}

/** Runs of all schedules at once on one node. */
export const MAX_CONCURRENT = 32
/** One that was claimed a moment ago may not have its execution yet. */
const STARTING_MS = 60_000
/** What was due and found no place is looked at again. */
const FULL_MS = 1_000
/** The clock may be set, and a wake-up of another node may be lost. */
const LOOK_AGAIN_MS = 60_000
const MAX_ERROR = 500
const INTERRUPTED = 'Interrupted by a stop of the server'

export class Scheduler {
  readonly #deps: SchedulerDeps
  readonly #running = new Set<Promise<void>>()
  #isOpen = false
  #cancel: (() => void) | undefined
  #ticking: Promise<void> | undefined
  #again = false
  /** Runs that this node follows to their end. */
  readonly #followed = new Set<string>()
  #lookedAtMs = 0

  constructor(deps: SchedulerDeps) {
    this.#deps = deps
  }

  get isRunning(): boolean {
    return this.#isOpen
  }

  /** Of this node. */
  get active(): number {
    return this.#running.size
  }

  async open(): Promise<void> {
    this.#isOpen = true
    await this.recover(this.#deps.alone ? 0 : STARTING_MS)
    this.wake()
  }

  /** Nothing new begins; waits for what is being begun, not for what runs. */
  async close(): Promise<void> {
    this.#isOpen = false
    this.#cancel?.()
    this.#cancel = undefined
    await this.#ticking
  }

  /** Something changed, or may be due. */
  wake(): void {
    this.tick().catch((error: unknown) => this.#deps.warn(`schedules: ${String(error)}`))
  }

  /** Begins what is due now, and sets the timer. */
  tick(): Promise<void> {
    if (!this.#isOpen) return Promise.resolve()
    if (this.#ticking !== undefined) {
      this.#again = true
      return this.#ticking
    }
    this.#ticking = this.#tick().finally(() => {
      this.#ticking = undefined
    })
    return this.#ticking
  }

  /** Runs it once now, whatever its times. @returns undefined where a run of it goes on. */
  async trigger(schedule: Schedule): Promise<Claimed | undefined> {
    const claimed = await this.#deps.store.claimNow(schedule)
    if (claimed !== undefined) this.#run(claimed)
    return claimed
  }

  /** Ends what nobody works on any more. @param youngMs Younger ones may be on their way. */
  async recover(youngMs = STARTING_MS): Promise<void> {
    const { store, starter, now } = this.#deps
    this.#lookedAtMs = now()
    for (const run of await store.open()) {
      if (this.#followed.has(run.id)) continue
      if (run.executionId === undefined) {
        if (now() - run.startedAt >= youngMs)
          await store.ended(run, { ok: false, error: INTERRUPTED })
        continue
      }
      const outcome = await starter.outcome(run.executionId)
      if (outcome !== undefined) await store.ended(run, outcome)
    }
  }

  /** When every run of this node has ended. For tests and for draining. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  async #tick(): Promise<void> {
    const { store, now } = this.#deps
    try {
      if (now() - this.#lookedAtMs >= LOOK_AGAIN_MS) await this.recover()
      do {
        this.#again = false
        for (const shown of await store.due(now())) {
          if (!this.#isOpen || this.#running.size >= MAX_CONCURRENT) break
          await this.#begin(shown)
        }
      } while (this.#again && this.#isOpen)
    } finally {
      await this.#arm()
    }
  }

  async #begin(shown: Shown): Promise<void> {
    const claimed = await this.#deps.store.claim(shown)
    if (claimed !== undefined) this.#run(claimed)
  }

  #run(claimed: Claimed): void {
    this.#followed.add(claimed.runId)
    const work = this.#follow(claimed)
      .catch((error: unknown) => this.#deps.warn(`schedules: ${String(error)}`))
      .finally(() => {
        this.#running.delete(work)
        this.#followed.delete(claimed.runId)
        this.wake()
      })
    this.#running.add(work)
  }

  async #follow({ schedule, runId, dueAt }: Claimed): Promise<void> {
    const { store, starter, newRequestId } = this.#deps
    const run = { id: runId, scheduleId: schedule.id }
    try {
      const { executionId, ended } = await starter.start(schedule, dueAt, newRequestId())
      await store.started(runId, executionId)
      const end = await ended
      await store.ended(
        run,
        end.status === 'completed'
          ? { ok: true }
          : { ok: false, error: `${end.error.code}: ${end.error.message}`.slice(0, MAX_ERROR) },
      )
    } catch (error) {
      const { code, message } = asVestryError(error)
      // Sealed in the middle: the next opening tells what became of it.
      if (!this.#isOpen) return
      await store.ended(run, { ok: false, error: `${code}: ${message}`.slice(0, MAX_ERROR) })
    }
  }

  async #arm(): Promise<void> {
    if (!this.#isOpen) return
    const { store, timer, now } = this.#deps
    const dueAt = await store.nextDue().catch(() => undefined)
    if (!this.#isOpen) return
    const inMs = dueAt === undefined ? LOOK_AGAIN_MS : Math.max(0, dueAt - now())
    const isFull = this.#running.size >= MAX_CONCURRENT
    this.#cancel?.()
    this.#cancel = timer(Math.min(isFull ? Math.max(inMs, FULL_MS) : inMs, LOOK_AGAIN_MS), () =>
      this.wake(),
    )
  }
}
