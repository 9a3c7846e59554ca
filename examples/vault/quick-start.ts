/** The quick start: retrieve, list, and use without retrieving. `node examples/vault/quick-start.ts` */
import { SanctumClient } from '@vestry/sdk/vault'
import { type ExampleTarget, targetOf } from './target.ts'

export async function quickStart({ agent, socketPath, keyPath, credential }: ExampleTarget) {
  return SanctumClient.with(
    agent,
    async (client) => {
      // Retrieve a credential
      const apiKey = await client.retrieve(credential)

      // List available credentials
      const creds = await client.list()

      // Use-not-retrieve (credential never leaves the vault)
      const result = await client.use(credential, 'http_header')

      return { length: apiKey.length, paths: creds.map(({ path }) => path), result }
    },
    { socketPath, keyPath },
  )
}

if (import.meta.main) console.log(await quickStart(targetOf(process.env)))
