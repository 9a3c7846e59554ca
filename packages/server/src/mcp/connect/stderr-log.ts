/**
 * The last words of a server: what it wrote to its standard error, bounded in size and in rate, and without the
 * secrets it was given.
 */
import type { Scrubber, StreamScrubber } from '../../egress/scrub.ts'

const MAX_CHARS = 65_536
/** Bytes taken at once, and each second after; what comes faster is counted and dropped. */
const BURST_BYTES = 262_144
const BYTES_PER_SECOND = 65_536
const LINE_FEED = 0x0a
const NEW_LINE = Buffer.from('\n')
const STRAY_BYTES = 200

export class StderrLog {
  readonly #scrubber: Scrubber
  readonly #now: () => number
  #clean: StreamScrubber
  #decoder = new TextDecoder()
  #text = ''
  #budget = BURST_BYTES
  #atMs: number
  #dropped = 0
  /** After a gap the rest of a line is left out: half a secret would not be known as one. */
  #skipping = false

  constructor(scrubber: Scrubber, now: () => number) {
    this.#scrubber = scrubber
    this.#now = now
    this.#atMs = now()
    this.#clean = scrubber.stream()
  }

  /** Bytes that came too fast. */
  get dropped(): number {
    return this.#dropped
  }

  push(chunk: Uint8Array): void {
    this.#refill()
    if (chunk.length > this.#budget) {
      this.#dropped += chunk.length
      this.#skipping = true
      // What it holds back may be half a secret, whose other half is not to come.
      this.#clean = this.#scrubber.stream()
      return
    }
    this.#budget -= chunk.length
    const from = this.#skipping ? chunk.indexOf(LINE_FEED) + 1 : 0
    if (this.#skipping && from === 0) {
      this.#dropped += chunk.length
      return
    }
    if (this.#skipping) this.note('… lines left out: they came too fast')
    this.#skipping = false
    this.#add(this.#decoder.decode(this.#clean.push(chunk.subarray(from)), { stream: true }))
  }

  /** What the server wrote elsewhere than it should have: its first characters, searched as a whole. */
  stray(line: Uint8Array): void {
    const clean = this.#scrubber.body(line, true).subarray(0, STRAY_BYTES)
    this.push(Buffer.concat([Buffer.from('[stdout] '), clean, NEW_LINE]))
  }

  /** A line of ours between the server's. */
  note(line: string): void {
    const apart = this.#text === '' || this.#text.endsWith('\n') ? '' : '\n'
    this.#add(`${apart}[vestry] ${line}\n`)
  }

  /** No more comes: what was held back because a secret might have begun there is shown. */
  end(): void {
    this.#add(this.#decoder.decode(this.#clean.end()))
  }

  text(): string {
    return this.#text.slice(-MAX_CHARS)
  }

  /** The last `chars`, from the beginning of a line where there is one, without what steers terminals. */
  tail(chars: number): string {
    const all = this.text()
    const text = all.slice(-chars).trimEnd()
    const whole = text.length === all.trimEnd().length
    const from = whole ? 0 : text.indexOf('\n') + 1
    return text
      .slice(from)
      .replace(/\p{Cc}/gu, (found) => (found === '\n' ? found : ''))
      .toWellFormed()
  }

  #refill(): void {
    const nowMs = this.#now()
    const gained = (Math.max(0, nowMs - this.#atMs) / 1_000) * BYTES_PER_SECOND
    this.#budget = Math.min(BURST_BYTES, this.#budget + gained)
    this.#atMs = nowMs
  }

  #add(text: string): void {
    const all = this.#text + text
    // Not at each piece: to cut is to copy, and pieces may be of a byte.
    this.#text = all.length <= 2 * MAX_CHARS ? all : all.slice(-MAX_CHARS)
  }
}
