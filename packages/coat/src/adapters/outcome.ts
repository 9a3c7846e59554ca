/** How a run ended, told from what it threw. */
import type { Status } from '../aot.ts'
import { fields } from './shapes.ts'

export function failure(error: unknown, signal?: unknown): Status {
  if (fields(signal)?.['aborted'] === true) return 'cancelled'
  return isAbort(error) ? 'cancelled' : 'error'
}

/** Frameworks wrap the abort of a signal; a few steps of its cause are looked at. */
export function isAbort(error: unknown): boolean {
  let at = fields(error)
  for (let depth = 0; at !== undefined && depth < 4; depth++) {
    const name = at['name']
    if (name === 'AbortError' || name === 'ResponseAborted' || name === 'APIUserAbortError') {
      return true
    }
    at = fields(at['cause'])
  }
  return false
}

/** What a tool reported as its failure, without having thrown. */
export function toolError(message: string): Error {
  const error = new Error(message)
  error.name = 'tool_error'
  return error
}
