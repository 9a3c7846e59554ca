/**
 * The quick start: is the server well? Run it with `SYMBIONT_API_KEY` and `SYMBIONT_BASE_URL`, from the environment or
 * from a file `.env`:
 *
 *     node examples/runtime/quick-start.ts
 */
import { Client } from '@vestry/sdk/runtime'

export async function quickStart(client: Client) {
  // Check system health
  const health = await client.healthCheck()
  return [
    `Status: ${health.status}`,
    `Uptime: ${health.uptime_seconds} seconds`,
    `Version: ${health.version}`,
  ]
}

/** With explicit parameters instead of the environment. */
export function connect(apiKey: string, baseUrl: string) {
  return new Client({ apiKey, baseUrl, timeoutSeconds: 10, maxRetries: 1 })
}

if (import.meta.main) {
  const client = new Client()
  for (const line of await quickStart(client)) console.log(line)
}
