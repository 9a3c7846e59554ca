/**
 * First start: makes the vault, its first operator and the admin key, and leaves the vault sealed.
 * Runs under the instance lock, in `vestry init` and in `vestry up` on a fresh home.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { AgentStore } from '../identity/agent-store.ts'
import { ApiKeyStore } from '../identity/api-key-store.ts'
import { writeKeyFiles } from '../identity/key-file.ts'
import { OperatorStore } from '../identity/operator-store.ts'
import { rowGuard } from '../identity/row-guard.ts'
import type { InitResult } from '../seal/init.ts'
import { Seal } from '../seal/seal.ts'
import type { SlotSpec } from '../seal/slot.ts'
import type { UnsealSecret } from '../seal/unseal.ts'
import type { Store } from '../store/store.ts'
import type { Home } from './home.ts'

export const FIRST_OPERATOR = 'owner'

export interface Initialised extends InitResult {
  readonly operatorKeyFile: string
  readonly adminKeyFile: string
}

/**
 * @param slots Borrowed secrets. The first slot that is not Shamir opens the vault for the set-up;
 *   with Shamir alone its shares do.
 * @throws VestryError CONFLICT when the store holds a vault already.
 */
export async function initialise(deps: {
  home: Home
  store: Store
  slots: readonly SlotSpec[]
  dev: boolean
  trustDomain: string
  now: () => number
}): Promise<Initialised> {
  const { home, store, slots, dev, trustDomain, now } = deps
  makeHome(home)
  await using seal = await Seal.open(store, { now })
  const made = await seal.init({ slots, dev })
  try {
    await openForSetUp(seal, slots, made)
    const guard = rowGuard(() => seal.keys)
    const operators = new OperatorStore({ store, guard, now })
    using agents = new AgentStore({ store, guard, now, trustDomain })
    using apiKeys = new ApiKeyStore({ store, guard, agents, hashKey: () => seal.keys.hashKey, now })
    const { keyFile, publicKey } = await writeKeyFiles(home.keys, 'operator')
    await operators.add({ name: FIRST_OPERATOR, role: 'owner', publicKey })
    const { token } = await apiKeys.add({ name: 'first admin key', role: 'owner' })
    using key = token
    writeFileSync(home.adminKey, key.bytes, { mode: 0o600, flag: 'wx' })
    return { ...made, operatorKeyFile: keyFile, adminKeyFile: home.adminKey }
  } finally {
    await seal.seal('set-up done')
  }
}

async function openForSetUp(
  seal: Seal,
  slots: readonly SlotSpec[],
  made: InitResult,
): Promise<void> {
  for (const slot of slots) {
    const secret: UnsealSecret | undefined =
      slot.type === 'passphrase'
        ? { passphrase: slot.passphrase }
        : slot.type === 'keyfile'
          ? { keyfile: slot.keyfile }
          : undefined
    if (secret === undefined) continue
    await seal.unseal(secret)
    return
  }
  for (const share of made.shares[0]?.shares ?? []) {
    if ((await seal.unseal({ share: share.bytes })).state === 'unsealed') return
  }
}

/** Directories of a home, private whatever the umask says. */
export function makeHome(home: Home): void {
  for (const dir of [home.dir, home.data, home.keys, home.run, home.audit]) {
    const created = mkdirSync(dir, { recursive: true, mode: 0o700 })
    if (created !== undefined) chmodSync(dir, 0o700)
  }
}
