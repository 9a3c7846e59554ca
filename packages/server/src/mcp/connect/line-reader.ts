/** Cuts a byte stream into lines without ever holding more than one message may have. */

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

export class LineReader {
  readonly #maxBytes: number
  #held: Uint8Array[] = []
  #size = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /**
   * @param chunk Kept until its line is complete; the caller does not write to it again.
   * @returns The lines completed by it, without their ends. `undefined` where a line is too long: nothing after it
   *   can be trusted to begin a line.
   */
  push(chunk: Uint8Array): Uint8Array[] | undefined {
    const lines: Uint8Array[] = []
    let from = 0
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, from)) {
      const line = this.#joined(chunk.subarray(from, at))
      if (line === undefined) return undefined
      lines.push(line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line)
      from = at + 1
    }
    const rest = chunk.subarray(from)
    if (rest.length > 0) {
      this.#held.push(rest)
      this.#size += rest.length
    }
    return this.#size > this.#maxBytes ? undefined : lines
  }

  #joined(end: Uint8Array): Uint8Array | undefined {
    if (this.#size + end.length > this.#maxBytes) return undefined
    if (this.#held.length === 0) return end
    const line = Buffer.concat([...this.#held, end])
    this.#held = []
    this.#size = 0
    return line
  }
}
