/** One end for a whole call: the caller's signal or the deadline, whichever comes first. */

import { after } from '../../vault/wait.ts'
import { GatewayError } from '../errors.ts'
import { linked } from '../link.ts'

export interface Deadline {
  readonly signal: AbortSignal
  /** Of the call's clock. */
  readonly atMs: number
  /** Stops the timer and lets go of the caller's signal. */
  release(): void
}

/**
 * Aborts with the caller's own reason, or with a GatewayError when time is up.
 *
 * @param truncated What that error says of the answer: some of it may have been read.
 */
export function deadline(
  ms: number,
  nowMs: number,
  { outer, truncated }: { outer: AbortSignal | undefined; truncated: boolean },
): Deadline {
  const { signal, abort, release } = linked(outer)
  const stop = after(ms, () =>
    abort(
      new GatewayError(`The gateway did not answer within ${ms} ms`, {
        retryable: true,
        truncated,
      }),
    ),
  )
  return {
    signal,
    atMs: nowMs + ms,
    release() {
      stop()
      release()
    },
  }
}
