/** Time bounds of back ends, with an error that says whose time was up. */
import { VestryError } from '@vestry/contract/errors'

/** Ends with `signal`, and after `ms` in any case. */
export function within(signal: AbortSignal, ms: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ms)])
}

/** Why it ended, as an error of ours. */
export function reasonOf(signal: AbortSignal): unknown {
  const { reason } = signal
  const timedOut = reason instanceof DOMException && reason.name === 'TimeoutError'
  return timedOut ? new VestryError('BACKEND_TIMEOUT', undefined, { cause: reason }) : reason
}

/** @throws why it ended, if it did. */
export function assertLive(signal: AbortSignal): void {
  if (signal.aborted) throw reasonOf(signal)
}

/** The work, or the reason of the signal if that comes first; the work then goes on unheard. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined)
  assertLive(signal)
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => reject(reasonOf(signal))
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
