/** All of secrets in one piece, for app/: made once, opened and closed with the vault. */
import type { AdminVerb } from '../admin/verb.ts'
import type { Stations } from '../call/perform.ts'
import type { EgressDeps } from '../egress/send.ts'
import type { RowGuard } from '../identity/row-guard.ts'
import type { Keyring } from '../seal/keyring.ts'
import type { Store } from '../store/store.ts'
import type { CredentialStore } from '../vault/credential-store.ts'
import { MASTER_KEY, openBackend } from './backend-factory.ts'
import { BackendSetting } from './backend-setting.ts'
import type { Keychain } from './keychain/keychain.ts'
import { nativeKeychain } from './keychain/native-keychain.ts'
import type { SecretResolver } from './resolver.ts'
import { secretResolver } from './secret-resolver.ts'
import { Secrets } from './secrets.ts'
import { secretVerbs } from './verbs.ts'

export interface SecretsPartDeps {
  readonly store: Pick<Store, 'db' | 'change' | 'pointRead' | 'engine'>
  readonly guard: RowGuard
  readonly keys: () => Keyring
  readonly credentials: CredentialStore
  readonly stations: Stations
  readonly egress: EgressDeps
  readonly dropCredential: (path: string) => void
  /** Authorities that outbound connections trust besides the system's. */
  readonly caPem: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where relative paths of files begin. */
  readonly dataDir: string
  /** Of this process among those on the store; the same after a restart. */
  readonly node: string
  readonly warn: (line: string) => void
  readonly keychain?: Keychain
}

export interface SecretsPart {
  readonly secrets: Secrets
  readonly resolver: SecretResolver
  readonly verbs: readonly AdminVerb[]
  readonly dataDir: string
  readonly hasMasterKey: boolean
  /** Sealed, or stopping. */
  close(): Promise<void>
}

/** Longer than any write of another node may take. */
const SETTLE_MS = 25_000

export function assembleSecrets(deps: SecretsPartDeps): SecretsPart {
  const { store, stations, credentials, env, dataDir } = deps
  const { now } = stations
  const keychain = deps.keychain ?? nativeKeychain()
  const secrets = new Secrets({
    setting: new BackendSetting({ ...deps, now }),
    open: (config) => openBackend(config, { ...deps, keychain, now }),
    node: deps.node,
    settleMs: store.engine === 'postgres' ? SETTLE_MS : 0,
    now,
    warn: deps.warn,
  })
  const hasMasterKey = (env[MASTER_KEY] ?? '') !== ''
  return {
    secrets,
    resolver: secretResolver({ secrets, credentials, stations }),
    verbs: secretVerbs({ secrets, dataDir, hasMasterKey }),
    dataDir,
    hasMasterKey,
    close: () => secrets.close(),
  }
}
