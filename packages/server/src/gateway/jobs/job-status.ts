/** How far a job is, in the words its clients know. Pure. */
import type { Execution } from '../../journal/execution.ts'

type JobStatus = 'queued' | 'running' | 'done' | 'failed'

/** What whoever submits a job is told. */
export interface Submitted {
  readonly id: string
  readonly status: JobStatus
  /** Epoch ms; when the result is forgotten if the job ended now. */
  readonly expiresAtMs: number
}

export function statusOf({
  state,
  owned,
  startedAtMs,
}: Pick<Execution, 'state' | 'owned' | 'startedAtMs'>): JobStatus {
  if (state === 'done') return 'done'
  if (state === 'failed' || state === 'unknown') return 'failed'
  // What went back to the queue had been begun: a status only moves forward.
  return state === 'sent' || owned || startedAtMs !== undefined ? 'running' : 'queued'
}
