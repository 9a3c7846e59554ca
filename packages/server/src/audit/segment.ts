/** The files of the log: their names, their order, and the few file operations the writer makes. */
import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

export const ACTIVE = 'audit.jsonl'
export const HEAD_FILE = 'audit.head'
export const LOCK_FILE = 'audit.lock'

/** Name of a finished segment; padded, so that the order of names is the order of records. */
export function segmentName(firstSeq: number): string {
  return `audit-${String(firstSeq).padStart(12, '0')}.jsonl`
}

export interface Segment {
  name: string
  path: string
  /** From the file name; 0 for the active segment, whose name does not tell. */
  firstSeq: number
}

export interface LogFiles {
  /** Finished segments, oldest first. */
  finished: Segment[]
  /** Logs from before the chain, oldest first. */
  legacy: string[]
  active: boolean
}

/** @throws ENOENT and the like, as the file system gives them. */
export function listFiles(dir: string): LogFiles {
  const finished: Segment[] = []
  const legacy: string[] = []
  let active = false
  for (const name of readdirSync(dir).sort()) {
    const seq = /^audit-(\d+)\.jsonl$/.exec(name)?.[1]
    if (name === ACTIVE) active = true
    else if (seq !== undefined)
      finished.push({ name, path: join(dir, name), firstSeq: Number(seq) })
    else if (/^audit-legacy-\d+\.jsonl$/.test(name)) legacy.push(name)
  }
  finished.sort((a, b) => a.firstSeq - b.firstSeq)
  return { finished, legacy, active }
}

/** All segments, oldest first, the active one last. */
export function listSegments(dir: string): Segment[] {
  const { finished, active } = listFiles(dir)
  return active ? [...finished, { name: ACTIVE, path: join(dir, ACTIVE), firstSeq: 0 }] : finished
}

/** An open segment as the writer needs it; tests put a failing one in its place. */
export interface LogFile {
  readonly size: number
  /** The file was deleted while open: what is written to it would be lost without an error. */
  readonly gone: boolean
  /** Into the page cache. Synchronous: at 2 µs it costs less than a trip through the thread pool. */
  write(bytes: Uint8Array): void
  /** To the disk. */
  sync(): Promise<void>
  truncate(size: number): void
  /** Waits for a sync under way: a descriptor must not be reused beneath it. Idempotent. */
  close(): Promise<void>
}

/** @param create Whether a missing file is made (mode 0600) or is an error. */
export type OpenLogFile = (path: string, create: boolean) => LogFile

export const openLogFile: OpenLogFile = (path, create) => {
  const { O_WRONLY, O_APPEND, O_CREAT } = constants
  const fd = openSync(path, O_WRONLY | O_APPEND | (create ? O_CREAT : 0), 0o600)
  let syncing: Promise<void> = Promise.resolve()
  let closed = false
  return {
    get gone() {
      return fstatSync(fd).nlink === 0
    },
    get size() {
      return fstatSync(fd).size
    },
    write(bytes) {
      let done = 0
      while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done)
    },
    sync() {
      const run = new Promise<void>((resolve, reject) => {
        fdatasync(fd, (error) => (error === null ? resolve() : reject(error)))
      })
      syncing = run.catch(() => {})
      return run
    },
    truncate: (size) => ftruncateSync(fd, size),
    async close() {
      if (closed) return
      closed = true
      await syncing
      closeSync(fd)
    },
  }
}

/** Makes created, renamed and removed names durable. */
export function syncDirectory(dir: string): void {
  const fd = openSync(dir, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
