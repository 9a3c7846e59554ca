/**
 * From a provider's refusal to our fault: the rows every provider shares. What only one of them says
 * is in its own folder.
 */
import { type FaultCode, ProviderFault } from './fault.ts'
import { redacted } from './redact.ts'

/** What a provider's folder read out of an error answer. */
export interface ErrorSignal {
  readonly status: number
  /** What the provider's own words mean; undefined leaves it to the status. */
  readonly code: FaultCode | undefined
  readonly message: string
  readonly retryAfterSeconds?: number | undefined
}

const BY_STATUS: Readonly<Record<number, FaultCode>> = {
  401: 'provider_auth_failed',
  402: 'provider_auth_failed',
  403: 'provider_auth_failed',
  404: 'model_not_found',
  408: 'provider_timeout',
  413: 'request_too_large',
  429: 'provider_rate_limited',
  503: 'provider_overloaded',
  504: 'provider_timeout',
  // Anthropic's word for 503, which our callers' clients would not repeat.
  529: 'provider_overloaded',
}

/** The codes that are about the request, where the provider's own words help. */
const QUOTED: ReadonlySet<FaultCode> = new Set([
  'invalid_request',
  'context_length_exceeded',
  'content_filter',
  'request_too_large',
])

const WORDS: Partial<Record<FaultCode, string>> = {
  provider_auth_failed: 'did not accept the key it was called with',
  model_not_found: 'does not know this model',
  provider_rate_limited: 'is throttling',
  provider_overloaded: 'is overloaded',
  provider_timeout: 'did not answer in time',
}

/** Words that mean the prompt is too long, in the three dialects. */
const TOO_LONG =
  /maximum context length|context[_ ]length[_ ]exceeded|context window|prompt is too long|token count .{0,80}exceeds/i

export function codeOfStatus(status: number): FaultCode {
  const known = BY_STATUS[status]
  if (known !== undefined) return known
  return status >= 400 && status < 500 ? 'invalid_request' : 'provider_error'
}

/** "Invalid" is the least that a refusal can say: a status such as 413 tells more. */
function meaningOf({ code, status }: ErrorSignal): FaultCode {
  const isVague = code === undefined || (code === 'invalid_request' && status < 500)
  return isVague ? codeOfStatus(status) : code
}

/** @param provider Its id, for the text. */
export function faultOf(provider: string, signal: ErrorSignal): ProviderFault {
  const meant = meaningOf(signal)
  const tooLong = meant === 'invalid_request' && TOO_LONG.test(signal.message.slice(0, 4096))
  const code = tooLong ? 'context_length_exceeded' : meant
  const quote = QUOTED.has(code) ? redacted(signal.message) : ''
  const words = WORDS[code] ?? `failed with status ${signal.status}`
  const message = quote === '' ? `Provider ${provider} ${words}` : `Provider ${provider}: ${quote}`
  const waits = code === 'provider_rate_limited' || code === 'provider_overloaded'
  return new ProviderFault(
    code,
    message,
    waits ? { retryAfterSeconds: signal.retryAfterSeconds } : {},
  )
}
