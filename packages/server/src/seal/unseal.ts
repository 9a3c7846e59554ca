/** One attempt to unseal: from what was shown to the slot it opens, or to how many shares are missing. */
import { parseKeyFile } from './keyfile.ts'
import { type Opened, openWithKey, openWithProof, type Proof, unsealFailed } from './proof.ts'
import { type SealContext, usableSlots } from './seal-context.ts'
import type { StoredSeal } from './seal-store.ts'
import type { ShareCollector, ShareProgress } from './share-collector.ts'
import { rekey } from './slot-admin.ts'

/** Every secret is borrowed: neither kept nor wiped. */
export type UnsealSecret =
  | { passphrase: Uint8Array }
  /** One share of a split, as text. */
  | { share: Uint8Array }
  /** Content of the key file, and of the one before it while files are being exchanged. */
  | { keyfile: Uint8Array; previous?: Uint8Array }

/**
 * @returns The opened slot, owned by the caller, or progress while shares are missing.
 * @throws VestryError `UNSEAL_FAILED`; `STORE_CORRUPT` when nothing opened and a slot's parameters are refused.
 */
export async function openWithSecret(
  context: SealContext,
  stored: StoredSeal,
  secret: UnsealSecret,
  shares: ShareCollector,
): Promise<Opened | ShareProgress> {
  const { slots, refused } = usableSlots(stored)
  const { vaultId } = stored
  const tryProof = (proof: Proof) => openWithProof(slots, proof, { ...context, vaultId })
  let opened: Opened | undefined
  if ('share' in secret) {
    const offered = shares.offer(secret.share, slots)
    if (!offered.complete) return offered.progress
    opened = openWithKey(vaultId, offered.slot, offered.key)
  } else {
    opened = await tryProof(secret)
    if (opened === undefined && 'keyfile' in secret && secret.previous !== undefined)
      opened = await tryProof({ keyfile: secret.previous })
  }
  if (opened === undefined) throw refused ?? unsealFailed()
  return opened
}

/**
 * Moves a slot that only the previous key file opened to the current one. A failure is told, not thrown: the
 * vault is open, and the next unsealing tries again.
 */
export async function retirePrevious(
  context: SealContext,
  stored: StoredSeal,
  opened: Opened,
  secret: UnsealSecret,
): Promise<{ keyfileReplaced?: boolean }> {
  if (!('keyfile' in secret)) return {}
  using current = parseKeyFile(secret.keyfile)
  if (Buffer.compare(current.bytes, opened.slotKey.bytes) === 0) return {}
  try {
    await rekey(context, stored, opened, { type: 'keyfile', keyfile: secret.keyfile })
    return { keyfileReplaced: true }
  } catch {
    return { keyfileReplaced: false }
  }
}
