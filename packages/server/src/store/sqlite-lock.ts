/** Waits for another connection's lock without holding up the event loop, as SQLite's own busy timeout would. */
import { setTimeout as sleep } from 'node:timers/promises'
import { storeError } from './store-error.ts'

const BUSY = 5
const PAUSE_MS = 5

export interface LockWait {
  readonly now: () => number
  readonly connectTimeoutMs: number
}

/** Runs `act` until it does not meet a lock. @throws VestryError STORE_UNAVAILABLE after the time limit. */
export async function whenUnlocked<T>(
  act: () => T,
  { now, connectTimeoutMs }: LockWait,
): Promise<T> {
  const deadline = now() + connectTimeoutMs
  for (;;) {
    try {
      return act()
    } catch (error) {
      if (!isBusy(error) || now() >= deadline) throw storeError(error)
    }
    await sleep(PAUSE_MS)
  }
}

function isBusy(error: unknown): boolean {
  if (!(error instanceof Error && 'errcode' in error)) return false
  return typeof error.errcode === 'number' && (error.errcode & 0xff) === BUSY
}
