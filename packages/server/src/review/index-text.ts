/** Names of others in the form they are found by in the store. Pure. */
import { hash } from 'node:crypto'

/** An index entry of PostgreSQL holds 2 704 bytes; two of these, at three bytes a unit, fit. */
const MAX_CHARS = 400
const HASH_CHARS = 64

/**
 * PostgreSQL has no NUL in texts, and no index for long ones. Two names may come out the same, so whoever finds a row
 * by this looks at the name in it as well.
 */
export function indexText(text: string): string {
  const fits = text.replaceAll('\0', '\ufffd')
  if (fits.length <= MAX_CHARS) return fits
  return `${fits.slice(0, MAX_CHARS - HASH_CHARS).toWellFormed()}${hash('sha256', text)}`
}
