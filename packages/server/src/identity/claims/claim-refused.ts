/** A request about a claim that is not granted; `code` is what the client and the record see. */
import { CLAIM_ERRORS, type ClaimErrorCode } from '@vestry/contract/claim'

export class ClaimRefused extends Error {
  readonly code: ClaimErrorCode

  constructor(code: ClaimErrorCode, message: string = CLAIM_ERRORS[code], options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}
