/** Waiting with a bound: by time, by the caller's signal, never by hope. */

export interface Bound {
  /** Milliseconds; `Infinity` leaves the bound to `signal`. */
  ms: number
  signal?: AbortSignal | undefined
  /** Makes the error when time is up. */
  late: () => Error
}

/** Timers beyond this fire at once (32-bit milliseconds, about 24.8 days). */
const LONGEST_TIMER_MS = 2_147_483_647

/** Starts `fire` in `ms`; returns what stops it. An infinite wait needs no timer. */
export function after(ms: number, fire: () => void): () => void {
  if (ms === Number.POSITIVE_INFINITY) return () => {}
  const timer = setTimeout(fire, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS))
  return () => clearTimeout(timer)
}

/** The work's outcome, or the bound's error, whichever comes first; the late outcome is dropped. */
export function within<T>(work: Promise<T>, { ms, signal, late }: Bound): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = after(ms, () => settle(() => reject(late())))
    const aborted = (): void => settle(() => reject(signal?.reason))
    const settle = (how: () => void): void => {
      stop()
      signal?.removeEventListener('abort', aborted)
      how()
    }
    work.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject(error)),
    )
    if (signal?.aborted) return aborted()
    signal?.addEventListener('abort', aborted, { once: true })
  })
}

/** Resolves after `ms`; rejects with the signal's own reason. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = after(ms, () => {
      signal?.removeEventListener('abort', aborted)
      resolve()
    })
    const aborted = (): void => {
      stop()
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', aborted, { once: true })
  })
}
