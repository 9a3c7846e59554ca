/** What goes wrong with a provider, in our codes: those the wire tells, so the record says the same. */
import { type ErrorCode, VestryError } from '@vestry/contract/errors'
import { ProviderFault } from '@vestry/sdk/llm/providers'

/** Failures on the way to the provider, by what they mean for whoever asked. */
const ON_THE_WAY: Partial<Record<ErrorCode, ErrorCode>> = {
  UPSTREAM_ERROR: 'PROVIDER_ERROR',
  UPSTREAM_TIMEOUT: 'PROVIDER_TIMEOUT',
  RESPONSE_TOO_LARGE: 'PROVIDER_ERROR',
  REDIRECT_BLOCKED: 'PROVIDER_ERROR',
  SSRF_BLOCKED: 'PROVIDER_ERROR',
  UNUSABLE_CREDENTIAL: 'PROVIDER_AUTH_FAILED',
}

/** The error as the wire tells it; whatever else it is stays as it is. */
export function asLlmError(error: unknown): unknown {
  if (error instanceof ProviderFault) return fromFault(error)
  if (!(error instanceof VestryError)) return error
  const code = ON_THE_WAY[error.code]
  if (code === undefined) return error
  // The words name hosts, which are the operator's to know.
  return new VestryError(code, undefined, { cause: error })
}

function fromFault(fault: ProviderFault): VestryError {
  const { code, message, param, retryAfterSeconds, truncated } = fault
  // Each of them is a code of ours in lower case, but the first one.
  const name = code === 'invalid_request' ? 'BAD_REQUEST' : (code.toUpperCase() as ErrorCode)
  const wait =
    retryAfterSeconds === undefined
      ? { retry_after_unknown: true }
      : { retry_after_ms: retryAfterSeconds * 1_000 }
  return new VestryError(name, message, {
    context: {
      ...(param !== undefined && { param }),
      ...(code === 'provider_rate_limited' && wait),
      ...(truncated && { truncated }),
    },
    cause: fault,
  })
}
