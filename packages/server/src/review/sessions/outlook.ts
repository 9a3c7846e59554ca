/** When a review will be over, judged by how long the last ones took. */
import type { AnalysisStore } from './analysis-store.ts'
import { isEnded } from './machine.ts'
import type { Session } from './session.ts'
import type { SessionStore } from './session-store.ts'

export interface Medians {
  /** Undefined where there is no history. */
  readonly analysisMs: number | undefined
  /** From the end of the analysis to a person's decision. */
  readonly waitMs: number | undefined
}

/** Of each kind; older ones say little of today. */
const LAST = 20
const FRESH_MS = 5_000

export interface OutlookDeps {
  readonly sessions: Pick<SessionStore, 'recentWaits'>
  readonly analyses: Pick<AnalysisStore, 'recentDurations'>
  readonly now: () => number
}

export class Outlook {
  readonly #deps: OutlookDeps
  #known: { medians: Promise<Medians>; untilMs: number } | undefined

  constructor(deps: OutlookDeps) {
    this.#deps = deps
  }

  medians(): Promise<Medians> {
    const { now } = this.#deps
    if (this.#known === undefined || now() >= this.#known.untilMs) {
      const medians = this.#read()
      this.#known = { medians, untilMs: now() + FRESH_MS }
      // The first of a history counts at once.
      const forget = () => {
        if (this.#known?.medians === medians) this.#known = undefined
      }
      medians.then(({ analysisMs, waitMs }) => {
        if (analysisMs === undefined || waitMs === undefined) forget()
      }, forget)
    }
    return this.#known.medians
  }

  /** The vault is sealed: what another node has done meanwhile is read anew. */
  forget(): void {
    this.#known = undefined
  }

  async #read(): Promise<Medians> {
    const { sessions, analyses } = this.#deps
    const [durations, waits] = await Promise.all([
      analyses.recentDurations(LAST),
      sessions.recentWaits(LAST),
    ])
    return { analysisMs: median(durations), waitMs: median(waits) }
  }
}

/**
 * @returns Epoch ms; undefined without history, for what is decided, and where all that was known has passed. Whether a
 *   rule will decide is not known before, so a person's time is always counted.
 */
export function estimatedCompletion(
  session: Pick<Session, 'status' | 'submittedAtMs'>,
  { analysisMs, waitMs }: Medians,
  nowMs: number,
): number | undefined {
  if (isEnded(session) || session.status === 'approved') return undefined
  if (analysisMs === undefined || waitMs === undefined) return undefined
  const estimate = session.submittedAtMs + analysisMs + waitMs
  return estimate > nowMs ? estimate : undefined
}

export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((one, other) => one - other)
  const middle = sorted.length >> 1
  const upper = sorted[middle]
  if (upper === undefined) return undefined
  const lower = sorted.length % 2 === 0 ? sorted[middle - 1] : upper
  return Math.round(((lower ?? upper) + upper) / 2)
}
