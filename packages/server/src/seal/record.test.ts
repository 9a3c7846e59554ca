import { createSecretKey } from 'node:crypto'
import { inspect } from 'node:util'
import { asVestryError } from '@vestry/contract/errors'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { diskId } from './hash.ts'
import { openRecord, type RecordKeys, recordTerm, rewrapRecord, sealRecord } from './record.ts'
import type { Random } from './secret.ts'

const VAULT = '018f3c5e-0000-7000-8000-0000000000aa'
const PATH = 'openai/api_key'
const VALUE = Buffer.from('sk-test-0123456789')
const VECTOR = Buffer.from(
  '534e435201010000000100000003808182838485868788898a8b4d3fdca44611' +
    '4ce40003fa431ecffb4d888dbba13912906386f702afad681f0348f182d33e53' +
    '0f07d844e97ab7afa247909192939495969798999a9bd0214cc2a12eca40f473' +
    '44133afe343bed20b98f00aa11cbc4761e18e839e46ff2a6',
  'hex',
)
const SEAL_BROKEN = expect.objectContaining({ code: 'SEAL_BROKEN' })

const seq = (from: number, length: number) => Uint8Array.from({ length }, (_, at) => from + at)

function keysOf(term: number, vaultId = VAULT): RecordKeys {
  return {
    vaultId,
    term,
    // Both terms share one key here: only the associated data may tell them apart.
    termKey: () => createSecretKey(seq(0x40, 32)),
  }
}

function scripted(...outputs: Uint8Array[]): Random {
  return (length) => {
    const next = outputs.shift()
    if (next?.length !== length) throw new Error(`no scripted bytes of length ${length}`)
    return Uint8Array.from(next)
  }
}

test('vault §28.38: the record vector of 26.5 is sealed byte for byte and opens again', () => {
  const random = scripted(seq(0x60, 32), seq(0x80, 12), seq(0x90, 12))
  const record = sealRecord(keysOf(1), { path: PATH, version: 3 }, VALUE, random)
  expect(Buffer.from(record).toString('hex')).toBe(VECTOR.toString('hex'))
  using opened = openRecord(keysOf(1), { path: PATH, version: 3 }, VECTOR)
  expect(Buffer.from(opened.bytes)).toEqual(VALUE)
})

test('vault §28.38: the disk id vector of 26.5', () => {
  const keys = { vaultId: VAULT, indexKey: createSecretKey(seq(0xc0, 32)) }
  expect(diskId(keys, PATH)).toBe('527957c001b3f96eacde1a8cb261e6cf')
})

test('vault §28.38: a record copied to another path, version, term, kind or vault does not open', () => {
  const open = (keys: RecordKeys, path: string, version: number, kind?: string) => () =>
    openRecord(keys, { path, version, ...(kind && { kind }) }, VECTOR)
  expect(open(keysOf(1), 'openai/api_key2', 3)).toThrow(SEAL_BROKEN)
  expect(open(keysOf(1), PATH, 2)).toThrow(SEAL_BROKEN)
  expect(open(keysOf(1), PATH, 3, 'meta')).toThrow(SEAL_BROKEN)
  expect(open(keysOf(1, '018f3c5e-0000-7000-8000-0000000000ab'), PATH, 3)).toThrow(SEAL_BROKEN)
  const otherTerm = Uint8Array.from(VECTOR)
  otherTerm[9] = 2
  expect(() => openRecord(keysOf(1), { path: PATH, version: 3 }, otherTerm)).toThrow(SEAL_BROKEN)
})

test('vault §28.38: replaying an old version under a new version number is detected', () => {
  const old = sealRecord(keysOf(1), { path: PATH, version: 1 }, VALUE)
  const renumbered = Uint8Array.from(old)
  renumbered[13] = 2
  expect(() => openRecord(keysOf(1), { path: PATH, version: 2 }, old)).toThrow(SEAL_BROKEN)
  expect(() => openRecord(keysOf(1), { path: PATH, version: 2 }, renumbered)).toThrow(SEAL_BROKEN)
})

test('vault §28.38: one flipped bit anywhere, or a cut at any length, is detected', () => {
  const place = { path: PATH, version: 3 }
  for (let at = 0; at < VECTOR.length; at += 1) {
    const flipped = Uint8Array.from(VECTOR)
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8))
    expect(() => openRecord(keysOf(1), place, flipped)).toThrow(SEAL_BROKEN)
    expect(() => openRecord(keysOf(1), place, VECTOR.subarray(0, at))).toThrow(SEAL_BROKEN)
  }
})

test('any value, path and version comes back, sealed differently each time', () => {
  const path = fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' })
  const version = fc.integer({ min: 1, max: 0xffff_ffff })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), path, version, (value, path, version) => {
      const place = { path, version }
      const record = sealRecord(keysOf(7), place, value)
      expect(record.length).toBe(102 + value.length)
      expect(sealRecord(keysOf(7), place, value)).not.toEqual(record)
      using opened = openRecord(keysOf(7), place, record)
      expect(Buffer.compare(opened.bytes, value)).toBe(0)
    }),
    { numRuns: 200 },
  )
})

test('vault §28.41: a new term re-wraps the data key and leaves the value bytes as they are', () => {
  const place = { path: PATH, version: 3 }
  const rewrapped = rewrapRecord(keysOf(2), place, VECTOR)
  expect(recordTerm(VECTOR)).toBe(1)
  expect(recordTerm(rewrapped)).toBe(2)
  expect(Buffer.from(rewrapped.subarray(74))).toEqual(VECTOR.subarray(74))
  expect(Buffer.from(rewrapped.subarray(14, 74))).not.toEqual(VECTOR.subarray(14, 74))
  using opened = openRecord(keysOf(2), place, rewrapped)
  expect(Buffer.from(opened.bytes)).toEqual(VALUE)
})

test('values over 64 KiB, paths over 512 bytes and version 0 are refused', () => {
  const refused = expect.objectContaining({ code: 'INVALID_PARAMS' })
  const seal = (path: string, version: number, length: number) => () =>
    sealRecord(keysOf(1), { path, version }, new Uint8Array(length))
  expect(seal(PATH, 1, 65_537)).toThrow(refused)
  expect(seal('é'.repeat(257), 1, 1)).toThrow(refused)
  expect(seal(PATH, 0, 1)).toThrow(refused)
  expect(seal(PATH, 2 ** 32, 1)).toThrow(refused)
  seal(PATH, 1, 65_536)()
})

test('neither a value nor its data key appears in any print of a secret or of an error', () => {
  using opened = openRecord(keysOf(1), { path: PATH, version: 3 }, VECTOR)
  const deep = { depth: 9, showHidden: true, customInspect: false }
  const prints = [inspect(opened, deep), `${opened}`, JSON.stringify({ opened })]
  try {
    openRecord(keysOf(1), { path: PATH, version: 2 }, VECTOR)
  } catch (error) {
    prints.push(inspect(error, deep), JSON.stringify(asVestryError(error)))
  }
  for (const print of prints) expect(print).not.toMatch(/sk-test|0x73|115, 107|6061626364/)
})
