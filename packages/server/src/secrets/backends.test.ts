import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createWorld } from '../egress/testing/world.ts'
import { testKeyring } from '../identity/test-keys.ts'
import { Secret } from '../seal/secret.ts'
import { eachStore } from '../store/test-store.ts'
import { CredentialStore } from '../vault/credential-store.ts'
import { FileBackend } from './file/file-backend.ts'
import type { VaultSettings } from './hashicorp/settings.ts'
import { VaultBackend } from './hashicorp/vault-backend.ts'
import { KeychainBackend } from './keychain/keychain-backend.ts'
import { conformance } from './testing/conformance.test-kit.ts'
import { KvServer } from './testing/kv-server.test-kit.ts'
import { MemoryKeychain } from './testing/memory-keychain.test-kit.ts'
import { VestryBackend } from './vestry/vestry-backend.ts'

eachStore('secrets in the vault', (at) => {
  const keyring = testKeyring()
  conformance('our own vault', async () => {
    const credentials = new CredentialStore({ store: at.store, keys: () => keyring, now: Date.now })
    const open = () => new VestryBackend({ credentials, store: at.store, dropCredential: () => {} })
    return {
      backend: open(),
      again: open,
      keepsOrigin: true,
      keepsOldVersions: true,
      end: async () => credentials[Symbol.dispose](),
    }
  })
})

conformance('an encrypted file', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'secrets-'))
  const key = randomBytes(32).toString('base64')
  const open = () =>
    new FileBackend({
      path: join(directory, 'secrets.enc'),
      key: async () => Secret.copy(Buffer.from(key)),
      backups: 0,
      importAgent: undefined,
      now: Date.now,
    })
  return {
    backend: open(),
    again: open,
    keepsOrigin: true,
    keepsOldVersions: false,
    end: async () => rmSync(directory, { recursive: true }),
  }
})

conformance('a KV version 2 server', async () => {
  const kv = await KvServer.start()
  const world = createWorld()
  const settings: VaultSettings = {
    url: kv.url,
    mount: 'secret',
    authMount: 'token',
    namespace: undefined,
    caFile: undefined,
    requestTimeoutMs: 5_000,
    auth: { method: 'token', token: kv.rootToken },
  }
  const open = () =>
    new VaultBackend(settings, { egress: world.deps, caPem: undefined, env: {}, now: Date.now })
  return {
    backend: open(),
    again: open,
    keepsOrigin: false,
    keepsOldVersions: true,
    end: async () => {
      await kv[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
    },
  }
})

conformance('a keychain behind its adapter', async () => {
  const keychain = new MemoryKeychain()
  const open = () => new KeychainBackend(keychain, Date.now)
  return {
    backend: open(),
    again: open,
    keepsOrigin: true,
    keepsOldVersions: false,
    end: async () => {},
  }
})
