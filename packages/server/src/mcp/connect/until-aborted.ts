/** Waiting that ends when the waiter has had enough; what it waited for then ends by itself. */

/**
 * Rejects with the signal's reason as soon as it is aborted.
 *
 * @param dispose For what `work` brings when nobody waits for it any more.
 */
export async function untilAborted<T>(
  signal: AbortSignal,
  work: Promise<T>,
  dispose: (late: T) => void = () => undefined,
): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, promise])
  } catch (error) {
    if (signal.aborted) work.then(dispose, () => undefined)
    throw error
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** As {@link untilAborted}, and with what `late` makes when `timeoutMs` are over. */
export async function withinTime(
  work: Promise<void>,
  signal: AbortSignal,
  timeoutMs: number,
  late: () => Error,
): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), Math.max(1, timeoutMs))
  try {
    await untilAborted(signal, Promise.race([work, promise]))
  } finally {
    clearTimeout(timer)
  }
}
