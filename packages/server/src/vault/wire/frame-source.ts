/**
 * Cuts one peer's byte stream into frames (wire contract §2). Pulled, not pushed: the size limit that
 * holds for a frame depends on what the frames before it did, so the next header is only looked at
 * when the connection asks for it.
 */

import { SALVAGE_BYTES } from './request.ts'

/** Above this a peer is not wrong but hostile or lost: the stream is given up. */
export const DISCARD_LIMIT = 64 * 1024 * 1024
const FIRST_BODY_ALLOCATION = 16 * 1024

export type Cut =
  | { kind: 'wait' }
  | { kind: 'frame'; body: Buffer }
  | { kind: 'empty' }
  /** The body was skipped; the stream is in step. `head` holds its first bytes. */
  | { kind: 'oversize'; size: number; head: Buffer }
  /** The stream cannot be trusted any more; nothing after this is a frame. */
  | { kind: 'lost'; size: number }
  /** Not our protocol at all (HTTP or TLS). */
  | { kind: 'alien' }

const WAIT: Cut = { kind: 'wait' }
const EMPTY: Cut = { kind: 'empty' }
const ALIEN: Cut = { kind: 'alien' }

/** First words of HTTP/1 and HTTP/2 peers; TLS is told by its record type and version. */
const ALIEN_WORDS = new Set([
  'GET ',
  'POST',
  'PUT ',
  'HEAD',
  'OPTI',
  'PRI ',
  'DELE',
  'PATC',
  'CONN',
  'TRAC',
])

export class FrameSource {
  #chunks: Buffer[] = []
  #offset = 0
  #buffered = 0
  #body: Body | undefined
  #skip: { left: number; size: number; head: Buffer } | undefined

  /** Bytes held that no frame has consumed yet, partial body included. */
  get buffered(): number {
    return this.#buffered + (this.#body?.filled ?? 0)
  }

  /** Where inside a frame the stream stands; `between` is the only place where silence is fine. */
  get position(): 'between' | 'header' | 'body' {
    if (this.#body !== undefined || this.#skip !== undefined) return 'body'
    return this.#buffered > 0 ? 'header' : 'between'
  }

  /** Takes ownership of the bytes: what becomes a frame may be overwritten. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
  }

  /**
   * @param limit Largest acceptable frame in bytes, inclusive.
   * @param trusted Whether the peer has authenticated. Only then is an oversized frame skipped:
   *   skipping for a stranger would let a web page's POST body be read as frames.
   */
  next(limit: number, trusted: boolean): Cut {
    if (this.#skip !== undefined) return this.#continueSkip()
    if (this.#body !== undefined) return this.#continueBody()
    if (this.#buffered < 4) return WAIT
    const header = this.#peekHeader()
    if (isAlien(header)) return ALIEN
    const size = header.readUInt32BE(0)
    if (size > limit) {
      if (!trusted || size > DISCARD_LIMIT) return { kind: 'lost', size }
      this.#drop(4)
      this.#skip = { left: size, size, head: Buffer.alloc(0) }
      return this.#continueSkip()
    }
    this.#drop(4)
    if (size === 0) return EMPTY
    const whole = this.#takeContiguous(size)
    if (whole !== undefined) return { kind: 'frame', body: whole }
    this.#body = new Body(size)
    return this.#continueBody()
  }

  #continueBody(): Cut {
    const body = this.#body as Body
    while (this.#buffered > 0 && body.left > 0) {
      const chunk = this.#chunks[0] as Buffer
      const take = Math.min(chunk.length - this.#offset, body.left)
      body.append(chunk, this.#offset, take)
      this.#drop(take)
    }
    if (body.left > 0) return WAIT
    this.#body = undefined
    return { kind: 'frame', body: body.bytes }
  }

  #continueSkip(): Cut {
    const skip = this.#skip as { left: number; size: number; head: Buffer }
    while (this.#buffered > 0 && skip.left > 0) {
      const chunk = this.#chunks[0] as Buffer
      const take = Math.min(chunk.length - this.#offset, skip.left)
      const wanted = SALVAGE_BYTES - skip.head.length
      if (wanted > 0) {
        const slice = chunk.subarray(this.#offset, this.#offset + Math.min(take, wanted))
        skip.head = Buffer.concat([skip.head, slice])
      }
      skip.left -= take
      this.#drop(take)
    }
    if (skip.left > 0) return WAIT
    this.#skip = undefined
    return { kind: 'oversize', size: skip.size, head: skip.head }
  }

  #peekHeader(): Buffer {
    const first = this.#chunks[0] as Buffer
    if (first.length - this.#offset >= 4) return first.subarray(this.#offset, this.#offset + 4)
    const header = Buffer.alloc(4)
    let at = 0
    let offset = this.#offset
    for (const chunk of this.#chunks) {
      at += chunk.copy(header, at, offset, Math.min(chunk.length, offset + 4 - at))
      offset = 0
      if (at === 4) break
    }
    return header
  }

  #takeContiguous(size: number): Buffer | undefined {
    const first = this.#chunks[0]
    if (first === undefined || first.length - this.#offset < size) return undefined
    const body = first.subarray(this.#offset, this.#offset + size)
    this.#drop(size)
    return body
  }

  #drop(count: number): void {
    this.#buffered -= count
    let left = count
    while (left > 0) {
      const first = this.#chunks[0] as Buffer
      const here = first.length - this.#offset
      if (left < here) {
        this.#offset += left
        return
      }
      left -= here
      this.#offset = 0
      this.#chunks.shift()
    }
  }
}

/** A body that grows with what really arrived: an announced size alone allocates nothing. */
class Body {
  #buffer: Buffer
  #filled = 0
  readonly #size: number

  constructor(size: number) {
    this.#size = size
    this.#buffer = Buffer.allocUnsafeSlow(0)
  }

  get filled(): number {
    return this.#filled
  }

  get left(): number {
    return this.#size - this.#filled
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#filled)
  }

  append(chunk: Buffer, start: number, count: number): void {
    const needed = this.#filled + count
    if (needed > this.#buffer.length) {
      const doubled = Math.max(needed, this.#buffer.length * 2, FIRST_BODY_ALLOCATION)
      const grown = Buffer.allocUnsafeSlow(Math.min(doubled, this.#size))
      this.#buffer.copy(grown, 0, 0, this.#filled)
      this.#buffer.fill(0)
      this.#buffer = grown
    }
    chunk.copy(this.#buffer, this.#filled, start, start + count)
    chunk.fill(0, start, start + count) // operators send secrets in frames; leave one copy, not two
    this.#filled = needed
  }
}

function isAlien(header: Buffer): boolean {
  const first = header[0] as number
  // No frame we accept is larger than 64 MiB, so a first byte above 0x04 can only be text or TLS.
  if (first < 0x05) return false
  if (first === 0x16 && header[1] === 0x03) return true
  return ALIEN_WORDS.has(header.toString('latin1'))
}
