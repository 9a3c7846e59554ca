/**
 * One effect on the outside world, from its reservation to its end, and the rules by which it moves. Pure; the
 * caller brings the clock.
 */
import type { ErrorCode } from '@vestry/contract/errors'

/** `reserved → sent → done | failed | unknown`. Reserved and owned by nobody: waiting for a worker. */
export type ExecutionState = 'reserved' | 'sent' | 'done' | 'failed' | 'unknown'

/** `inline`: somebody waits for it. `queued`: a worker picks it up. */
export type ExecutionMode = 'inline' | 'queued'

export interface NewExecution {
  /** Random; a job id is a capability. Unique among all executions. */
  readonly id: string
  /** Which part runs it: `gateway`. */
  readonly kind: string
  /** SHA-256 hex of what must not happen twice within the kind. */
  readonly key?: string
  /** SHA-256 hex of what is asked under the key. */
  readonly fingerprint?: string
  readonly agentId: string
  /** What it does, for lists: `gmail_send:send`. No content. */
  readonly subject: string
  readonly mode: ExecutionMode
  /** Doing it twice does no harm, or upstream suppresses the second: it runs again after a crash. */
  readonly repeatable: boolean
  /** Up to 32 MiB; sealed at rest, gone when the execution ends. Borrowed: neither kept nor wiped. */
  readonly input?: Uint8Array
  /** How long it is kept after its end. */
  readonly retainMs: number
  /** Queued only: not before. */
  readonly runAtMs?: number
  /** Inline only: it goes straight to its effect, so one commit says both "reserved" and "sent". */
  readonly sent?: boolean
}

/** An execution as everybody may see it. What went in and came out is read apart from it. */
export interface Execution {
  readonly id: string
  readonly kind: string
  /** Gone once a later execution took the key over. */
  readonly key: string | undefined
  readonly fingerprint: string | undefined
  readonly agentId: string
  readonly subject: string
  readonly mode: ExecutionMode
  readonly repeatable: boolean
  readonly state: ExecutionState
  /** A process works on it now. */
  readonly owned: boolean
  /** Of a failed one: the upstream may have been reached. */
  readonly reached: boolean
  readonly errorCode: ErrorCode | undefined
  /** How often it was begun. */
  readonly attempts: number
  readonly createdAtMs: number
  /** When it was first begun; kept when it goes back to the queue, so that a status only moves forward. */
  readonly startedAtMs: number | undefined
  readonly finishedAtMs: number | undefined
  /** Of an ended one: when it is forgotten. */
  readonly expiresAtMs: number | undefined
}

/** Whether it is over, one way or the other. */
export function hasEnded({ state }: Pick<Execution, 'state'>): boolean {
  return state === 'done' || state === 'failed' || state === 'unknown'
}

/** Whether its time is up: it counts as gone, although its row may still be there. */
export function isForgotten(
  { expiresAtMs }: Pick<Execution, 'expiresAtMs'>,
  nowMs: number,
): boolean {
  return expiresAtMs !== undefined && expiresAtMs <= nowMs
}

/**
 * Whether a new reservation may have the key of `old`: it is forgotten; or it failed and running it again does
 * no harm, asked for by the same request. Another request under a key in use is the caller's to refuse.
 */
export function yieldsKey(old: Execution, fingerprint: string | undefined, nowMs: number): boolean {
  if (isForgotten(old, nowMs)) return true
  if (old.state !== 'failed' || old.fingerprint !== fingerprint) return false
  return !old.reached || old.repeatable
}

/** How an execution ended, or that it waits again. */
export type Outcome =
  /** Not before `runAtMs`, if that is told. */
  | { readonly state: 'reserved'; readonly runAtMs?: number }
  | { readonly state: 'done' }
  | { readonly state: 'failed'; readonly reached: boolean; readonly errorCode: ErrorCode }
  | { readonly state: 'unknown'; readonly errorCode: ErrorCode }

/**
 * What becomes of one whose process died or gave it up. Nothing that may have happened and must not happen twice
 * runs again; nothing inline runs by itself, because nobody would be there for the result.
 */
export function afterInterruption({
  mode,
  state,
  repeatable,
}: Pick<Execution, 'mode' | 'state' | 'repeatable'>): Outcome {
  if (state === 'sent' && !repeatable) return { state: 'unknown', errorCode: 'OUTCOME_UNKNOWN' }
  if (mode === 'queued') return { state: 'reserved' }
  return { state: 'failed', reached: state === 'sent', errorCode: 'SHUTTING_DOWN' }
}

/** What becomes of one that happened and whose result cannot be kept. */
export function withoutResult(
  { mode, sent, repeatable }: Pick<Execution, 'mode' | 'repeatable'> & { readonly sent: boolean },
  errorCode: ErrorCode,
): Outcome {
  // Sealed while it ran: nobody waits for it now, so it has time until the vault is open again.
  if (mode === 'queued' && errorCode === 'VAULT_LOCKED')
    return afterInterruption({ mode, state: sent ? 'sent' : 'reserved', repeatable })
  if (sent && !repeatable) return { state: 'unknown', errorCode: 'OUTCOME_UNKNOWN' }
  return { state: 'failed', reached: sent, errorCode }
}
