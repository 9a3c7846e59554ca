/** A signature as the runtime API shows it (runtime contract §7.1). */
import { isRawNumber, type TokenJson } from '../../json/raw-number.ts'
import type { ToolDocument } from '../tool-document.ts'
import { CANONICALIZATION, SIGNATURE_ALGORITHM } from './schemapin.ts'
import type { ToolSignature } from './signatures.ts'
import type { SigningKey } from './signing-key.ts'
import { discoveryUrl } from './well-known.ts'

export const FLOAT_WARNING = 'float in signed schema, not portable'

/** @param key That signed; undefined when it is not known any more. */
export function signingResult(
  signed: ToolSignature,
  key: SigningKey | undefined,
): Record<string, unknown> {
  return {
    review_id: signed.reviewId,
    signature: signed.signature,
    signed_at: new Date(signed.signedAt).toISOString(),
    signer_id: signed.signerId,
    signature_algorithm: SIGNATURE_ALGORITHM,
    signature_profile: signed.profile,
    signing_key_id: signed.keyId,
    key_fingerprint: signed.keyFingerprint,
    schema_hash: signed.schemaHash,
    canonicalization: CANONICALIZATION,
    canonical_json: signed.canonicalJson,
    public_key_pem: key?.publicKeyPem ?? null,
    public_key_url: discoveryUrl(signed.signerId),
    previous_hash: signed.previousHash ?? null,
    expires_at: null,
    warnings: portabilityWarnings(signed.document),
  }
}

/** The signed tool whole; numbers in it are written as they were signed. */
export function signedTool(
  signed: ToolSignature,
  key: SigningKey | undefined,
): Record<string, unknown> {
  return { tool: signed.document, ...signingResult(signed, key) }
}

/** What other implementations may write differently. */
export function portabilityWarnings({ schema }: ToolDocument): string[] {
  return holdsFloat(schema) ? [FLOAT_WARNING] : []
}

export function holdsFloat(value: TokenJson): boolean {
  if (isRawNumber(value)) return /[.eE]/.test(value.rawJSON)
  if (typeof value === 'number') return !Number.isInteger(value)
  if (typeof value !== 'object' || value === null) return false
  return Object.values(value).some((member) => holdsFloat(member as TokenJson))
}
