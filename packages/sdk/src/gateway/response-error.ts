/** From an answer that is no success to the error class a caller catches: the table of wire contract §4.2. */
import { extractCorrelationId, type HeaderSource, headerOf } from './correlation.ts'
import {
  GatewayAuthError,
  GatewayError,
  type GatewayErrorOptions,
  GatewayPolicyError,
  GatewayRateLimitError,
  GatewayUpstreamError,
} from './errors.ts'

/**
 * @param statusCode HTTP status.
 * @param body       The parsed body, `{ error, code, reason, details, … }`; a string is the message.
 * @param headers    For `Retry-After`, `X-Correlation-Id` and the advice to replace the token.
 */
export function createErrorFromResponse(
  statusCode: number,
  body?: unknown,
  headers: HeaderSource = {},
): GatewayError {
  const wire: Record<string, unknown> = isRecord(body) ? body : { error: body }
  const message = textOf(wire['error']) ?? `The gateway answered with status ${statusCode}`
  const options = {
    statusCode,
    errorCode: textOf(wire['code']),
    reason: textOf(wire['reason']),
    details: linesOf(wire['details']),
    retryAfter: secondsOf(headerOf(headers, 'retry-after')) ?? secondsOf(wire['retry_after']),
    correlationId: textOf(wire['correlation_id']) ?? extractCorrelationId(headers),
    rotationRecommended: recommendsRotation(headers),
  } satisfies GatewayErrorOptions
  return new (classOf(statusCode, message, options.errorCode))(message, options)
}

/** The literal `true` and nothing else. */
export function recommendsRotation(headers: HeaderSource): boolean {
  return headerOf(headers, 'x-token-rotation-recommended') === 'true'
}

type ErrorClass = new (message: string, options: GatewayErrorOptions) => GatewayError

function classOf(status: number, message: string, errorCode: string | undefined): ErrorClass {
  // A gateway told to deny with 403, as its predecessor did, still says in the code what it is.
  const denied = errorCode?.startsWith('POLICY_') ?? false
  if (denied && (status === 400 || status === 403)) return GatewayPolicyError
  if (status === 401 || status === 403) return GatewayAuthError
  if (status === 429) return GatewayRateLimitError
  if (status === 400 && /policy|scope/i.test(message)) return GatewayPolicyError
  if (status === 502 || status === 503 || status === 504) return GatewayUpstreamError
  return GatewayError
}

/** Whole seconds only: a date in `Retry-After` is not a number to wait. */
function secondsOf(value: unknown): number | undefined {
  if (typeof value === 'string' && /^\d{1,9}$/.test(value.trim())) return Number(value)
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined
}

function linesOf(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined
  return value.filter((line) => typeof line === 'string')
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
