/** One end for a whole call: the caller's signal or the deadline, whichever comes first. */

import { after } from '../../vault/wait.ts'
import { GatewayError } from '../errors.ts'

export interface Deadline {
  readonly signal: AbortSignal
  /** Of the call's clock. */
  readonly atMs: number
  /** Stops the timer and lets go of the caller's signal. */
  release(): void
}

/** Aborts with the caller's own reason, or with a GatewayError when time is up. */
export function deadline(ms: number, nowMs: number, outer: AbortSignal | undefined): Deadline {
  const controller = new AbortController()
  const late = (): void =>
    controller.abort(
      new GatewayError(`The gateway did not answer within ${ms} ms`, { retryable: true }),
    )
  const stop = after(ms, late)
  const aborted = (): void => controller.abort(outer?.reason)
  if (outer?.aborted) aborted()
  outer?.addEventListener('abort', aborted, { once: true })
  return {
    signal: controller.signal,
    atMs: nowMs + ms,
    release() {
      stop()
      outer?.removeEventListener('abort', aborted)
    },
  }
}
