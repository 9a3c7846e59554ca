/**
 * Cuts a stream of bytes into lines and keeps no more than one unfinished line, of bounded length. A line beyond it
 * is passed over up to its end, and told once.
 */

const NEWLINE = 10
const FIRST_BYTES = 2_048

export class LineSplitter {
  readonly #maxBytes: number
  /** Grows with the line that has begun; one piece, however small the bytes came. */
  #begun = Buffer.alloc(0)
  #held = 0
  #skipping = false

  /** @param maxBytes Of one line, its newline included. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** A line has begun and did not end: at the end of the stream, it is lost. */
  get unfinished(): boolean {
    return this.#held > 0 || this.#skipping
  }

  /**
   * @returns The next line without its newline, `'too_long'` for one that was passed over, or undefined when
   *   `chunk` holds no end of a line any more; and where in the chunk to go on. The line is a view, good until the
   *   next call.
   */
  next(chunk: Buffer, from: number): { line: Buffer | 'too_long' | undefined; at: number } {
    const end = chunk.indexOf(NEWLINE, from)
    const stop = end === -1 ? chunk.length : end
    const tooLong = this.#skipping || this.#held + (stop - from) + 1 > this.#maxBytes
    if (end === -1) {
      if (tooLong) this.#restart(true)
      else this.#hold(chunk.subarray(from))
      return { line: undefined, at: stop }
    }
    if (tooLong) {
      this.#restart(false)
      return { line: 'too_long', at: end + 1 }
    }
    const rest = chunk.subarray(from, stop)
    if (this.#held === 0) return { line: rest, at: end + 1 }
    this.#hold(rest)
    const line = this.#begun.subarray(0, this.#held)
    this.#restart(false)
    return { line, at: end + 1 }
  }

  #hold(bytes: Buffer): void {
    const needed = this.#held + bytes.length
    if (needed > this.#begun.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, 2 * this.#begun.length, needed))
      this.#begun.copy(grown, 0, 0, this.#held)
      this.#begun = grown
    }
    bytes.copy(this.#begun, this.#held)
    this.#held = needed
  }

  #restart(skipping: boolean): void {
    this.#held = 0
    this.#skipping = skipping
    // An idle connection need not keep what one long line took.
    if (this.#begun.length > 64 * FIRST_BYTES) this.#begun = Buffer.alloc(0)
  }
}
