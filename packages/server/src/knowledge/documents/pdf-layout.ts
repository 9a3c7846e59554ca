/** From pieces of text at places on pages to lines, paragraphs and headings. Pure. */
import type { Outline } from './outline.ts'

/** As the PDF reader gives them, in the order of the content. */
export interface PlacedText {
  readonly str: string
  readonly height: number
  readonly width: number
  /** `[a, b, c, d, x, y]`, from the lower left corner. */
  readonly transform: readonly number[]
  readonly hasEOL: boolean
  readonly page: number
}

export interface Line {
  readonly text: string
  readonly size: number
  readonly y: number
  readonly page: number
}

/** A heading is this much larger than the text, and no longer than this. */
const LARGER = 1.15
const MAX_HEADING_CHARS = 120
/** Between lines of one paragraph there is less room, in heights of a line. */
const GAP = 1.75

export function linesOf(items: readonly PlacedText[]): Line[] {
  const lines: Line[] = []
  let open: PlacedText[] = []
  const close = (): void => {
    const text = textOf(open)
    const [first] = open
    if (first !== undefined && text !== '') {
      const size = Math.max(...sizes(open))
      lines.push({ text, size, y: first.transform[5] ?? 0, page: first.page })
    }
    open = []
  }
  for (const item of items) {
    const last = open.at(-1)
    if (last !== undefined && Math.abs(yOf(item) - yOf(last)) > sizeOf(last) / 2) close()
    open.push(item)
    if (item.hasEOL) close()
  }
  close()
  return lines
}

/** Into paragraphs, across the end of pages where a sentence goes on. */
export function paragraphsOf(pages: readonly (readonly Line[])[], outline: Outline): void {
  const body = bodySize(pages)
  const levels = headingSizes(pages, body)
  let open: Line[] = []
  const close = (): void => {
    const [first] = open
    if (first !== undefined) outline.block('text', paragraphText(open), first.page)
    open = []
  }
  for (const line of pages.flat()) {
    const level = levels.indexOf(roundSize(line.size))
    if (level >= 0 && line.text.length <= MAX_HEADING_CHARS) {
      close()
      outline.heading(level + 1, line.text, line.page)
      continue
    }
    const last = open.at(-1)
    if (last !== undefined && isNewParagraph(last, line)) close()
    open.push(line)
  }
  close()
}

function isNewParagraph(last: Line, line: Line): boolean {
  if (last.page !== line.page) return /[.!?:”"]$/.test(last.text)
  const gap = last.y - line.y
  return gap < 0 || gap > Math.max(last.size, line.size) * GAP
}

/** Words broken at the end of a line are whole again. */
function paragraphText(lines: readonly Line[]): string {
  return lines.reduce((text, { text: next }) => {
    if (text === '') return next
    return /\p{Ll}-$/u.test(text) && /^\p{Ll}/u.test(next)
      ? text.slice(0, -1) + next
      : `${text}\n${next}`
  }, '')
}

function textOf(items: readonly PlacedText[]): string {
  let text = ''
  let endX = 0
  for (const item of items) {
    const x = item.transform[4] ?? 0
    const apart = x - endX > sizeOf(item) * 0.2
    text += text !== '' && apart && !/\s$/.test(text) ? ` ${item.str}` : item.str
    endX = x + item.width
  }
  return text.replace(/\s+/g, ' ').trim()
}

function bodySize(pages: readonly (readonly Line[])[]): number {
  const chars = new Map<number, number>()
  for (const line of pages.flat()) {
    const size = roundSize(line.size)
    chars.set(size, (chars.get(size) ?? 0) + line.text.length)
  }
  return [...chars].reduce((most, entry) => (entry[1] > most[1] ? entry : most), [0, 0])[0]
}

/** Largest first; the rest counts as text. */
function headingSizes(pages: readonly (readonly Line[])[], body: number): number[] {
  const found = new Set(pages.flatMap((lines) => lines.map(({ size }) => roundSize(size))))
  const larger = [...found].filter((size) => size >= body * LARGER)
  return larger.sort((a, b) => b - a).slice(0, 6)
}

const roundSize = (size: number): number => Math.round(size * 2) / 2
const yOf = (item: PlacedText): number => item.transform[5] ?? 0
const sizes = (items: readonly PlacedText[]): number[] => items.map(sizeOf)
const sizeOf = ({ height, transform }: PlacedText): number =>
  height > 0 ? height : Math.hypot(transform[2] ?? 0, transform[3] ?? 0)
