/** Why a signature does not count, in the codes that SchemaPin's implementations share. */

export const VERIFICATION_CODES = [
  'SIGNATURE_INVALID',
  'KEY_NOT_FOUND',
  'KEY_REVOKED',
  'KEY_PIN_MISMATCH',
  'DISCOVERY_FETCH_FAILED',
  'DISCOVERY_INVALID',
  'DOMAIN_MISMATCH',
  'SCHEMA_CANONICALIZATION_FAILED',
  'CANONICALIZATION_UNSUPPORTED',
  'BUNDLE_UNSIGNED',
  'BUNDLE_EXPIRED',
] as const
export type VerificationCode = (typeof VERIFICATION_CODES)[number]

/** Thrown between the steps of a verification, and told as its result: it is an answer, not a failure. */
export class Unverified extends Error {
  readonly code: VerificationCode
  /** What was found out before. */
  readonly fingerprint: string | undefined
  /** The address itself was not allowed, so nobody was asked. */
  readonly refused: boolean
  /** The key was found, and the list that says whether it is revoked was not. */
  readonly listMissing: boolean

  constructor(
    code: VerificationCode,
    message: string,
    facts: { fingerprint?: string; refused?: boolean; listMissing?: boolean } = {},
  ) {
    super(message)
    this.name = new.target.name
    this.code = code
    this.fingerprint = facts.fingerprint
    this.refused = facts.refused ?? false
    this.listMissing = facts.listMissing ?? false
  }
}
