/** Opens the vault at the start of a daemon; makes it first where there is none yet. */
import { loadKeyFile } from '../seal/keyfile-load.ts'
import type { Store } from '../store/store.ts'
import type { Parts } from './assemble.ts'
import type { DaemonOptions } from './daemon.ts'
import { firstStartSlots } from './first-start.ts'
import { initialise, isUnfinished } from './initialise.ts'
import type { RunningLifecycle } from './lifecycle.ts'
import { note } from './note.ts'

/** Opens the seal with whatever this start was given; stays sealed when that is nothing. */
export async function openVault(
  parts: Parts,
  store: Store,
  lifecycle: RunningLifecycle,
  options: DaemonOptions,
): Promise<void> {
  const { home, config, dev, passphrase } = options
  if (parts.seal.state === 'uninitialized' || (await isUnfinished(store))) {
    using first = await firstStartSlots({ home, dev, passphrase, warn: options.warn })
    const made = await initialise({
      home,
      store,
      slots: first.slots,
      dev,
      trustDomain: config.identity.trust_domain,
      defaultPolicies: config.gateway.seed_default_policies,
      now: Date.now,
    })
    await parts.audit.append(
      {
        ...note('vault.init', 'vault created'),
        data: { vault_id: made.vaultId, slots: made.slots.length },
      },
      'synced',
    )
    await parts.seal.refresh()
  }
  const keyFile = config.vault.keyfile ?? (dev ? home.devKeyFile : undefined)
  if (passphrase !== undefined) {
    await parts.seal.unseal({ passphrase: passphrase.bytes })
  } else if (keyFile !== undefined) {
    using key = await loadKeyFile(keyFile)
    await parts.seal.unseal({ keyfile: key.bytes })
  } else {
    options.warn('the vault is sealed; open it with "vestry unseal"')
    return
  }
  await lifecycle.unsealed()
}
