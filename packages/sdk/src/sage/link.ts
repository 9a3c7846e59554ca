/** A signal of one's own that also follows the caller's. */

export interface Linked {
  readonly signal: AbortSignal
  /** Aborts, and lets go of the caller's signal. */
  readonly abort: (reason?: unknown) => void
  /** Lets go of the caller's signal. */
  readonly release: () => void
}

export function linked(outer: AbortSignal | undefined): Linked {
  const controller = new AbortController()
  const follow = (): void => controller.abort(outer?.reason)
  const release = (): void => outer?.removeEventListener('abort', follow)
  if (outer?.aborted) follow()
  else outer?.addEventListener('abort', follow, { once: true })
  return {
    signal: controller.signal,
    abort(reason) {
      release()
      controller.abort(reason)
    },
    release,
  }
}
