/**
 * The words of the identity socket: why a request about a claim was refused. Imports nothing, so that every client
 * door can load it without cost.
 */

/** Each code → what `message` says unless there is more to tell. Append only: codes are wire format. */
export const CLAIM_ERRORS = {
  bad_request: 'Request is malformed',
  unknown_agent: 'No agent has this name, or it is not enabled',
  not_permitted: 'This process may not do that',
  token_required: 'This agent is claimed with a token',
  token_invalid: 'Token is not valid for this agent',
  capability_not_granted: 'The agent does not have every capability that was asked for',
  ttl_out_of_range: 'Lifetime is out of range',
  already_claimed: 'This process holds a claim already',
  claim_limit: 'The agent has as many claims as it may have',
  not_claimed: 'There is no such claim',
  expired: 'The claim has expired',
  rate_limited: 'Too many requests',
  peercred_unavailable: 'The kernel does not tell who is calling',
  /** The vault is sealed, or the claim cannot be recorded just now. */
  unavailable: 'Claims are not available now',
} as const satisfies Record<string, string>

export type ClaimErrorCode = keyof typeof CLAIM_ERRORS

export function isClaimErrorCode(code: unknown): code is ClaimErrorCode {
  return typeof code === 'string' && Object.hasOwn(CLAIM_ERRORS, code)
}
