/**
 * What must never come back from an upstream: each secret in the shapes it may be reflected in
 * (wire contract §8.7.2). Escapes (percent, JSON, HTML) are not listed here: match.ts undoes them while it
 * compares, so any mix of escaped and plain characters is found.
 */
import { VestryError } from '@vestry/contract/errors'
import { encodeBase64Bytes, encodeHexBytes } from '../seal/bytes-text.ts'
import { type Secret, unpooled } from '../seal/secret.ts'

export type Kind = 'plain' | 'base64' | 'hex'

/** One shape of one secret. */
export interface Form {
  kind: Kind
  /** As compared: base64 in the standard alphabet, hex in lower case. */
  chars: Uint8Array
  /** The same with letters lower-cased, for places where parsers change the case. */
  folded: Uint8Array
  /** Too short to be unmistakable: counts only between characters that are neither letter nor digit. */
  bounded: boolean
  /** Base64: the character before or after also holds bits of the secret. */
  sharesBefore: boolean
  sharesAfter: boolean
}

/** Shorter secrets are too common as text to be taken out of a reply (wire contract §8.7.5). */
export const MIN_SECRET_BYTES = 4

const BOUNDED_BELOW = 8
/** A base64 character carries six bits of the secret, whatever words the secret is made of. */
const BOUNDED_BASE64_BELOW = 6
const MIN_FORM_CHARS = 4

const CAPITAL_A = 0x41
const CAPITAL_Z = 0x5a

/** Owns copies of secrets: dispose it when the last byte of the reply has been scrubbed. */
export class Needles implements Disposable {
  readonly forms: readonly Form[]

  private constructor(forms: readonly Form[]) {
    this.forms = forms
  }

  /** Nothing to look for. */
  static none(): Needles {
    return new Needles([])
  }

  /**
   * @param secrets Borrowed; each is copied in all its shapes.
   * @throws VestryError `UNUSABLE_CREDENTIAL` for a secret shorter than 4 bytes.
   */
  static of(secrets: readonly Secret[]): Needles {
    const forms: Form[] = []
    for (const secret of secrets) {
      if (secret.length < MIN_SECRET_BYTES) {
        throw new VestryError(
          'UNUSABLE_CREDENTIAL',
          'The secret is too short to be kept out of replies',
          { hint: `Use a secret of ${MIN_SECRET_BYTES} bytes or more.` },
        )
      }
      for (const reading of readings(secret.bytes)) {
        for (const form of shapes(reading)) add(forms, form)
        if (reading !== secret.bytes) reading.fill(0)
      }
    }
    return new Needles(forms)
  }

  [Symbol.dispose](): void {
    for (const { chars, folded } of this.forms) {
      chars.fill(0)
      folded.fill(0)
    }
  }
}

/** The bytes as they are, and as they come back from an upstream that took them for another character set. */
function readings(bytes: Uint8Array): Uint8Array[] {
  if (bytes.every((byte) => byte < 0x80)) return [bytes]
  const latin1 = latin1FromUtf8(bytes)
  return latin1 === undefined
    ? [bytes, utf8FromLatin1(bytes)]
    : [bytes, utf8FromLatin1(bytes), latin1]
}

function shapes(bytes: Uint8Array): Form[] {
  return [
    form('plain', Uint8Array.from(bytes), bytes.length < BOUNDED_BELOW),
    form('hex', encodeHexBytes(bytes), false),
    ...[0, 1, 2].map((offset) => base64(bytes, offset)),
  ]
}

/** The base64 characters that depend on nothing but the secret when it begins `offset` bytes into a group. */
function base64(bytes: Uint8Array, offset: number): Form {
  const shifted = unpooled(bytes.length + offset)
  shifted.set(bytes, offset)
  const text = encodeBase64Bytes(shifted)
  shifted.fill(0)
  const bits = shifted.length * 8
  const chars = text.slice(Math.ceil((offset * 8) / 6), Math.floor(bits / 6))
  text.fill(0)
  const shape = form('base64', chars, chars.length < BOUNDED_BASE64_BELOW)
  return { ...shape, sharesBefore: offset > 0, sharesAfter: bits % 6 > 0 }
}

function form(kind: Kind, chars: Uint8Array, bounded: boolean): Form {
  const folded = chars.map((byte) => (byte >= CAPITAL_A && byte <= CAPITAL_Z ? byte + 32 : byte))
  return { kind, chars, folded, bounded, sharesBefore: false, sharesAfter: false }
}

function add(forms: Form[], candidate: Form): void {
  const known = forms.some(
    ({ kind, chars }) => kind === candidate.kind && Buffer.compare(chars, candidate.chars) === 0,
  )
  if (!known && candidate.chars.length >= MIN_FORM_CHARS) forms.push(candidate)
}

function utf8FromLatin1(bytes: Uint8Array): Uint8Array {
  const out = unpooled(bytes.reduce((length, byte) => length + (byte < 0x80 ? 1 : 2), 0))
  let at = 0
  for (const byte of bytes) {
    if (byte >= 0x80) out[at++] = 0xc0 | (byte >> 6)
    out[at++] = byte < 0x80 ? byte : 0x80 | (byte & 0x3f)
  }
  return out
}

/** Undefined when `bytes` are not UTF-8 text within Latin-1. */
function latin1FromUtf8(bytes: Uint8Array): Uint8Array | undefined {
  const out = unpooled(bytes.length)
  let length = 0
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0
    if (byte < 0x80) {
      out[length++] = byte
      continue
    }
    const next = bytes[at + 1] ?? 0
    if ((byte !== 0xc2 && byte !== 0xc3) || (next & 0xc0) !== 0x80) {
      out.fill(0)
      return undefined
    }
    out[length++] = ((byte & 3) << 6) | (next & 0x3f)
    at += 1
  }
  const exact = unpooled(length)
  exact.set(out.subarray(0, length))
  out.fill(0)
  return exact
}
