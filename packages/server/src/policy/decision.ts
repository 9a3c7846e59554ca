/**
 * From what the policies say to one decision with a reason. Errors deny (an unreadable forbid must not
 * be skipped), and a request that leaves the house needs more than a permit: a bound destination.
 */
import { newDecisionId } from '@vestry/contract/ids'
import { TOOL_CALL } from './actions.ts'
import { RUN_GRANT } from './builtin.cedar.ts'
import type { CedarRequest, EntitySource } from './cedar/entity.ts'
import { EvalContext } from './cedar/entity.ts'
import type { CompiledPolicy } from './cedar/policy.ts'
import type { Evaluation } from './cedar/policy-set.ts'
import { hostMatches } from './host.ts'
import type { Obligations } from './obligations.ts'
import type { PolicyContext, PolicyRequest } from './policy-request.ts'
import type { PreparedPolicy } from './prepared-policy.ts'
import { TOOL_RANKS } from './tool-ranks.ts'

export interface Decision {
  /** `dec_…` */
  id: string
  allow: boolean
  /** Ids of the policies that held, and of those that could not be evaluated. */
  permits: string[]
  forbids: string[]
  errors: string[]
  /** For a person. */
  reason: string
  reasonCode: string
  /** Of the refusal that is told: the lowest answers. Infinity when nothing gave it a place. */
  rank: number
  /** On a refusal: the permit that came nearest, and its first condition that did not hold. */
  closest?: Closest
  /** Digest of the policy set that decided. */
  policySet: string
  obligations: Obligations
  /** Host patterns of the permits that match the target. */
  hostPatterns: string[]
}

export interface Closest {
  policy: string
  clause: string
}

/** Clause names as the vault importer writes them → the code a refusal carries. */
const CLAUSE_CODES: Readonly<Record<string, string>> = {
  selectors: 'no_matching_rule',
  period: 'outside_period',
  expiry: 'rule_expired',
  hours: 'outside_hours',
  transport: 'transport_not_allowed',
  source: 'source_not_allowed',
  host: 'host_not_allowed',
  cleartext: 'cleartext_not_allowed',
  redirect: 'redirect_not_allowed',
  method: 'method_not_allowed',
  header: 'header_not_allowed',
  content_type: 'content_type_not_allowed',
  size: 'too_large',
  algorithm: 'algorithm_not_allowed',
}

const REFUSED: Obligations = Object.freeze({
  renewable: false,
  rates: [],
  quotas: [],
  approve: [],
  requireReason: false,
  redact: [],
  truncate: [],
  pii: [],
  block: [],
  caps: {},
})

/** One policy set in force, as far as judging needs it. */
export interface Judge {
  digest: string
  prepared(policy: CompiledPolicy): PreparedPolicy
  obligations(permits: readonly CompiledPolicy[]): Obligations
  candidates(request: CedarRequest): CompiledPolicy[]
}

export function judge(
  judge: Judge,
  request: PolicyRequest,
  cedar: CedarRequest,
  source: EntitySource,
  { permits, forbids, errors }: Evaluation,
): Decision {
  const answer = {
    id: newDecisionId(),
    permits: permits.map(({ id }) => (id === RUN_GRANT ? grantOf(request.context) : id)),
    forbids: forbids.map(({ id }) => id),
    errors: errors.map(({ policy }) => policy.id),
    policySet: judge.digest,
  }
  const refuse = (
    rank: number,
    reasonCode: string,
    reason: string,
    closest?: Closest,
  ): Decision => ({
    ...answer,
    allow: false,
    reason,
    reasonCode,
    rank,
    ...(closest === undefined ? {} : { closest }),
    obligations: REFUSED,
    hostPatterns: [],
  })

  const unpermitted = permits.length === 0 ? (request.unpermittedRank ?? Infinity) : undefined
  const told = (rank: number): boolean => unpermitted === undefined || rank <= unpermitted
  const [forbid] = forbids.map((policy) => judge.prepared(policy)).sort((a, b) => a.rank - b.rank)
  if (forbid !== undefined && told(forbid.rank)) {
    // An operator's description is for operators; ours is for everyone.
    const ours = [BUILTIN_PREFIX, GATEWAY_PREFIX].some((own) => forbid.policy.id.startsWith(own))
    const own = ours ? forbid.description : undefined
    const why = own ?? `denied by "${forbid.policy.id}"`
    return refuse(forbid.rank, forbid.reason ?? 'denied_by_rule', why)
  }
  const broken = errors.find(({ policy }) => policy.effect === 'forbid')
  if (broken !== undefined && told(judge.prepared(broken.policy).rank)) {
    const { policy, message } = broken
    const { rank } = judge.prepared(policy)
    return refuse(rank, 'policy_error', `forbid "${policy.id}" could not be evaluated: ${message}`)
  }
  if (unpermitted !== undefined) {
    const near = nearestPermit(judge, cedar, source)
    const tool = request.action === TOOL_CALL
    if (near === undefined) {
      const reason = `no rule allows ${request.action} here`
      return refuse(unpermitted, tool ? 'SCOPE_NOT_ALLOWED' : 'no_matching_rule', reason)
    }
    const failed = CLAUSE_CODES[near.clause] ?? 'condition_not_met'
    const code = near.error ? 'policy_error' : tool ? 'SCOPE_NOT_ALLOWED' : failed
    const what = near.error ? `could not evaluate "${near.clause}"` : `requires "${near.clause}"`
    const closest = { policy: near.policy, clause: near.clause }
    return refuse(unpermitted, code, `"${near.policy}" would allow it but ${what}`, closest)
  }

  const obligations = judge.obligations(permits)
  const hostPatterns = matchingHosts(judge, permits, request.context)
  const unbound =
    request.action === SEND && unboundRequest(request.context, obligations, hostPatterns)
  if (unbound) {
    const policy = answer.permits[0] ?? ''
    return refuse(Infinity, CLAUSE_CODES[unbound.clause] ?? unbound.clause, unbound.reason, {
      policy,
      clause: unbound.clause,
    })
  }
  if (unlistedDomain(request, answer.permits, hostPatterns)) {
    const reason = 'no policy lists the domains that may be fetched from'
    return refuse(TOOL_RANKS.domainNotAllowed, 'DOMAIN_NOT_ALLOWED', reason)
  }
  return {
    ...answer,
    allow: true,
    reason: `allowed by ${answer.permits.map((id) => `"${id}"`).join(', ')}`,
    reasonCode: 'allowed',
    rank: Infinity,
    obligations,
    hostPatterns,
  }
}

