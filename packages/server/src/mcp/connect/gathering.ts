/** Bytes that come in pieces, copied together: pieces of a byte each would take hundreds of times their size. */
export class Gathering {
  readonly #maxBytes: number
  #bytes = new Uint8Array(0)
  #size = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#size
  }

  /** @returns False where it would become too long; then nothing of the piece is kept. */
  add(piece: Uint8Array): boolean {
    const size = this.#size + piece.length
    if (size > this.#maxBytes) return false
    if (size > this.#bytes.length) {
      const wider = new Uint8Array(Math.max(size, Math.min(2 * size, this.#maxBytes), MIN_BYTES))
      wider.set(this.#bytes.subarray(0, this.#size))
      this.#bytes = wider
    }
    this.#bytes.set(piece, this.#size)
    this.#size = size
    return true
  }

  /** All of it, once. */
  take(): Uint8Array {
    const all = this.#bytes.subarray(0, this.#size)
    this.#bytes = new Uint8Array(0)
    this.#size = 0
    return all
  }
}

const MIN_BYTES = 1_024
