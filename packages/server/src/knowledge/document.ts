/** What came in, read as text with its structure. Shapes only. */

export const MEDIA_TYPES = [
  'text/plain',
  'text/markdown',
  'text/html',
  'text/csv',
  'application/json',
  'application/pdf',
] as const
export type MediaType = (typeof MEDIA_TYPES)[number]

export interface DocumentSource {
  readonly bytes: Uint8Array
  readonly mediaType: MediaType
}

/** A piece that belongs together: a paragraph, a block of code, a row of a table, a list. */
export interface Block {
  readonly kind: 'text' | 'code' | 'row'
  readonly text: string
  /** The headings above it, outermost first. */
  readonly headings: readonly string[]
  /** From 1; of a PDF. */
  readonly page?: number
}

export interface Document {
  readonly title: string | undefined
  readonly blocks: readonly Block[]
  /** Such as pages that could not be read. */
  readonly warnings: readonly string[]
}

export interface Chunk {
  readonly text: string
  /** `Backups › Retention` */
  readonly heading: string
}
