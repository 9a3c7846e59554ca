/** A token in a file: read whole, bounded, trimmed. Messages name the reason, never the content. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** Servers accept 64 KiB of headers, so no token is longer. */
const MAX_BYTES = 64 * 1024

/** @throws Error whose message is safe to show. */
export async function readTokenFile(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(
    (error: { code?: unknown }) => {
      throw new Error(
        error.code === 'ENOENT' ? 'it does not exist' : `it is unreadable (${error.code})`,
      )
    },
  )
  try {
    const found = await file.stat()
    // A pipe would be waited for, by whoever has to answer in time.
    if (!found.isFile()) throw new Error('it is not a file')
    if (found.size > MAX_BYTES) throw new Error('it is too large')
    const text = (await file.readFile('utf8').catch(unreadable)).trim()
    if (text === '') throw new Error('it is empty')
    return text
  } finally {
    await file.close()
  }
}

function unreadable(error: { code?: unknown }): never {
  throw new Error(`it is unreadable (${error.code})`)
}
