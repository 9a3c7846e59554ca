/** Telling failures apart. `GATEWAY_URL='mock://localhost?fail=429' node examples/gateway/errors.ts` */
import {
  GatewayAuthError,
  GatewayClient,
  GatewayError,
  GatewayNetworkError,
  GatewayPolicyError,
  GatewayRateLimitError,
  GatewayTokenError,
  GatewayUpstreamError,
} from '@vestry/sdk/gateway'

/** One line that says what happened and what to do about it. */
export function explain(error: unknown): string {
  if (error instanceof GatewayAuthError) return `Authentication failed (${error.errorCode})`
  if (error instanceof GatewayPolicyError) return `Policy violation: ${error.reason}`
  if (error instanceof GatewayRateLimitError) {
    return `Rate limited, retry after ${error.retryAfter} seconds`
  }
  if (error instanceof GatewayUpstreamError) return 'Upstream service error'
  if (error instanceof GatewayTokenError) return 'The token is too old: get a new one'
  if (error instanceof GatewayNetworkError) {
    return error.maybeSent ? 'No answer: the call may have been executed' : 'Not reachable'
  }
  if (error instanceof GatewayError) {
    return `Status ${error.statusCode}: ${error.message} (${error.correlationId})`
  }
  throw error
}

export async function searchOrExplain(gw: GatewayClient): Promise<string> {
  try {
    await gw.proxy('serpapi', 'search', { q: 'test' })
    return 'found'
  } catch (error) {
    return explain(error)
  }
}

if (import.meta.main) {
  await using gw = GatewayClient.fromEnvironment()
  console.log(await searchOrExplain(gw))
}
