/** Secrets of agents, and where they are kept. */
import {
  type Client,
  SecretBackendType,
  VaultAuthMethod,
  type VaultConfig,
} from '@vestry/sdk/runtime'

export async function useVault(client: Client, url: string, token: string) {
  const vaultConfig: VaultConfig = { url, auth_method: VaultAuthMethod.TOKEN, token }
  return client.configureSecretBackend({
    backend_type: SecretBackendType.VAULT,
    vault_config: vaultConfig,
  })
}

export async function useFile(client: Client, encryptionKey: string) {
  const config = { backend_type: SecretBackendType.ENCRYPTED_FILE, encryption_key: encryptionKey }
  // What the back end before holds is copied, each value is read back, and only then it is switched.
  return client.configureSecretBackend(config, { migrate: true })
}

export async function keep(client: Client) {
  // Store and retrieve secrets
  const stored = await client.storeSecret({
    agent_id: 'agent-123',
    secret_name: 'api_key',
    secret_value: 'secret_value_here',
    description: 'API key for external service',
  })
  const value: string = await client.getSecret('agent-123', 'api_key')

  // List all secrets for an agent
  const { secrets } = await client.listSecrets('agent-123')
  return { stored: stored.secret_name, value, secrets }
}

export async function forget(client: Client) {
  return client.deleteSecret('agent-123', 'api_key')
}
