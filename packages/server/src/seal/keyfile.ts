/**
 * The content of key files for unattended unsealing: 32 random bytes, raw or as 64 hex digits. No I/O here:
 * keyfile-load.ts reads and writes the files, slot.ts decides what they open.
 */
import { createHash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { decodeHexBytes } from './bytes-text.ts'
import { KEY_BYTES } from './gcm.ts'
import { Secret } from './secret.ts'

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

/**
 * @param content Raw 32 bytes, or 64 hex digits with or without a line end. Borrowed.
 * @returns 32 bytes; the caller disposes them.
 * @throws VestryError `INVALID_PARAMS`, without showing the content.
 */
export function parseKeyFile(content: Uint8Array): Secret {
  if (content.length === KEY_BYTES) return Secret.copy(content)
  let end = content.length
  if (content[end - 1] === LINE_FEED) end -= 1
  if (content[end - 1] === CARRIAGE_RETURN) end -= 1
  if (end === KEY_BYTES * 2) return Secret.own(decodeHexBytes(content.subarray(0, end)))
  throw new VestryError('INVALID_PARAMS', 'A key file holds 32 raw bytes or 64 hex digits')
}

/** Names a key without telling it, so that a slot can say which key file opens it. 16 hex digits. */
export function keyFileId(key: Uint8Array): string {
  const hash = createHash('sha256').update('vestry key file\0').update(key).digest('hex')
  return hash.slice(0, 16)
}
