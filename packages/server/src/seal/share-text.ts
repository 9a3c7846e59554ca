/**
 * Shares as people hold them: `sncs1-<group>-<base64url>-<check>`, in bytes, never as a string. `group`
 * (16 hex digits) tells which split a share belongs to, `check` (8 hex digits of a hash) catches typing errors.
 */
import { createHash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { decodeBase64UrlBytes, encodeBase64UrlBytes } from './bytes-text.ts'
import { KEY_BYTES } from './gcm.ts'
import { Secret, unpooled } from './secret.ts'

const PREFIX = 'sncs1-'
export const GROUP_DIGITS = 16
const CHECK_DIGITS = 8
const SHARE_BYTES = KEY_BYTES + 1
const SHARE_DIGITS = Math.ceil((SHARE_BYTES * 4) / 3)
const DASH = 0x2d

const GROUP_AT = PREFIX.length
const SHARE_AT = GROUP_AT + GROUP_DIGITS + 1
const CHECK_AT = SHARE_AT + SHARE_DIGITS + 1
const TEXT_BYTES = CHECK_AT + CHECK_DIGITS

export interface Share extends Disposable {
  group: string
  /** y-bytes ‖ x. */
  share: Secret
}

/** @param share 33 bytes, borrowed. @returns The text as ASCII bytes; the caller disposes it. */
export function encodeShare(group: string, share: Uint8Array): Secret {
  const text = Buffer.from(unpooled(TEXT_BYTES).buffer)
  text.write(PREFIX, 0, 'latin1')
  text.write(group, GROUP_AT, 'latin1')
  text[SHARE_AT - 1] = DASH
  using digits = Secret.own(encodeBase64UrlBytes(share))
  text.set(digits.bytes, SHARE_AT)
  text[CHECK_AT - 1] = DASH
  text.write(check(group, share), CHECK_AT, 'latin1')
  return Secret.own(text)
}

/**
 * @param text As typed; white space around it is ignored. Borrowed.
 * @throws VestryError `UNSEAL_FAILED` when it is no share or was mistyped.
 */
export function decodeShare(text: Uint8Array): Share {
  const body = trim(text)
  if (body.length !== TEXT_BYTES) throw mistyped()
  const view = Buffer.from(body.buffer, body.byteOffset, body.length)
  const group = view.toString('latin1', GROUP_AT, SHARE_AT - 1)
  const form =
    view.toString('latin1', 0, GROUP_AT) === PREFIX &&
    /^[0-9a-f]+$/.test(group) &&
    view[SHARE_AT - 1] === DASH &&
    view[CHECK_AT - 1] === DASH
  if (!form) throw mistyped()
  const share = decodeDigits(body.subarray(SHARE_AT, CHECK_AT - 1))
  if (view.toString('latin1', CHECK_AT) !== check(group, share.bytes) || shareX(share) === 0) {
    share[Symbol.dispose]()
    throw mistyped()
  }
  return { group, share, [Symbol.dispose]: () => share[Symbol.dispose]() }
}

/** The x of a share: its number, from 1. */
export function shareX(share: Secret): number {
  return share.bytes[share.length - 1] ?? 0
}

function decodeDigits(digits: Uint8Array): Secret {
  try {
    return Secret.own(decodeBase64UrlBytes(digits))
  } catch {
    throw mistyped()
  }
}

function check(group: string, share: Uint8Array): string {
  const hash = createHash('sha256').update(PREFIX).update(group).update('\0').update(share)
  return hash.digest('hex').slice(0, CHECK_DIGITS)
}

function trim(text: Uint8Array): Uint8Array {
  let start = 0
  let end = text.length
  while (start < end && (text[start] ?? 0) <= 0x20) start += 1
  while (end > start && (text[end - 1] ?? 0) <= 0x20) end -= 1
  return text.subarray(start, end)
}

function mistyped(): VestryError {
  return new VestryError('UNSEAL_FAILED', 'This is not a share, or it was mistyped', {
    hint: 'A share starts with sncs1-; enter it exactly as it was handed out.',
  })
}
