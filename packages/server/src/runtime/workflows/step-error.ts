/** Errors that come as data. */
import { ERRORS, type ErrorCode, VestryError } from '@vestry/contract/errors'

export function errorIn(error: { readonly code: string; readonly message: string }): VestryError {
  const known = Object.hasOwn(ERRORS, error.code)
  return new VestryError(known ? (error.code as ErrorCode) : 'WORKFLOW_STEP_FAILED', error.message)
}
