/**
 * Steps of a durable execution. A step is on disk before it begins and with its result before the next one, so that
 * an execution that is run again after a crash repeats none that was finished, and knows of one that was begun.
 */
import type { ErrorCode } from '@vestry/contract/errors'

export interface StepPlan {
  /** Unique within the execution, and the same each time it is run: `load`, `each[3]/fetch`, `effect:4`. */
  readonly key: string
  /** `transform`, `tool`, `http` … for lists. */
  readonly kind: string
  /** Doing it twice does no harm: after a crash it is done again; else it fails with OUTCOME_UNKNOWN. */
  readonly repeatable: boolean
}

export interface StepRecord {
  readonly key: string
  readonly kind: string
  readonly state: 'sent' | 'done' | 'failed' | 'waiting'
  readonly attempts: number
  readonly errorCode: ErrorCode | undefined
  readonly startedAtMs: number
  readonly finishedAtMs: number | undefined
  /** Of one that waits: its next run does not begin before. */
  readonly notBeforeMs: number | undefined
}

/** Steps of one execution that this process holds. */
export interface Steps {
  /** What is known of it so far, in the order begun. */
  list(): readonly StepRecord[]
  find(key: string): StepRecord | undefined
  /**
   * Runs `body` once and keeps what it returns (JSON), or returns what an earlier run of the execution kept.
   * A body that throws leaves the step failed; a later call of the same step throws the same code again, unless
   * `retry` of its plan begins it anew.
   *
   * @throws VestryError OUTCOME_UNKNOWN for one that was begun before a crash and is not repeatable; what `body`
   *   throws; CONFLICT when the execution is no longer held; RESPONSE_TOO_LARGE over 4 MiB; STORE_UNAVAILABLE.
   */
  run<T>(plan: StepPlan, body: (attempt: number) => Promise<T>): Promise<T>
  /** Begins a failed or waiting step anew at its next run. One that was never begun waits from now on. */
  retry(key: string, notBeforeMs: number): Promise<void>
  /** Puts on disk what may have been kept in memory so far: results of repeatable steps. */
  flush(): Promise<void>
  /** The execution is over, or is given up: nothing is written any more. */
  close(): void
}
