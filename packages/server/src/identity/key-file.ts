/**
 * Key files on disk: `<name>.key` or `<name>.key.enc` (0600) and `<name>.pub` (0644) in a private
 * directory. Appear whole or not at all, and never replace a file that is there.
 */
import { randomFillSync } from 'node:crypto'
import { chmod, link, mkdir, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import { type Secret, unpooled } from '../seal/secret.ts'
import { isVaultName } from './agent-name.ts'
import { exportPublicKey, fingerprint, importSeed, SEED_BYTES } from './ed25519.ts'
import { encryptedKey, openKey, plainKey } from './key-box.ts'

export interface WrittenKey {
  keyFile: string
  pubFile: string
  /** 32 raw bytes. */
  publicKey: Uint8Array
  fingerprint: string
}

const PRIVATE = 0o600
const PUBLIC = 0o644
/** The largest valid file has 176 digits; anything much longer is not a key. */
const MAX_KEY_FILE_BYTES = 4096

/**
 * @param dir Created with mode 0700 if missing.
 * @param name In the vault's grammar, because it becomes a file name.
 * @param options.seed 32 bytes, borrowed; random unless given.
 * @param options.passphrase UTF-8, borrowed; its presence makes the file `<name>.key.enc`.
 * @throws VestryError `CONFLICT` when one of the files exists, `INVALID_PARAMS`.
 */
export async function writeKeyFiles(
  dir: string,
  name: string,
  options: { seed?: Uint8Array; passphrase?: Uint8Array } = {},
): Promise<WrittenKey> {
  if (!isVaultName(name))
    throw new VestryError('INVALID_PARAMS', 'This name cannot name a key file', {
      hint: 'Use 1 to 64 letters, digits, "_" or "-", beginning with a letter or digit.',
    })
  const seed = options.seed ?? randomFillSync(unpooled(SEED_BYTES))
  let text: Uint8Array | undefined
  try {
    const publicKey = exportPublicKey(importSeed(seed))
    text = options.passphrase ? await encryptedKey(seed, options.passphrase) : plainKey(seed)
    const created = await mkdir(dir, { recursive: true, mode: 0o700 })
    if (created !== undefined) await chmod(dir, 0o700) // whatever the umask took away
    const keyFile = join(dir, options.passphrase ? `${name}.key.enc` : `${name}.key`)
    const pubFile = join(dir, `${name}.pub`)
    await place(keyFile, text, PRIVATE)
    try {
      await place(pubFile, Buffer.from(publicKey).toString('hex'), PUBLIC)
    } catch (error) {
      await unlink(keyFile)
      throw error
    }
    await syncDirectory(dir)
    return { keyFile, pubFile, publicKey, fingerprint: fingerprint(publicKey) }
  } finally {
    text?.fill(0)
    if (options.seed === undefined) seed.fill(0)
  }
}

export interface ReadKey {
  /** The 32-byte seed; the caller disposes it. */
  seed: Secret
  /** Group or others may read the file. */
  exposed: boolean
}

/** @throws VestryError `NOT_FOUND`, or `AUTH_FAILED` as {@link openKey}. */
export async function readKeyFile(path: string, passphrase?: Uint8Array): Promise<ReadKey> {
  await using file = await open(path, 'r').catch((cause: unknown) => {
    throw new VestryError('NOT_FOUND', `Key file ${path} cannot be read`, { cause })
  })
  const { mode, size } = await file.stat()
  if (size > MAX_KEY_FILE_BYTES)
    throw new VestryError('AUTH_FAILED', `${path} is too large to be a key file`)
  const buffer = unpooled(size)
  try {
    const { bytesRead } = await file.read(buffer, 0, size, 0)
    const seed = await openKey(buffer.subarray(0, bytesRead), passphrase)
    return { seed, exposed: (mode & 0o077) !== 0 }
  } finally {
    buffer.fill(0)
  }
}

/** Writes aside, syncs, then links into place: unlike a rename, a link refuses an existing target. */
async function place(path: string, content: Uint8Array | string, mode: number): Promise<void> {
  const aside = `${path}.${randomHex(8)}.tmp`
  const file = await open(aside, 'wx', mode)
  try {
    try {
      await file.chmod(mode) // for the umask again
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await link(aside, path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST')
      throw new VestryError('CONFLICT', `${path} exists and is not overwritten`, {
        hint: 'Move the file away, or choose another directory.',
        cause: error,
      })
    throw error
  } finally {
    await unlink(aside)
  }
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
