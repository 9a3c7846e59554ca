/**
 * What the gateway client throws: one base class and the cases a caller branches on. No error carries
 * a token, a key or a request's content.
 */

/** What an error knows beyond its text. */
export interface GatewayErrorFields {
  /** HTTP status; undefined when there was no answer. */
  statusCode?: number | undefined
  /** The class as text, e.g. `AUTH_ERROR`. */
  code?: string | undefined
  /** The gateway's own code, e.g. `TOKEN_EXPIRED`. */
  errorCode?: string | undefined
  /** For people: why a policy said no, which limit was met. */
  reason?: string | undefined
  /** One line per invalid parameter: `path: message`. */
  details?: readonly string[] | undefined
  /** Whole seconds to wait. */
  retryAfter?: number | undefined
  correlationId?: string | undefined
  /** The gateway advised, with this answer, to replace the token. */
  rotationRecommended?: boolean | undefined
  cause?: unknown
}

/** The options of a class that has its code. */
export type GatewayErrorOptions = Omit<GatewayErrorFields, 'code'>

export class GatewayError extends Error {
  readonly statusCode: number | undefined
  readonly code: string | undefined
  readonly errorCode: string | undefined
  readonly reason: string | undefined
  readonly details: readonly string[] | undefined
  readonly retryAfter: number | undefined
  readonly correlationId: string | undefined
  readonly rotationRecommended: boolean

  constructor(message: string, fields: GatewayErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause })
    this.name = new.target.name
    this.statusCode = fields.statusCode
    this.code = fields.code
    this.errorCode = fields.errorCode
    this.reason = fields.reason
    this.details = fields.details
    this.retryAfter = fields.retryAfter
    this.correlationId = fields.correlationId
    this.rotationRecommended = fields.rotationRecommended ?? false
  }

  toJSON(): Record<string, unknown> {
    const { name, message, statusCode, code, errorCode, reason, details, retryAfter } = this
    const { correlationId } = this
    return {
      name,
      message,
      statusCode,
      code,
      errorCode,
      reason,
      details,
      retryAfter,
      correlationId,
    }
  }
}

/** `AUTH_ERROR`, 401 and 403: the token or the agent was not accepted. */
export class GatewayAuthError extends GatewayError {
  constructor(message: string, options: GatewayErrorOptions = {}) {
    super(message, { ...options, code: 'AUTH_ERROR' })
  }
}

/** `POLICY_ERROR`: a policy denied the call. */
export class GatewayPolicyError extends GatewayError {
  constructor(message: string, options: GatewayErrorOptions = {}) {
    super(message, { ...options, code: 'POLICY_ERROR' })
  }
}

/** `RATE_LIMIT_ERROR`, 429: a rate limit or a quota; `retryAfter` says how long. */
export class GatewayRateLimitError extends GatewayError {
  constructor(message: string, options: GatewayErrorOptions = {}) {
    super(message, { ...options, code: 'RATE_LIMIT_ERROR' })
  }
}

/** `UPSTREAM_ERROR`, 502 to 504: the service behind the gateway failed, or the gateway is not ready. */
export class GatewayUpstreamError extends GatewayError {
  constructor(message: string, options: GatewayErrorOptions = {}) {
    super(message, { ...options, code: 'UPSTREAM_ERROR' })
  }
}

/** `NETWORK_ERROR`: there was no answer: connection failed, was lost, or time ran out. */
export class GatewayNetworkError extends GatewayError {
  /** False when nothing can have reached the gateway, e.g. after a refused connection. */
  readonly maybeSent: boolean

  constructor(message: string, options: GatewayErrorOptions & { maybeSent?: boolean } = {}) {
    super(message, { ...options, code: 'NETWORK_ERROR' })
    this.maybeSent = options.maybeSent ?? true
  }
}

/** `TOKEN_ERROR`: refused before any request, because the token was issued more than 24 hours ago. */
export class GatewayTokenError extends GatewayError {
  constructor(message: string, options: GatewayErrorOptions = {}) {
    super(message, { ...options, code: 'TOKEN_ERROR' })
  }
}

/** A mistake in the caller's own code: code `INVALID_PARAMS`, never a status. */
export function invalid(message: string): GatewayError {
  return new GatewayError(message, { code: 'INVALID_PARAMS' })
}
