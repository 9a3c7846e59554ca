/** The one error of this folder: what a provider, or a request for one, did wrong, in the codes of the wire. */

/** Each code → its HTTP status. */
export const FAULTS = {
  invalid_request: 400,
  unsupported_parameter: 400,
  unsupported_operation: 400,
  unknown_provider: 400,
  context_length_exceeded: 400,
  content_filter: 400,
  model_not_found: 404,
  request_too_large: 413,
  provider_rate_limited: 429,
  provider_auth_failed: 500,
  provider_error: 502,
  provider_overloaded: 503,
  provider_timeout: 504,
} as const

export type FaultCode = keyof typeof FAULTS

export interface FaultDetails {
  /** The member of the request at fault, e.g. `messages[3].content[0].type`. */
  readonly param?: string | undefined
  /** Whole seconds from 1 to 60. */
  readonly retryAfterSeconds?: number | undefined
  /** The stream ended before the provider said it was complete. */
  readonly truncated?: boolean | undefined
  readonly cause?: unknown
}

export class ProviderFault extends Error {
  readonly code: FaultCode
  readonly status: number
  readonly param: string | undefined
  readonly retryAfterSeconds: number | undefined
  readonly truncated: boolean

  constructor(code: FaultCode, message: string, details: FaultDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'ProviderFault'
    this.code = code
    this.status = FAULTS[code]
    this.param = details.param
    this.retryAfterSeconds = details.retryAfterSeconds
    this.truncated = details.truncated ?? false
  }
}

/** What the provider sent is not what its API promises. */
export function malformed(what: string, cause?: unknown): ProviderFault {
  return new ProviderFault('provider_error', `The provider sent ${what}`, { cause })
}

export function truncated(): ProviderFault {
  return new ProviderFault(
    'provider_error',
    'The provider ended the stream before it was complete',
    {
      truncated: true,
    },
  )
}
