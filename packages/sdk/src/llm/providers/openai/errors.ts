/** OpenAI's refusals, whole or in the middle of a stream. */
import { faultOf } from '../error-answer.ts'
import type { FaultCode, ProviderFault } from '../fault.ts'
import { countOf, isObject, objectOf, parseObject, textOf } from '../json.ts'
import { retryAfterOf } from '../retry-after.ts'

/** By `error.code` or `error.type`, whatever the status: an unpaid account is told with 429. */
const MEANING: Readonly<Record<string, FaultCode>> = {
  invalid_api_key: 'provider_auth_failed',
  incorrect_api_key: 'provider_auth_failed',
  account_deactivated: 'provider_auth_failed',
  billing_not_active: 'provider_auth_failed',
  billing_hard_limit_reached: 'provider_auth_failed',
  insufficient_quota: 'provider_auth_failed',
  invalid_organization: 'provider_auth_failed',
  mismatched_organization: 'provider_auth_failed',
  unsupported_country_region_territory: 'provider_auth_failed',
  authentication_error: 'provider_auth_failed',
  model_not_found: 'model_not_found',
  context_length_exceeded: 'context_length_exceeded',
  string_above_max_length: 'context_length_exceeded',
  content_filter: 'content_filter',
  content_policy_violation: 'content_filter',
  rate_limit_exceeded: 'provider_rate_limited',
  server_error: 'provider_error',
}

/** Codes that decide over the status; the others only where there is no status, in a stream. */
const KEY_TROUBLE: FaultCode = 'provider_auth_failed'

export function readOpenAiError(
  provider: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
): ProviderFault {
  const error = errorOf(parseObject(body))
  const meaning = meaningOf(error)
  const decides = status < 500 && (status !== 429 || meaning === KEY_TROUBLE)
  return faultOf(provider, {
    status,
    code: decides ? meaning : undefined,
    message: textOf(error['message']) ?? body,
    retryAfterSeconds: retryAfterOf(headers),
  })
}

/** @param error The `error` member of an event. */
export function readOpenAiStreamError(provider: string, error: unknown): ProviderFault {
  const given = isObject(error) ? error : { message: error }
  const code = meaningOf(given)
  const status = countOf(given['status']) ?? countOf(given['code']) ?? 502
  return faultOf(provider, { status, code, message: textOf(given['message']) ?? '' })
}

/** Servers with this API also send `{"error": "text"}` and `{"message": …}`. */
function errorOf(body: Record<string, unknown> | undefined): Record<string, unknown> {
  const error = body?.['error']
  if (typeof error === 'string') return { message: error }
  return isObject(error) ? error : objectOf(body)
}

function meaningOf(error: Record<string, unknown>): FaultCode | undefined {
  for (const name of [textOf(error['code']), textOf(error['type'])]) {
    if (name !== undefined && Object.hasOwn(MEANING, name)) return MEANING[name]
  }
  return undefined
}
