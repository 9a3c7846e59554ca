/** The pod that one daemon is: an id derived from its vault, so that it stays the same while sealed, and a name. */
import { createHash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { loadSeal } from '../seal/seal-store.ts'
import type { Store } from '../store/store.ts'

export interface Pod {
  /** `pod_` and 16 hex digits. */
  readonly id: string
  readonly name: string
}

/** @throws VestryError NOT_INITIALIZED while the store holds no vault. */
export async function podOf(store: Pick<Store, 'db'>, name: string): Promise<Pod> {
  const sealed = await loadSeal(store.db)
  if (sealed === undefined) throw new VestryError('NOT_INITIALIZED')
  return { id: podIdOf(sealed.vaultId), name }
}

/** Nobody learns the vault's id from it, which ties sealed records to their vault. */
export function podIdOf(vaultId: string): string {
  const digest = createHash('sha256').update(`vestry-pod\0${vaultId}`).digest('hex')
  return `pod_${digest.slice(0, 16)}`
}
