/** What kind of document a file is: by its name, and against its name where its bytes say otherwise. */
import { extname } from 'node:path'
import type { MediaType } from '../document.ts'

const BY_EXTENSION: Readonly<Record<string, MediaType>> = {
  '.txt': 'text/plain',
  '.text': 'text/plain',
  '.log': 'text/plain',
  '.rst': 'text/plain',
  '.adoc': 'text/plain',
  '.md': 'text/markdown',
  '.markdown': 'text/markdown',
  '.html': 'text/html',
  '.htm': 'text/html',
  '.xhtml': 'text/html',
  '.csv': 'text/csv',
  '.json': 'application/json',
  '.pdf': 'application/pdf',
}

/** Pages have a few bytes before their mark at times. */
const MARK_WITHIN = 1_024
const PDF_MARK = '%PDF-'
const HTML_START = /^\s*(?:<!--[\s\S]*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b/i

/** Undefined for what cannot be read: pictures, archives, programs. */
export function mediaTypeOf(name: string, bytes: Uint8Array): MediaType | undefined {
  const start = Buffer.from(bytes.subarray(0, MARK_WITHIN)).toString('latin1')
  if (start.includes(PDF_MARK)) return 'application/pdf'
  const named = BY_EXTENSION[extname(name).toLowerCase()]
  if (named === 'application/pdf') return undefined
  if (named !== undefined) return named
  if (HTML_START.test(start)) return 'text/html'
  return looksLikeText(bytes) ? 'text/plain' : undefined
}

function looksLikeText(bytes: Uint8Array): boolean {
  const [first, second] = bytes
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return true
  const sample = bytes.subarray(0, MARK_WITHIN)
  return sample.length > 0 && sample.every((byte) => byte >= 0x20 || (byte >= 0x07 && byte <= 0x0d))
}
