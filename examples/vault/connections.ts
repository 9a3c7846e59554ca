/** The three ways to reach a vault. `node examples/vault/connections.ts` */
import { SanctumClient } from '@vestry/sdk/vault'
import { type ExampleTarget, targetOf } from './target.ts'

/** Unix socket at its default place: `~/.sanctum/vault.sock`, key `~/.sanctum/keys/<agent>.key`. */
export async function defaultSocket({ agent }: Pick<ExampleTarget, 'agent'>) {
  const client = new SanctumClient(agent)
  await client.connect()
  const { transport } = await client.whoami()
  await client.close()
  return transport
}

/** A socket of one's own. */
export async function customSocket({ agent, socketPath, keyPath }: ExampleTarget) {
  await using client = new SanctumClient(agent, { socketPath, keyPath })
  await client.connect()
  return (await client.whoami()).transport
}

/** TCP, in the constructor or as a target of connect(). */
export async function overTcp({ agent, host, port, keyPath }: ExampleTarget) {
  await using client = new SanctumClient(agent, { host, port, keyPath })
  await client.connect()
  await client.connect([host, port])
  await client.connect({ host, port })
  return (await client.whoami()).transport
}

if (import.meta.main) {
  const target = targetOf(process.env)
  console.log('custom socket:', await customSocket(target))
  if (process.env['SANCTUM_PORT']) console.log('tcp:', await overTcp(target))
  if (!process.env['SANCTUM_SOCKET']) console.log('default:', await defaultSocket(target))
}
