/** A translator's fault in the SDK's own classes, as the gateway's codes would have it. */
import { GatewayError, ModelNotAvailableError, RateLimitError } from '../sage/errors.ts'
import { ProviderFault } from './providers/provider.ts'

/** @returns Anything else as it is. */
export function fromFault(error: unknown): unknown {
  if (!(error instanceof ProviderFault)) return error
  const { code, status, retryAfterSeconds, truncated } = error
  const fields = { code, status, retryAfterSeconds, truncated }
  const text = `The provider call failed with ${code}: ${error.message}`
  if (code === 'provider_rate_limited') return new RateLimitError(text, fields)
  if (code === 'model_not_found') return new ModelNotAvailableError(text, { code, status })
  return new GatewayError(text, fields)
}
