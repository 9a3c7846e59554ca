/**
 * A secret as a query parameter, for providers that take it nowhere else. It exists only in the bytes of the
 * request: the target that policy, audit and errors see is without it.
 */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import { Secret, unpooled } from '../seal/secret.ts'

export interface QueryInjectionSpec {
  /** Name of the parameter: letters, digits, `-`, `.`, `_` and `~`, which need no escape anywhere. */
  readonly query: string
}

const PERCENT = 0x25
const HEX = Buffer.from('0123456789ABCDEF', 'latin1')

/** RFC 3986 §2.3: characters that mean themselves wherever they stand. */
const UNRESERVED = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[A-Za-z0-9._~-]/.test(String.fromCharCode(byte)) ? 1 : 0,
)

/** @throws VestryError `INVALID_PARAMS` */
export function checkQueryName(name: string): void {
  if (/^[A-Za-z0-9._~-]{1,64}$/.test(name)) return
  throw new VestryError('INVALID_PARAMS', 'The query parameter of the credential has a bad name', {
    hint: 'Use up to 64 letters, digits, hyphens, dots, underscores and tildes.',
  })
}

/**
 * The secret, percent-encoded. Dispose it.
 *
 * @throws VestryError `UNUSABLE_CREDENTIAL` for control characters and for what is not text.
 */
export function queryValue({ bytes }: Secret): Secret {
  if (!isUtf8(bytes) || bytes.some((byte) => byte < 0x20 || byte === 0x7f)) {
    throw new VestryError('UNUSABLE_CREDENTIAL', 'The secret cannot be placed in a query', {
      hint: 'It must be text without control characters; a trailing newline is a common cause.',
    })
  }
  const out = unpooled(bytes.reduce((length, byte) => length + (UNRESERVED[byte] ? 1 : 3), 0))
  let at = 0
  for (const byte of bytes) {
    if (UNRESERVED[byte]) {
      out[at++] = byte
      continue
    }
    out[at++] = PERCENT
    out[at++] = HEX[byte >> 4] ?? 0
    out[at++] = HEX[byte & 15] ?? 0
  }
  return Secret.own(out)
}
