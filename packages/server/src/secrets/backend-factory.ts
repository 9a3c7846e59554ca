/** From a configuration to a back end. Nothing is opened or asked before the first request. */
import { randomBytes } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import type { EgressDeps } from '../egress/send.ts'
import { Secret } from '../seal/secret.ts'
import type { SecretBackend } from './backend.ts'
import type { BackendConfig } from './backend-config.ts'
import { FileBackend } from './file/file-backend.ts'
import type { Schedule } from './hashicorp/session.ts'
import { VaultBackend } from './hashicorp/vault-backend.ts'
import { FILE_KEY_ACCOUNT, type Keychain } from './keychain/keychain.ts'
import { KeychainBackend } from './keychain/keychain-backend.ts'
import { VestryBackend, type VestryBackendDeps } from './vestry/vestry-backend.ts'

export interface BackendFactoryDeps extends VestryBackendDeps {
  readonly egress: EgressDeps
  readonly caPem: string | undefined
  /** As the daemon was started with; AWS keys and the master key stand there. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly keychain: Keychain
  readonly now: () => number
  readonly schedule?: Schedule
}

export const MASTER_KEY = 'SYMBIONT_MASTER_KEY'
const KEYCHAIN_MS = 20_000

export function openBackend(config: BackendConfig, deps: BackendFactoryDeps): SecretBackend {
  switch (config.type) {
    case 'vestry':
      return new VestryBackend(deps)
    case 'vault':
      return new VaultBackend(config.vault, deps)
    case 'os_keychain':
      return new KeychainBackend(deps.keychain, deps.now)
    case 'encrypted_file': {
      const { path, backups, importAgent } = config
      const key = () => fileKey(config, deps)
      return new FileBackend({ path, key, backups, importAgent, now: deps.now })
    }
    default:
      return config satisfies never
  }
}

async function fileKey(
  config: Extract<BackendConfig, { type: 'encrypted_file' }>,
  { env, keychain }: BackendFactoryDeps,
): Promise<Secret> {
  if (config.keyInKeychain) return keyFromKeychain(keychain)
  const key = config.key ?? env[MASTER_KEY]
  if (key !== undefined && key !== '') return Secret.copy(Buffer.from(key))
  throw new VestryError('BACKEND_UNAVAILABLE', 'The key of the secrets file is not there', {
    hint: `Start the daemon with ${MASTER_KEY}, or configure the back end again with encryption_key.`,
  })
}

async function keyFromKeychain(keychain: Keychain): Promise<Secret> {
  const signal = AbortSignal.timeout(KEYCHAIN_MS)
  const found = await keychain.get(FILE_KEY_ACCOUNT, signal)
  if (found !== undefined) return Secret.copy(Buffer.from(found))
  const made = randomBytes(32).toString('base64')
  await keychain.set(FILE_KEY_ACCOUNT, made, signal)
  return Secret.copy(Buffer.from(made))
}
