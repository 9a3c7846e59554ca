/**
 * Agent key files: 64 hex characters of Ed25519 seed, or 176 of a passphrase-sealed one. Says what is
 * wrong with a file without ever quoting it.
 *
 * Sealed layout: `salt (16 B) ‖ nonce (24 B) ‖ secretbox (tag 16 B, then 32 B)`; the box key is
 * PBKDF2-HMAC-SHA-256 of the passphrase, 100 000 rounds: fixed by the clients that share the format.
 */
import { pbkdf2, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access, open } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { AuthError, VaultError } from './errors.ts'
import { bytesOfHex } from './hex.ts'
import { SEED_BYTES, type Signer, signerFromSeed } from './signer.ts'
import { vaultHome } from './target.ts'
import { vaultError } from './wire-error.ts'

export type Passphrase = string | Uint8Array | (() => Promise<string | Uint8Array>)

export interface KeyOptions {
  /** Default: `~/.sanctum/keys/<agent>.key`, or `.key.enc` beside it. */
  keyPath?: string | undefined
  /** Opens a sealed file; a function is called only when one is opened. */
  passphrase?: Passphrase | undefined
  /** Refuse a file that group or others can touch instead of warning. Default false. */
  strictKeyPermissions?: boolean | undefined
}

const PLAIN_CHARACTERS = SEED_BYTES * 2
const SALT_BYTES = 16
const NONCE_BYTES = 24
const BOX_BYTES = 16 + SEED_BYTES
const SEALED_CHARACTERS = (SALT_BYTES + NONCE_BYTES + BOX_BYTES) * 2
const ROUNDS = 100_000
const LARGEST_FILE = 4_096

const derive = promisify(pbkdf2)

/**
 * The signer for an agent's key file.
 *
 * With `keyPath` that file is read, sealed or plain as its content or `.enc` suffix says. Without it,
 * the sealed file is used when a passphrase is given and the file exists, else the plain one.
 *
 * @throws AuthError for a file that is missing, unreadable, malformed, too open (strict), sealed
 *   without a passphrase, or sealed with another passphrase.
 */
export async function loadKey(agentName: string, options: KeyOptions = {}): Promise<Signer> {
  const path = options.keyPath ?? (await defaultKeyPath(agentName, options.passphrase))
  const text = await readPrivately(path, options.strictKeyPermissions ?? false)
  let seed: Buffer | undefined
  try {
    seed = await seedOfText(text, path, options.passphrase)
    return signerFromSeed(seed)
  } finally {
    text.fill(0)
    seed?.fill(0)
  }
}

/**
 * Seals a seed into the text of a `.key.enc` file (176 hex characters), with fresh salt and nonce.
 *
 * @param seed 32 bytes. Borrowed: neither kept nor wiped.
 */
export async function encryptKey(
  seed: Uint8Array,
  passphrase: string | Uint8Array,
): Promise<string> {
  if (seed.length !== SEED_BYTES) {
    throw vaultError('INVALID_PARAMS', `An Ed25519 seed is ${SEED_BYTES} bytes`)
  }
  const salt = randomBytes(SALT_BYTES)
  const nonce = randomBytes(NONCE_BYTES)
  const box = await secretbox(passphrase, salt, nonce)
  return Buffer.concat([salt, nonce, box.seal(seed)]).toString('hex')
}

/** @param text The file's bytes, white space around them allowed. */
async function seedOfText(
  text: Buffer,
  path: string,
  passphrase: Passphrase | undefined,
): Promise<Buffer> {
  const digits = trimmed(text)
  const sealed = path.endsWith('.enc') || digits.length === SEALED_CHARACTERS
  const expected = sealed ? SEALED_CHARACTERS : PLAIN_CHARACTERS
  if (digits.length !== expected) {
    throw unusable(path, `holds ${digits.length} characters; a key is ${expected} hex characters`)
  }
  const bytes = bytesOfHex(digits)
  if (!bytes) throw unusable(path, 'holds characters that are not hex digits')
  if (!sealed) return bytes
  if (passphrase === undefined) {
    throw unusable(path, 'is encrypted: passphrase required', 'Pass the passphrase option.')
  }
  return openSealed(bytes, path, typeof passphrase === 'function' ? await passphrase() : passphrase)
}

