/** A signal of one's own that also follows the caller's. */

export interface Linked {
  readonly signal: AbortSignal
  /** Aborts, and lets go of the caller's signal. */
  readonly abort: (reason?: unknown) => void
}

export function linked(outer: AbortSignal | undefined): Linked {
  const controller = new AbortController()
  const follow = (): void => controller.abort(outer?.reason)
  if (outer?.aborted) follow()
  outer?.addEventListener('abort', follow, { once: true })
  return {
    signal: controller.signal,
    abort(reason) {
      outer?.removeEventListener('abort', follow)
      controller.abort(reason)
    },
  }
}
