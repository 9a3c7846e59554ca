/** HTML as a reader sees it: headings, paragraphs, lists, tables and code; nothing that is not shown. */
import { Parser } from 'htmlparser2'
import type { Document } from '../document.ts'
import { decodeText } from './decode.ts'
import { invalid, MAX_HTML_DEPTH } from './limits.ts'
import { Outline } from './outline.ts'

/** What they hold is not for readers. */
const SKIPPED = new Set(
  'script style template noscript svg math iframe object embed canvas audio video select button textarea datalist dialog'.split(
    ' ',
  ),
)
/** They begin a new piece of text. */
const BLOCKS = new Set(
  'address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr html li main nav ol p pre section summary table tbody tfoot thead tr ul'.split(
    ' ',
  ),
)
const LISTS = new Set(['ul', 'ol', 'dl'])
const HEADING = /^h([1-6])$/
const HIDDEN_STYLE =
  /(?:display\s*:\s*none|visibility\s*:\s*hidden|(?:font-size|opacity)\s*:\s*0(?:[^.\d]|$))/i
const CHARSET = /<meta[^>]{0,200}?charset\s*=\s*["']?([\w-]{1,40})/i
const HEAD_BYTES = 2_048

/** @throws VestryError DOCUMENT_INVALID, REQUEST_TOO_LARGE */
export function readHtml(bytes: Uint8Array): Document {
  const head = Buffer.from(bytes.subarray(0, HEAD_BYTES)).toString('latin1')
  const { text, warnings } = decodeText(bytes, CHARSET.exec(head)?.[1])
  const outline = new Outline()
  for (const warning of warnings) outline.warn(warning)
  const reader = new HtmlReader(outline)
  const parser = new Parser({
    onopentag: (name, attributes) => reader.open(name, attributes),
    onclosetag: (name) => reader.close(name),
    ontext: (piece) => reader.text(piece),
  })
  // Piece by piece, so that what is too deep or too much ends it before the rest is read.
  for (let at = 0; at < text.length; at += 65_536) parser.write(text.slice(at, at + 65_536))
  parser.end()
  return reader.finish()
}

class HtmlReader {
  readonly #outline: Outline
  #depth = 0
  /** Depth of the outermost element that is not shown. */
  #hiddenAt: number | undefined
  #text: string[] = []
  #lists = 0
  #pre = 0
  #title: string[] | undefined
  #names: string[] = []
  #cells: string[] | undefined
  #inHead = false

  constructor(outline: Outline) {
    this.#outline = outline
  }

  open(name: string, attributes: Readonly<Record<string, string>>): void {
    this.#depth++
    if (this.#depth > MAX_HTML_DEPTH)
      throw invalid(`has elements nested deeper than ${MAX_HTML_DEPTH}`)
    if (this.#hiddenAt !== undefined) return
    if (SKIPPED.has(name) || isHidden(attributes)) this.#hiddenAt = this.#depth
    else if (name === 'title' && this.#title === undefined) this.#title = []
    else this.#begin(name)
    this.#inHead = this.#inHead || (name === 'title' && this.#depth > 0)
  }

  close(name: string): void {
    const shown = this.#hiddenAt === undefined
    if (this.#hiddenAt === this.#depth) this.#hiddenAt = undefined
    this.#depth = Math.max(0, this.#depth - 1)
    if (name === 'title' && this.#inHead) {
      this.#inHead = false
      this.#outline.title((this.#title ?? []).join(''))
    } else if (shown) this.#end(name)
  }

  text(piece: string): void {
    if (this.#hiddenAt !== undefined) return
    if (this.#inHead) this.#title?.push(piece)
    else this.#text.push(piece)
  }

  finish(): Document {
    this.#flush()
    return this.#outline.finish()
  }

  #begin(name: string): void {
    if (name === 'br') this.#text.push('\n')
    else if (name === 'li' && this.#lists > 0) this.#text.push('\n- ')
    else if (name === 'dt' || name === 'dd') this.#text.push('\n')
    else if (name === 'td' || name === 'th') this.#text = []
    else if (name === 'img') return
    else if (BLOCKS.has(name) && this.#lists === 0 && this.#cells === undefined) this.#flush()
    else if (BLOCKS.has(name)) this.#text.push('\n')
    if (LISTS.has(name)) this.#lists++
    if (name === 'pre') this.#pre++
    if (name === 'table') this.#names = []
    if (name === 'tr') this.#cells = []
  }

  #end(name: string): void {
    const level = HEADING.exec(name)?.[1]
    if (level !== undefined) this.#heading(Number(level))
    else if (name === 'pre') this.#code()
    else if (name === 'td' || name === 'th') this.#cell()
    else if (name === 'tr') this.#row()
    else if (LISTS.has(name)) this.#list()
    else if (BLOCKS.has(name) && this.#lists === 0 && this.#cells === undefined) this.#flush()
  }

  #heading(level: number): void {
    this.#outline.heading(level, this.#taken())
  }

  #code(): void {
    this.#pre = Math.max(0, this.#pre - 1)
    const code = this.#text.join('')
    this.#text = []
    this.#outline.block('code', code.replace(/^\n+/, '').trimEnd())
  }

  #list(): void {
    this.#lists = Math.max(0, this.#lists - 1)
    if (this.#lists === 0 && this.#cells === undefined) this.#flush()
  }

  #cell(): void {
    this.#cells?.push(this.#taken().replace(/\s+/g, ' ').trim())
  }

  #row(): void {
    const cells = this.#cells ?? []
    this.#cells = undefined
    if (this.#names.length === 0) {
      this.#names = cells
      this.#outline.block('row', cells.filter((cell) => cell !== '').join('; '))
      return
    }
    const named = cells.map((cell, at) => [this.#names[at] ?? '', cell] as const)
    const filled = named.filter(([, cell]) => cell !== '')
    const texts = filled.map(([name, cell]) => (name === '' ? cell : `${name}: ${cell}`))
    this.#outline.block('row', texts.join('; '))
  }

  #flush(): void {
    if (this.#pre > 0) return
    this.#outline.block('text', this.#taken())
  }

  /** As a browser shows it: spaces are one, lines are where they were begun. */
  #taken(): string {
    const text = this.#text.join('')
    this.#text = []
    const lines = text.split('\n').map((line) => line.replace(/[ \t\u00a0]+/g, ' ').trim())
    return lines.filter((line) => line !== '' && line !== '-').join('\n')
  }
}

function isHidden(attributes: Readonly<Record<string, string>>): boolean {
  const { hidden, style = '' } = attributes
  return hidden !== undefined || HIDDEN_STYLE.test(style)
}
