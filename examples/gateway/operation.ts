/** Options, rotation, logging and bounds on a call. `node examples/gateway/operation.ts` */
import {
  GatewayClient,
  type GatewayClientOptions,
  generateCorrelationId,
  generateIdempotencyKeyFromData,
  withRetry,
} from '@vestry/sdk/gateway'

export function watched(
  connection: Pick<GatewayClientOptions, 'baseUrl' | 'agentId' | 'agentPrivateKeyPem'>,
  print: (line: string) => void,
) {
  return new GatewayClient({
    ...connection,
    defaultIntent: 'lead_discovery',
    timeoutMs: 10_000,
    autoRotate: true,
    onTokenRotated: ({ expiresAtMs }) => print(`a new token until ${new Date(expiresAtMs)}`),
    logger: ({ event, operation, attempt }) => print(`${operation} ${attempt}: ${event}`),
  })
}

/** Gives up after two seconds, whatever the client's own bounds are. */
export async function hurriedSearch(gw: GatewayClient, q: string) {
  const signal = AbortSignal.timeout(2_000)
  return gw.proxy('serpapi', 'search', { q }, undefined, undefined, { signal })
}

/** The same data, the same key: a process that starts again does not send again. */
export async function sendOnce(gw: GatewayClient, to: string, subject: string, body: string) {
  const params = { to, subject, body }
  const idempotencyKey = generateIdempotencyKeyFromData('gmail_send', 'send', params)
  return gw.proxy('gmail_send', 'send', { ...params, idempotencyKey })
}

/** The client's retries, for a request of your own. */
export async function health(baseUrl: string): Promise<number> {
  const headers = { 'X-Correlation-Id': generateCorrelationId() }
  const answer = await withRetry(() => fetch(`${baseUrl}/health`, { headers }), { maxRetries: 2 })
  return answer.status
}

if (import.meta.main) {
  await using gw = GatewayClient.fromEnvironment()
  console.log(await hurriedSearch(gw, 'bakery'))
}
