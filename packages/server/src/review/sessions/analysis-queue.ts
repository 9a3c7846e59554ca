/**
 * Has tools analysed, a few at once: the most urgent first, then the oldest. What waits stands in the store, so
 * nothing is lost with the daemon, and what was under way when one ended is analysed again.
 */
import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Changed } from '../../identity/row-guard.ts'
import type { Analysis } from '../analysis/finding.ts'
import type { AnalysisStore } from './analysis-store.ts'
import type { AnalysisTask } from './analysis-threads.ts'
import { type AutomaticRules, automaticMove } from './automatic.ts'
import { countFindings, type Session } from './session.ts'
import type { SessionStore } from './session-store.ts'
import type { Move, Moved } from './walk.ts'

export interface AnalysisQueueDeps {
  readonly sessions: SessionStore
  readonly analyses: AnalysisStore
  readonly run: (task: AnalysisTask) => Promise<Analysis>
  /** What is known beside the tool. */
  readonly task: (session: Session) => Promise<AnalysisTask>
  readonly rules: AutomaticRules
  /** Has what happened recorded. */
  readonly announce: (changed: Changed<Moved>) => Promise<void>
  /** Names this process. */
  readonly owner: string
  /** Others may be analysing as well: what they are at is theirs until it has taken too long. */
  readonly shared: boolean
  readonly now: () => number
  readonly warn: (line: string) => void
}

/** At once. */
const CONCURRENCY = 2
const TRIES = 3
/** Begun that often and never ended, be it well or badly: it takes the daemon with it. */
const MAX_BEGUN = 5
const LOOK_EVERY_MS = 15_000
const CLOSE_WITHIN_MS = 500
/** An analysis with all its tries takes less. */
const ABANDONED_MS = 180_000
/** Of reviews that are looked at for who abandoned them. */
const MAX_ABANDONED = 256

export class AnalysisQueue {
  readonly #deps: AnalysisQueueDeps
  /** By review. */
  readonly #running = new Map<string, Promise<void>>()
  /** By analysis: resolves when it is over, whichever way. */
  readonly #over = new Map<string, Promise<void>>()
  #open = false
  #looking: Promise<void> | undefined
  #again = false
  #timer: NodeJS.Timeout | undefined

  constructor(deps: AnalysisQueueDeps) {
    this.#deps = deps
  }

  async open(): Promise<void> {
    this.#open = true
    await this.#resumeAbandoned(!this.#deps.shared)
    this.wake()
    this.#timer = setInterval(() => this.#lookAround(), LOOK_EVERY_MS)
    this.#timer.unref()
  }

