/** Errors as clients of this API read them: one flat object, under a status that makes them raise the right class. */
import { issueText } from '@vestry/contract/accept'
import { asVestryError, ERRORS, type ErrorCode, type VestryError } from '@vestry/contract/errors'
import * as z from 'zod'

export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, unknown>>
}

/** Codes that other wires call so. */
const CODES: Partial<Record<ErrorCode, ErrorCode>> = {
  BAD_REQUEST: 'INVALID_JSON',
  INVALID_REQUEST: 'VALIDATION_ERROR',
  INVALID_PARAMS: 'VALIDATION_ERROR',
  INVALID_FIELD: 'VALIDATION_ERROR',
  MISSING_FIELDS: 'VALIDATION_ERROR',
  REQUEST_TOO_LARGE: 'BODY_TOO_LARGE',
  VAULT_LOCKED: 'NOT_READY',
  NOT_INITIALIZED: 'NOT_READY',
  SHUTTING_DOWN: 'NOT_READY',
  AUDIT_UNAVAILABLE: 'NOT_READY',
  STORE_UNAVAILABLE: 'NOT_READY',
  GATEWAY_OVERLOADED: 'NOT_READY',
  QUEUE_FULL: 'NOT_READY',
  STORE_CORRUPT: 'INTERNAL_ERROR',
  SEAL_BROKEN: 'INTERNAL_ERROR',
}

/** To the client these statuses say something of its own key or of what it asked for, so nothing else may use them. */
const STATUSES: Partial<Record<ErrorCode, number>> = {
  SSRF_BLOCKED: 502,
  REDIRECT_BLOCKED: 502,
  UPSTREAM_REJECTED: 502,
  UPSTREAM_RATE_LIMITED: 503,
  PROVIDER_RATE_LIMITED: 503,
  PROVIDER_KEY_MISSING: 503,
  MODEL_NOT_FOUND: 502,
  UNUSABLE_CREDENTIAL: 502,
  DECRYPT_FAILED: 502,
  LEASE_EXPIRED: 409,
  LEASE_EXHAUSTED: 409,
}

/** What of an error's context is for headers. */
const NOT_DETAILS: ReadonlySet<string> = new Set(['details', 'retry_after_ms', 'allow'])
const RETRY_SOON_SECONDS = 1
const MAX_FIELDS = 50

export function problemOf(thrown: unknown, requestId: string): Problem {
  const error = asVestryError(thrown)
  const code = CODES[error.code] ?? error.code
  const status = statusOf(error, code)
  // What broke in here is for the log, and no business of whoever asked.
  const isOurs = code === 'INTERNAL_ERROR'
  return {
    status,
    headers: {
      ...(status === 401 && { 'www-authenticate': 'Bearer' }),
      ...(typeof error.context['allow'] === 'string' && { allow: error.context['allow'] }),
      ...((status === 429 || code === 'NOT_READY' || isLimited(status, error)) && {
        'retry-after': retryAfter(error),
      }),
    },
    body: {
      error: isOurs ? ERRORS[code].message : error.message,
      code,
      details: isOurs ? null : detailsOf(error),
      ...(error.hint !== undefined && !isOurs && { hint: error.hint }),
      request_id: requestId,
    },
  }
}

/** Something behind us told when to come again. */
function isLimited(status: number, { context }: VestryError): boolean {
  return status === 503 && typeof context['retry_after_ms'] === 'number'
}

/** Whether it belongs into our own log, with its trace. */
export function isInternal(thrown: unknown): boolean {
  return statusOf(asVestryError(thrown), asVestryError(thrown).code) === 500
}

function statusOf(error: VestryError, code: ErrorCode): number {
  // A body that took too long in coming; handlers that do are told by 504.
  if (error.code === 'DEADLINE_EXCEEDED') return 408
  const status = STATUSES[error.code] ?? ERRORS[code].status
  if (status === 401 && code !== 'UNAUTHORIZED' && code !== 'TOKEN_EXPIRED') return 502
  return status === 422 ? 400 : status
}

function detailsOf({ context, cause }: VestryError): unknown {
  const { details } = context
  if (cause instanceof z.ZodError) {
    return {
      fields: cause.issues.slice(0, MAX_FIELDS).map((issue) => ({
        path: z.core.toDotPath(issue.path),
        problem: issueText(issue),
      })),
    }
  }
  if (typeof details === 'object' && details !== null) return details
  const rest = Object.entries(context).filter(([name]) => !NOT_DETAILS.has(name))
  return rest.length === 0 ? null : Object.fromEntries(rest)
}

function retryAfter({ context }: VestryError): string {
  const ms = context['retry_after_ms']
  return String(typeof ms === 'number' ? Math.max(1, Math.ceil(ms / 1_000)) : RETRY_SOON_SECONDS)
}
