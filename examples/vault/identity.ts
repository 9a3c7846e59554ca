/** Ways to hold the agent's key, and knowing the daemon. `node examples/vault/identity.ts` */
import { type ClientOptions, SanctumClient, type Signer } from '@vestry/sdk/vault'
import { type ExampleTarget, targetOf } from './target.ts'

/** An encrypted key file; the function is asked only when one is opened. */
export function withPassphrase(
  { agent, socketPath, keyPath }: ExampleTarget,
  ask: () => Promise<string>,
): SanctumClient {
  return new SanctumClient(agent, { socketPath, keyPath: `${keyPath}.enc`, passphrase: ask })
}

/** A key this process never sees. */
export function withSigner({ agent, socketPath }: ExampleTarget, signer: Signer): SanctumClient {
  return new SanctumClient(agent, { socketPath, signer })
}

/** The daemon proves itself too; a long-lived agent that outlives restarts of the daemon. */
export function careful({ agent, socketPath, keyPath }: ExampleTarget): SanctumClient {
  const options: ClientOptions = {
    socketPath,
    keyPath,
    pinServer: true,
    strictKeyPermissions: true,
    reconnect: { retries: 10, minMs: 100, maxMs: 5_000 },
    requestTimeoutMs: 15_000,
  }
  return new SanctumClient(agent, options)
}

if (import.meta.main) {
  await using client = careful(targetOf(process.env))
  await client.connect()
  console.log(await client.whoami())
}
