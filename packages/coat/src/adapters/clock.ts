/** The clocks that adapters read: wall time for stamps, monotonic time for lengths. */

export interface Clock {
  wallMs(): number
  monotonicMs(): number
}

export const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}

/** Milliseconds to three decimals, as events tell lengths. */
export function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