export const SEND = 'vault:use:http_request'
/** The tool that goes where the caller says. */
export const FETCH_TOOL = 'http_fetch'
/** In `context.holds`: the operator's own list of domains names the target. */
export const DOMAIN_LISTED = 'domain_listed'
const BUILTIN_PREFIX = 'builtin:'
/** Ids of gateway policies, and of all that they become. */
export const GATEWAY_PREFIX = 'gateway:'

/**
 * A permit written in Cedar may forget what every rule must state: where the secret may go, and that
 * it may go there in the clear or after a redirect. What nobody stated is refused.
 */
function unboundRequest(
  context: PolicyContext,
  obligations: Obligations,
  hostPatterns: readonly string[],
): { clause: string; reason: string } | undefined {
  if (hostPatterns.length === 0 && context.credentialHosts !== 'match') {
    const reason = 'neither the rule (hosts) nor the credential (allowed_hosts) lists this host'
    return { clause: 'host', reason }
  }
  if (context.target?.scheme === 'http' && obligations.allowHttp !== true) {
    return { clause: 'cleartext', reason: 'no rule allows cleartext http (allow_http)' }
  }
  if (context.redirect === true && obligations.allowRedirects !== true) {
    return { clause: 'redirect', reason: 'no rule allows redirects (allow_redirects)' }
  }
  return undefined
}

/**
 * Fetching needs a list of domains: of the merged gateway policies, of the permit itself, or of the tool.
 * The first kind is a forbid and was heard already.
 */
function unlistedDomain(
  { resource, context }: PolicyRequest,
  permits: readonly string[],
  hostPatterns: readonly string[],
): boolean {
  if (resource.kind !== 'tool' || resource.tool !== FETCH_TOOL) return false
  if (hostPatterns.length > 0 || context.holds?.includes(DOMAIN_LISTED) === true) return false
  return !permits.some((id) => id.startsWith(GATEWAY_PREFIX))
}

function matchingHosts(
  judge: Judge,
  permits: readonly CompiledPolicy[],
  { target }: PolicyContext,
): string[] {
  if (target === undefined) return []
  const texts = new Set<string>()
  for (const permit of permits) {
    for (const pattern of judge.prepared(permit).hosts) {
      if (hostMatches(pattern, target)) texts.add(pattern.text)
    }
  }
  return [...texts]
}

function grantOf({ run }: PolicyContext): string {
  return `run:${run ?? ''}`
}

/** The candidate permit with the longest run of conditions that hold, and the first that does not. */
function nearestPermit(
  judge: Judge,
  cedar: CedarRequest,
  source: EntitySource,
): (Closest & { error: boolean }) | undefined {
  const context = new EvalContext(cedar, source)
  let nearest: (Closest & { error: boolean }) | undefined
  let longest = -1
  for (const policy of judge.candidates(cedar)) {
    if (policy.effect !== 'permit') continue
    const results = policy.conditions.map((condition) => condition.holds(context))
    const held = results.findIndex((result) => result !== true)
    if (held <= longest) continue
    longest = held
    const clause = judge.prepared(policy).clauses[held] ?? `condition ${held + 1}`
    nearest = { policy: policy.id, clause, error: results[held] !== false }
  }
  return nearest
}
