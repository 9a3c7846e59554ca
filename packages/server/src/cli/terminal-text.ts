/**
 * Text as a terminal may have it: whatever could move the cursor, change colours or reorder the line is
 * shown as an escape instead. Names and reasons come from agents and upstreams, so all data goes through here.
 */

/** Controls, lone surrogates, everything that steers text direction, and what nobody sees, tags and fillers included. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\p{Emoji_Presentation}]/u

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** One line of text. */
export function safeText(text: string): string {
  return text.replace(UNSAFE, escaped)
}

/** Text of several lines: line feeds and tabs stay. */
export function safeLines(text: string): string {
  return text.replace(UNSAFE, (character) =>
    character === '\n' || character === '\t' ? character : escaped(character),
  )
}

/** The one document of `--json`, indented, with a line feed at its end. */
export function jsonText(document: unknown): string {
  const json = JSON.stringify(document, null, 2) ?? 'null'
  return `${json.replace(UNSAFE, unicodeEscape)}\n`
}

/** The same on a single line, for a stream of documents. */
export function jsonLine(document: unknown): string {
  return `${JSON.stringify(document).replace(UNSAFE, unicodeEscape)}\n`
}

/** Columns a safe text takes. */
export function textWidth(text: string): number {
  let width = 0
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue
    width += WIDE.test(character) ? 2 : 1
  }
  return width
}

function escaped(character: string): string {
  const short = SHORT[character]
  if (short !== undefined) return short
  const code = character.codePointAt(0) ?? 0
  if (code > 0xffff) return `\\u{${hex(code, 5)}}`
  return code < 0x100 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`
}

/** JSON's own text has escaped the ASCII controls in strings already; its line breaks stay. */
function unicodeEscape(character: string): string {
  if (character === '\n') return character
  // JSON knows only the two halves of what lies beyond the first plane.
  return character
    .split('')
    .map((half) => `\\u${hex(half.charCodeAt(0), 4)}`)
    .join('')
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0')
}
