/** What goes into an execution and comes out of it, sealed for the store and bound to its id. */
import { VestryError } from '@vestry/contract/errors'
import type { Keyring } from '../seal/keyring.ts'
import { openRecord, sealRecord } from '../seal/record.ts'

export const MAX_CONTENT_BYTES = 32 * 1024 * 1024

export type ContentKind = 'execution-input' | 'execution-output'

/** @throws VestryError REQUEST_TOO_LARGE, RESPONSE_TOO_LARGE, VAULT_LOCKED. */
export function sealContent(
  keys: Keyring,
  kind: ContentKind,
  id: string,
  content: Uint8Array,
): Uint8Array {
  if (content.length > MAX_CONTENT_BYTES) {
    throw new VestryError(
      kind === 'execution-input' ? 'REQUEST_TOO_LARGE' : 'RESPONSE_TOO_LARGE',
      `An execution keeps at most ${MAX_CONTENT_BYTES} bytes`,
    )
  }
  return sealRecord(keys, { path: id, version: 1, kind }, content)
}

/** @returns The content, the caller's to wipe. @throws VestryError SEAL_BROKEN, VAULT_LOCKED. */
export function openContent(
  keys: Keyring,
  kind: ContentKind,
  id: string,
  sealed: Uint8Array,
): Uint8Array {
  using secret = openRecord(keys, { path: id, version: 1, kind }, sealed)
  return Uint8Array.from(secret.bytes)
}
