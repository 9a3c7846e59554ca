/** Proofs: what people and machines show to open the root key, and which slot it opened. */
import { VestryError } from '@vestry/contract/errors'
import type { Stretcher } from './kdf.ts'
import { keyFileId, parseKeyFile } from './keyfile.ts'
import { Secret } from './secret.ts'
import { ShareCollector } from './share-collector.ts'
import { openSlot, type Slot } from './slot.ts'

/** Every secret is borrowed: neither kept nor wiped. */
export type Proof =
  | { passphrase: Uint8Array }
  /** Content of a key file: 32 raw bytes or 64 hex digits. */
  | { keyfile: Uint8Array }
  /** Enough shares of one split, as texts. */
  | { shares: readonly Uint8Array[] }

/** Owned by the caller. */
export interface Opened extends Disposable {
  slot: Slot
  slotKey: Secret
  root: Secret
}

export interface ProofDeps {
  vaultId: string
  stretcher: Stretcher
}

/** The first slot that `proof` opens; `undefined` when it opens none, without saying why. */
export async function openWithProof(
  slots: readonly Slot[],
  proof: Proof,
  deps: ProofDeps,
): Promise<Opened | undefined> {
  if ('passphrase' in proof) return openWithPassphrase(slots, proof.passphrase, deps)
  if ('keyfile' in proof) return openWithKeyFile(slots, proof.keyfile, deps.vaultId)
  return openWithShares(slots, proof.shares, deps.vaultId)
}

/** Tries `slotKey`, which it then owns, on one slot. */
export function openWithKey(vaultId: string, slot: Slot, slotKey: Secret): Opened | undefined {
  const root = openSlot(vaultId, slot, slotKey.bytes)
  if (root === undefined) {
    slotKey[Symbol.dispose]()
    return undefined
  }
  const dispose = () => {
    slotKey[Symbol.dispose]()
    root[Symbol.dispose]()
  }
  return { slot, slotKey, root, [Symbol.dispose]: dispose }
}

/** The one answer to every wrong secret. */
export function unsealFailed(): VestryError {
  return new VestryError('UNSEAL_FAILED', undefined, {
    hint: 'Give the passphrase, key file or shares this vault was closed with.',
  })
}

async function openWithPassphrase(
  slots: readonly Slot[],
  passphrase: Uint8Array,
  { vaultId, stretcher }: ProofDeps,
): Promise<Opened | undefined> {
  for (const slot of slots) {
    const { kdf } = slot
    if (kdf.name !== 'argon2id' && kdf.name !== 'scrypt') continue
    const opened = openWithKey(vaultId, slot, await stretcher.derive(passphrase, kdf))
    if (opened !== undefined) return opened
  }
  return undefined
}

function openWithKeyFile(
  slots: readonly Slot[],
  content: Uint8Array,
  vaultId: string,
): Opened | undefined {
  using key = parseKeyFile(content)
  const id = keyFileId(key.bytes)
  for (const slot of slots) {
    if (slot.kdf.name !== 'keyfile' || slot.kdf.key_id !== id) continue
    const opened = openWithKey(vaultId, slot, Secret.copy(key.bytes))
    if (opened !== undefined) return opened
  }
  return undefined
}

function openWithShares(
  slots: readonly Slot[],
  shares: readonly Uint8Array[],
  vaultId: string,
): Opened | undefined {
  const collector = new ShareCollector(() => 0)
  try {
    for (const share of shares) {
      const offered = collector.offer(share, slots)
      if (offered.complete) return openWithKey(vaultId, offered.slot, offered.key)
    }
    return undefined
  } finally {
    collector.reset()
  }
}
