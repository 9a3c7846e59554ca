/**
 * Frames on their way to one peer. What is ready in one tick leaves in one write, a large frame in
 * pieces, never more than one write at a time: so a peer that reads slowly can be told from one that
 * does not read at all. Frames that held a secret are wiped as soon as the kernel has them.
 */
import type { Socket } from 'node:net'
import type { Frame } from './reply.ts'

const WRITE_BYTES = 64 * 1024

export class Outbox {
  readonly #socket: Socket
  readonly #onProgress: () => void
  readonly #frames: Frame[] = []
  /** Bytes of the first frame that already left. */
  #offset = 0
  #bytes = 0
  #scheduled = false
  #writing = false
  #closed = false
  #moved = true
  #stalledSinceMs = 0
  #waiting: (() => void)[] = []

  /** @param onProgress Called whenever the kernel took a write, and once more on {@link close}. */
  constructor(socket: Socket, onProgress: () => void) {
    this.#socket = socket
    this.#onProgress = onProgress
  }

  /** What the kernel has not taken yet. */
  get bytes(): number {
    return this.#bytes
  }

  push(frame: Frame): void {
    if (this.#closed) {
      wipe(frame)
      return
    }
    this.#frames.push(frame)
    this.#bytes += frame.bytes.length
    if (this.#scheduled || this.#writing) return
    this.#scheduled = true
    process.nextTick(() => {
      this.#scheduled = false
      this.#write()
    })
  }

  /** Resolves once fewer than `bytes` are queued, or nothing will ever leave again. */
  async below(bytes: number): Promise<void> {
    while (this.#bytes >= bytes && !this.#closed) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** @returns For how long, in ms, the peer has taken nothing of what waits for it. */
  stalledMs(nowMs: number): number {
    if (this.#bytes === 0 || this.#moved) {
      this.#moved = false
      this.#stalledSinceMs = nowMs
    }
    return nowMs - this.#stalledSinceMs
  }

  close(): void {
    this.#closed = true
    this.#frames.splice(0).forEach(wipe)
    this.#bytes = 0
    this.#progress()
  }

  #write(): void {
    if (this.#closed || this.#frames.length === 0) return
    const pieces: Buffer[] = []
    let size = 0
    let whole = 0
    let offset = this.#offset
    for (const { bytes } of this.#frames) {
      const piece = bytes.subarray(offset, offset + WRITE_BYTES - size)
      pieces.push(piece)
      size += piece.length
      if (offset + piece.length < bytes.length) {
        offset += piece.length
        break
      }
      offset = 0
      whole += 1
      if (size === WRITE_BYTES) break
    }
    const done = this.#frames.splice(0, whole)
    this.#offset = offset
    this.#writing = true
    const last = pieces.pop() as Buffer
    if (pieces.length > 0) this.#socket.cork()
    for (const piece of pieces) this.#socket.write(piece)
    this.#socket.write(last, () => {
      done.forEach(wipe)
      this.#writing = false
      if (this.#closed) return
      this.#bytes -= size
      this.#moved = true
      this.#write()
      this.#progress()
    })
    if (pieces.length > 0) this.#socket.uncork()
  }

  #progress(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
    this.#onProgress()
  }
}

function wipe({ bytes, secret }: Frame): void {
  if (secret) bytes.fill(0)
}
