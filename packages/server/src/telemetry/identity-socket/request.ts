/** Requests of the identity socket: what they may say, and how a line is read. Pure. */
import * as z from 'zod'
import { ClaimRefused } from '../../identity/claims/claim-refused.ts'
import { MAX_CAPABILITIES } from '../../identity/claims/claim-terms.ts'
import { readStrictJson } from '../../json/strict-json.ts'

const Id = z.union([z.string().max(128), z.number(), z.null()]).optional()
const ClaimId = z.string().regex(/^jti_[0-9a-zA-Z]{1,64}$/, 'must be the id of a claim')
/** Out of range has an error of its own. */
const Seconds = z.int('must be a whole number of seconds')

const REQUESTS = {
  claim: z.strictObject({
    type: z.literal('claim'),
    id: Id,
    agent: z.string().min(1).max(128),
    ttl_secs: Seconds.optional(),
    capabilities: z.array(z.string().min(1).max(64)).max(MAX_CAPABILITIES).optional(),
    scope: z.enum(['process', 'tree']).optional(),
    token: z.string().min(1).max(16_384).optional(),
    replace: z.boolean().optional(),
  }),
  renew: z.strictObject({
    type: z.literal('renew'),
    id: Id,
    claim_id: ClaimId.optional(),
    ttl_secs: Seconds.optional(),
  }),
  release: z.strictObject({ type: z.literal('release'), id: Id, claim_id: ClaimId.optional() }),
  whoami: z.strictObject({ type: z.literal('whoami'), id: Id }),
  agents: z.strictObject({ type: z.literal('agents'), id: Id }),
} as const

export type IdentityRequest = {
  [Type in keyof typeof REQUESTS]: z.output<(typeof REQUESTS)[Type]>
}[keyof typeof REQUESTS]

/** A line as far as it was understood. */
export interface ReadRequest {
  /** Echoed, also with an error. */
  readonly id: string | number | null | undefined
  readonly request: IdentityRequest | ClaimRefused
}

export function readRequest(line: Buffer): ReadRequest {
  let value: unknown
  try {
    value = readStrictJson(line)
  } catch (error) {
    return { id: undefined, request: bad(error instanceof Error ? error.message : 'is not JSON') }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { id: undefined, request: bad('is not a JSON object') }
  const { id: given, type } = value as { id?: unknown; type?: unknown } // checked below
  const id = Id.safeParse(given).data
  if (typeof type !== 'string' || !isType(type)) {
    const known = Object.keys(REQUESTS).join(', ')
    return { id, request: bad(`type must be one of ${known}`) }
  }
  const parsed = REQUESTS[type].safeParse(value)
  if (parsed.success) return { id, request: parsed.data }
  const [issue] = parsed.error.issues
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `
  return { id, request: bad(`${where}${issue?.message ?? ''}`) }
}

function isType(type: string): type is keyof typeof REQUESTS {
  return Object.hasOwn(REQUESTS, type)
}

function bad(message: string): ClaimRefused {
  return new ClaimRefused('bad_request', message.slice(0, 200))
}
