/** Code points that a reader does not see and a model does. */

/**
 * Nothing is drawn for these, or something that looks like a space: controls beside tab and line ends, format
 * characters, fillers, variation selectors, tags. First and last of each range.
 */
const RANGES: readonly (readonly [number, number])[] = [
  [0x0000, 0x0008],
  [0x000b, 0x000c],
  [0x000e, 0x001f],
  [0x007f, 0x009f],
  [0x00ad, 0x00ad],
  [0x034f, 0x034f],
  [0x061c, 0x061c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x200b, 0x200f],
  [0x202a, 0x202e],
  [0x2060, 0x206f],
  [0x2800, 0x2800],
  [0x3164, 0x3164],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff9, 0xfffb],
  [0x1bca0, 0x1bca3],
  [0x1d173, 0x1d17a],
  [0xe0000, 0xe0fff],
]

/** A class of characters, for a regular expression with the flag `u`. */
export function classOf(ranges: readonly (readonly [number, number])[]): string {
  const point = (code: number) => `\\u{${code.toString(16)}}`
  return ranges.map(([first, last]) => `${point(first)}-${point(last)}`).join('')
}

const INVISIBLE = new RegExp(`[${classOf(RANGES)}]`, 'gu')

export function withoutInvisible(text: string): string {
  return text.replace(INVISIBLE, '')
}

/** For who hides the gap between two words: `ignore<U+200B>all`. */
export function invisibleAsSpaces(text: string): string {
  return text.replace(INVISIBLE, ' ')
}

/**
 * What hides in tags (one letter each) and in variation selectors (one byte each).
 *
 * @returns Texts of at least four characters; usually none.
 */
export function smuggled(text: string): string[] {
  const found: string[] = []
  const tags = text.match(/[\u{e0020}-\u{e007e}]/gu)
  if (tags !== null && tags.length >= 4) {
    found.push(tags.map((tag) => String.fromCharCode((tag.codePointAt(0) ?? 0) - 0xe0000)).join(''))
  }
  const selectors = text.match(/[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/gu)
  if (selectors !== null && selectors.length >= 4) {
    found.push(Buffer.from(selectors.map(byteOf)).toString('utf8'))
  }
  return found
}

function byteOf(selector: string): number {
  const code = selector.codePointAt(0) ?? 0
  return code < 0xe0000 ? code - 0xfe00 : code - 0xe0100 + 16
}
