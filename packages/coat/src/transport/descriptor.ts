/**
 * Writes to a descriptor that does not block, and keeps what the kernel did not take. The agent may close
 * any number and get it again for a file of its own, so before each write it is asked what is behind it.
 */
import { closeSync, fstatSync, writeSync } from 'node:fs'
import type { Outlet, Progress } from './outlet.ts'

const NOTHING = Buffer.alloc(0)

/** The kernel has no room, or the connection is not there yet. */
const LATER = new Set(['EAGAIN', 'EWOULDBLOCK', 'EINTR', 'ENOTCONN', 'ENOBUFS'])

export class Descriptor implements Outlet {
  taken = 0
  reason = ''
  /** The last refusal, where it was one for the moment. */
  refusal = ''
  readonly #fd: () => number
  #rest: Buffer = NOTHING
  /** Device and inode of what is written to. */
  #identity: string | undefined

  /** @param fd Asked each time: a number that was closed may by now be another's. Negative for none. */
  constructor(fd: () => number) {
    this.#fd = fd
    this.isOurs()
  }

  /** Whether the number still stands for what it stood for. */
  isOurs(): boolean {
    const fd = this.#fd()
    if (fd < 0) return false
    try {
      const { dev, ino } = fstatSync(fd)
      const found = `${dev}:${ino}`
      this.#identity ??= found
      return found === this.#identity
    } catch {
      return false
    }
  }

  /** For those who opened it themselves: what became another's stays open. */
  protected closeOwn(fd: number): void {
    try {
      if (this.isOurs()) closeSync(fd)
    } catch {
      // Somebody closed it before.
    }
  }

  get left(): number {
    return this.#rest.length
  }

  write(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
  }

  progress(): Progress {
    if (this.reason !== '') return 'broken'
    if (this.#rest.length === 0) return 'idle'
    const fd = this.#fd()
    if (!this.isOurs()) return this.#broken('EBADF')
    try {
      const count = writeSync(fd, this.#rest, 0, this.#rest.length)
      this.refusal = ''
      this.taken += count
      this.#rest = count === this.#rest.length ? NOTHING : this.#rest.subarray(count)
      return this.#rest.length === 0 ? 'idle' : 'busy'
    } catch (error) {
      const code = String((error as NodeJS.ErrnoException).code ?? 'EIO')
      if (!LATER.has(code)) return this.#broken(code)
      this.refusal = code
      return 'busy'
    }
  }

  /** @returns What was not taken; it is no longer kept. */
  drain(): Buffer {
    const rest = this.#rest
    this.#rest = NOTHING
    return rest
  }

  close(): void {
    if (this.reason === '') this.reason = 'closed'
    this.#rest = NOTHING
  }

  #broken(code: string): Progress {
    this.reason = code
    return 'broken'
  }
}
