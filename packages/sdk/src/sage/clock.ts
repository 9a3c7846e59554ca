/** Time as an argument, so that what waits can be tested without waiting. */
import { sleep } from '../vault/wait.ts'

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Rejects with the signal's own reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = { now: Date.now, sleep }
