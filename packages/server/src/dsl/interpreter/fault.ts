/** What can go wrong in a run: errors of the program, which it may catch, and ends that it may not. */
import { type ErrorCode, VestryError } from '@vestry/contract/errors'

/**
 * No program goes on after these: the daemon, the operator or a limit has ended the run, or nobody knows what it has
 * done so far.
 */
const FATAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'DSL_LIMIT',
  'OUTCOME_UNKNOWN',
  'VAULT_LOCKED',
  'NOT_INITIALIZED',
  'SHUTTING_DOWN',
  'CANCELLED',
  'AUDIT_UNAVAILABLE',
  'AUTH_FAILED',
  'SEAL_BROKEN',
  'STORE_CORRUPT',
  'STORE_ROLLED_BACK',
  'STORE_UNAVAILABLE',
  'INTERNAL_ERROR',
])

/** Whether a program must not catch it. What is no error of ours is not for programs either. */
export function isFatal(error: unknown): boolean {
  return !(error instanceof VestryError) || FATAL.has(error.code)
}

/** An error of the program itself. Tells kinds and names of the source, never values. */
export function fault(line: number, what: string, hint?: string): VestryError {
  return new VestryError('DSL_RUNTIME_ERROR', `Line ${line}: ${what}`, {
    context: { line },
    ...(hint !== undefined && { hint }),
  })
}

/** The end of a run that took too much. */
export function exceeded(line: number, what: string): VestryError {
  return new VestryError('DSL_LIMIT', `Line ${line}: ${what}`, { context: { line } })
}
