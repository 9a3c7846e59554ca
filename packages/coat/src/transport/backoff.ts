/** How long to wait before the next attempt to connect. */
import { randomInt } from 'node:crypto'

const FIRST_MS = 1000
const LONGEST_MS = 30_000
/** Peers that lost the same collector must not come back all at once. */
const JITTER_PERCENT = 20

/** @param attempts Failed ones since the last success. */
export function backoffMs(attempts: number): number {
  const ms = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempts, 10))
  return (ms * randomInt(100 - JITTER_PERCENT, 100 + JITTER_PERCENT + 1)) / 100
}
