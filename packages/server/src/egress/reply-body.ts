/**
 * Reads a reply into memory within bounds (wire contract §8.7.1): bytes as sent, bytes as decoded, and their ratio.
 * Codings that cannot be undone are refused, because what cannot be read cannot be scrubbed.
 */
import { type Duplex, pipeline, Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from 'node:zlib'
import { VestryError } from '@vestry/contract/errors'

export interface ReplyBody {
  /** Decoded. */
  bytes: Uint8Array
  /** False when a bound was met before the end. */
  complete: boolean
  /** Bytes that came over the wire. */
  received: number
  /** True when a content coding was undone. */
  decoded: boolean
}

export type Coding = 'identity' | 'gzip' | 'deflate' | 'br'

export interface ReplyLimits {
  /** Decoded bytes beyond which there is no need to read on. */
  wanted: number
  /** Bytes over the wire. */
  maxReceived: number
}

/** Whoever takes more over the wire takes as much of it decoded. */
const MAX_DECODED = 8 * 1024 * 1024
const MAX_RATIO = 100
/** Small repetitive texts compress better than any bomb needs to; below this the ratio says nothing. */
const RATIO_FROM = 64 * 1024

/** @throws VestryError `UPSTREAM_ERROR` for a coding, or a stack of codings, that is not known. */
export function codingOf(header: string | undefined): Coding {
  const codings = (header ?? '')
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding !== '' && coding !== 'identity')
  const [coding = 'identity', ...more] = codings
  if (more.length === 0) {
    if (coding === 'x-gzip') return 'gzip'
    if (coding === 'identity' || coding === 'gzip' || coding === 'deflate' || coding === 'br') {
      return coding
    }
  }
  throw new VestryError('UPSTREAM_ERROR', 'The reply uses a content coding that is not supported', {
    hint: 'Supported are gzip, deflate and br.',
  })
}

/**
 * @param source Read to its end, or destroyed where a bound is met.
 * @throws VestryError `UPSTREAM_ERROR` when decoding fails; what `source` failed with, unchanged.
 */
export async function readReply(
  source: Readable,
  coding: Coding,
  { wanted, maxReceived }: ReplyLimits,
): Promise<ReplyBody> {
  const limit = Math.min(wanted, Math.max(MAX_DECODED, maxReceived))
  const chunks: Uint8Array[] = []
  let received = 0
  let size = 0
  let complete = true
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      received += chunk.length
      if (received > maxReceived) {
        complete = false
        return
      }
      yield chunk
    }
  }
  try {
    for await (const chunk of decode(counted(), coding)) {
      chunks.push(chunk)
      size += chunk.length
      if (size > limit || isBomb(size, received)) {
        complete = false
        break
      }
    }
  } catch (error) {
    // A decoder fed only the beginning complains about the missing end.
    if (complete) throw decodingError(error)
  } finally {
    if (!source.readableEnded) source.destroy()
  }
  return { bytes: Buffer.concat(chunks), complete, received, decoded: coding !== 'identity' }
}

/** Decoded bytes beyond all proportion to what came over the wire. */
export function isBomb(decoded: number, received: number): boolean {
  return decoded > RATIO_FROM && decoded > received * MAX_RATIO
}

/** Undoes a coding as the bytes come. Errors of the decoder are its own: see {@link decodingError}. */
export function decode(
  source: AsyncIterable<Uint8Array>,
  coding: Coding,
): AsyncIterable<Uint8Array> {
  return coding === 'identity' ? source : inflated(source, coding)
}

async function* inflated(
  source: AsyncIterable<Uint8Array>,
  coding: Exclude<Coding, 'identity'>,
): AsyncGenerator<Uint8Array> {
  const input = source[Symbol.asyncIterator]()
  const first = await input.next()
  // A body that is not there needs no decoding, whatever its header says.
  if (first.done === true) return
  async function* rest(): AsyncGenerator<Uint8Array> {
    yield first.value
    for (let next = await input.next(); next.done !== true; next = await input.next()) {
      yield next.value
    }
  }
  const decoder = decoderFor(coding, first.value)
  // Errors reach the loop below; the callback is only there to be had.
  pipeline(Readable.from(rest(), { objectMode: false }), decoder, () => {})
  yield* decoder as AsyncIterable<Uint8Array>
}

function decoderFor(coding: Exclude<Coding, 'identity'>, first: Uint8Array): Duplex {
  switch (coding) {
    case 'gzip':
      return createGunzip()
    case 'br':
      return createBrotliDecompress()
    case 'deflate':
      // Many servers send raw deflate for "deflate"; a zlib header always has 8 in its low bits.
      return ((first[0] ?? 0) & 0x0f) === 8 ? createInflate() : createInflateRaw()
  }
}

/** The same error, or ours where a decoder failed. */
export function decodingError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  // zlib's own codes; brotli's begin with ERR__ERROR or ERR_BROTLI.
  if (!/^(Z_|ERR__ERROR|ERR_BROTLI)/.test(code)) return error
  return new VestryError('UPSTREAM_ERROR', 'The reply could not be decompressed', {
    context: { reason: code },
  })
}
