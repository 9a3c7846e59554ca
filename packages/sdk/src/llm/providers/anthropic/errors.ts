/** Anthropic's refusals, whole or in the middle of a stream. */
import { faultOf } from '../error-answer.ts'
import type { FaultCode, ProviderFault } from '../fault.ts'
import { objectOf, parseObject, textOf } from '../json.ts'
import { retryAfterOf } from '../retry-after.ts'

const MEANING: Readonly<Record<string, FaultCode>> = {
  invalid_request_error: 'invalid_request',
  authentication_error: 'provider_auth_failed',
  permission_error: 'provider_auth_failed',
  billing_error: 'provider_auth_failed',
  not_found_error: 'model_not_found',
  request_too_large: 'request_too_large',
  rate_limit_error: 'provider_rate_limited',
  timeout_error: 'provider_timeout',
  api_error: 'provider_error',
  overloaded_error: 'provider_overloaded',
}

/** An unpaid account is told as an invalid request. */
const UNPAID = /credit balance is too low|plans & billing/i

export function readAnthropicError(
  provider: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
): ProviderFault {
  const error = objectOf(parseObject(body)?.['error'])
  const meaning = meaningOf(error)
  return faultOf(provider, {
    status,
    // `api_error` is the word for every 5xx, so there the status says more.
    code: meaning === 'provider_error' ? undefined : meaning,
    message: textOf(error['message']) ?? body,
    retryAfterSeconds: retryAfterOf(headers),
  })
}

/** @param error The `error` member of an error event. */
export function readAnthropicStreamError(provider: string, error: unknown): ProviderFault {
  const given = objectOf(error)
  const message = textOf(given['message']) ?? ''
  return faultOf(provider, { status: 502, code: meaningOf(given) ?? 'provider_error', message })
}

function meaningOf(error: Record<string, unknown>): FaultCode | undefined {
  const type = textOf(error['type']) ?? ''
  const code = Object.hasOwn(MEANING, type) ? MEANING[type] : undefined
  const unpaid = code === 'invalid_request' && UNPAID.test(textOf(error['message']) ?? '')
  return unpaid ? 'provider_auth_failed' : code
}
