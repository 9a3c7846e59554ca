/**
 * The quick start: a token, and a search with it. Run it with the variables that `vestry agent env`
 * prints, or without any gateway:
 *
 *     GATEWAY_URL=mock://localhost AGENT_ID=test-agent AGENT_PRIVATE_KEY=test-key \
 *       node examples/gateway/quick-start.ts
 */
import { GatewayClient } from '@vestry/sdk/gateway'

export async function quickStart(gw: GatewayClient) {
  gw.setIntent('lead_discovery')

  // Get a token for SerpAPI access
  const token = await gw.getToken({
    tools: ['serpapi'],
    permissions: ['read'],
    ttlMinutes: 15,
  })

  // Search for leads
  const results = await gw.proxy(
    'serpapi',
    'search',
    { q: 'site:linkedin.com Montreal plumber', engine: 'google' },
    token,
  )

  return results
}

if (import.meta.main) {
  await using gw = GatewayClient.fromEnvironment()
  console.log(await quickStart(gw))
}
