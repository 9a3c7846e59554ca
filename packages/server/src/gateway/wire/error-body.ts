/**
 * Errors as the gateway's clients can read them: a JSON object whose `error` is a string, under a status that
 * makes them raise the right class (gateway contract §4). The words `policy` and `scope` on status 400 mean a
 * policy error to those clients, so no other 400 may hold them.
 */
import { asVestryError, ERRORS, type ErrorCode, type VestryError } from '@vestry/contract/errors'

export interface ErrorReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, unknown>>
  /** As the metrics count it. */
  readonly kind: 'auth' | 'policy' | 'network' | 'upstream' | undefined
  /** Of a policy denial, its reason. */
  readonly denial: string | undefined
}

/** Reasons the contract names; others are told as `GUARD`. */
const REASONS: ReadonlySet<string> = new Set([
  'SCOPE_NOT_ALLOWED',
  'TOKEN_SCOPE',
  'TOKEN_PERMISSION',
  'INTENT_MISMATCH',
  'INTENT_REQUIRED',
  'REQUEST_TOO_LARGE',
  'DOMAIN_BLOCKED',
  'DOMAIN_NOT_ALLOWED',
  'TIME_WINDOW',
  'SCHEDULE',
  'PII',
  'RESPONSE_TOO_LARGE',
  'RESPONSE_BLOCKED',
  'GUARD',
  'APPROVAL_REQUIRED',
])

/** Our codes that mean "nobody permits it", in other words than the contract's. */
const UNPERMITTED =
  /^(?:no_matching_rule|condition_not_met|\w+_not_allowed|outside_\w+|rule_expired)$/

/** Codes whose name on this wire is another. */
const WIRE_CODES: Partial<Record<ErrorCode, string>> = {
  INTERNAL_ERROR: 'INTERNAL',
  UPSTREAM_ERROR: 'UPSTREAM_FAILED',
  TOKEN_UNREGISTERED: 'TOKEN_UNKNOWN',
  REDIRECT_BLOCKED: 'UPSTREAM_REJECTED',
  POLICY_INVALID: 'VALIDATION_ERROR',
}

const STATUSES: Partial<Record<ErrorCode, number>> = {
  REDIRECT_BLOCKED: 422,
  RESPONSE_TOO_LARGE: 422,
  STORE_CORRUPT: 500,
}

const WORDS: Partial<Record<ErrorCode, string>> = {
  RATE_LIMITED: 'Rate limit exceeded',
  INVALID_PARAMS: 'Parameter validation failed',
  POLICY_INVALID: 'Validation error',
  REDIRECT_BLOCKED: 'Upstream service rejected the request',
}

/** Waits that are known without anybody having said them: seconds. */
const WAITS: Partial<Record<ErrorCode, number>> = {
  SHUTTING_DOWN: 1,
  VAULT_LOCKED: 5,
  NOT_INITIALIZED: 5,
  STORE_UNAVAILABLE: 1,
  AUDIT_UNAVAILABLE: 1,
  CIRCUIT_OPEN: 1,
  QUEUE_FULL: 1,
}
/** Waiting is no use before somebody changes something; clients still want a number. */
const NO_USE_SECONDS = 3_600

const KINDS: readonly [RegExp, ErrorReply['kind']][] = [
  [/^(?:TOKEN_|AGENT_|PROOF_|AUTH_)/, 'auth'],
  [/^(?:UPSTREAM_TIMEOUT|DEADLINE_)/, 'network'],
  [/^(?:UPSTREAM_|CIRCUIT_)/, 'upstream'],
]

export function errorReply(
  thrown: unknown,
  correlationId: string,
  { denialStatus }: { denialStatus: number },
): ErrorReply {
  const error = asVestryError(thrown)
  const denial = denialOf(error)
  if (denial !== undefined) return denialReply(error, denial, correlationId, denialStatus)
  const { code, context } = error
  const quota = code === 'RATE_LIMITED' && context['quota'] === true
  const name = quota ? 'QUOTA_EXCEEDED' : code
  const status = STATUSES[name] ?? (quota ? ERRORS[name].status : error.status)
  const retryAfter = retrySeconds(error, status)
  return {
    status,
    headers: retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) },
    body: {
      error: wordsFor(name, context),
      code: WIRE_CODES[name] ?? name,
      ...(status < 500 && error.message !== ERRORS[code].message && { reason: error.message }),
      ...(status === 503 && { reason: error.message }),
      ...members(context),
      ...(error.hint !== undefined && { hint: error.hint }),
      ...(retryAfter !== undefined && { retry_after: retryAfter }),
      correlation_id: correlationId,
    },
    kind: KINDS.find(([pattern]) => pattern.test(name))?.[1],
    denial: undefined,
  }
}

function denialReply(
  { message, hint, context }: VestryError,
  reason: string,
  correlationId: string,
  status: number,
): ErrorReply {
  return {
    status,
    headers: {},
    body: {
      error: `Policy denied: policy violation (${reason})`,
      code: `POLICY_${reason}`,
      reason: message,
      ...members(context),
      ...(hint !== undefined && { hint }),
      correlation_id: correlationId,
    },
    kind: 'policy',
    denial: reason,
  }
}

/** The reason of what counts as a denial by policy on this wire; undefined for every other error. */
export function denialOf({ code, context }: VestryError): string | undefined {
  if (code === 'SSRF_BLOCKED') return 'DOMAIN_BLOCKED'
  if (code === 'APPROVAL_REQUIRED') return 'APPROVAL_REQUIRED'
  if (code !== 'ACCESS_DENIED') return undefined
  const reason = String(context['reason_code'] ?? '')
  // Only tools are denied by policy here; operators are refused like anybody without the right.
  if (context['tool'] === undefined && reason !== 'denied_by_operator') return undefined
  if (REASONS.has(reason)) return reason
  return UNPERMITTED.test(reason) ? 'SCOPE_NOT_ALLOWED' : 'GUARD'
}

function wordsFor(code: ErrorCode, { details }: Readonly<Record<string, unknown>>): string {
  // A body whose problems are listed one by one, which the original answered so (§9.3).
  if (code === 'INVALID_FIELD' && details !== undefined) return 'Validation error'
  return WORDS[code] ?? ERRORS[code].message
}

/** What of an error's context may be shown. */
function members(context: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { details, upstream_status, executed, approval_id, decision } = context
  return {
    ...(details !== undefined && { details }),
    ...(upstream_status !== undefined && { upstream_status }),
    ...(executed === true && { executed }),
    ...(approval_id !== undefined && { approval_id }),
    ...(decision !== undefined && { decision_id: decision }),
  }
}

function retrySeconds({ code, context }: VestryError, status: number): number | undefined {
  const ms = context['retry_after_ms']
  if (typeof ms === 'number') return Math.max(1, Math.ceil(ms / 1_000))
  if (status === 429) return NO_USE_SECONDS
  return WAITS[code]
}
