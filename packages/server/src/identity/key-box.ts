/**
 * The text of an agent's key file. Plain: 64 hex digits of the seed. Encrypted: 176 hex digits of
 * `salt (16 B) ‖ nonce (24 B) ‖ secretbox (Poly1305 tag 16 B, then 32 B)`, PBKDF2-HMAC-SHA-256 with
 * 100 000 rounds: a format fixed by existing clients (wire contract §10.2), hence the long passphrases.
 */
import { pbkdf2, randomFillSync } from 'node:crypto'
import { promisify } from 'node:util'
import { VestryError } from '@vestry/contract/errors'
import { decodeHexBytes, encodeBase64UrlBytes, encodeHexBytes } from '../seal/bytes-text.ts'
import { Secret, unpooled } from '../seal/secret.ts'
import { SEED_BYTES } from './ed25519.ts'

export const PLAIN_CHARS = 64
export const ENCRYPTED_CHARS = 176
export const MIN_PASSPHRASE_CHARS = 16

const SALT_BYTES = 16
const NONCE_BYTES = 24
const BOX_BYTES = 48
const ROUNDS = 100_000
const GENERATED_PASSPHRASE_BYTES = 24

const derive = promisify(pbkdf2)

/** @param seed 32 bytes, borrowed. @returns The file's text as ASCII; the caller wipes it. */
export function plainKey(seed: Uint8Array): Uint8Array {
  assertSeed(seed)
  return encodeHexBytes(seed)
}

/**
 * @param passphrase UTF-8, borrowed, at least 16 characters.
 * @param fresh Salt and nonce; random unless a test fixes them.
 * @returns The file's text as ASCII.
 */
export async function encryptedKey(
  seed: Uint8Array,
  passphrase: Uint8Array,
  fresh: { salt: Uint8Array; nonce: Uint8Array } = {
    salt: randomFillSync(new Uint8Array(SALT_BYTES)),
    nonce: randomFillSync(new Uint8Array(NONCE_BYTES)),
  },
): Promise<Uint8Array> {
  assertSeed(seed)
  assertPassphrase(passphrase)
  using key = await boxKey(passphrase, fresh.salt)
  const { xsalsa20poly1305 } = await secretbox()
  const box = xsalsa20poly1305(key.bytes, fresh.nonce).encrypt(seed)
  return encodeHexBytes(Buffer.concat([fresh.salt, fresh.nonce, box]))
}

/** Whether the text of a key file needs a passphrase, by its length. */
export function isEncrypted(text: Uint8Array): boolean {
  return trim(text).length === ENCRYPTED_CHARS
}

/**
 * The seed out of a key file of either form.
 *
 * @param text The file's bytes, borrowed; white space around the digits is ignored.
 * @throws VestryError `AUTH_FAILED` for a wrong length, other characters, a missing or wrong passphrase.
 */
export async function openKey(text: Uint8Array, passphrase?: Uint8Array): Promise<Secret> {
  const digits = trim(text)
  if (digits.length !== PLAIN_CHARS && digits.length !== ENCRYPTED_CHARS)
    throw unreadable(`${digits.length} characters, expected ${PLAIN_CHARS} or ${ENCRYPTED_CHARS}`)
  const bytes = decoded(digits)
  if (digits.length === PLAIN_CHARS) return Secret.own(bytes)
  if (passphrase === undefined)
    throw new VestryError('AUTH_FAILED', 'Key file is encrypted: passphrase required', {
      hint: 'Give the passphrase that was set when the key was made.',
    })
  const nonceAt = SALT_BYTES
  const boxAt = SALT_BYTES + NONCE_BYTES
  using key = await boxKey(passphrase, bytes.subarray(0, nonceAt))
  const { xsalsa20poly1305 } = await secretbox()
  try {
    const box = bytes.subarray(boxAt, boxAt + BOX_BYTES)
    return Secret.own(xsalsa20poly1305(key.bytes, bytes.subarray(nonceAt, boxAt)).decrypt(box))
  } catch (cause) {
    throw new VestryError(
      'AUTH_FAILED',
      'Key file did not open: wrong passphrase or damaged file',
      {
        cause,
      },
    )
  }
}

/** 192 random bits as 32 ASCII characters. */
export function generatePassphrase(): Secret {
  const raw = randomFillSync(unpooled(GENERATED_PASSPHRASE_BYTES))
  const text = encodeBase64UrlBytes(raw)
  raw.fill(0)
  return Secret.own(text)
}

/** @throws VestryError `INVALID_PARAMS` for fewer than 16 characters. */
export function assertPassphrase(passphrase: Uint8Array): void {
  let characters = 0
  // Every UTF-8 byte that is not a continuation byte begins a character.
  for (const byte of passphrase) if ((byte & 0xc0) !== 0x80) characters += 1
  if (characters >= MIN_PASSPHRASE_CHARS) return
  throw new VestryError('INVALID_PARAMS', `Passphrase is shorter than ${MIN_PASSPHRASE_CHARS}`, {
    hint: 'Use at least 16 characters, or have one generated.',
  })
}

async function boxKey(passphrase: Uint8Array, salt: Uint8Array): Promise<Secret> {
  const derived = await derive(passphrase, salt, ROUNDS, 32, 'sha256')
  const key = Secret.copy(derived)
  derived.fill(0)
  return key
}

/** Loaded when a passphrase is in play, which on a daemon is never. */
function secretbox(): Promise<typeof import('@noble/ciphers/salsa.js')> {
  return import('@noble/ciphers/salsa.js')
}

function trim(text: Uint8Array): Uint8Array {
  let start = 0
  let end = text.length
  while (start < end && isSpace(text[start])) start += 1
  while (end > start && isSpace(text[end - 1])) end -= 1
  return text.subarray(start, end)
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || (byte !== undefined && byte >= 0x09 && byte <= 0x0d)
}

function decoded(digits: Uint8Array): Uint8Array {
  try {
    return decodeHexBytes(digits)
  } catch (cause) {
    throw unreadable('characters other than hex digits', cause)
  }
}

function assertSeed(seed: Uint8Array): void {
  if (seed.length !== SEED_BYTES)
    throw new VestryError('INVALID_PARAMS', `Seed is ${seed.length} bytes, expected 32`)
}

function unreadable(what: string, cause?: unknown): VestryError {
  return new VestryError('AUTH_FAILED', `Key file is unreadable: ${what}`, {
    hint: 'A plain key file holds 64 hex digits, an encrypted one 176.',
    cause,
  })
}
