/** The right to run one execution, as its holder sees it, and what the holder is given or answered. */
import type { ErrorCode } from '@vestry/contract/errors'
import type { Execution, ExecutionMode } from './execution.ts'
import type { Alongside } from './execution-writes.ts'

export interface Failure {
  readonly code: ErrorCode
  /** Whether the upstream may have been reached. False means that a retry may run it again. */
  readonly reached: boolean
  /** What a repetition is answered with. */
  readonly output?: Uint8Array
}

/** The right to run one execution, held by one process. */
export interface Held extends AsyncDisposable {
  readonly id: string
  readonly kind: string
  readonly agentId: string
  readonly subject: string
  readonly mode: ExecutionMode
  readonly repeatable: boolean
  /** From 1. */
  readonly attempt: number
  /** When it was first begun, epoch ms. */
  readonly startedAtMs: number
  /** Aborted on cancel, at the end of a stop and when the execution is no longer held. */
  readonly signal: AbortSignal
  /** What it was reserved with. The caller wipes it. @throws VestryError SEAL_BROKEN, VAULT_LOCKED. */
  input(): Promise<Uint8Array | undefined>
  /**
   * Resolves once it is on disk that the effect may happen from now on: await it before the first upstream byte.
   * A second call does nothing. @throws VestryError CONFLICT when no longer held, STORE_UNAVAILABLE.
   */
  sent(): Promise<void>
  /**
   * It happened. @param output Up to 32 MiB, sealed at rest; borrowed.
   * @param alongside Written with this end, and only if it is the end.
   * @throws VestryError CONFLICT when no longer held, or ended before; RESPONSE_TOO_LARGE and VAULT_LOCKED, and
   *   then it counts as one whose outcome is lost; STORE_UNAVAILABLE, and then it is stored once the store is back.
   */
  finish(output: Uint8Array, alongside?: Alongside): Promise<void>
  /**
   * It waits, and holds no place meanwhile: it is run again from `runAtMs` on, or when it is woken. Queued only.
   * @throws VestryError CONFLICT, STORE_UNAVAILABLE.
   */
  park(runAtMs: number): Promise<void>
  /** It did not, or nobody knows. An output that cannot be kept is left out. @throws CONFLICT, STORE_UNAVAILABLE. */
  fail(failure: Failure): Promise<void>
  /** Fails what was not ended: INTERNAL_ERROR, and reached if it was sent. */
  [Symbol.asyncDispose](): Promise<void>
}

export type Reserved =
  /** An inline one: the caller runs it now. */
  | { readonly state: 'held'; readonly execution: Held }
  /** A queued one, which a worker runs. */
  | { readonly state: 'queued'; readonly execution: Execution }
  /** Reserved before, perhaps under another fingerprint. */
  | { readonly state: 'known'; readonly execution: Execution }

export interface Runner {
  /** Most bodies at once on this node. */
  readonly concurrency: number
  /** Executions that may wait; `reserve` refuses the next with QUEUE_FULL. */
  readonly queueMax?: number
  /** `cancel` may abort a body that runs. */
  readonly cancellable?: boolean
  /**
   * Ends the execution by `finish` or `fail`; if it throws instead, it fails with that error's code. What throws
   * SHUTTING_DOWN is treated as after a crash.
   */
  run(execution: Held, signal: AbortSignal): Promise<void>
}
