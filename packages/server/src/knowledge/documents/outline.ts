/** Collects the blocks of a document under their headings, as long as they are not too much. */
import type { Block, Document } from '../document.ts'
import { assertSize, invalid, MAX_BLOCKS, MAX_NAMED_BYTES, MAX_TEXT_BYTES } from './limits.ts'

const MAX_HEADING_CHARS = 200
const MAX_WARNINGS = 20

export class Outline {
  readonly #blocks: Block[] = []
  readonly #warnings: string[] = []
  #path: { readonly level: number; readonly text: string }[] = []
  /** Of the last heading, as long as nothing stands below it. */
  #bare: Block | undefined
  #headings: readonly string[] = []
  #textBytes = 0
  #rowBytes = 0
  #title: string | undefined

  get empty(): boolean {
    return this.#blocks.length === 0 && this.#bare === undefined
  }

  title(text: string): void {
    const title = oneLine(text)
    if (title !== '') this.#title ??= title
  }

  /** @param level From 1, the outermost. */
  heading(level: number, text: string, page?: number): void {
    const heading = oneLine(text)
    if (heading === '') return
    const last = this.#path.at(-1)
    if (last !== undefined && level <= last.level) this.#keepBare()
    this.#count('text', heading)
    this.#path = [...this.#path.filter((above) => above.level < level), { level, text: heading }]
    this.#headings = this.#path.map((above) => above.text)
    this.#bare = this.#blockOf('text', heading, page)
    if (level === 1) this.#title ??= heading
  }

  block(kind: Block['kind'], text: string, page?: number): void {
    if (text.trim() === '') return
    this.#count(kind, text)
    this.#bare = undefined
    this.#blocks.push(this.#blockOf(kind, text, page))
  }

  warn(warning: string): void {
    if (this.#warnings.length < MAX_WARNINGS) this.#warnings.push(warning)
  }

  finish(): Document {
    this.#keepBare()
    return { title: this.#title, blocks: this.#blocks, warnings: this.#warnings }
  }

  /** A heading with nothing below it says something, too. */
  #keepBare(): void {
    if (this.#bare !== undefined) this.#blocks.push(this.#bare)
    this.#bare = undefined
  }

  #blockOf(kind: Block['kind'], text: string, page: number | undefined): Block {
    const headings = this.#headings
    return page === undefined ? { kind, text, headings } : { kind, text, headings, page }
  }

  #count(kind: Block['kind'], text: string): void {
    if (this.#blocks.length >= MAX_BLOCKS)
      throw invalid(
        `has more than ${MAX_BLOCKS} paragraphs, rows or headings`,
        'Split it into several documents.',
      )
    const bytes = Buffer.byteLength(text)
    if (kind === 'row') this.#rowBytes += bytes
    else this.#textBytes += bytes
    assertSize(this.#textBytes, MAX_TEXT_BYTES, 'The text of the document')
    assertSize(this.#rowBytes, MAX_NAMED_BYTES, 'What the rows of the document come to')
  }
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, MAX_HEADING_CHARS).trim()
}
