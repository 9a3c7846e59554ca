/**
 * Replies as frames. A secret is spliced into the frame as bytes, between pieces of JSON that were
 * built without it, so it never exists as a JavaScript string (wire contract §22.2).
 */
import { ERRORS, type VestryError } from '@vestry/contract/errors'
import type { Secret } from '../../seal/secret.ts'
import type { RequestId } from './request.ts'

/** Largest frame the daemon ever sends; one byte more breaks published clients for good. */
export const MAX_REPLY_BYTES = 4_194_304

export interface Reply {
  /** Members of `result` (or all of it, when it is the bare array of the second dialect). */
  readonly result: Readonly<Record<string, unknown>> | readonly unknown[]
  /** Members of `result` that hold a secret. Borrowed: wiped by {@link Reply.release}. */
  readonly secrets?: readonly SecretMember[]
  /** Wraps `result` as `{"success":true,"output":…}`. */
  readonly wrapped?: boolean
  /** Called once the frame was encoded, whatever became of it. */
  readonly release?: () => void
}

export interface SecretMember {
  readonly name: string
  readonly value: Secret
  /** `latin1`: each byte is a character, as in a header line. */
  readonly as: 'hex' | 'latin1'
}

export interface Frame {
  readonly bytes: Buffer
  /** The bytes hold a secret and are wiped once sent. */
  readonly secret: boolean
}

/** @returns undefined when the frame would exceed {@link MAX_REPLY_BYTES}. */
export function encodeReply(id: RequestId, reply: Reply, jsonrpc = false): Frame | undefined {
  const open = `{${jsonrpc ? '"jsonrpc":"2.0",' : ''}"id":${JSON.stringify(id)},"result":${
    reply.wrapped === true ? '{"success":true,"output":' : ''
  }`
  const close = reply.wrapped === true ? '}}' : '}'
  const json = JSON.stringify(reply.result)
  if (reply.secrets === undefined || reply.secrets.length === 0) {
    return plainFrame(open + json + close)
  }
  return splice(open, json, close, reply.secrets)
}

/** Always an answer: what cannot be encoded, or is too large, is left out. */
export function encodeError(
  id: RequestId | null,
  error: VestryError,
  requestId: string,
  docsBaseUrl?: string,
  jsonrpc = false,
): Frame {
  const { code } = error
  const message = {
    ...(jsonrpc && { jsonrpc: '2.0' }),
    id,
    error: {
      code,
      message: ERRORS[code].message,
      detail: code === 'INTERNAL_ERROR' ? null : error.message,
      suggestion: error.hint ?? null,
      docs_url: docsBaseUrl === undefined ? null : `${docsBaseUrl}/${code}`,
      context: { ...error.context, request_id: requestId },
    },
  }
  try {
    const frame = plainFrame(JSON.stringify(message))
    if (frame !== undefined) return frame
  } catch {
    // Only a context of our own making could be this odd; the code alone is still an answer.
  }
  const { detail: _, suggestion: __, context: ___, ...bare } = message.error
  const least = {
    ...message,
    error: { ...bare, detail: null, suggestion: null, context: { request_id: requestId } },
  }
  return plainFrame(JSON.stringify(least)) as Frame
}

function plainFrame(text: string): Frame | undefined {
  const size = Buffer.byteLength(text)
  if (size > MAX_REPLY_BYTES) return undefined
  const bytes = Buffer.allocUnsafe(4 + size)
  bytes.writeUInt32BE(size, 0)
  bytes.write(text, 4, 'utf8')
  return { bytes, secret: false }
}

function splice(
  open: string,
  json: string,
  close: string,
  secrets: readonly SecretMember[],
): Frame | undefined {
  const rest = json === '{}' ? '}' : `,${json.slice(1)}`
  let size = Buffer.byteLength(open) + 1 + Buffer.byteLength(rest) + Buffer.byteLength(close)
  secrets.forEach((member, index) => {
    size += (index > 0 ? 1 : 0) + Buffer.byteLength(member.name) + 5 + encodedLength(member)
  })
  if (size > MAX_REPLY_BYTES) return undefined
  const bytes = Buffer.allocUnsafeSlow(4 + size)
  let at = bytes.writeUInt32BE(size, 0)
  at += bytes.write(`${open}{`, at, 'utf8')
  secrets.forEach((member, index) => {
    at += bytes.write(`${index > 0 ? ',' : ''}"${member.name}":"`, at, 'utf8')
    at = writeSecret(bytes, at, member)
    at = bytes.writeUInt8(0x22, at)
  })
  bytes.write(rest + close, at, 'utf8')
  return { bytes, secret: true }
}

const HEX_DIGITS = Buffer.from('0123456789abcdef', 'latin1')
/** What JSON.stringify makes of each of the first 256 characters, quotes aside. */
const ESCAPED: readonly Buffer[] = Array.from({ length: 256 }, (_, code) =>
  Buffer.from(JSON.stringify(String.fromCharCode(code)).slice(1, -1), 'utf8'),
)

function encodedLength({ value, as }: SecretMember): number {
  if (as === 'hex') return value.length * 2
  let length = 0
  for (const byte of value.bytes) length += (ESCAPED[byte] as Buffer).length
  return length
}

function writeSecret(out: Buffer, start: number, { value, as }: SecretMember): number {
  let at = start
  for (const byte of value.bytes) {
    if (as === 'hex') {
      out[at++] = HEX_DIGITS[byte >> 4] as number
      out[at++] = HEX_DIGITS[byte & 15] as number
    } else {
      for (const escaped of ESCAPED[byte] as Buffer) out[at++] = escaped
    }
  }
  return at
}
