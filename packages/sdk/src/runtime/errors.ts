/**
 * What the runtime client throws: one base class and the cases a caller branches on, which are siblings as in the Python
 * SDK: a 404 is no `APIError` (runtime contract §1.4, §17). No error carries a key or a request's content.
 */

export interface SymbiontErrorFields {
  /** HTTP status; undefined when there was no answer. */
  statusCode?: number | undefined
  /** The body as it came. */
  responseText?: string | undefined
  /** Names the failure, e.g. `REVIEW_NOT_FOUND`. */
  code?: string | undefined
  /** What is wrong with which field, where the server says so. */
  details?: Readonly<Record<string, unknown>> | undefined
  requestId?: string | undefined
  /** Whole seconds to wait. */
  retryAfter?: number | undefined
  cause?: unknown
}

/** Characters of what the server says that go into the message; the rest is in `responseText`. */
const MAX_TOLD = 1_000

export class SymbiontError extends Error {
  readonly statusCode: number | undefined
  readonly responseText: string | undefined
  readonly code: string | undefined
  readonly details: Readonly<Record<string, unknown>> | undefined
  readonly requestId: string | undefined
  readonly retryAfter: number | undefined

  constructor(message: string, fields: SymbiontErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause })
    this.name = new.target.name
    this.statusCode = fields.statusCode
    this.responseText = fields.responseText
    this.code = fields.code
    this.details = fields.details
    this.requestId = fields.requestId
    this.retryAfter = fields.retryAfter
  }
}

/** Any other failure status, and an answer that is not what it should be. */
export class APIError extends SymbiontError {}
/** 401. */
export class AuthenticationError extends SymbiontError {}
/** 401, because the token presented is past its time. */
export class AuthenticationExpiredError extends AuthenticationError {}
/** 403. */
export class PermissionDeniedError extends APIError {}
/** 404. */
export class NotFoundError extends SymbiontError {}
/** 429. */
export class RateLimitError extends SymbiontError {}
/** No answer in time, or a review that nobody decided. */
export class TimeoutError extends SymbiontError {}
/** No connection, or one that broke. */
export class ConnectionError extends SymbiontError {}

/** The error for an answer that is no success. */
export function errorOf(
  status: number,
  text: string,
  {
    requestId,
    retryAfter,
  }: { requestId?: string | undefined; retryAfter?: number | undefined } = {},
): SymbiontError {
  const told = bodyOf(text)
  const fields: SymbiontErrorFields = {
    statusCode: status,
    responseText: text,
    code: told.code,
    details: told.details,
    requestId: told.requestId ?? requestId,
    retryAfter,
  }
  const because = told.error === undefined ? '' : `: ${told.error.slice(0, MAX_TOLD)}`
  switch (status) {
    case 401: {
      const message = `Authentication failed - check your API key${because}`
      return /expired/i.test(text)
        ? new AuthenticationExpiredError(message, fields)
        : new AuthenticationError(message, fields)
    }
    case 403:
      return new PermissionDeniedError(`API request failed with status 403${because}`, fields)
    case 404:
      return new NotFoundError(`Resource not found${because}`, fields)
    case 429:
      return new RateLimitError(`Rate limit exceeded - too many requests${because}`, fields)
    default:
      return new APIError(`API request failed with status ${status}${because}`, fields)
  }
}

interface Told {
  error?: string
  code?: string
  details?: Readonly<Record<string, unknown>>
  requestId?: string
}

function bodyOf(text: string): Told {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return {}
  }
  if (typeof body !== 'object' || body === null) return {}
  const { error, code, details, request_id: requestId } = body as Record<string, unknown>
  return {
    ...(typeof error === 'string' && { error }),
    ...(typeof code === 'string' && { code }),
    ...(typeof details === 'object' &&
      details !== null && { details: details as Readonly<Record<string, unknown>> }),
    ...(typeof requestId === 'string' && { requestId }),
  }
}
