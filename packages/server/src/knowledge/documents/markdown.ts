/** Markdown, read line by line: headings, fenced and indented code, tables row by row, lists and paragraphs. */
import type { Outline } from './outline.ts'

const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$/
const UNDERLINE = /^ {0,3}(=+|-+)[ \t]*$/
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/
const TABLE_RULE = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/
const RULE = /^ {0,3}(?:[-*_][ \t]*){3,}$/
const INDENTED = /^(?: {4}|\t)/
const LIST_ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])[ \t]/

export function readMarkdown(text: string, outline: Outline): void {
  new MarkdownReader(withoutFrontMatter(withoutComments(text), outline).split('\n'), outline).read()
}

/** Comments are not shown, so nobody looked at them. Those in code are rare and are lost. */
function withoutComments(text: string): string {
  let shown = ''
  let at = 0
  for (;;) {
    const start = text.indexOf('<!--', at)
    const end = start < 0 ? -1 : text.indexOf('-->', start)
    if (end < 0) return shown + text.slice(at)
    shown += text.slice(at, start)
    at = end + 3
  }
}

function withoutFrontMatter(text: string, outline: Outline): string {
  if (!text.startsWith('---\n')) return text
  const end = text.indexOf('\n---\n', 3)
  if (end < 0) return text
  const title = /^title:[ \t]*["']?(.+?)["']?[ \t]*$/m.exec(text.slice(0, end))?.[1]
  if (title !== undefined) outline.title(title)
  return text.slice(end + 5)
}

class MarkdownReader {
  readonly #lines: readonly string[]
  readonly #outline: Outline
  #at = 0
  #paragraph: string[] = []

  constructor(lines: readonly string[], outline: Outline) {
    this.#lines = lines
    this.#outline = outline
  }

  read(): void {
    for (let line = this.#line(); line !== undefined; line = this.#line()) this.#take(line)
    this.#close()
  }

  #line(): string | undefined {
    return this.#lines[this.#at]
  }

  /** Ends on the last line that it took, and goes on with the next. */
  #take(line: string): void {
    const heading = HEADING.exec(line)
    if (heading !== null) {
      this.#close()
      this.#outline.heading(heading[1]?.length ?? 1, plain(heading[2] ?? ''))
    } else if (line.trim() === '') {
      if (this.#inList() && LIST_ITEM.test(this.#lines[this.#at + 1] ?? ''))
        this.#paragraph.push('')
      else this.#close()
    } else if (FENCE.test(line)) this.#fenced(line)
    else if (this.#paragraph.length === 0 && INDENTED.test(line)) this.#indented()
    else if (this.#startsTable(line)) this.#table(line)
    else if (this.#paragraph.length === 1 && UNDERLINE.test(line)) this.#underlined(line)
    else if (RULE.test(line)) this.#close()
    else this.#paragraph.push(line)
    this.#at++
  }

  #inList(): boolean {
    return LIST_ITEM.test(this.#paragraph[0] ?? '')
  }

  #underlined(line: string): void {
    const [text = ''] = this.#paragraph
    if (LIST_ITEM.test(text)) this.#close()
    else {
      this.#paragraph = []
      this.#outline.heading(line.includes('=') ? 1 : 2, plain(text))
    }
  }

  #fenced(open: string): void {
    this.#close()
    const fence = FENCE.exec(open)?.[1] ?? '```'
    const code: string[] = []
    for (this.#at++; this.#at < this.#lines.length; this.#at++) {
      const line = this.#line() ?? ''
      const mark = FENCE.exec(line)
      if (mark?.[2]?.trim() === '' && mark[1]?.startsWith(fence)) break
      code.push(line)
    }
    this.#outline.block('code', code.join('\n'))
  }

  #indented(): void {
    const code: string[] = []
    for (; INDENTED.test(this.#line() ?? ''); this.#at++)
      code.push((this.#line() ?? '').replace(INDENTED, ''))
    this.#at--
    this.#outline.block('code', code.join('\n'))
  }

  #startsTable(line: string): boolean {
    const next = this.#lines[this.#at + 1]
    return line.includes('|') && next?.includes('-') === true && TABLE_RULE.test(next)
  }

  #table(head: string): void {
    this.#close()
    const names = cellsOf(head)
    let rows = 0
    for (this.#at += 2; this.#line()?.includes('|'); this.#at++, rows++)
      this.#outline.block('row', rowText(names, cellsOf(this.#line() ?? '')))
    this.#at--
    if (rows === 0) this.#outline.block('row', names.join('; '))
  }

  #close(): void {
    const text = this.#paragraph.join('\n')
    this.#paragraph = []
    if (/<[a-z/]/i.test(text)) this.#outline.block('text', text.replace(/<\/?[a-z][^<>]*>/gi, ''))
    else this.#outline.block('text', text)
  }
}

function cellsOf(line: string): string[] {
  const inner = line
    .trim()
    .replace(/^\|/, '')
    .replace(/(?<!\\)\|$/, '')
  return inner.split(/(?<!\\)\|/).map((cell) => plain(cell.replaceAll('\\|', '|')))
}

/** Short tables of two columns read as pairs; in wider ones each value has its name. */
function rowText(names: readonly string[], cells: readonly string[]): string {
  const named = cells.map((cell, at) => [names[at] ?? '', cell] as const)
  return named
    .filter(([, cell]) => cell !== '')
    .map(([name, cell]) => (name === '' ? cell : `${name}: ${cell}`))
    .join('; ')
}

/** Without the marks of emphasis and code, and of links only their words. */
function plain(text: string): string {
  return text
    .replace(/!?\[([^\][]*)\]\([^()\s]*\)/g, '$1')
    .replace(/[`*]|__/g, '')
    .trim()
}
