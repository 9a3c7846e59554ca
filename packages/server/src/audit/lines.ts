/** Reads a segment as lines, forwards or backwards, in constant memory. */
import { isUtf8 } from 'node:buffer'
import type { FileHandle } from 'node:fs/promises'
import { MAX_LINE_BYTES } from './record.ts'

export interface Line {
  /** Byte offset of its first character. */
  offset: number
  /** Bytes without the newline. */
  length: number
  /** Absent when the bytes are not UTF-8 or more than any record has. */
  text: string | undefined
}

const CHUNK = 524_288
const NEWLINE = 10

/**
 * Complete lines from `from` on, in batches. Bytes after the last newline are not a line: the
 * generator returns the offset at which they begin.
 *
 * @param to Offset to stop at; the end of the file as it grows when absent.
 */
export async function* linesForward(
  handle: FileHandle,
  from = 0,
  to = Number.POSITIVE_INFINITY,
): AsyncGenerator<Line[], number> {
  let buffer = Buffer.allocUnsafeSlow(CHUNK)
  let start = from // file offset of buffer[0]
  let filled = 0
  let skipping = false // within a line too long to hold
  let skipStart = 0
  while (true) {
    const want = Math.min(buffer.length - filled, to - start - filled)
    const { bytesRead } = want > 0 ? await handle.read(buffer, filled, want, start + filled) : NONE
    if (bytesRead === 0) return skipping ? skipStart : start
    filled += bytesRead

    const batch: Line[] = []
    let at = 0
    while (at < filled) {
      const end = buffer.indexOf(NEWLINE, at)
      if (end === -1 || end >= filled) break
      if (skipping) {
        batch.push({ offset: skipStart, length: start + end - skipStart, text: undefined })
        skipping = false
      } else batch.push(lineAt(buffer, at, end, start))
      at = end + 1
    }
    if (batch.length > 0) yield batch

    buffer.copyWithin(0, at, filled)
    start += at
    filled -= at
    if (filled < buffer.length) continue
    if (skipping || buffer.length > MAX_LINE_BYTES) {
      if (!skipping) skipStart = start
      skipping = true
      start += filled
      filled = 0
    } else {
      const bigger = Buffer.allocUnsafeSlow(buffer.length * 2)
      buffer.copy(bigger)
      buffer = bigger
    }
  }
}

/**
 * Complete lines that end before `end`, newest first, in batches. The last newline at or before
 * `end` closes the first line given; bytes after it are left to the caller.
 */
export async function* linesBackward(handle: FileHandle, end: number): AsyncGenerator<Line[]> {
  let buffer = Buffer.alloc(0) // bytes [start, start + buffer.length), not given out yet
  let start = end
  let chunk = 65_536
  let seenNewline = false
  while (start > 0) {
    const size = Math.min(chunk, start)
    const grown = Buffer.allocUnsafeSlow(size + buffer.length)
    start -= size
    await readFully(handle, grown.subarray(0, size), start)
    buffer.copy(grown, size)
    buffer = grown

    const batch: Line[] = []
    let stop = buffer.length
    if (!seenNewline) {
      stop = buffer.lastIndexOf(NEWLINE)
      if (stop === -1) {
        chunk = Math.min(chunk * 2, 4 * CHUNK)
        continue
      }
      seenNewline = true
    } else stop -= 1
    // buffer[stop] is the newline that ends the next line to give.
    while (true) {
      const before = stop === 0 ? -1 : buffer.lastIndexOf(NEWLINE, stop - 1)
      if (before === -1 && start > 0) break
      batch.push(lineAt(buffer, before + 1, stop, start))
      stop = before
      if (before === -1) break
    }
    buffer = buffer.subarray(0, stop + 1)
    // A line beyond any record: read in big steps, so that its cost stays linear.
    if (batch.length === 0) chunk = Math.min(chunk * 2, 4 * CHUNK)
    else yield batch
  }
}

/** The bytes [offset, offset + length) as a line. */
export async function lineFrom(handle: FileHandle, offset: number, length: number): Promise<Line> {
  const bytes = Buffer.allocUnsafeSlow(length)
  const got = await readFully(handle, bytes, offset)
  return lineAt(bytes, 0, got, offset)
}

const NONE = { bytesRead: 0 }

function lineAt(buffer: Buffer, from: number, to: number, start: number): Line {
  const bytes = buffer.subarray(from, to)
  const readable = bytes.length <= MAX_LINE_BYTES && isUtf8(bytes)
  return {
    offset: start + from,
    length: to - from,
    text: readable ? bytes.toString('utf8') : undefined,
  }
}

async function readFully(handle: FileHandle, into: Buffer, position: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}
