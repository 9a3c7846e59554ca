/**
 * Text of strangers for who has to judge it: what is not drawn is spelt out as `⟨U+200B⟩`, letters that only look like
 * others carry their number, and long lines are broken where the terminal would break them. Pure.
 */
import { isLookAlike } from '../review/analysis/confusables.ts'
import { visible } from '../review/analysis/visible.ts'
import type { Paint, Style } from './style.ts'
import { safeText, textWidth } from './terminal-text.ts'

interface Cell {
  readonly text: string
  readonly style: Style | undefined
}

/** A letter that is one in disguise: full-width, mathematical, circled. */
const DISGUISED = /[\p{L}\p{Nd}]/u
const WORD = /[\p{L}\p{M}\p{N}\p{Cf}]+/gu
const NARROWEST = 16

/** On one line, however long. */
export function markedText(text: string, paint: Paint): string {
  return drawn(cellsOf(text), paint)
}

/**
 * @param width Columns; words that are longer are cut.
 * @returns At least one line. Line feeds of the text begin new ones, everything else of it stays on its line.
 */
export function markedLines(text: string, width: number, paint: Paint): string[] {
  return text.split('\n').flatMap((line) => brokenLine(line, width, paint))
}

/** As {@link markedLines}, and a line feed is spelt out: for names and places, which have none. */
export function brokenLine(text: string, width: number, paint: Paint): string[] {
  const room = Math.max(NARROWEST, width)
  return wrapped(cellsOf(text), room).map((cells) => drawn(cells, paint))
}

function cellsOf(text: string): Cell[] {
  const suspects = suspectsIn(text)
  const cells: Cell[] = []
  let at = 0
  for (const character of text) {
    const shown = safeText(visible(character))
    if (shown !== character) cells.push({ text: shown, style: 'red' })
    else if (suspects.has(at))
      cells.push({ text: `${character}${numberOf(character)}`, style: 'yellow' })
    else cells.push({ text: character, style: undefined })
    at += character.length
  }
  return cells
}

/** Where letters stand that look like Latin ones among such, or make up a whole word. */
function suspectsIn(text: string): ReadonlySet<number> {
  const found = new Set<number>()
  if (/^\p{ASCII}*$/u.test(text)) return found
  for (const { 0: word, index } of text.matchAll(WORD)) {
    const letters = [...word].filter((letter) => /\p{L}/u.test(letter))
    const foreign = letters.filter(isForeignLookAlike)
    const alone = letters.length === 1 && text[index - 1] === '"'
    const passesForLatin = foreign.length === letters.length && (letters.length > 1 || alone)
    const isMixed = letters.some((letter) => /[A-Za-z]/.test(letter))
    let at = index
    for (const letter of word) {
      if (isDisguised(letter) || ((isMixed || passesForLatin) && isForeignLookAlike(letter)))
        found.add(at)
      at += letter.length
    }
  }
  return found
}

function isForeignLookAlike(letter: string): boolean {
  return isLookAlike(letter) && !/\p{Script=Latin}/u.test(letter)
}

function isDisguised(letter: string): boolean {
  if (!DISGUISED.test(letter)) return false
  const plain = letter.normalize('NFKC')
  return plain !== letter && /^\p{ASCII}+$/u.test(plain)
}

function numberOf(character: string): string {
  const code = character.codePointAt(0) ?? 0
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`
}

function wrapped(cells: readonly Cell[], width: number): Cell[][] {
  const lines: Cell[][] = []
  let line: Cell[] = []
  let used = 0
  let breakAt = 0
  for (const cell of cells) {
    const takes = textWidth(cell.text)
    // What moves to the next line with the word may still leave no room there.
    while (used + takes > width && line.length > 0) {
      const kept = breakAt > 0 ? breakAt : line.length
      lines.push(line.slice(0, kept))
      line = line.slice(kept)
      used = line.reduce((sum, one) => sum + textWidth(one.text), 0)
      breakAt = 0
    }
    line.push(cell)
    used += takes
    if (cell.text === ' ') breakAt = line.length
  }
  lines.push(line)
  return lines
}

function drawn(cells: readonly Cell[], paint: Paint): string {
  let out = ''
  let run = ''
  let style: Style | undefined
  const flush = () => {
    out += style === undefined ? run : paint(style, run)
    run = ''
  }
  for (const cell of cells) {
    if (cell.style !== style) {
      flush()
      style = cell.style
    }
    run += cell.text
  }
  flush()
  return out
}
