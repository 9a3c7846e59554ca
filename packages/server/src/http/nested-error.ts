/** Errors of the run wires: `{"error": {message, type, code, param, request_id}}` (sage contract §14.1). */
import { asVestryError, type ErrorCode } from '@vestry/contract/errors'

export interface NestedError {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, unknown>>
}

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
}

/** What these wires call differently. */
const NAMES: Partial<Record<ErrorCode, string>> = {
  BAD_REQUEST: 'invalid_request',
  INVALID_PARAMS: 'invalid_request',
  VAULT_LOCKED: 'gateway_overloaded',
  NOT_INITIALIZED: 'gateway_overloaded',
  AUDIT_UNAVAILABLE: 'gateway_overloaded',
  STORE_UNAVAILABLE: 'gateway_overloaded',
}

/** @param thrown Anything; what is no error of ours becomes `internal_error` and keeps its text to itself. */
export function nestedError(thrown: unknown, requestId: string): NestedError {
  const { code, message, hint, status, context } = asVestryError(thrown)
  return {
    status,
    headers: {
      ...(status === 401 && { 'www-authenticate': 'Bearer error="invalid_token"' }),
      ...(status === 503 && { 'retry-after': '1' }),
      ...(status === 429 && { 'retry-after': String(waitSeconds(context)) }),
    },
    body: {
      error: {
        message: hint === undefined ? message : `${message}. ${hint}`,
        type: errorType(status),
        code: NAMES[code] ?? code.toLowerCase(),
        param: null,
        request_id: requestId,
      },
    },
  }
}

export function errorType(status: number): string {
  return TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
}

/** Whole seconds from 1 to 60: published clients sleep exactly so long. */
export function waitSeconds({ retry_after_ms: ms }: Readonly<Record<string, unknown>>): number {
  return typeof ms === 'number' ? Math.min(60, Math.max(1, Math.ceil(ms / 1_000))) : 60
}

/** As bytes: to a text the HTTP library adds a charset, which this wire does not write. */
export function jsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
