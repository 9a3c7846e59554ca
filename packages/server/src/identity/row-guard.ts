/** How this folder has its rows authenticated: by functions that are handed in, never by holding keys. */
import { checkRow, type Row, type RowKeys, rowMac } from '../seal/row-mac.ts'

export interface RowGuard {
  mac(table: string, id: string, row: Row): Uint8Array
  /** @throws VestryError `STORE_CORRUPT` */
  check(table: string, id: string, row: Row, mac: Uint8Array): void
}

/** @param keys Asked for at each use, so that a sealed vault answers VAULT_LOCKED here. */
export function rowGuard(keys: () => RowKeys): RowGuard {
  return {
    mac: (table, id, row) => rowMac(keys(), table, id, row),
    check: (table, id, row, mac) => checkRow(keys(), table, id, row, mac),
  }
}

/** Result of an admin change: `generation` goes into its audit record. */
export interface Changed<T> {
  value: T
  generation: number
}