async function openSealed(
  bytes: Buffer,
  path: string,
  passphrase: string | Uint8Array,
): Promise<Buffer> {
  const salt = bytes.subarray(0, SALT_BYTES)
  const nonce = bytes.subarray(SALT_BYTES, SALT_BYTES + NONCE_BYTES)
  const box = await secretbox(passphrase, salt, nonce)
  try {
    return Buffer.from(box.open(bytes.subarray(SALT_BYTES + NONCE_BYTES)))
  } catch {
    throw unusable(path, 'did not open: wrong passphrase, or the file was altered')
  }
}

async function secretbox(passphrase: string | Uint8Array, salt: Uint8Array, nonce: Uint8Array) {
  // Loaded here so that agents with plain keys, or none, never load it.
  const { secretbox: box } = await import('@noble/ciphers/salsa.js')
  const key = await derive(passphrase, salt, ROUNDS, 32, 'sha256')
  return box(key, nonce)
}

async function defaultKeyPath(agentName: string, passphrase?: Passphrase): Promise<string> {
  const plain = join(vaultHome(), 'keys', `${agentName}.key`)
  const sealed = `${plain}.enc`
  if (passphrase !== undefined) return (await exists(sealed)) ? sealed : plain
  return (await exists(plain)) || !(await exists(sealed)) ? plain : sealed
}

/** The file's bytes, if it is a regular, small file; checked on the opened handle, not on the name. */
async function readPrivately(path: string, strict: boolean): Promise<Buffer> {
  // Non-blocking, or opening a named pipe would wait for a writer for ever.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause) => {
    throw unreadable(path, cause)
  })
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw unusable(path, 'is not a regular file')
    if (stats.size > LARGEST_FILE) throw unusable(path, 'is too large to be a key')
    checkMode(path, stats.mode, strict)
    const buffer = Buffer.allocUnsafeSlow(LARGEST_FILE)
    const { bytesRead } = await handle.read(buffer, 0, LARGEST_FILE, 0)
    return buffer.subarray(0, bytesRead)
  } catch (cause) {
    throw cause instanceof VaultError ? cause : unreadable(path, cause)
  } finally {
    await handle.close()
  }
}

function checkMode(path: string, mode: number, strict: boolean): void {
  if (process.platform === 'win32' || (mode & 0o077) === 0) return
  const fault = `can be opened by other users (mode ${(mode & 0o777).toString(8)})`
  const remedy = `Run: chmod 600 ${path}`
  if (strict) throw unusable(path, fault, remedy)
  process.emitWarning(`Key file ${path} ${fault}. ${remedy}`, {
    code: 'VESTRY_KEY_PERMISSIONS',
  })
}

function trimmed(text: Buffer): Buffer {
  let start = 0
  let end = text.length
  while (start < end && isSpace(text[start])) start += 1
  while (end > start && isSpace(text[end - 1])) end -= 1
  return text.subarray(start, end)
}

const isSpace = (byte: number | undefined): boolean =>
  byte === 0x20 || (byte !== undefined && byte >= 0x09 && byte <= 0x0d)

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function unreadable(path: string, cause: unknown): AuthError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
  const fault = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`
  return unusable(path, fault, 'Check keyPath, or ask an operator to add the agent.')
}

function unusable(path: string, fault: string, suggestion?: string): AuthError {
  return new AuthError(undefined, {
    detail: `Key file ${path} ${fault}`,
    suggestion: suggestion ?? 'Ask an operator for a new key file.',
  })
}
