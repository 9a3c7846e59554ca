/** Documents that are nothing but text: plain, Markdown, CSV and JSON. */
import type { Document, DocumentSource, MediaType } from '../document.ts'
import { readCsv } from './csv.ts'
import { decodeText } from './decode.ts'
import { readJson } from './json.ts'
import { assertSize, MAX_TEXT_BYTES } from './limits.ts'
import { readMarkdown } from './markdown.ts'
import { Outline } from './outline.ts'
import { readPlainText } from './plain-text.ts'

export type TextMediaType = Exclude<MediaType, 'application/pdf' | 'text/html'>

const READERS: Readonly<Record<TextMediaType, (text: string, outline: Outline) => void>> = {
  'text/plain': readPlainText,
  'text/markdown': readMarkdown,
  'text/csv': readCsv,
  'application/json': readJson,
}

export function isTextDocument(
  source: DocumentSource,
): source is DocumentSource & { readonly mediaType: TextMediaType } {
  return Object.hasOwn(READERS, source.mediaType)
}

/** @throws VestryError DOCUMENT_INVALID, REQUEST_TOO_LARGE */
export function readTextDocument({
  bytes,
  mediaType,
}: DocumentSource & { readonly mediaType: TextMediaType }): Document {
  const { text, warnings } = decodeText(bytes)
  assertSize(Buffer.byteLength(text), MAX_TEXT_BYTES, 'The text of the document')
  const outline = new Outline()
  for (const warning of warnings) outline.warn(warning)
  READERS[mediaType](text, outline)
  return outline.finish()
}
