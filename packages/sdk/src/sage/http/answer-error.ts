/** From a bad answer to the class an agent catches: by the server's code, else by the status. Pure. */
import { objectOf, parseJson, textOf } from '../../llm/providers/json.ts'
import {
  AuthError,
  ForbiddenError,
  GatewayError,
  type GatewayErrorOptions,
  ModelNotAuthorizedError,
  ModelNotAvailableError,
  RateLimitError,
  type SageSanctumError,
  ScopeNotAuthorizedError,
  SpiffeAuthError,
  TraTAcquisitionError,
  TraTExpiredError,
} from '../errors.ts'
import { foreignText } from '../redact.ts'
import type { GatewayResponse } from './response.ts'
import { retryAfterSeconds } from './retry.ts'

type ErrorClass = new (message: string, options?: GatewayErrorOptions) => SageSanctumError

/** Codes whose class the status alone does not tell. */
const CLASSES: Readonly<Record<string, ErrorClass>> = {
  identity_missing: SpiffeAuthError,
  identity_invalid: SpiffeAuthError,
  identity_expired: SpiffeAuthError,
  txn_missing: TraTAcquisitionError,
  txn_invalid: TraTAcquisitionError,
  txn_expired: TraTExpiredError,
  identity_txn_mismatch: ForbiddenError,
  run_closed: ForbiddenError,
  dlp_blocked: ForbiddenError,
  budget_exhausted: ForbiddenError,
  provider_key_missing: ForbiddenError,
  model_not_allowed: ModelNotAuthorizedError,
  category_not_allowed: ModelNotAuthorizedError,
  provider_not_allowed: ModelNotAuthorizedError,
  scope_not_allowed: ScopeNotAuthorizedError,
  model_not_found: ModelNotAvailableError,
  rate_limited: RateLimitError,
  provider_rate_limited: RateLimitError,
}

const STATUS_CLASSES: Readonly<Record<number, ErrorClass>> = {
  401: AuthError,
  403: ForbiddenError,
  429: RateLimitError,
}

/** What an error envelope says. */
export interface ErrorBody {
  readonly message?: string | undefined
  readonly code?: string | undefined
  readonly type?: string | undefined
  readonly requestId?: string | undefined
}

export interface AnswerErrorOptions {
  nowMs: number
  /** Sent with the request; replaced where the body repeats them. */
  secrets?: Iterable<string> | undefined
}

/** @param response Of any status but 200. */
export function errorOfAnswer(
  response: GatewayResponse,
  { nowMs, secrets = [] }: AnswerErrorOptions,
): SageSanctumError {
  const { status, headers } = response
  const text = response.text()
  const body = errorBody(text)
  return errorOf(
    {
      ...body,
      message: body.message ?? text,
      requestId: headers['x-request-id'] ?? body.requestId,
    },
    { status, retryAfterSeconds: retryAfterSeconds(headers, nowMs), secrets },
  )
}

/** The same for an error that arrives inside a stream, where the status was already 200. */
export function errorOf(
  body: ErrorBody,
  options: {
    status?: number | undefined
    retryAfterSeconds?: number | undefined
    secrets?: Iterable<string> | undefined
  } = {},
): SageSanctumError {
  const { status } = options
  const Class = classOf(body.code, status)
  const where = status === undefined ? 'Gateway reported' : `Gateway answered ${status}`
  const shown = (text: string | undefined) => text && foreignText(text, options.secrets)
  const code = shown(body.code)
  return new Class(
    `${where}${code === undefined ? '' : ` ${code}`}: ${shown(body.message) ?? ''}`,
    {
      status,
      code,
      requestId: shown(body.requestId),
      retryAfterSeconds: options.retryAfterSeconds,
    },
  )
}

/** Reads `{error: {message, type, code, request_id}}`, OAuth's flat shape, and Anthropic's. */
export function errorBody(text: string): ErrorBody {
  const whole = objectOf(parseJson(text))
  const error = objectOf(whole['error'])
  const flat = textOf(whole['error'])
  return {
    message: textOf(error['message']) ?? textOf(whole['error_description']) ?? flat,
    code: textOf(error['code']) ?? flat,
    type: textOf(error['type']),
    requestId: textOf(error['request_id']) ?? textOf(whole['request_id']),
  }
}

function classOf(code: string | undefined, status: number | undefined): ErrorClass {
  if (code !== undefined && Object.hasOwn(CLASSES, code)) return CLASSES[code] ?? GatewayError
  return STATUS_CLASSES[status ?? 0] ?? GatewayError
}
