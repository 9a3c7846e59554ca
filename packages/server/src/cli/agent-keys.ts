/**
 * Key files of a new or rotated key, tied to its registration: when the daemon refuses, the files are
 * taken back and what was set aside returns. Only the public half leaves this process.
 */
import { randomFillSync } from 'node:crypto'
import { existsSync } from 'node:fs'
import { rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type WrittenKey, writeKeyFiles } from '../identity/key-file.ts'
import { unpooled } from '../seal/secret.ts'
import { failureOf } from './failure.ts'

const SEED_BYTES = 32

export interface NewKey {
  /** Every directory gets a copy, all or none. */
  dirs: readonly string[]
  name: string
  /** UTF-8, borrowed. */
  passphrase?: Uint8Array | undefined
}

export interface Registered<T> {
  result: T
  files: readonly WrittenKey[]
}

/**
 * @param register Gets the public key as hex.
 * @throws VestryError `CONFLICT` when a file is there; whatever `register` throws, with nothing left behind.
 */
export async function withNewKeyFiles<T>(
  { dirs, name, passphrase }: NewKey,
  register: (publicKey: string) => Promise<T>,
): Promise<Registered<T>> {
  const seed = randomFillSync(unpooled(SEED_BYTES))
  const files: WrittenKey[] = []
  try {
    for (const dir of new Set(dirs)) {
      files.push(
        await writeKeyFiles(dir, name, { seed, ...(passphrase !== undefined && { passphrase }) }),
      )
    }
    const [first] = files
    if (first === undefined) throw new Error('a key needs a directory')
    return { result: await register(Buffer.from(first.publicKey).toString('hex')), files }
  } catch (error) {
    // The daemon may know the key already: then these files are the only copy of it.
    if (!mayHaveHappened(error)) await removeAll(files)
    throw error
  } finally {
    seed.fill(0)
  }
}

/** The connection went while the daemon was at it, so nobody can say whether it did. */
export function mayHaveHappened(error: unknown): boolean {
  return failureOf(error).context['maybe_executed'] === true
}

async function removeAll(files: readonly WrittenKey[]): Promise<void> {
  for (const { keyFile, pubFile } of files) {
    await unlink(keyFile)
    await unlink(pubFile)
  }
}

/**
 * Moves an agent's key files to `<file>.old`, replacing older ones of that name.
 *
 * @returns What was moved, and the way back.
 */
export async function setAside(
  dirs: readonly string[],
  name: string,
): Promise<{ moved: readonly string[]; putBack: () => Promise<void> }> {
  const moved: string[] = []
  const putBack = async (): Promise<void> => {
    for (const path of moved) await rename(`${path}.old`, path)
  }
  try {
    for (const dir of new Set(dirs)) {
      for (const suffix of ['key', 'key.enc', 'pub']) {
        const path = join(dir, `${name}.${suffix}`)
        if (!existsSync(path)) continue
        await rename(path, `${path}.old`)
        moved.push(path)
      }
    }
  } catch (error) {
    await putBack()
    throw error
  }
  return { moved: moved.map((path) => `${path}.old`), putBack }
}
