/** What an agent's processes may claim, and whether a request keeps to it. Pure. */
import type { ClaimErrorCode } from '@vestry/contract/claim'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'

export const MAX_TTL_SECONDS = 30 * 86_400
export const DEFAULT_TTL_SECONDS = 3_600
export const MAX_CAPABILITIES = 64

const Capability = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$/, 'must be 1 to 64 letters, digits or . _ : / -')

export const ClaimTerms = z.strictObject({
  capabilities: z.array(Capability).max(MAX_CAPABILITIES).default([]),
  max_ttl_secs: z.int().min(1).max(MAX_TTL_SECONDS).default(DEFAULT_TTL_SECONDS),
  /** At the same time, over all nodes. */
  max_claims: z.int().min(0).max(10_000).default(1),
  scope_allowed: z.enum(['process', 'tree']).default('process'),
  claim_policy: z
    .strictObject({
      /** Users whose processes may claim; left out: the daemon's own, and those an operator starts it as. */
      uids: z.array(z.int().min(0).max(0xffff_fffe)).max(64).optional(),
      /** SHA-256 of the program files that may claim; left out: any. */
      exe_sha256: z
        .array(z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'))
        .max(64)
        .optional(),
      require_token: z.boolean().default(false),
    })
    .prefault({}),
})
export type ClaimTerms = z.output<typeof ClaimTerms>

export const STANDARD_TERMS: ClaimTerms = ClaimTerms.parse({})

/** A request as far as terms are concerned. */
export interface Wanted {
  readonly uid: number
  readonly scope: 'process' | 'tree'
  /** undefined: all of them. */
  readonly capabilities: readonly string[] | undefined
}

/** @param expectedUids Those that count where the terms name none. @returns Why not, or undefined. */
export function refusal(
  terms: ClaimTerms,
  wanted: Wanted,
  expectedUids: ReadonlySet<number>,
): { code: ClaimErrorCode; message: string } | undefined {
  const { uids } = terms.claim_policy
  if (uids === undefined ? !expectedUids.has(wanted.uid) : !uids.includes(wanted.uid)) {
    return { code: 'not_permitted', message: `processes of user ${wanted.uid} may not claim it` }
  }
  if (wanted.scope === 'tree' && terms.scope_allowed !== 'tree')
    return { code: 'not_permitted', message: 'it may not be claimed for child processes' }
  const missing = wanted.capabilities?.find((name) => !terms.capabilities.includes(name))
  if (missing === undefined) return undefined
  return { code: 'capability_not_granted', message: `the agent does not have "${missing}"` }
}

/** @returns undefined when it is out of range. */
export function lifetimeSeconds(terms: ClaimTerms, wanted: number | undefined): number | undefined {
  if (wanted === undefined) return Math.min(DEFAULT_TTL_SECONDS, terms.max_ttl_secs)
  return wanted >= 1 && wanted <= terms.max_ttl_secs ? wanted : undefined
}

/** @throws VestryError INVALID_PARAMS naming the first member that is wrong. */
export function acceptTerms(given: unknown): ClaimTerms {
  const parsed = ClaimTerms.safeParse(given)
  if (parsed.success)
    return { ...parsed.data, capabilities: [...new Set(parsed.data.capabilities)] }
  const [issue] = parsed.error.issues
  throw new VestryError('INVALID_PARAMS', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
}
