/**
 * Answers on a connection whose peer may be gone already. They are written on the descriptor itself: a write through
 * the stream that fails destroys it, and with it the lines that the kernel still holds for us.
 */
import { writeSync } from 'node:fs'
import type { Socket } from 'node:net'

/** Answers that a peer does not read; beyond it they are given up. A single one may be longer. */
const MAX_BYTES = 262_144
/** Who asks more while so much of what it asked for waits to be read is made to wait, too. */
const MANY_BYTES = 65_536
const RETRY_MS = [1, 2, 5, 10, 25, 50] as const

export class Outbox {
  readonly #socket: Socket
  #pending: Buffer[] = []
  #bytes = 0
  #tries = 0
  #timer: NodeJS.Timeout | undefined
  #broken = false
  #idle: (() => void)[] = []

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Nothing waits to be written. */
  get empty(): boolean {
    return this.#bytes === 0
  }

  /** So much waits to be read that more should not be asked for. */
  get crowded(): boolean {
    return this.#bytes > MANY_BYTES
  }

  /** The peer has gone, or does not read: nothing is written any more. */
  get broken(): boolean {
    return this.#broken
  }

  send(message: Readonly<Record<string, unknown>>): void {
    if (this.#broken) return
    const bytes = Buffer.from(`${JSON.stringify(message)}\n`)
    if (!this.empty && this.#bytes + bytes.length > MAX_BYTES) {
      this.close()
      return
    }
    this.#pending.push(bytes)
    this.#bytes += bytes.length
    if (this.#timer === undefined) this.#write()
  }

  /** Resolves when all was written, or cannot be. */
  drained(): Promise<void> {
    if (this.empty || this.#broken) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  close(): void {
    this.#broken = true
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#pending = []
    this.#bytes = 0
    this.#tell()
  }

  #write(): void {
    this.#timer = undefined
    while (true) {
      const next = this.#pending[0]
      if (next === undefined) break
      const written = this.#writeSome(next)
      if (written === undefined) {
        this.close()
        return
      }
      if (written > 0) this.#tries = 0
      this.#bytes -= written
      if (written < next.length) {
        this.#pending[0] = next.subarray(written)
        const wait = RETRY_MS[Math.min(this.#tries, RETRY_MS.length - 1)]
        this.#tries += 1
        this.#timer = setTimeout(() => this.#write(), wait)
        return
      }
      this.#pending.shift()
    }
    this.#tell()
  }

  /** @returns How many bytes the kernel took; undefined when the peer has gone. */
  #writeSome(bytes: Buffer): number | undefined {
    const fd = descriptor(this.#socket)
    if (fd === undefined) return undefined
    try {
      return writeSync(fd, bytes)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      return code === 'EAGAIN' || code === 'EINTR' ? 0 : undefined
    }
  }

  #tell(): void {
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }
}

function descriptor(socket: Socket): number | undefined {
  // Node has no public door to the descriptor; what is found is checked rather than trusted.
  const handle: unknown = Reflect.get(socket, '_handle')
  if (typeof handle !== 'object' || handle === null) return undefined
  const fd: unknown = Reflect.get(handle, 'fd')
  return typeof fd === 'number' && fd >= 0 ? fd : undefined
}
