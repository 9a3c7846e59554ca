/** Looks again and again until something has come about, with a pause between two looks and an end. */
import { sleep } from '../vault/wait.ts'
import type { CallOptions } from './calls.ts'
import { SymbiontError, TimeoutError } from './errors.ts'

export interface WaitOptions extends CallOptions {
  /** Default 300. */
  timeoutSeconds?: number
  /** Between two looks. Default 5. */
  intervalSeconds?: number
}

interface Waiting<T> {
  readonly look: (options: CallOptions) => Promise<T>
  readonly isDone: (found: T) => boolean
  /** What has not come about, as the error begins. */
  readonly late: string
}

/** Less would be a loop without a pause. */
const MIN_INTERVAL_SECONDS = 0.01
const MAX_WAIT_SECONDS = 2_000_000

/** @throws TimeoutError when it has not come about within `timeoutSeconds`. */
export async function lookUntil<T>(
  { look, isDone, late }: Waiting<T>,
  { timeoutSeconds = 300, intervalSeconds = 5, signal }: WaitOptions,
): Promise<T> {
  assertSeconds('timeoutSeconds', timeoutSeconds, 0)
  assertSeconds('intervalSeconds', intervalSeconds, MIN_INTERVAL_SECONDS)
  const endsAt = performance.now() + timeoutSeconds * 1_000
  for (;;) {
    const found = await look(signal === undefined ? {} : { signal })
    if (isDone(found)) return found
    const left = endsAt - performance.now()
    if (left <= 0) throw new TimeoutError(`${late} within ${timeoutSeconds} s`, { code: 'TIMEOUT' })
    await sleep(Math.min(intervalSeconds * 1_000, left), signal)
  }
}

function assertSeconds(option: string, value: number, min: number): void {
  if (typeof value === 'number' && value >= min && value <= MAX_WAIT_SECONDS) return
  throw new SymbiontError(`${option} must be a number from ${min} to ${MAX_WAIT_SECONDS}`, {
    code: 'INVALID_OPTION',
  })
}
