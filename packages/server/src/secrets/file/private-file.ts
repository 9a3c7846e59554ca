/**
 * A private file that is replaced whole: written aside, synced, renamed, and the directory synced. What others may
 * read, or what is no regular file, is refused. Killed at any moment, the old content is there or the new.
 */
import { constants } from 'node:fs'
import { type FileHandle, link, open, readdir, rename, rm, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import { takeWriterLock } from '../../audit/writer-lock.ts'
import { assertLive } from '../deadline.ts'

const PRIVATE = 0o600
/** It is read whole for each request. */
const MAX_FILE_BYTES = 16 * 1024 * 1024
const LOCK_WAIT_MS = 5_000
const LOCK_POLL_MS = 20

export interface ReadFile {
  readonly bytes: Buffer
  readonly writtenAtMs: number
}

/** @returns undefined when there is none. @throws VestryError BACKEND_ERROR, BACKEND_UNAVAILABLE */
export async function readPrivateFile(path: string): Promise<ReadFile | undefined> {
  let file: FileHandle
  try {
    // Not waiting: a pipe without a writer would be waited for.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined
    if (codeOf(cause) === 'ELOOP') throw refused(path, 'is a link')
    throw unavailable('cannot be opened', path, cause)
  }
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw refused(path, 'is not a regular file')
    if ((stat.mode & 0o077) !== 0)
      throw refused(path, 'may be read by others', `chmod 600 ${basename(path)}`)
    if (stat.size > MAX_FILE_BYTES) throw refused(path, 'is too large')
    return { bytes: await file.readFile(), writtenAtMs: Math.floor(stat.mtimeMs) }
  } catch (cause) {
    if (cause instanceof VestryError) throw cause
    throw unavailable('cannot be read', path, cause)
  } finally {
    await file.close()
  }
}

/**
 * @param backups How many older contents are kept, as `<path>.1`, the newest, to `<path>.N`.
 * @throws VestryError BACKEND_ERROR when it is full, BACKEND_UNAVAILABLE; the old content is there then.
 */
export async function writePrivateFile(
  path: string,
  content: Uint8Array,
  backups: number,
): Promise<void> {
  // Larger, nobody could read it again.
  if (content.length > MAX_FILE_BYTES) {
    const hint = 'Delete what is not needed, or move the secrets to another back end.'
    throw refused(path, 'is full', hint)
  }
  const aside = `${path}.${randomHex(8)}.tmp`
  try {
    const file = await open(aside, 'wx', PRIVATE)
    try {
      await file.chmod(PRIVATE) // whatever the umask took away
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await keepOld(path, backups)
    await rename(aside, path)
    await syncDirectory(dirname(path))
  } catch (cause) {
    await rm(aside, { force: true }).catch(() => undefined)
    throw unavailable('cannot be written', path, cause)
  }
}

/** What a writer that was killed left beside the file. To be called under the lock. */
export async function removeLeftovers(path: string): Promise<void> {
  const directory = dirname(path)
  const name = basename(path)
  for (const found of await readdir(directory)) {
    if (!found.startsWith(`${name}.`)) continue
    if (/^[0-9a-f]{16}\.tmp$/.test(found.slice(name.length + 1)))
      await rm(join(directory, found), { force: true })
  }
}

/**
 * Runs `work` as the only writer, also among processes.
 * @throws VestryError BACKEND_UNAVAILABLE when another process keeps the lock.
 */
export async function withFileLock<T>(
  path: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  using _lock = await lock(path, signal)
  return await work()
}

async function lock(path: string, signal: AbortSignal): Promise<Disposable> {
  const deadline = performance.now() + LOCK_WAIT_MS
  for (;;) {
    assertLive(signal)
    try {
      return takeWriterLock(dirname(path), `${basename(path)}.lock`)
    } catch (cause) {
      if (asVestryError(cause).code !== 'INSTANCE_RUNNING')
        throw unavailable('cannot be locked', path, cause)
      if (performance.now() > deadline) {
        throw new VestryError(
          'BACKEND_UNAVAILABLE',
          'Another process is writing the secrets file',
          {
            cause,
          },
        )
      }
    }
    await sleep(LOCK_POLL_MS, undefined, { signal }).catch(() => assertLive(signal))
  }
}

/** The content itself stays where it is all the while: a link is a second name for it. */
async function keepOld(path: string, backups: number): Promise<void> {
  if (backups === 0) return
  for (let at = backups; at > 1; at -= 1)
    await rename(`${path}.${at - 1}`, `${path}.${at}`).catch(ifAbsent)
  await unlink(`${path}.1`).catch(ifAbsent)
  await link(path, `${path}.1`).catch(ifAbsent)
}

function ifAbsent(error: unknown): void {
  if (codeOf(error) !== 'ENOENT') throw error
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

function refused(path: string, what: string, hint?: string): VestryError {
  return new VestryError('BACKEND_ERROR', `The secrets file "${basename(path)}" ${what}`, {
    ...(hint !== undefined && { hint }),
  })
}

/** The directory's name stays out: this goes over the wire. */
function unavailable(what: string, path: string, cause: unknown): VestryError {
  const reason = codeOf(cause)
  return new VestryError(
    'BACKEND_UNAVAILABLE',
    `The secrets file "${basename(path)}" ${what}${reason === undefined ? '' : ` (${reason})`}`,
    { cause },
  )
}
