/** Google's refusals, whole or in the middle of a stream. */
import { faultOf } from '../error-answer.ts'
import type { FaultCode, ProviderFault } from '../fault.ts'
import { countOf, isObject, listOf, objectOf, parseJson, textOf } from '../json.ts'
import { delayOf, retryAfterOf } from '../retry-after.ts'

/** By `error.status`. */
const MEANING: Readonly<Record<string, FaultCode>> = {
  INVALID_ARGUMENT: 'invalid_request',
  OUT_OF_RANGE: 'invalid_request',
  FAILED_PRECONDITION: 'invalid_request',
  UNAUTHENTICATED: 'provider_auth_failed',
  PERMISSION_DENIED: 'provider_auth_failed',
  NOT_FOUND: 'model_not_found',
  RESOURCE_EXHAUSTED: 'provider_rate_limited',
  INTERNAL: 'provider_error',
  UNAVAILABLE: 'provider_overloaded',
  DEADLINE_EXCEEDED: 'provider_timeout',
}

/** Reasons in `error.details` that are about the key or its project, and their words where there is none. */
const KEY_REASON = /^(?:API_KEY_|BILLING_|SERVICE_DISABLED|CONSUMER_|ACCESS_TOKEN_|ACCOUNT_)/
const KEY_WORDS =
  /api key (?:not valid|invalid|expired|not found)|valid api key|(?:enable|require\w*) billing|user location is not supported/i

/** Characters of a message that are searched for them. */
const MOST_SEARCHED = 4096

export function readGoogleError(
  provider: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
): ProviderFault {
  const error = errorOf(parseJson(body))
  const details = listOf(error['details']).map(objectOf)
  const delay = details
    .map(({ retryDelay }) => delayOf(retryDelay))
    .find((given) => given !== undefined)
  return faultOf(provider, {
    status,
    code: meaningOf(error, status),
    message: textOf(error['message']) ?? body,
    retryAfterSeconds: retryAfterOf(headers) ?? delay,
  })
}

/** @param event An event with an `error` member, which holds what the status line would have said. */
export function readGoogleStreamError(provider: string, event: unknown): ProviderFault {
  const status = countOf(errorOf(event)['code']) ?? 502
  return readGoogleError(provider, status, {}, JSON.stringify(event))
}

/** Stream routes answer a refusal with a list of one. */
function errorOf(body: unknown): Record<string, unknown> {
  const given = objectOf(Array.isArray(body) ? body[0] : body)
  return isObject(given['error']) ? given['error'] : {}
}

function meaningOf(error: Record<string, unknown>, status: number): FaultCode | undefined {
  const name = textOf(error['status']) ?? ''
  const code = Object.hasOwn(MEANING, name) ? MEANING[name] : undefined
  if (status === 429 || code === 'provider_rate_limited') return 'provider_rate_limited'
  const reasons = listOf(error['details']).map((detail) => textOf(objectOf(detail)['reason']) ?? '')
  const aboutKey =
    reasons.some((reason) => KEY_REASON.test(reason)) ||
    KEY_WORDS.test((textOf(error['message']) ?? '').slice(0, MOST_SEARCHED))
  return aboutKey && status < 500 ? 'provider_auth_failed' : code
}
