/** Cuts one block into pieces that fit into a passage: sentences of prose, lines of code; long ones at words. */
import type { Block } from '../document.ts'
import { countTokens } from './tokens.ts'

export interface TextPiece {
  readonly text: string
  /** What stood between it and the piece before. */
  readonly joint: string
}

/** A sentence ends with its mark and space, or with a blank line; lists have their items. */
const AFTER_SENTENCE = /(?<=[.!?…]["'”’)\]]?)\s+(?=["'“‘([]?[\p{Lu}\p{N}])|(?<=[。！？])|\n+/u
const AFTER_LINE = /\n/

/** @returns No piece is empty or only space, or has more tokens than `maxTokens`, unless a single cut text does. */
export function pieces(text: string, kind: Block['kind'], maxTokens: number): TextPiece[] {
  const whole = kind === 'text' ? text.trim() : text.replace(/^\n+/, '').trimEnd()
  if (whole.trim() === '') return []
  if (kind !== 'text' && countTokens(whole) <= maxTokens) return [{ text: whole, joint: '' }]
  const [border, joint] = kind === 'code' ? [AFTER_LINE, '\n'] : [AFTER_SENTENCE, ' ']
  return split(whole, border, joint)
    .flatMap((piece) => (countTokens(piece.text) <= maxTokens ? [piece] : cut(piece, maxTokens)))
    .filter((piece) => piece.text.trim() !== '')
}

function split(text: string, border: RegExp, joint: string): TextPiece[] {
  const found: TextPiece[] = []
  let from = 0
  for (const match of text.matchAll(new RegExp(border, `${border.flags.replace('g', '')}g`))) {
    found.push({ text: text.slice(from, match.index), joint: jointOf(text, from, joint) })
    from = match.index + match[0].length
  }
  return [...found, { text: text.slice(from), joint: jointOf(text, from, joint) }]
}

function jointOf(text: string, at: number, joint: string): string {
  if (text[at - 1] === '\n') return '\n'
  return at > 0 && /\S/.test(text[at - 1] ?? '') ? '' : joint
}

/** Words together until they are too many. */
function cut({ text, joint }: TextPiece, maxTokens: number): TextPiece[] {
  const found: TextPiece[] = []
  let open = ''
  let tokens = 0
  const close = (): void => {
    if (open.trim() !== '')
      found.push({ text: open.trimEnd(), joint: found.length === 0 ? joint : ' ' })
    open = ''
    tokens = 0
  }
  for (const [part] of text.matchAll(/\s*\S{1,800}/g)) {
    const more = countTokens(part)
    if (open !== '' && tokens + more > maxTokens) close()
    open += open === '' ? part.trimStart() : part
    tokens += more
  }
  close()
  return found
}
