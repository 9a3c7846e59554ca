/** A child of an agent: takes one secret from the vault by itself, and ends. `VAULT_SOCKET`, `AGENT`, `SEED` (hex). */
import { SanctumClient } from '@vestry/sdk/vault'

const { VAULT_SOCKET = '', AGENT = '', SEED = '' } = process.env
await SanctumClient.with(AGENT, (client) => client.retrieve('up/a'), {
  socketPath: VAULT_SOCKET,
  seed: Buffer.from(SEED, 'hex'),
})
