/** Many credentials over one connection: calls overlap, one failure does not stop the others. */
import { SanctumClient, VaultError } from '@vestry/sdk/vault'
import { type ExampleTarget, targetOf } from './target.ts'

export interface BatchResult {
  found: Map<string, string>
  /** Path → error code. */
  failed: Map<string, string>
}

export async function retrieveAll(
  { agent, socketPath, keyPath }: ExampleTarget,
  paths: readonly string[],
): Promise<BatchResult> {
  await using client = new SanctumClient(agent, { socketPath, keyPath, rateLimitRetries: 3 })
  await client.connect()
  const outcomes = await Promise.allSettled(
    paths.map((path) => client.retrieve(path, { ttl: 60, reason: 'batch example' })),
  )
  const result: BatchResult = { found: new Map(), failed: new Map() }
  for (const [index, outcome] of outcomes.entries()) {
    const path = paths[index] ?? ''
    if (outcome.status === 'fulfilled') result.found.set(path, outcome.value)
    else if (outcome.reason instanceof VaultError) result.failed.set(path, outcome.reason.code)
    else throw outcome.reason
  }
  return result
}

if (import.meta.main) {
  const target = targetOf(process.env)
  const { found, failed } = await retrieveAll(target, [target.credential, 'no/such/credential'])
  console.log(`${found.size} found, ${failed.size} failed:`, failed)
}
