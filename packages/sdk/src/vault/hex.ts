/** Hex as bytes on both sides, so that secrets need not pass through strings. */

const NOT_HEX = 255

const NIBBLE = new Uint8Array(256).fill(NOT_HEX)
for (let digit = 0; digit < 16; digit += 1) {
  const text = digit.toString(16)
  NIBBLE[text.charCodeAt(0)] = digit
  NIBBLE[text.toUpperCase().charCodeAt(0)] = digit
}

/** The bytes that ASCII hex digits spell, either case; undefined when they spell none. */
export function bytesOfHex(ascii: Uint8Array): Buffer | undefined {
  if (ascii.length % 2 !== 0) return undefined
  const bytes = Buffer.allocUnsafeSlow(ascii.length / 2)
  for (let at = 0; at < bytes.length; at += 1) {
    const high = nibble(ascii[at * 2])
    const low = nibble(ascii[at * 2 + 1])
    if (high === NOT_HEX || low === NOT_HEX) return undefined
    bytes[at] = (high << 4) | low
  }
  return bytes
}

/** The same for text. */
export function bytesOfHexText(text: string): Buffer | undefined {
  return bytesOfHex(Buffer.from(text, 'latin1'))
}

function nibble(character: number | undefined): number {
  return NIBBLE[character ?? 0] ?? NOT_HEX
}
