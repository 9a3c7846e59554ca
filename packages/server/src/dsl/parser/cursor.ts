/** Where the parser stands, what it has told, and how it finds its way back after an error. */
import type { Block, Name, Span } from '../ast.ts'
import type { Diagnostic, DiagnosticCode } from '../diagnostic.ts'
import type { Tokens } from '../lexer.ts'
import { nearest } from '../nearest.ts'
import { SourceSpan, type SourceText } from '../place.ts'
import { T } from '../token.ts'

/** Deeper trees are refused: whatever walks one later may recurse without fear. */
export const MAX_DEPTH = 256

/** Left by `fail` to get back to the nearest place that can go on; what is wrong has been told before. */
export const PARSE_FAILURE = Symbol('parse failure')
/** Ends the whole parse. */
export const PARSE_STOP = Symbol('parse stop')

/** What a name at the start of a line announces outside every brace. */
const ITEM_WORDS = new Set([
  'agent',
  'behavior',
  'channel',
  'function',
  'memory',
  'metadata',
  'policy',
  'schedule',
  'struct',
  'type',
  'webhook',
])

export class Cursor {
  readonly source: SourceText
  readonly tokens: Tokens
  readonly text: string
  index = 0
  /** Newlines end statements here. */
  newlineMode = false
  /** `{` begins a block, not a record: in the head of `if`, `match`, `for`, `while`, `with`. */
  inHead = false
  /** Blocks are parsed by another file, which needs expressions. */
  readonly block: (cursor: Cursor, what: string) => Block
  #depth = 0
  /** Of the deepest node below the expression that is being read, counted from the root. */
  deepest = 0
  #report: (diagnostic: Diagnostic) => void
  #eofTold = false
  /** A block that was closed by a brace further left than its own start: probably the one that lacks a brace. */
  #suspect: { readonly what: string; readonly offset: number } | undefined
  #lastFailure = -1
  readonly dialects = new Set<'S' | 'R' | 'Q'>()

  constructor(
    source: SourceText,
    tokens: Tokens,
    report: (diagnostic: Diagnostic) => void,
    block: (cursor: Cursor, what: string) => Block,
  ) {
    this.source = source
    this.text = source.text
    this.tokens = tokens
    this.#report = report
    this.block = block
  }

  get kind(): number {
    return this.tokens.kinds[this.index] as number
  }

  get start(): number {
    return this.tokens.starts[this.index] as number
  }

  /** Where the last token that was taken ends. */
  get lastEnd(): number {
    return this.index === 0 ? 0 : (this.tokens.ends[this.index - 1] as number)
  }

  get brokeLine(): boolean {
    return this.tokens.breaks[this.index] === 1
  }

  peek(ahead: number): number {
    return this.tokens.kinds[Math.min(this.index + ahead, this.tokens.count - 1)] as number
  }

  word(ahead = 0): string {
    const at = Math.min(this.index + ahead, this.tokens.count - 1)
    return this.text.slice(this.tokens.starts[at], this.tokens.ends[at])
  }

  /** The current token is this contextual keyword. */
  is(word: string): boolean {
    const from = this.start
    return (
      this.kind === T.name &&
      (this.tokens.ends[this.index] as number) - from === word.length &&
      this.text.startsWith(word, from)
    )
  }

  advance(): void {
    if (this.index < this.tokens.count - 1) this.index++
  }

  take(kind: number): boolean {
    if (this.kind !== kind) return false
    this.advance()
    return true
  }

  takeWord(word: string): boolean {
    if (!this.is(word)) return false
    this.advance()
    return true
  }

  span(from: number): Span {
    return new SourceSpan(this.source, from, Math.max(from, this.lastEnd))
  }

