/**
 * The provenance fields that may accompany a call (wire contract §6.8). They prove nothing the token does not,
 * so without a token id they are only held against it. Nothing of them is ever echoed.
 */
import { VestryError } from '@vestry/contract/errors'
import type { TokenClaims } from './claims.ts'
import { absent, invalidField } from './request-field.ts'
import { payloadHash } from './token-codec.ts'
import type { TokenStore } from './token-store.ts'
import type { VerifiedToken } from './verify.ts'

/** Without a token id. lenient: claims must not contradict. strict: must be the payload. off: ignored. */
export type ProofMode = 'lenient' | 'strict' | 'off'

export interface PresentedProof {
  /** `token_id` and `proof_payload` of the body, whatever their types. */
  readonly tokenId: unknown
  readonly proofPayload: unknown
}

/**
 * @returns Hex SHA-256 of a proof that says nothing about the token, for the log; undefined otherwise.
 * @throws VestryError `PROOF_REQUIRED`, `INVALID_FIELD`, `TOKEN_UNKNOWN`, `TOKEN_REVOKED` or `PROOF_MISMATCH`.
 */
export async function checkProof(
  { tokenId, proofPayload }: PresentedProof,
  token: VerifiedToken,
  { mode, tokens }: { mode: ProofMode; tokens: Pick<TokenStore, 'findByTokenId'> },
): Promise<string | undefined> {
  if (!absent(tokenId)) {
    await checkRegistered(tokenId, proofPayload, token, tokens)
    return undefined
  }
  if (mode === 'off' || absent(proofPayload)) return undefined
  const said = typeof proofPayload === 'string' ? parsed(proofPayload) : proofPayload
  if (mode === 'strict') {
    if (!saysAll(said, token.claims)) throw mismatch()
    return undefined
  }
  return compareClaims(said, proofPayload, token)
}

async function checkRegistered(
  tokenId: unknown,
  proof: unknown,
  { row }: VerifiedToken,
  tokens: Pick<TokenStore, 'findByTokenId'>,
): Promise<void> {
  if (typeof tokenId !== 'string') throw invalidField('token_id', 'text')
  if (absent(proof)) throw new VestryError('PROOF_REQUIRED')
  const named = tokenId === row.tokenId ? row : await tokens.findByTokenId(tokenId)
  if (named === undefined) throw new VestryError('TOKEN_UNKNOWN')
  if (named.revokedAt !== undefined) throw new VestryError('TOKEN_REVOKED')
  if (typeof proof !== 'string' || payloadHash(proof) !== named.payloadHash) throw mismatch()
  // A token id and a proof that fit each other are of no use with another token.
  if (named.payloadHash !== row.payloadHash) throw mismatch()
}

function compareClaims(
  said: unknown,
  proof: unknown,
  { claims }: VerifiedToken,
): string | undefined {
  const entries = isObject(said) ? Object.entries(said) : []
  const about = entries.filter(([key]) => Object.hasOwn(claims, key))
  for (const [key, value] of about) {
    if (!sameClaim(value, claims[key as keyof TokenClaims])) throw mismatch()
  }
  if (about.length > 0) return undefined
  return payloadHash(typeof proof === 'string' ? proof : JSON.stringify(proof))
}

function saysAll(said: unknown, claims: TokenClaims): boolean {
  if (!isObject(said)) return false
  const all = Object.entries(claims)
  return (
    Object.keys(said).length === all.length &&
    all.every(([key, claim]) => Object.hasOwn(said, key) && sameClaim(said[key], claim))
  )
}

/** Claims are texts and lists of texts. */
function sameClaim(value: unknown, claim: string | readonly string[]): boolean {
  if (typeof claim === 'string' || !Array.isArray(value)) return value === claim
  return value.length === claim.length && claim.every((word, index) => word === value[index])
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function mismatch(): VestryError {
  // The wire's own words for the reason: clients of the original product look for them.
  return new VestryError('PROOF_MISMATCH', 'provenance payload mismatch', {
    hint: 'Leave proof_payload out, or send the one that came with the token.',
  })
}
