/** What the pod client throws: the daemon's own codes, and those of the way to it. */
import type { ClaimErrorCode } from '@vestry/contract/claim'

export type { ClaimErrorCode }

/**
 * `unreachable`: nobody answers at the socket. `closed`: the connection ended before the answer came, so that what was
 * asked may have been done. `timeout`: no answer in time; the same holds. `bad_answer`: it is not the daemon that answers.
 */
export type PodTransportCode = 'unreachable' | 'closed' | 'timeout' | 'bad_answer'

/** Branch on `code`, never on text. A code of a newer daemon is passed on as it came. */
export class ClaimError extends Error {
  readonly code: ClaimErrorCode | PodTransportCode | (string & Record<never, never>)

  constructor(code: ClaimError['code'], message: string, options: { cause?: unknown } = {}) {
    super(`${code}: ${message}`, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
  }
}