  /** There may be something to do. */
  wake(): void {
    if (!this.#open) return
    if (this.#looking !== undefined) {
      this.#again = true
      return
    }
    this.#looking = this.#look()
      .catch((error: unknown) => this.#deps.warn(`analyses wait: ${traceOf(error)}`))
      .finally(() => {
        this.#looking = undefined
        if (!this.#again) return
        this.#again = false
        this.wake()
      })
  }

  /** Nothing new begins. Waits a moment for what is under way; whoever closes this ends the threads as well. */
  async close(): Promise<void> {
    this.#open = false
    clearInterval(this.#timer)
    const ended = Promise.all([this.#looking, ...this.#running.values()])
    const enough = AbortSignal.timeout(CLOSE_WITHIN_MS)
    // A provider that is asked for its key may take longer; what comes of it is not kept then.
    await Promise.race([ended, new Promise((resolve) => enough.addEventListener('abort', resolve))])
  }

  /** Resolves when this analysis is over; undefined when none of that id is under way here. */
  over(analysisId: string): Promise<void> | undefined {
    return this.#over.get(analysisId)
  }

  #lookAround(): void {
    this.#resumeAbandoned(false)
      .then(() => this.wake())
      .catch((error: unknown) => this.#deps.warn(`analyses wait: ${traceOf(error)}`))
  }

  async #look(): Promise<void> {
    while (this.#open && this.#running.size < CONCURRENCY) {
      // One that has just begun may still be shown as waiting.
      const waiting = await this.#deps.sessions.inOrder(['pending_analysis'], CONCURRENCY + 1)
      const next = waiting.find(({ id }) => !this.#running.has(id))
      if (next === undefined || !this.#open) return
      this.#begin(next)
    }
  }

  #begin(session: Session): void {
    const analysisId = newTimeOrderedId('ana')
    const work = this.#analyse(session.id, analysisId)
      .then(
        () => true,
        (error: unknown) => {
          if (this.#open) this.#deps.warn(`review ${session.id} is not analysed: ${traceOf(error)}`)
          // Tried again at the next look around, and not in a loop.
          return false
        },
      )
      .then((wake) => {
        this.#running.delete(session.id)
        this.#over.delete(analysisId)
        if (wake) this.wake()
      })
    this.#running.set(session.id, work)
    this.#over.set(analysisId, work)
  }

  async #analyse(reviewId: string, analysisId: string): Promise<void> {
    const { sessions, announce, owner, now } = this.#deps
    const startedMs = now()
    const begun = await sessions.change(reviewId, (session) =>
      session.status === 'pending_analysis'
        ? [
            {
              step: { step: 'begin_analysis', analysisId },
              actor: 'system',
              detail: { analysis_id: analysisId },
              set: {
                attempts: session.attempts + 1,
                runner: owner,
                failure: undefined,
                summary: undefined,
              },
            },
          ]
        : [],
    )
    if (begun.value.transitions.length === 0) return // another node was faster
    await announce(begun)
    const result = await this.#tryTo(begun.value.session)
    if (result === undefined) return
    const ended = await sessions.change(reviewId, async (session, trx) => {
      // Taken away meanwhile: whoever has it now will say how it ends.
      if (session.state.analysisId !== analysisId || session.status !== 'analyzing') return []
      const atMs = now()
      if ('failure' in result) return [failedMove(analysisId, result.failure, atMs)]
      const { analysis } = result
      const durationMs = Math.max(0, atMs - startedMs)
      await this.#deps.analyses.add(trx, {
        ...analysis,
        id: analysisId,
        reviewId,
        durationMs,
        completedAtMs: atMs,
      })
      return [
        completedMove(analysisId, analysis, atMs),
        ...automaticMove(analysis, this.#deps.rules, atMs),
      ]
    })
    await announce(ended)
  }

  /** @returns undefined when the queue was closed meanwhile. */
  async #tryTo(
    session: Session,
  ): Promise<{ analysis: Analysis } | { failure: string } | undefined> {
    const { task, run, warn } = this.#deps
    let failure = ''
    for (let tried = 0; tried < TRIES; tried += 1) {
      try {
        return { analysis: await run(await task(session)) }
      } catch (error) {
        if (!this.#open) return undefined
        warn(`analysis of review ${session.id} failed: ${traceOf(error)}`)
        failure = error instanceof VestryError ? error.message : 'The analysis broke off'
      }
    }
    return { failure }
  }

  /** @param all Nobody else can be at it: whatever is being analysed was left by a daemon that ended. */
  async #resumeAbandoned(all: boolean): Promise<void> {
    const { sessions, owner, now, announce } = this.#deps
    const under = await sessions.inOrder(['analyzing'], MAX_ABANDONED)
    for (const { id } of under) {
      if (this.#running.has(id)) continue
      const changed = await sessions.change(id, (session) => {
        const { status, runner, updatedAtMs, attempts, state } = session
        const left = all || runner === owner || now() - updatedAtMs > ABANDONED_MS
        if (status !== 'analyzing' || !left || this.#running.has(id)) return []
        if (attempts >= MAX_BEGUN)
          return [
            failedMove(
              state.analysisId ?? '',
              `It was begun ${attempts} times and never ended`,
              now(),
            ),
          ]
        return [{ step: { step: 'resume' }, actor: 'system', detail: { interrupted: true } }]
      })
      await announce(changed)
    }
  }
}

function completedMove(analysisId: string, analysis: Analysis, atMs: number): Move {
  const findings = countFindings(analysis.findings)
  return {
    step: { step: 'complete_analysis', atMs },
    actor: 'system',
    detail: { analysis_id: analysisId, risk_score: analysis.risk_score, findings },
    set: {
      runner: undefined,
      summary: { riskScore: analysis.risk_score, findings },
      analysedAtMs: atMs,
    },
  }
}

function failedMove(analysisId: string, failure: string, atMs: number): Move {
  return {
    step: { step: 'fail_analysis', atMs },
    actor: 'system',
    detail: { analysis_id: analysisId, failure },
    set: { runner: undefined, failure, summary: undefined, analysedAtMs: atMs },
  }
}

function traceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  return `${error.stack ?? error.message}${cause instanceof Error ? `\n${cause.stack ?? cause.message}` : ''}`
}
