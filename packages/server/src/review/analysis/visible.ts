/** Text of others as a person may safely look at it: everything that is not drawn, or moves the cursor, is spelt out. */
import { classOf } from './invisible.ts'

/** Beside controls, format characters, halves of surrogate pairs, private and unassigned code points. */
const BLANK: readonly (readonly [number, number])[] = [
  [0x00a0, 0x00a0],
  [0x034f, 0x034f],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x2800, 0x2800],
  [0x3164, 0x3164],
  [0xfe00, 0xfe0f],
  [0xffa0, 0xffa0],
  [0xe0100, 0xe01ef],
]
const HIDDEN = new RegExp(`[\\p{C}\\p{Zl}\\p{Zp}${classOf(BLANK)}]`, 'gu')

/**
 * @returns The text on one line; `⟨U+200B⟩` stands for what would not be seen.
 */
export function visible(text: string): string {
  return text.replace(HIDDEN, codePoint)
}

/** As {@link visible}, and line ends stay. */
export function visibleLines(text: string): string {
  return text.replace(HIDDEN, (hidden) => (hidden === '\n' ? hidden : codePoint(hidden)))
}

/** As {@link visible}, at most `max` UTF-16 units long; `…` shows that something is missing. */
export function visibleExcerpt(text: string, max: number): string {
  // One code point becomes at most ten units, so more than `max` of them are never needed.
  const shown = visible(text.slice(0, max + 1))
  if (shown.length <= max && text.length <= max) return shown
  let cut = shown.slice(0, max - 1)
  // Neither a pair of surrogates nor an escape is cut in two.
  if (/[\ud800-\udbff]$/.test(cut)) cut = cut.slice(0, -1)
  return `${cut.replace(/⟨[U+0-9A-F]{0,8}$/, '')}…`
}

function codePoint(text: string): string {
  const code = text.codePointAt(0) ?? 0
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`
}
