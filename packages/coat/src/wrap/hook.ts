/** Calls the callbacks a wrapper was given: they are the program's, so they may throw and be slow. */
import { HOOK_THREW } from '../captured.ts'
import { countHookError } from '../counters.ts'
import { settled } from '../span.ts'

/** @returns What the callback returns, or the literal that says it threw. */
export function callHook<A extends unknown[]>(hook: (...args: A) => unknown, ...args: A): unknown {
  try {
    return settled(hook(...args))
  } catch {
    countHookError()
    return HOOK_THREW
  }
}
