/**
 * The sealed form of one credential version. A data key of its own encrypts the value; the term key wraps
 * only the data key, so a new term re-wraps 48 bytes and leaves the value untouched.
 *
 * ```
 * "SNCR" | fmt u8=1 | alg u8=1 | term u32 | version u32
 * | dek_nonce 12 | wrapped_dek 48 | val_nonce 12 | ciphertext n | tag 16      (102 + n bytes)
 * ```
 * @see wire contract §15.5
 */
import { createSecretKey, type KeyObject } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { aad, u32 } from './aad.ts'
import { gcmOpen, gcmSeal, KEY_BYTES, NONCE_BYTES, TAG_BYTES } from './gcm.ts'
import { type Random, randomUnpooled, Secret, unpooled } from './secret.ts'

export const MAX_VALUE_BYTES = 65_536
export const MAX_PATH_BYTES = 512

const MAGIC = [0x53, 0x4e, 0x43, 0x52]
const FORMAT = 1
const AES_256_GCM = 1
const TERM_AT = 6
const VERSION_AT = 10
const DEK_NONCE_AT = 14
const WRAPPED_DEK_AT = DEK_NONCE_AT + NONCE_BYTES
const VALUE_NONCE_AT = WRAPPED_DEK_AT + KEY_BYTES + TAG_BYTES
const CIPHERTEXT_AT = VALUE_NONCE_AT + NONCE_BYTES
const OVERHEAD = CIPHERTEXT_AT + TAG_BYTES

/** What a record needs of the keyring. */
export interface RecordKeys {
  readonly vaultId: string
  readonly term: number
  termKey(term: number): KeyObject
  /** Called once per data key wrapped under the current term, so that its nonces can be counted. */
  countWrap?(): void
}

/** Which record this is. All of it is authenticated; `path` and `kind` are not stored in the record. */
export interface RecordPlace {
  path: string
  /** From 1. */
  version: number
  /** `val` unless the record holds something else than a credential's value. */
  kind?: string
}

/**
 * Seals `value` under the current term.
 *
 * @param value Up to 65 536 bytes for a credential's value. Borrowed: neither kept nor wiped.
 * @throws VestryError `INVALID_PARAMS` when value, path or version is out of range.
 */
export function sealRecord(
  keys: RecordKeys,
  place: RecordPlace,
  value: Uint8Array,
  random: Random = randomUnpooled,
): Uint8Array {
  checkLimits(place, value.length)
  const { term } = keys
  keys.countWrap?.()
  using dek = Secret.own(random(KEY_BYTES))
  const record = unpooled(OVERHEAD + value.length)
  record.set(MAGIC)
  record.set([FORMAT, AES_256_GCM], MAGIC.length)
  record.set(u32(place.version), VERSION_AT)
  wrapDek(keys, term, place, dek, record, random)
  const nonce = random(NONCE_BYTES)
  record.set(nonce, VALUE_NONCE_AT)
  record.set(gcmSeal(dek.bytes, nonce, value, valueAad(keys, place)), CIPHERTEXT_AT)
  return record
}

/**
 * @returns The value; the caller disposes it.
 * @throws VestryError `SEAL_BROKEN` if the record is altered or is not the record of this place.
 */
export function openRecord(keys: RecordKeys, place: RecordPlace, record: Uint8Array): Secret {
  using dek = unwrapDek(keys, place, record)
  return gcmOpen(
    dek.bytes,
    record.subarray(VALUE_NONCE_AT, CIPHERTEXT_AT),
    record.subarray(CIPHERTEXT_AT),
    valueAad(keys, place),
  )
}

/** A record whose data key was unwrapped once and is held as a handle of the crypto library, not as bytes. */
export interface OpenedRecord {
  /** @returns The value; the caller disposes it. @throws VestryError `SEAL_BROKEN`. */
  open(): Secret
}

/** For values that are opened again and again: half the work of {@link openRecord} each time. */
export function keepOpen(keys: RecordKeys, place: RecordPlace, record: Uint8Array): OpenedRecord {
  using dek = unwrapDek(keys, place, record)
  const key = createSecretKey(dek.bytes)
  const nonce = record.subarray(VALUE_NONCE_AT, CIPHERTEXT_AT)
  const ciphertext = record.subarray(CIPHERTEXT_AT)
  const bound = valueAad(keys, place)
  return { open: () => gcmOpen(key, nonce, ciphertext, bound) }
}

/**
 * The same record with its data key wrapped under the current term; the value is copied as it is.
 * @throws VestryError `SEAL_BROKEN` as {@link openRecord} does for the data key.
 */
export function rewrapRecord(
  keys: RecordKeys,
  place: RecordPlace,
  record: Uint8Array,
  random: Random = randomUnpooled,
): Uint8Array {
  using dek = unwrapDek(keys, place, record)
  const { term } = keys
  keys.countWrap?.()
  const copy = unpooled(record.length)
  copy.set(record)
  wrapDek(keys, term, place, dek, copy, random)
  return copy
}

/**
 * The term a record is wrapped under, read without any key.
 * @throws VestryError `SEAL_BROKEN` if it is no record.
 */
export function recordTerm(record: Uint8Array): number {
  return readHeader(record).term
}

function wrapDek(
  keys: RecordKeys,
  term: number,
  place: RecordPlace,
  dek: Secret,
  record: Uint8Array,
  random: Random,
): void {
  const nonce = random(NONCE_BYTES)
  record.set(u32(term), TERM_AT)
  record.set(nonce, DEK_NONCE_AT)
  const wrapped = gcmSeal(keys.termKey(term), nonce, dek.bytes, dekAad(keys, place, term))
  record.set(wrapped, WRAPPED_DEK_AT)
}

function unwrapDek(keys: RecordKeys, place: RecordPlace, record: Uint8Array): Secret {
  const { term, version } = readHeader(record)
  if (version !== place.version) throw broken()
  return gcmOpen(
    keys.termKey(term),
    record.subarray(DEK_NONCE_AT, WRAPPED_DEK_AT),
    record.subarray(WRAPPED_DEK_AT, VALUE_NONCE_AT),
    dekAad(keys, place, term),
  )
}

function readHeader(record: Uint8Array): { term: number; version: number } {
  const known =
    record.length >= OVERHEAD &&
    MAGIC.every((byte, at) => record[at] === byte) &&
    record[4] === FORMAT &&
    record[5] === AES_256_GCM
  if (!known) throw broken()
  const view = new DataView(record.buffer, record.byteOffset, record.length)
  return { term: view.getUint32(TERM_AT), version: view.getUint32(VERSION_AT) }
}

function dekAad(keys: RecordKeys, place: RecordPlace, term: number): Uint8Array {
  return aad('dek', keys.vaultId, place.path, u32(place.version), u32(term))
}

function valueAad(keys: RecordKeys, place: RecordPlace): Uint8Array {
  return aad(place.kind ?? 'val', keys.vaultId, place.path, u32(place.version))
}

function checkLimits(place: RecordPlace, valueBytes: number): void {
  if (place.version < 1) throw new VestryError('INVALID_PARAMS', 'versions count from 1')
  if (Buffer.byteLength(place.path) > MAX_PATH_BYTES)
    throw new VestryError('INVALID_PARAMS', `a path is at most ${MAX_PATH_BYTES} bytes`)
  if (place.kind === undefined && valueBytes > MAX_VALUE_BYTES)
    throw new VestryError('INVALID_PARAMS', `a value is at most ${MAX_VALUE_BYTES} bytes`)
}

function broken(): VestryError {
  return new VestryError('SEAL_BROKEN')
}
