/** Holding a lease: look at it, prolong it, give it back early. `node examples/vault/leases.ts` */
import { SanctumClient } from '@vestry/sdk/vault'
import { type ExampleTarget, targetOf } from './target.ts'

export async function leases({ agent, socketPath, keyPath, credential }: ExampleTarget) {
  await using client = new SanctumClient(agent, { socketPath, keyPath })
  await client.connect()

  const { value, lease_id, ttl } = await client.retrieveRaw(credential, { ttl: 60 })
  const secret = Buffer.from(value, 'hex')
  const renewed = await client.renewLease(lease_id, 120)
  const held = await client.leaseStatus()
  await client.releaseLease(lease_id)
  secret.fill(0)

  const bytes = await client.retrieveBytes(credential, 60)
  bytes.fill(0)
  // The second lease is given back when `client` goes out of scope.
  return { granted: ttl, renewed: renewed.ttl, held: held.length, tracked: client.leases.size }
}

if (import.meta.main) console.log(await leases(targetOf(process.env)))
