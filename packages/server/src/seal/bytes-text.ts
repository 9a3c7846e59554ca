/**
 * Hex and base64 from bytes to bytes. Secrets never pass through a JavaScript string, which cannot be wiped;
 * each call allocates its result once, at its final size, outside the shared pool.
 */
import { VestryError } from '@vestry/contract/errors'
import { unpooled } from './secret.ts'

const INVALID = 0xff
const EQUALS = 0x3d

const HEX = Buffer.from('0123456789abcdef', 'latin1')
const BASE64 = alphabet('+/')
const BASE64_URL = alphabet('-_')

const HEX_VALUE = inverse(HEX)
for (let digit = 10; digit < 16; digit += 1) HEX_VALUE['A'.charCodeAt(0) + digit - 10] = digit
const BASE64_VALUE = inverse(BASE64)
const BASE64_URL_VALUE = inverse(BASE64_URL)

/** Lower-case hex digits as ASCII bytes. */
export function encodeHexBytes(bytes: Uint8Array): Uint8Array {
  const text = unpooled(bytes.length * 2)
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = byteAt(bytes, at)
    text[at * 2] = byteAt(HEX, byte >> 4)
    text[at * 2 + 1] = byteAt(HEX, byte & 15)
  }
  return text
}

/** @param text ASCII, either case. @throws VestryError `INVALID_PARAMS`, without showing the text. */
export function decodeHexBytes(text: Uint8Array): Uint8Array {
  if (text.length % 2 !== 0) throw malformed('hexadecimal')
  const bytes = unpooled(text.length / 2)
  let seen = 0
  for (let at = 0; at < bytes.length; at += 1) {
    const high = byteAt(HEX_VALUE, byteAt(text, at * 2))
    const low = byteAt(HEX_VALUE, byteAt(text, at * 2 + 1))
    seen |= high | low
    bytes[at] = (high << 4) | low
  }
  if (seen > 15) throw malformed('hexadecimal', bytes)
  return bytes
}

/** Standard base64 with padding, as ASCII bytes. */
export function encodeBase64Bytes(bytes: Uint8Array): Uint8Array {
  return encode(bytes, BASE64, true)
}

/** Standard base64; padding must be there and unused bits must be zero. @throws VestryError `INVALID_PARAMS` */
export function decodeBase64Bytes(text: Uint8Array): Uint8Array {
  if (text.length % 4 !== 0) throw malformed('base64')
  let end = text.length
  for (let pad = 0; pad < 2 && end > 0 && text[end - 1] === EQUALS; pad += 1) end -= 1
  return decode(text, end, BASE64_VALUE)
}

/** URL-safe base64 without padding, as ASCII bytes. */
export function encodeBase64UrlBytes(bytes: Uint8Array): Uint8Array {
  return encode(bytes, BASE64_URL, false)
}

/** URL-safe base64 without padding; unused bits must be zero. @throws VestryError `INVALID_PARAMS` */
export function decodeBase64UrlBytes(text: Uint8Array): Uint8Array {
  return decode(text, text.length, BASE64_URL_VALUE)
}

function encode(bytes: Uint8Array, digits: Uint8Array, padded: boolean): Uint8Array {
  const whole = Math.ceil(bytes.length / 3) * 4
  const length = padded ? whole : Math.ceil((bytes.length * 4) / 3)
  const text = unpooled(length).fill(EQUALS)
  let bits = 0
  let held = 0
  let out = 0
  for (let at = 0; at < bytes.length; at += 1) {
    held = ((held << 8) | byteAt(bytes, at)) & 0xffff
    bits += 8
    while (bits >= 6) {
      bits -= 6
      text[out++] = byteAt(digits, (held >> bits) & 63)
    }
  }
  if (bits > 0) text[out] = byteAt(digits, (held << (6 - bits)) & 63)
  return text
}

function decode(text: Uint8Array, end: number, values: Uint8Array): Uint8Array {
  if (end % 4 === 1) throw malformed('base64')
  const bytes = unpooled(Math.floor((end * 3) / 4))
  let bits = 0
  let held = 0
  let out = 0
  let seen = 0
  for (let at = 0; at < end; at += 1) {
    const value = byteAt(values, byteAt(text, at))
    seen |= value
    held = ((held << 6) | (value & 63)) & 0xffff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      bytes[out++] = (held >> bits) & 0xff
    }
  }
  // Bits left over must be zero, or one value would have several spellings.
  const rest = held & ((1 << bits) - 1)
  if (seen > 63 || rest !== 0) throw malformed('base64', bytes)
  return bytes
}

function alphabet(lastTwo: string): Uint8Array {
  const upper = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
  return Buffer.from(`${upper}${upper.toLowerCase()}0123456789${lastTwo}`, 'latin1')
}

function inverse(digits: Uint8Array): Uint8Array {
  const values = new Uint8Array(256).fill(INVALID)
  for (const [value, digit] of digits.entries()) values[digit] = value
  return values
}

/** Every caller indexes within bounds; the fallback only satisfies the type. */
function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0
}

function malformed(form: string, partial?: Uint8Array): VestryError {
  partial?.fill(0)
  return new VestryError('INVALID_PARAMS', `Not valid ${form}`)
}