  /** One level down; a thrown failure leaves the level to whoever catches it. */
  enter(): number {
    const depth = this.#depth++
    if (this.#depth > this.deepest) this.deepest = this.#depth
    if (this.#depth > MAX_DEPTH) this.tooDeep()
    return depth
  }

  leave(depth: number): void {
    this.#depth = depth
  }

  get depth(): number {
    return this.#depth
  }

  tooDeep(): never {
    this.error('E_TOO_DEEP', `more than ${MAX_DEPTH} levels deep`, {
      hint: 'Give parts of it names with "let", or move them to a function.',
    })
    throw PARSE_STOP
  }

  name(what: string): Name {
    if (this.kind !== T.name) this.fail(`expected ${what}`)
    const from = this.start
    const text = this.word()
    this.advance()
    return { text, span: this.span(from) }
  }

  expect(kind: number, shown: string, where: string, hint?: string): void {
    if (this.kind === kind) this.advance()
    else this.fail(`expected ${shown} ${where}`, hint)
  }

  error(
    code: DiagnosticCode,
    message: string,
    options: { hint?: string | undefined; from?: number; to?: number } = {},
  ): void {
    const from = options.from ?? this.start
    const to = options.to ?? Math.max(from, this.tokens.ends[this.index] as number)
    const span = new SourceSpan(this.source, from, to)
    const hint = options.hint === undefined ? {} : { hint: options.hint }
    this.#report({ severity: 'error', code, message, span, ...hint })
  }

  /** Tells what was expected, once for each place, and goes back to where parsing can go on. */
  fail(message: string, hint?: string): never {
    if (this.kind === T.end) this.endTooEarly(message)
    else if (this.kind !== T.bad && this.#lastFailure !== this.index) {
      this.error('E_SYNTAX', `${message}, found ${this.found()}`, { hint })
    }
    this.#lastFailure = this.index
    throw PARSE_FAILURE
  }

  endTooEarly(message: string, opened?: number): void {
    if (this.#eofTold) return
    this.#eofTold = true
    const suspect = this.#suspect
    const from = suspect?.offset ?? opened
    const place = from === undefined ? undefined : this.source.position(from)
    this.error(
      'E_UNEXPECTED_EOF',
      suspect !== undefined && opened !== undefined ? `${suspect.what} is not closed` : message,
      {
        from: this.text.length,
        hint:
          place === undefined
            ? undefined
            : `Add "}"; the brace was opened in line ${place.line}, column ${place.column}.`,
      },
    )
  }

  /** The closing brace of a body that was opened at the offset. At the end of input it is told and assumed. */
  close(what: string, opened: number): void {
    if (this.kind !== T.braceClose) {
      if (this.kind === T.end) this.endTooEarly(`${what} is not closed`, opened)
      return
    }
    const at = this.start
    if (
      this.#suspect === undefined &&
      this.source.startsLine(at) &&
      this.source.indent(at) < this.source.indent(opened)
    ) {
      this.#suspect = { what, offset: opened }
    }
    this.advance()
  }

  found(): string {
    if (this.kind === T.end) return 'the end of the file'
    const text = this.word()
    if (this.kind === T.string) return 'a string'
    return `"${text.length > 40 ? `${text.slice(0, 40)}…` : text}"`
  }

  /** "Did you mean …?", where a known word is near. */
  meant(word: string, known: readonly string[]): string | undefined {
    const near = nearest(word, known)
    return near === undefined ? undefined : `Did you mean "${near}"?`
  }

  /**
   * Skips to the end of what cannot be read: past a `;`, to a new line at the same level, or to the closing brace.
   * Goes forward only, and past at least the token it starts at unless that closes the body.
   */
  recover(start: number): void {
    let level = 0
    if (this.index === start && this.kind !== T.braceClose) level = this.#skip(level)
    for (;;) {
      const kind = this.kind
      if (kind === T.end) return
      if (level <= 0) {
        if (kind === T.braceClose) return
        if (this.brokeLine && this.index > start) return
        if (this.take(T.semicolon)) return
      }
      level = this.#skip(level)
    }
  }

  #skip(level: number): number {
    const kind = this.kind
    this.advance()
    if (kind === T.braceOpen) return level + 1
    return kind === T.braceClose ? level - 1 : level
  }

  /** To the next thing that begins an item in the first column, or any item after a closing brace. */
  recoverItem(start: number): void {
    if (this.index === start) this.advance()
    while (this.kind !== T.end) {
      if (this.brokeLine && this.startsItem()) return
      this.advance()
    }
  }

  startsItem(): boolean {
    if (this.kind !== T.name) return false
    const isFirst = this.start === 0 || this.text.charCodeAt(this.start - 1) === 10
    return isFirst && ITEM_WORDS.has(this.word())
  }
}
