/** A token in a file: read whole, bounded, trimmed. Messages name the reason, never the content. */
import { readRegularFile } from './regular-file.ts'

/** Servers accept 64 KiB of headers, so no token is longer. */
const MAX_BYTES = 64 * 1024

/** @throws Error whose message is safe to show. */
export async function readTokenFile(path: string): Promise<string> {
  const text = (await readRegularFile(path, { maxBytes: MAX_BYTES })).toString().trim()
  if (text === '') throw new Error('it is empty')
  return text
}
