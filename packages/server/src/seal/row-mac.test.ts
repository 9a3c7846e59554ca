import { createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkRow, rowMac } from './row-mac.ts'

const keys = { vaultId: 'v1', rowKey: createSecretKey(new Uint8Array(32).fill(7)) }
const row = { id: 'a1', name: 'scout', keys: new Uint8Array([1, 2]), created_at: 5, note: null }
const corrupt = expect.objectContaining({ code: 'STORE_CORRUPT' })

test('a row passes with its own MAC, in any column order, with or without its mac column', () => {
  const mac = rowMac(keys, 'agent', 'a1', row)
  checkRow(keys, 'agent', 'a1', row, mac)
  checkRow(keys, 'agent', 'a1', { ...row, mac }, mac)
  const reversed = Object.fromEntries(Object.entries(row).reverse())
  checkRow(keys, 'agent', 'a1', reversed, mac)
  checkRow(keys, 'agent', 'a1', { ...row, keys: Buffer.from(row.keys) }, mac)
})

test('vault §28.38: an edited, moved or foreign row is refused by table and id', () => {
  const mac = rowMac(keys, 'agent', 'a1', row)
  const check = (table: string, id: string, columns: object, key = keys, seen = mac) =>
    expect(() => checkRow(key, table, id, { ...columns }, seen))
  check('agent', 'a1', { ...row, name: 'scouT' }).toThrow(corrupt)
  check('agent', 'a1', { ...row, created_at: '5' }).toThrow(corrupt)
  check('agent', 'a1', { ...row, extra: null }).toThrow(corrupt)
  check('agent', 'a1', { ...row, keys: new Uint8Array([1, 3]) }).toThrow(corrupt)
  check('agent', 'a1', { ...row, keys: 'AQI=' }).toThrow(corrupt)
  check('agent', 'a2', row).toThrow(corrupt)
  check('operator', 'a1', row).toThrow(corrupt)
  check('agent', 'a1', row, { ...keys, vaultId: 'v2' }).toThrow(corrupt)
  check('agent', 'a1', row, keys, mac.subarray(1)).toThrow(corrupt)
  check('agent', 'a1', row, keys, new Uint8Array(0)).toThrow(corrupt)
  check('agent', 'a2', row).toThrow(
    expect.objectContaining({ context: { table: 'agent', id: 'a2' } }),
  )
})

test('rows larger than 64 KiB are covered to the last character', () => {
  const text = 'permit(principal, action, resource);'.repeat(4000)
  const mac = rowMac(keys, 'policy', 'p', { text })
  checkRow(keys, 'policy', 'p', { text }, mac)
  expect(() => checkRow(keys, 'policy', 'p', { text: `${text.slice(0, -1)}.` }, mac)).toThrow(
    corrupt,
  )
})

test('different rows have different MACs', () => {
  const value = fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.uint8Array())
  const rows = fc.dictionary(fc.constantFrom('a', 'b', 'c'), value)
  const shape = (columns: object) => JSON.stringify(Object.entries(columns).sort())
  fc.assert(
    fc.property(rows, rows, (one, other) => {
      const equal = Buffer.compare(rowMac(keys, 't', 'i', one), rowMac(keys, 't', 'i', other)) === 0
      expect(equal).toBe(shape(one) === shape(other))
    }),
  )
})
