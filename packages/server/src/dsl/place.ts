/** From an offset to line and column, only when somebody asks: most places of a tree are never looked at. */
import type { Position, Span } from './ast.ts'

/** A source with an index of its lines; columns count code points, so surrogate pairs are counted once. */
export class SourceText {
  readonly text: string
  #lines: number[] | undefined
  #pairs: number[] | undefined

  constructor(text: string) {
    this.text = text
  }

  /** @param offset UTF-16 units; clamped to the source. */
  position(offset: number): Position {
    const at = Math.max(0, Math.min(offset, this.text.length))
    this.#lines ??= lineStarts(this.text)
    this.#pairs ??= lowSurrogates(this.text)
    const line = countUpTo(this.#lines, at)
    const start = this.#lines[line - 1] ?? 0
    const pairs = countUpTo(this.#pairs, at - 1) - countUpTo(this.#pairs, start - 1)
    return { offset: at, line, column: at - start - pairs + 1 }
  }

  /** Width of the white space at the start of the line that holds the offset; tabs count as one. */
  indent(offset: number): number {
    this.#lines ??= lineStarts(this.text)
    const start = this.#lines[countUpTo(this.#lines, offset) - 1] ?? 0
    let at = start
    while (at < offset && isBlank(this.text.charCodeAt(at))) at++
    return at - start
  }

  /** Nothing but white space stands before it on its line. */
  startsLine(offset: number): boolean {
    let at = offset - 1
    while (at >= 0 && isBlank(this.text.charCodeAt(at))) at--
    return at < 0 || this.text.charCodeAt(at) === 10
  }
}

/** Two offsets; positions are worked out at the first look and kept. */
export class SourceSpan implements Span {
  readonly from: number
  readonly to: number
  readonly #source: SourceText
  #start: Position | undefined
  #end: Position | undefined

  constructor(source: SourceText, from: number, to: number) {
    this.#source = source
    this.from = from
    this.to = to
  }

  get start(): Position {
    this.#start ??= this.#source.position(this.from)
    return this.#start
  }

  get end(): Position {
    this.#end ??= this.#source.position(this.to)
    return this.#end
  }

  toJSON(): Span {
    return { start: this.start, end: this.end }
  }
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9 || code === 13
}

function lineStarts(text: string): number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}

/** Offsets of the second halves of pairs. */
function lowSurrogates(text: string): number[] {
  const found: number[] = []
  if (!/[\ud800-\udbff]/.test(text)) return found
  for (const { index } of text.matchAll(/[\ud800-\udbff][\udc00-\udfff]/g)) found.push(index + 1)
  return found
}

/** How many of the sorted numbers are at most `limit`. */
function countUpTo(sorted: readonly number[], limit: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] as number) <= limit) low = middle + 1
    else high = middle
  }
  return low
}
