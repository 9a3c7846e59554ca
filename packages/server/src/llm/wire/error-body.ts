/**
 * Errors as clients of the LLM gateway know them: a status and a code they branch on (wire contract §14.3), in
 * OpenAI's envelope, or in Anthropic's on its own routes. Nothing a caller sent as a credential is repeated.
 */
import { asVestryError, type ErrorCode, type VestryError } from '@vestry/contract/errors'
import { errorType, waitSeconds } from '../../http/nested-error.ts'

export type Envelope = 'openai' | 'anthropic'

export interface WireError {
  readonly status: number
  readonly type: string
  readonly code: string
  readonly message: string
  readonly param: string | null
  /** Whole seconds from 1 to 60. */
  readonly retryAfter: number | undefined
  /** Methods that the route has. */
  readonly allow: string | undefined
}

/** Codes of ours that have the same name there. */
const SAME: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'INVALID_JSON',
  'UNSUPPORTED_PARAMETER',
  'UNSUPPORTED_OPERATION',
  'UNKNOWN_PROVIDER',
  'CONTEXT_LENGTH_EXCEEDED',
  'CONTENT_FILTER',
  'IDENTITY_MISSING',
  'IDENTITY_INVALID',
  'IDENTITY_EXPIRED',
  'TXN_MISSING',
  'TXN_INVALID',
  'TXN_EXPIRED',
  'IDENTITY_TXN_MISMATCH',
  'RUN_CLOSED',
  'DLP_BLOCKED',
  'BUDGET_EXHAUSTED',
  'PROVIDER_KEY_MISSING',
  'MODEL_NOT_ALLOWED',
  'CATEGORY_NOT_ALLOWED',
  'PROVIDER_NOT_ALLOWED',
  'SCOPE_NOT_ALLOWED',
  'ROUTE_NOT_FOUND',
  'MODEL_NOT_FOUND',
  'METHOD_NOT_ALLOWED',
  'UNSUPPORTED_MEDIA_TYPE',
  'HEADERS_TOO_LARGE',
  'REQUEST_TOO_LARGE',
  'RATE_LIMITED',
  'PROVIDER_RATE_LIMITED',
  'INTERNAL_ERROR',
  'PROVIDER_AUTH_FAILED',
  'PROVIDER_ERROR',
  'PROVIDER_OVERLOADED',
  'GATEWAY_OVERLOADED',
  'SHUTTING_DOWN',
  'PROVIDER_TIMEOUT',
])

/** Codes whose name there is another. Their own status holds unless it is told. */
const OTHERS: Partial<Record<ErrorCode, readonly [code: string, status: number]>> = {
  BAD_REQUEST: ['invalid_request', 400],
  INVALID_PARAMS: ['invalid_request', 400],
  DEADLINE_EXCEEDED: ['invalid_request', 408],
  ACCESS_DENIED: ['model_not_allowed', 403],
  APPROVAL_REQUIRED: ['model_not_allowed', 403],
  // Nobody is there to read it; the status is for the record.
  CANCELLED: ['invalid_request', 499],
  VAULT_LOCKED: ['gateway_overloaded', 503],
  NOT_INITIALIZED: ['gateway_overloaded', 503],
  AUDIT_UNAVAILABLE: ['gateway_overloaded', 503],
  STORE_UNAVAILABLE: ['gateway_overloaded', 503],
}

export function wireError(thrown: unknown): WireError {
  const error = asVestryError(thrown)
  const [code, status] = named(error)
  const { param, allow } = error.context
  return {
    status,
    type: errorType(status),
    code,
    message: messageOf(error, status),
    param: typeof param === 'string' ? param : null,
    retryAfter: retrySeconds(error, status),
    allow: typeof allow === 'string' ? allow : undefined,
  }
}

function named(error: VestryError): readonly [code: string, status: number] {
  const other = OTHERS[error.code]
  if (other !== undefined) return other
  if (SAME.has(error.code)) return [error.code.toLowerCase(), error.status]
  return ['internal_error', 500]
}

/** What is a fault of ours is told in our log. */
function messageOf({ message, hint, code }: VestryError, status: number): string {
  if (status === 500 && code !== 'PROVIDER_AUTH_FAILED') return 'Unexpected failure'
  return hint === undefined ? message : `${message}. ${hint}`
}

/** Published clients sleep exactly so long, whatever it says. */
function retrySeconds({ context }: VestryError, status: number): number | undefined {
  if (status !== 429) return status === 503 ? 1 : undefined
  const isUnknown = context['retry_after_unknown'] === true
  return isUnknown && typeof context['retry_after_ms'] !== 'number'
    ? undefined
    : waitSeconds(context)
}

/** The envelope as JSON text, on one line. */
export function errorText(error: WireError, envelope: Envelope, requestId: string): string {
  const { type, code, message, param } = error
  if (envelope === 'anthropic') {
    return JSON.stringify({ type: 'error', error: { type, message }, request_id: requestId })
  }
  return JSON.stringify({ error: { message, type, code, param, request_id: requestId } })
}

export function errorHeaders({ status, retryAfter, allow }: WireError): Record<string, string> {
  return {
    ...(retryAfter !== undefined && { 'Retry-After': String(retryAfter) }),
    ...(allow !== undefined && { Allow: allow }),
    ...(status === 401 && { 'WWW-Authenticate': 'Bearer error="invalid_token"' }),
  }
}
