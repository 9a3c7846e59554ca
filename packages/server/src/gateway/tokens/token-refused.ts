/** A presented token that is not accepted, with what the answer needs to know about it. */
import { type ErrorCode, VestryError } from '@vestry/contract/errors'

export type TokenRefusal = Extract<
  ErrorCode,
  | 'TOKEN_MALFORMED'
  | 'TOKEN_SIGNATURE'
  | 'TOKEN_EXPIRED'
  | 'TOKEN_TOO_OLD'
  | 'TOKEN_REVOKED'
  | 'TOKEN_UNREGISTERED'
  | 'AGENT_NOT_FOUND'
  | 'AGENT_INACTIVE'
>

export class TokenRefused extends VestryError {
  /** Epoch ms, once the token is known to be ours: an expired one is answered with rotation headers. */
  readonly expiresAtMs: number | undefined

  constructor(code: TokenRefusal, message?: string, expiresAtMs?: number) {
    super(code, message, { hint: 'Request a new token.' })
    this.expiresAtMs = expiresAtMs
  }

  /** An agent that is gone is 404 to whoever asks for it by id; the bearer of its token is refused. */
  override get status(): number {
    return this.code === 'AGENT_NOT_FOUND' ? 403 : super.status
  }
}
