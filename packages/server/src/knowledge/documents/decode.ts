/** From bytes to text: UTF-8, UTF-16, and Western text of old, told by their bytes. Anything else is refused. */
import { isUtf8 } from 'node:buffer'
import { withoutInvisible } from '../../review/analysis/invisible.ts'
import { invalid } from './limits.ts'

export interface Decoded {
  readonly text: string
  readonly warnings: readonly string[]
}

/** Bytes from which it is told whether text is UTF-16 without a mark. */
const SAMPLE_BYTES = 4_096
/** Bytes that Windows-1252 leaves out. */
const UNUSED = new Set([0x7f, 0x81, 0x8d, 0x8f, 0x90, 0x9d])
const ESCAPE = 0x1b
const SPACE = 0x20
/** Rarer ones are accidents of copying. */
const MAX_LOST = 0.02

/**
 * @param label Of the encoding, as the document itself names it.
 * @throws VestryError DOCUMENT_INVALID
 */
export function decodeText(bytes: Uint8Array, label?: string): Decoded {
  const { text, warnings } = decoded(bytes, label)
  if (text.includes('\0')) throw notText()
  const lines = text.replace(/\r\n?/g, '\n').replace(/[\f\v]/g, '\n')
  const visible = withoutInvisible(lines)
  if (visible.length === lines.length) return { text: visible, warnings }
  return { text: visible, warnings: [...warnings, 'Invisible characters were taken out'] }
}

function decoded(bytes: Uint8Array, label: string | undefined): Decoded {
  const marked = markedEncoding(bytes)
  if (marked !== undefined) return strict(bytes, marked)
  if (isUtf8(bytes) && !bytes.includes(0))
    return { text: new TextDecoder().decode(bytes), warnings: [] }
  const wide = wideEncoding(bytes)
  if (wide !== undefined) return strict(bytes, wide)
  if (bytes.includes(0)) throw notText()
  if (label !== undefined && !/^utf-?8$/i.test(label)) return named(bytes, label)
  return western(bytes)
}

function markedEncoding(bytes: Uint8Array): string | undefined {
  const [first, second, third] = bytes
  if (first === 0xef && second === 0xbb && third === 0xbf) return 'utf-8'
  if (first === 0xff && second === 0xfe) return 'utf-16le'
  return first === 0xfe && second === 0xff ? 'utf-16be' : undefined
}

/** Of Western text in UTF-16, every other byte is nought. */
function wideEncoding(bytes: Uint8Array): string | undefined {
  const sample = bytes.subarray(0, SAMPLE_BYTES)
  const noughts = [0, 0]
  for (const [at, byte] of sample.entries())
    if (byte === 0) noughts[at & 1] = (noughts[at & 1] ?? 0) + 1
  const [even = 0, odd = 0] = noughts
  const most = sample.length / 2
  if (odd > most * 0.6 && even < most * 0.05) return 'utf-16le'
  return even > most * 0.6 && odd < most * 0.05 ? 'utf-16be' : undefined
}

function strict(bytes: Uint8Array, encoding: string): Decoded {
  try {
    return { text: new TextDecoder(encoding, { fatal: true }).decode(bytes), warnings: [] }
  } catch {
    throw invalid(`is not the ${encoding.toUpperCase()} that it says it is`)
  }
}

function named(bytes: Uint8Array, label: string): Decoded {
  try {
    return { text: new TextDecoder(label, { fatal: true }).decode(bytes), warnings: [] }
  } catch {
    return western(bytes)
  }
}

function western(bytes: Uint8Array): Decoded {
  if (!bytes.every(isWestern)) {
    const text = new TextDecoder().decode(bytes)
    const lost = text.split('\ufffd').length - 1
    if (lost > text.length * MAX_LOST) throw notText()
    return { text, warnings: ['Some bytes are not UTF-8 and were left out'] }
  }
  const text = new TextDecoder('windows-1252').decode(bytes)
  return { text, warnings: ['Not UTF-8; read as Windows-1252'] }
}

/** No control that no text has: of those only tab, line and page ends, and what colours a terminal. */
function isWestern(byte: number): boolean {
  if (byte < SPACE) return (byte >= 0x09 && byte <= 0x0d) || byte === ESCAPE
  return !UNUSED.has(byte)
}

function notText(): ReturnType<typeof invalid> {
  return invalid('is not text in an encoding that can be told', 'Save it as UTF-8.')
}
