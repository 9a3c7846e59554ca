/** Secrets on a real store, with back ends that a test can look into and hold up. */
import { testGuard, testKeyring } from '../identity/test-keys.ts'
import { Secret } from '../seal/secret.ts'
import type { Store } from '../store/store.ts'
import type { SecretBackend } from './backend.ts'
import type { BackendConfig } from './backend-config.ts'
import { BackendSetting } from './backend-setting.ts'
import { KeychainBackend } from './keychain/keychain-backend.ts'
import type { SecretPlace } from './place.ts'
import { Secrets } from './secrets.ts'
import { MemoryKeychain } from './testing/memory-keychain.test-kit.ts'

const keyring = testKeyring()
const guard = testGuard(keyring)

export const never = new AbortController().signal

/** Two stores of secrets: what `vestry` and `os_keychain` mean here. */
export class Places {
  readonly keychains: Readonly<Record<string, MemoryKeychain>> = {
    vestry: new MemoryKeychain(),
    os_keychain: new MemoryKeychain(),
  }
  readonly opened: SecretBackend[] = []
  /** Told of each call before it is done: type, method, name. */
  before: (type: string, method: string, place: SecretPlace | undefined) => Promise<void> =
    async () => {}
  closed = 0

  open(config: BackendConfig): SecretBackend {
    const keychain = this.keychains[config.type]
    if (keychain === undefined) throw new Error(`no ${config.type} here`)
    const real = new KeychainBackend(keychain, Date.now)
    const { type } = config
    const backend: SecretBackend = {
      type,
      identity: type,
      put: async (place, value, options) => {
        await this.before(type, 'put', place)
        return real.put(place, value, options)
      },
      get: async (place, signal, version) => {
        await this.before(type, 'get', place)
        return real.get(place, signal, version)
      },
      list: (agent, signal) => real.list(agent, signal),
      delete: async (place, signal) => {
        await this.before(type, 'delete', place)
        return real.delete(place, signal)
      },
      owners: (signal) => real.owners(signal),
      probe: async (signal, options) => {
        await this.before(type, 'probe', undefined)
        return real.probe(signal, options)
      },
      close: async () => {
        this.closed += 1
        await real.close()
      },
    }
    this.opened.push(backend)
    return backend
  }
}

export function secretsOn(
  store: Store,
  places: Places,
  {
    node = 'n1',
    settleMs = 0,
    now = Date.now,
  }: { node?: string; settleMs?: number; now?: () => number } = {},
): Secrets {
  return new Secrets({
    setting: new BackendSetting({ store, guard, keys: () => keyring, now }),
    open: (config) => places.open(config),
    node,
    settleMs,
    now,
    warn: () => {},
  })
}

export async function put(secrets: Secrets, agent: string, name: string, text: string) {
  using value = Secret.copy(Buffer.from(text))
  const options = { description: undefined, createdBy: 'operator:ada', signal: never }
  return await secrets.put({ agent, name }, value, options)
}

export async function read(secrets: Secrets, agent: string, name: string): Promise<string> {
  const found = await secrets.get({ agent, name }, never)
  using value = found.value
  return Buffer.from(value.bytes).toString('utf8')
}
