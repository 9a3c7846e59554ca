/** Cuts a byte stream into lines without ever holding more than one message may have. */
import { Gathering } from './gathering.ts'

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

export class LineReader {
  readonly #maxBytes: number
  readonly #held: Gathering

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
    this.#held = new Gathering(maxBytes)
  }

  /**
   * @param chunk What lies within one is not copied: the caller does not write to it again.
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
    return this.#held.add(chunk.subarray(from)) ? lines : undefined
  }

  #joined(end: Uint8Array): Uint8Array | undefined {
    if (this.#held.size === 0) return end.length > this.#maxBytes ? undefined : end
    return this.#held.add(end) ? this.#held.take() : undefined
  }
}
