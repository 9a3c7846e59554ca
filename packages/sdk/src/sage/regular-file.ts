/** A file of somebody else's making, read whole and bounded: pipes and devices are not waited for. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

export interface RegularFileOptions {
  maxBytes: number
  /** Whether the path itself may be a link. Default true. */
  followLinks?: boolean | undefined
}

/** @throws Error whose message names the reason, as in "it does not exist", and never the content. */
export async function readRegularFile(
  path: string,
  { maxBytes, followLinks = true }: RegularFileOptions,
): Promise<Buffer> {
  const flags = followLinks ? 0 : constants.O_NOFOLLOW
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | flags).catch(unreadable)
  try {
    const found = await file.stat()
    if (!found.isFile()) throw new Error('it is not a file')
    if (found.size > maxBytes) throw tooLarge(maxBytes)
    // It may grow while it is read: one byte more than allowed is enough to know.
    const stream = file.createReadStream({ end: maxBytes, autoClose: false })
    const parts: Buffer[] = await stream.toArray().catch(unreadable)
    const bytes = Buffer.concat(parts)
    if (bytes.length > maxBytes) throw tooLarge(maxBytes)
    return bytes
  } finally {
    await file.close()
  }
}

function tooLarge(maxBytes: number): Error {
  return new Error(`it is larger than ${maxBytes} bytes`)
}

function unreadable({ code }: { code?: unknown }): never {
  throw new Error(code === 'ENOENT' ? 'it does not exist' : `it is unreadable (${code})`)
}
