/** Searching for leads; the client fetches the token by itself. `node examples/gateway/lead-scraper.ts` */
import { GatewayClient } from '@vestry/sdk/gateway'

interface SearchResults {
  organic_results: { position: number; title: string; link: string }[]
}

export async function scrapeLeads(gw: GatewayClient) {
  // Search for leads
  const { organic_results: leads } = await gw.proxy<SearchResults>('serpapi', 'search', {
    q: 'site:linkedin.com "software engineer" "San Francisco"',
    engine: 'google',
    num: 10,
  })
  return leads.map(({ title, link }) => ({ title, link }))
}

if (import.meta.main) {
  await using gw = GatewayClient.fromEnvironment()
  const leads = await scrapeLeads(gw)
  console.log(`Found ${leads.length} leads`)
}
