/** Time for whatever expires: the monotonic clock, and the wall clock as a second opinion. */

export interface Clock {
  /** Epoch ms. */
  now(): number
  /** Ms from an arbitrary origin; never steps back, but stands still while the host is suspended. */
  monotonic(): number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
}

/** One moment, on both clocks. */
export interface Instant {
  wall: number
  mono: number
}

export function instant(clock: Clock): Instant {
  return { wall: clock.now(), mono: clock.monotonic() }
}

/**
 * Ms since `start` by the clock that ran further: setting the wall clock back prolongs nothing, and a
 * host that slept finds its sessions expired (wire contract §5.4).
 */
export function elapsedMs(start: Instant, clock: Clock): number {
  return Math.max(clock.now() - start.wall, clock.monotonic() - start.mono)
}
