/**
 * Row MACs: plain columns that decide who may do what are signed, so a changed database file is noticed
 * when the row is read. `HMAC-SHA-256(row key, AAD("row", table, id) ‖ canonical row)`.
 */
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { aad } from './aad.ts'

/** What a row MAC needs of the keyring. */
export interface RowKeys {
  readonly vaultId: string
  readonly rowKey: KeyObject
}

/** A row as the store returns it: text, finite numbers, null, blobs. Its `mac` is left out of the MAC. */
export type Row = Readonly<Record<string, unknown>>

/**
 * @param id The row's key as text; a composite key is joined by the caller, unambiguously.
 * @returns 32 bytes.
 */
export function rowMac(keys: RowKeys, table: string, id: string, row: Row): Uint8Array {
  // The row runs to the end instead of being one more length-prefixed field: policies exceed 64 KiB.
  return createHmac('sha256', keys.rowKey)
    .update(aad('row', keys.vaultId, table, id))
    .update(canonicalRow(row))
    .digest()
}

/** @throws VestryError `STORE_CORRUPT` naming table and id when the row is not the one that was written. */
export function checkRow(
  keys: RowKeys,
  table: string,
  id: string,
  row: Row,
  mac: Uint8Array,
): void {
  const expected = rowMac(keys, table, id, row)
  if (mac.length === expected.length && timingSafeEqual(mac, expected)) return
  throw new VestryError('STORE_CORRUPT', `Row "${id}" of table ${table} was altered`, {
    hint: 'Restore the store from a backup; nothing that depends on this row is served.',
    context: { table, id },
  })
}

function canonicalRow(row: Row): string {
  const columns: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(row)) {
    if (name === 'mac') continue
    // A blob becomes an object, so that no text column can pass for it.
    columns[name] = value instanceof Uint8Array ? { base64: base64(value) } : value
  }
  return canonicalJson(columns)
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}
