/** What a new vault is closed with when `vestry up` makes it. */
import { existsSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import { createKeyFile, loadKeyFile } from '../seal/keyfile-load.ts'
import type { Secret } from '../seal/secret.ts'
import type { SlotSpec } from '../seal/slot.ts'
import type { Home } from './home.ts'

/**
 * `--dev`: a key file inside the home, with a warning. Otherwise the passphrase that was given; without
 * one the operator is sent to `vestry init`.
 */
export async function firstStartSlots(input: {
  home: Home
  dev: boolean
  passphrase: Secret | undefined
  warn: (line: string) => void
}): Promise<{ slots: SlotSpec[] } & Disposable> {
  const { home, dev, passphrase, warn } = input
  if (passphrase !== undefined) {
    return {
      slots: [{ type: 'passphrase', passphrase: passphrase.bytes, label: 'first passphrase' }],
      [Symbol.dispose]: () => undefined,
    }
  }
  if (!dev) {
    throw new VestryError('NOT_INITIALIZED', `no vault in ${home.dir}`, {
      hint: 'Run "vestry init" first, or give --passphrase-file; for a try-out use --dev',
    })
  }
  warn(
    `--dev keeps the unseal key in ${home.devKeyFile}: it protects nothing against theft of the disk`,
  )
  const key = existsSync(home.devKeyFile)
    ? await loadKeyFile(home.devKeyFile)
    : await createKeyFile(home.devKeyFile)
  return {
    slots: [{ type: 'keyfile', keyfile: key.bytes, label: 'dev key file' }],
    [Symbol.dispose]: () => key[Symbol.dispose](),
  }
}
