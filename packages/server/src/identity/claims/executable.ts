/** Which program a process runs: its path, and the hash of the file that is running, whatever lies at the path now. */
import { createHash } from 'node:crypto'
import { type FileHandle, open, readlink } from 'node:fs/promises'
import { RecentMap } from '../../store/recent-map.ts'

export interface Executable {
  readonly path: string
  /** 64 hex; absent when the file is too large, cannot be read, or takes too long. */
  readonly sha256?: string
  /** Device and number of the file. */
  readonly file?: string
}

const MAX_BYTES = 1_073_741_824
const CHUNK_BYTES = 1_048_576
const TIMEOUT_MS = 10_000
const REMEMBERED = 256

export class Executables {
  /** By the file and its last change: a program of a hundred megabytes is read once. */
  readonly #hashes = new RecentMap<string, Promise<string | undefined>>(REMEMBERED)

  /** @returns undefined for a process that we may not look into. */
  async of(pid: number): Promise<Executable | undefined> {
    const link = `/proc/${pid}/exe`
    let path: string
    let file: FileHandle
    try {
      path = await readlink(link)
    } catch {
      return undefined
    }
    try {
      file = await open(link, 'r')
    } catch {
      return { path }
    }
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true })
      if (size > MAX_BYTES) return { path }
      const key = [dev, ino, size, mtimeNs, ctimeNs].join(':')
      let hashed = this.#hashes.get(key)
      if (hashed === undefined) {
        hashed = hashFile(file)
        this.#hashes.set(key, hashed)
      }
      const sha256 = await hashed
      return sha256 === undefined ? { path } : { path, sha256, file: `${dev}:${ino}` }
    } catch {
      return { path }
    } finally {
      await file.close().catch(() => undefined)
    }
  }
}

async function hashFile(file: FileHandle): Promise<string | undefined> {
  const hash = createHash('sha256')
  const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  const endsAt = performance.now() + TIMEOUT_MS
  let position = 0
  while (performance.now() < endsAt) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, position)
    if (bytesRead === 0) return hash.digest('hex')
    position += bytesRead
    hash.update(chunk.subarray(0, bytesRead))
  }
  return undefined
}
