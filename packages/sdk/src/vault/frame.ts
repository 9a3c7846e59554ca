/**
 * Framing of the vault's wire: a 32-bit big-endian length, then that many bytes of UTF-8 JSON.
 * Refuses frames above the limit before it buffers a byte of them.
 */
import type { VaultError } from './errors.ts'
import { vaultError } from './wire-error.ts'

/** The largest body either side sends, in bytes, inclusive (4 MiB). */
export const MAX_FRAME_BYTES = 4_194_304

const HEADER_BYTES = 4
const FIRST_ALLOCATION = 16_384

export type Message = Record<string, unknown>

/**
 * One message as header and body in a single buffer.
 *
 * @throws VaultError `REQUEST_TOO_LARGE` above `maxBytes`; `INVALID_PARAMS` for what JSON cannot say
 *   (a cycle, a bigint).
 */
export function encodeFrame(message: Message, maxBytes: number = MAX_FRAME_BYTES): Buffer {
  const json = stringify(message)
  const length = Buffer.byteLength(json)
  if (length > maxBytes) {
    throw vaultError(
      'REQUEST_TOO_LARGE',
      `The request is ${length} bytes; the limit is ${maxBytes}`,
      {
        suggestion: 'Send less data per call.',
      },
    )
  }
  // Outside the shared pool: a request may carry a secret, and pooled memory outlives it.
  const frame = Buffer.allocUnsafeSlow(HEADER_BYTES + length)
  frame.writeUInt32BE(length, 0)
  frame.write(json, HEADER_BYTES)
  return frame
}

/**
 * The first frame in `data` and the bytes after it.
 *
 * @throws VaultError `INTERNAL_ERROR` when the frame is not complete or not a JSON object,
 *   `RESPONSE_TOO_LARGE` above the limit.
 */
export function decodeFrame(
  data: Uint8Array,
  maxBytes: number = MAX_FRAME_BYTES,
): [message: Message, rest: Uint8Array] {
  if (data.length < HEADER_BYTES) throw broken('The frame ends inside its header')
  const length = bodyLength(data, maxBytes)
  const end = HEADER_BYTES + length
  if (data.length < end) throw broken('The frame ends inside its body')
  return [decodeBody(data.subarray(HEADER_BYTES, end)), data.subarray(end)]
}

/** The JSON object in a frame's body. The error never quotes the body: it may hold a secret. */
export function decodeBody(body: Uint8Array): Message {
  let message: unknown
  try {
    message = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body))
  } catch {
    throw broken('The frame is not UTF-8 encoded JSON')
  }
  if (typeof message === 'object' && message !== null && !Array.isArray(message)) {
    return message as Message // an object that JSON.parse made has string keys only
  }
  throw broken('The frame is not a JSON object')
}

/**
 * Cuts a byte stream into frame bodies, whatever the splits. Push what arrived, then take bodies
 * with `next()` until it returns undefined. Memory follows what arrived, not what a header promises,
 * and each byte is copied a constant number of times.
 */
export class FrameReader {
  readonly #maxBytes: number
  /** Arrived and not yet consumed; `#offset` is where the first one starts. */
  #chunks: Uint8Array[] = []
  #offset = 0
  #available = 0
  /** Length of the body being read, once its header is complete and accepted. */
  #length: number | undefined
  #body: Buffer | undefined
  #filled = 0

  constructor(options: { maxBytes?: number } = {}) {
    this.#maxBytes = options.maxBytes ?? MAX_FRAME_BYTES
  }

  /** True while a frame has begun and not ended: the stream must not stop here. */
  get midFrame(): boolean {
    return this.#length !== undefined || this.#available > 0
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#available += chunk.length
  }

  /**
   * The next complete body, or undefined until more bytes are pushed. It may share memory with a
   * pushed chunk.
   *
   * @throws VaultError `RESPONSE_TOO_LARGE`; the stream cannot be read further after that.
   */
  next(): Buffer | undefined {
    if (this.#length === undefined) {
      if (this.#available < HEADER_BYTES) return undefined
      const header = Buffer.alloc(HEADER_BYTES)
      this.#take(header, HEADER_BYTES)
      this.#length = bodyLength(header, this.#maxBytes)
    }
    const body = this.#whole(this.#length) ?? this.#gather(this.#length)
    if (body) this.#length = undefined
    return body
  }

  /** The usual case: the body lies in one chunk and needs no copy. */
  #whole(length: number): Buffer | undefined {
    if (this.#body) return undefined
    if (length === 0) return Buffer.alloc(0)
    const first = this.#chunks[0]
    if (!first || first.length - this.#offset < length) return undefined
    const start = first.byteOffset + this.#offset
    this.#consume(first, length)
    return Buffer.from(first.buffer, start, length)
  }

  /** Moves what arrived into a body that doubles up to its length. */
  #gather(length: number): Buffer | undefined {
    const step = Math.min(this.#available, length - this.#filled)
    if (step === 0) return undefined
    const needed = this.#filled + step
    let body = this.#body
    if (!body || body.length < needed) {
      const room = Math.max(needed, FIRST_ALLOCATION, (body?.length ?? 0) * 2)
      const grown = Buffer.allocUnsafeSlow(Math.min(length, room))
      if (body) {
        body.copy(grown, 0, 0, this.#filled)
        body.fill(0)
      }
      body = grown
      this.#body = grown
    }
    this.#take(body.subarray(this.#filled), step)
    this.#filled = needed
    if (needed < length) return undefined
    this.#body = undefined
    this.#filled = 0
    return body
  }

  #take(into: Buffer, count: number): void {
    let done = 0
    while (done < count) {
      const first = this.#chunks[0]
      if (!first) throw new RangeError('take() past the bytes that arrived')
      const step = Math.min(count - done, first.length - this.#offset)
      into.set(first.subarray(this.#offset, this.#offset + step), done)
      this.#consume(first, step)
      done += step
    }
  }

  #consume(first: Uint8Array, count: number): void {
    this.#available -= count
    this.#offset += count
    if (this.#offset < first.length) return
    this.#chunks.shift()
    this.#offset = 0
  }
}

function bodyLength(header: Uint8Array, maxBytes: number): number {
  const length = new DataView(header.buffer, header.byteOffset, HEADER_BYTES).getUint32(0)
  if (length <= maxBytes) return length
  throw vaultError(
    'RESPONSE_TOO_LARGE',
    `The peer announced a frame of ${length} bytes; the limit is ${maxBytes}`,
    { suggestion: 'Check that the address is the vault and not some other service.' },
  )
}

function stringify(message: Message): string {
  try {
    return JSON.stringify(message)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n', 1)[0] : 'not serialisable'
    throw vaultError('INVALID_PARAMS', `The request cannot be written as JSON: ${reason}`)
  }
}

function broken(detail: string): VaultError {
  return vaultError('INTERNAL_ERROR', detail, {
    suggestion: 'Check that the address is the vault and that versions match.',
  })
}
