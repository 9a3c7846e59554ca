/** Key files on disk: readable by their owner alone, or refused; never overwritten. */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname, relative, resolve, sep } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { encodeHexBytes } from './bytes-text.ts'
import { KEY_BYTES } from './gcm.ts'
import { parseKeyFile } from './keyfile.ts'
import { Secret, unpooled } from './secret.ts'

/** 64 hex digits and CR LF. */
const MAX_FILE_BYTES = KEY_BYTES * 2 + 2

/**
 * @returns The key; the caller disposes it.
 * @throws VestryError `CONFIG_INVALID` when the file is missing, not a regular file, open to others
 *   (any group or other permission bit) or holds something else.
 */
export async function loadKeyFile(path: string): Promise<Secret> {
  const file = await openToRead(path)
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw unusable(path, 'is not a regular file')
    if ((stat.mode & 0o077) !== 0)
      throw unusable(path, 'is open to other users', { hint: `Run: chmod 600 ${path}` })
    if (stat.size > MAX_FILE_BYTES) throw unusable(path, 'is too long for a key file')
    using content = Secret.own(unpooled(MAX_FILE_BYTES))
    const { bytesRead } = await file.read(content.bytes, 0, MAX_FILE_BYTES, 0)
    try {
      return parseKeyFile(content.bytes.subarray(0, bytesRead))
    } catch (cause) {
      throw unusable(path, 'does not hold 32 raw bytes or 64 hex digits', { cause })
    }
  } finally {
    await file.close()
  }
}

/**
 * Writes a fresh key as 64 hex digits, mode 0600 under any umask, on disk when it resolves.
 * @returns The key; the caller disposes it.
 * @throws VestryError `CONFLICT` when the file exists: an existing key is never overwritten.
 */
export async function createKeyFile(path: string): Promise<Secret> {
  const key = Secret.random(KEY_BYTES)
  try {
    using text = Secret.own(encodeHexBytes(key.bytes))
    const file = await openNew(path)
    try {
      await file.chmod(0o600)
      await file.writeFile(text.bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    const directory = await open(dirname(path), 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
    return key
  } catch (error) {
    key[Symbol.dispose]()
    throw error
  }
}

/** Whether the key lies beside the data it opens, where it protects nothing against theft of the disk. */
export function isInside(directory: string, path: string): boolean {
  const way = relative(resolve(directory), resolve(path))
  return way !== '..' && !way.startsWith(`..${sep}`) && resolve(way) !== way
}

async function openToRead(path: string): Promise<FileHandle> {
  try {
    // Never wait on a FIFO somebody put there.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw unusable(path, 'cannot be read', { cause })
  }
}

async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')
      throw new VestryError('CONFLICT', `Key file ${path} exists already`, { cause })
    throw unusable(path, 'cannot be written', { cause })
  }
}

function unusable(
  path: string,
  why: string,
  options: { hint?: string; cause?: unknown } = {},
): VestryError {
  return new VestryError('CONFIG_INVALID', `Key file ${path} ${why}`, options)
}
