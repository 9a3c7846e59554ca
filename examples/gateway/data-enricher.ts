/** A page fetched, and summarised by a model. `node examples/gateway/data-enricher.ts [url]` */
import { GatewayClient } from '@vestry/sdk/gateway'

interface Page {
  status: number
  data: string
}

interface Completion {
  choices: { message: { content: string } }[]
}

export async function enrichData(gw: GatewayClient, url: string) {
  // Fetch website content
  const page = await gw.proxy<Page>('http_fetch', 'get', { url })

  // Summarize with OpenAI
  const summary = await gw.proxy<Completion>('openai', 'chat', {
    messages: [{ role: 'user', content: `Summarize this content: ${page.data}` }],
  })

  return summary.choices[0]?.message.content
}

if (import.meta.main) {
  await using gw = GatewayClient.fromEnvironment()
  console.log(await enrichData(gw, process.argv[2] ?? 'https://example.com'))
}
