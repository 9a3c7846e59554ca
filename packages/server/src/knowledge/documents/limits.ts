/** How much one document may be. */
import { VestryError } from '@vestry/contract/errors'

const MIB = 1_024 * 1_024

/** Of a file as it came. */
export const MAX_FILE_BYTES = 16 * MIB
/** Of the text in it, as UTF-8. */
export const MAX_TEXT_BYTES = MIB
/** Of a file that is nothing but text; in UTF-16 it is twice as long. */
export const MAX_PLAIN_BYTES = 2 * MIB + 2
/** Of rows and members, which repeat the names of what they hold. */
export const MAX_NAMED_BYTES = 4 * MIB
/** Paragraphs, rows and the like: cutting up so many takes a fifth of a second. */
export const MAX_BLOCKS = 100_000
export const MAX_PAGES = 2_000
/** Elements of a page within each other. */
export const MAX_HTML_DEPTH = 512

export function assertSize(bytes: number, most: number, what: string): void {
  if (bytes <= most) return
  throw new VestryError(
    'REQUEST_TOO_LARGE',
    `${what} is larger than ${Math.floor(most / MIB)} MiB`,
    {
      hint: 'Split it into several documents.',
    },
  )
}

export function invalid(reason: string, hint?: string): VestryError {
  return new VestryError('DOCUMENT_INVALID', `The document ${reason}`, hint ? { hint } : {})
}
