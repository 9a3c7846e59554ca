/** The bounds of one call: one deadline for all its attempts, and everything that can end it early. */
import { within } from '../vault/wait.ts'
import { GatewayNetworkError } from './errors.ts'

export interface Scope {
  /** Aborts with the reason of whichever outer signal aborted first. */
  readonly signal: AbortSignal
  /** By `performance.now()`; `Infinity` when the caller's signal is the bound. */
  readonly deadlineMs: number
}

/** Runs `work` under several signals at once, and lets go of them afterwards. */
export async function scoped<T>(
  outer: readonly (AbortSignal | undefined)[],
  limitMs: number,
  work: (scope: Scope) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const links = outer
    .filter((signal) => signal !== undefined)
    .map((signal) => ({ signal, end: () => controller.abort(signal.reason) }))
  for (const { signal, end } of links) {
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  }
  try {
    controller.signal.throwIfAborted()
    const deadlineMs = performance.now() + limitMs
    return await work({ signal: controller.signal, deadlineMs })
  } finally {
    for (const { signal, end } of links) signal.removeEventListener('abort', end)
  }
}

/** The work's outcome while the call lasts; the work itself goes on, for others that wait for it. */
export function during<T>(scope: Scope, work: Promise<T>): Promise<T> {
  return within(work, {
    ms: leftMs(scope),
    signal: scope.signal,
    late: () => new GatewayNetworkError('The call ran out of time'),
  })
}

export function leftMs({ deadlineMs }: Scope): number {
  return Math.max(deadlineMs - performance.now(), 0)
}
