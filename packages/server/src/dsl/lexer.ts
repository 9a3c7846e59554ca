/**
 * From text to tokens, in one pass that never goes back. What is no token is told and left out, so that the parser
 * sees as much of the source as there is.
 */
import type { Comment } from './ast.ts'
import type { Diagnostic, DiagnosticCode } from './diagnostic.ts'
import { SourceSpan, type SourceText } from './place.ts'
import { DURATION_UNITS, SIZE_UNITS, T, type TokenKind } from './token.ts'

/** Token `i` is `text.slice(starts[i], ends[i])`; the last one is of kind `end` and empty. */
export interface Tokens {
  readonly kinds: Uint8Array
  readonly starts: Uint32Array
  readonly ends: Uint32Array
  /** 1 where a line ended between this token and the one before it. */
  readonly breaks: Uint8Array
  readonly count: number
  readonly comments: readonly Comment[]
}

const LETTER = 1
const DIGIT = 2
const CLASS = new Uint8Array(128)
for (let code = 65; code <= 90; code++) CLASS[code] = LETTER
for (let code = 97; code <= 122; code++) CLASS[code] = LETTER
for (let code = 48; code <= 57; code++) CLASS[code] = DIGIT
CLASS[95] = LETTER

const SINGLE: Readonly<Record<string, TokenKind>> = {
  '{': T.braceOpen,
  '}': T.braceClose,
  '(': T.parenOpen,
  ')': T.parenClose,
  '[': T.bracketOpen,
  ']': T.bracketClose,
  ',': T.comma,
  ';': T.semicolon,
  ':': T.colon,
  '.': T.dot,
  '=': T.equals,
  '!': T.not,
  '<': T.less,
  '>': T.greater,
  '+': T.plus,
  '-': T.minus,
  '*': T.times,
  '/': T.divide,
  '%': T.modulo,
}
const DOUBLE: Readonly<Record<string, TokenKind>> = {
  '==': T.equal,
  '!=': T.unequal,
  '<=': T.lessEqual,
  '>=': T.greaterEqual,
  '&&': T.and,
  '||': T.or,
  '+=': T.plusEquals,
  '-=': T.minusEquals,
  '*=': T.timesEquals,
  '/=': T.divideEquals,
  '%=': T.moduloEquals,
  '->': T.arrow,
  '=>': T.fatArrow,
}
const PUNCTUATION = new Uint8Array(128)
for (const [text, kind] of Object.entries(SINGLE)) PUNCTUATION[text.charCodeAt(0)] = kind
/** By first and second character, so that no text is cut out of the source. */
const PAIRS = new Uint8Array(128 * 128)
for (const [text, kind] of Object.entries(DOUBLE)) {
  PAIRS[text.charCodeAt(0) * 128 + text.charCodeAt(1)] = kind
}

export function lex(source: SourceText, report: (diagnostic: Diagnostic) => void): Tokens {
  return new Lexer(source, report).run()
}

class Lexer {
  readonly #source: SourceText
  readonly #text: string
  readonly #report: (diagnostic: Diagnostic) => void
  readonly #kinds: Uint8Array
  readonly #starts: Uint32Array
  readonly #ends: Uint32Array
  readonly #breaks: Uint8Array
  readonly #comments: Comment[] = []
  #count = 0
  #at = 0
  #lineBroke = 0
  /** Once one string had no end, none after it has: they end with their line, and nothing is scanned twice. */
  #stringsEndWithLine = false

  constructor(source: SourceText, report: (diagnostic: Diagnostic) => void) {
    this.#source = source
    this.#text = source.text
    this.#report = report
    const most = source.text.length + 1
    this.#kinds = new Uint8Array(most)
    this.#starts = new Uint32Array(most)
    this.#ends = new Uint32Array(most)
    this.#breaks = new Uint8Array(most)
  }

  run(): Tokens {
    const text = this.#text
    const length = text.length
    if (text.charCodeAt(0) === 0xfeff) this.#at = 1
    while (this.#at < length) {
      const code = text.charCodeAt(this.#at)
      if (code === 32 || code === 9 || code === 13) this.#at++
      else if (code === 10) {
        this.#at++
        this.#lineBroke = 1
      } else this.#token(code)
    }
    this.#push(T.end, length)
    return {
      kinds: this.#kinds,
      starts: this.#starts,
      ends: this.#ends,
      breaks: this.#breaks,
      count: this.#count,
      comments: this.#comments,
    }
  }

  #token(code: number): void {
    const from = this.#at
    const kind = code < 128 ? CLASS[code] : 0
    if (kind === LETTER) this.#name(from)
    else if (kind === DIGIT) this.#number(from)
    else if (code === 34) this.#string(from)
    else if (code === 35) this.#hash(from)
    else this.#punctuation(from, code)
  }

  #punctuation(from: number, code: number): void {
    const next = this.#text.charCodeAt(from + 1)
    const pair = code < 128 && next < 128 ? (PAIRS[code * 128 + next] as number) : 0
    const single = code < 128 ? (PUNCTUATION[code] as number) : 0
    if (code === 47 && next === 47) this.#lineComment(from, 2)
    else if (code === 47 && next === 42) this.#blockComment(from)
    else if (pair !== 0) this.#take(pair, from, 2)
    else if (single !== 0) this.#take(single, from, 1)
    else if (code === 39) this.#singleQuotes(from)
    else this.#bad(from, code)
  }

  #take(kind: number, from: number, length: number): void {
    this.#at = from + length
    this.#push(kind, from)
  }

  #push(kind: number, from: number): void {
    const index = this.#count++
    this.#kinds[index] = kind
    this.#starts[index] = from
    this.#ends[index] = this.#at
    this.#breaks[index] = this.#lineBroke
    this.#lineBroke = 0
  }

  #name(from: number): void {
    this.#skipWord()
    const text = this.#text
    if (this.#at - from === 5 && text.startsWith('vault://', from)) this.#secret(from)
    else this.#push(T.name, from)
  }

  #skipWord(): void {
    const text = this.#text
    let at = this.#at
    for (;;) {
      const code = text.charCodeAt(at)
      if (!(code < 128) || CLASS[code] === 0) break
      at++
    }
    this.#at = at
  }

  #secret(from: number): void {
    this.#at = from + 8
    while (/[A-Za-z0-9_/.-]/.test(this.#text.charAt(this.#at))) this.#at++
    if (this.#at === from + 8) {
      this.#error(
        from,
        this.#at,
        'a vault reference needs a path',
        'For example: vault://db/password',
      )
    }
    this.#push(T.secret, from)
  }

  #number(from: number): void {
    const text = this.#text
    this.#skipDigits()
    const isInteger = !(text.charCodeAt(this.#at) === 46 && isDigit(text.charCodeAt(this.#at + 1)))
    if (!isInteger) {
      this.#at++
      this.#skipDigits()
    }
    const unitAt = this.#at
    if (isInteger && text.charCodeAt(unitAt) === 46) {
      const word = /^\.(seconds|minutes|hours)(?![A-Za-z0-9_])/.exec(text.slice(unitAt, unitAt + 9))
      if (word !== null) {
        this.#take(T.duration, from, unitAt + word[0].length - from)
        return
      }
    }
    this.#skipWord()
    this.#push(this.#numberKind(from, unitAt, isInteger), from)
  }

  #numberKind(from: number, unitAt: number, isInteger: boolean): TokenKind {
    if (this.#at === unitAt) return T.number
    const unit = this.#text.slice(unitAt, this.#at)
    const isDuration = Object.hasOwn(DURATION_UNITS, unit)
    const isSize = Object.hasOwn(SIZE_UNITS, unit)
    if (isInteger && isDuration) return T.duration
    if (isInteger && isSize) return T.size
    const message =
      isDuration || isSize
        ? 'a duration or size must be a whole number'
        : unit.startsWith('_')
          ? 'a number must not end with an underscore'
          : `${shorten(this.#text.slice(from, this.#at))} is neither a number, a duration nor a size`
    const hint = 'Units are ms s m h d w months y (or .seconds .minutes .hours) and B KB MB GB TB.'
    this.#error(from, this.#at, message, hint)
    return T.number
  }

  /** Digits, with single underscores between them. */
  #skipDigits(): void {
    const text = this.#text
    let at = this.#at
    for (;;) {
      const code = text.charCodeAt(at)
      if (isDigit(code) || (code === 95 && isDigit(text.charCodeAt(at + 1)))) at++
      else break
    }
    this.#at = at
  }

  #string(from: number): void {
    const text = this.#text
    const length = text.length
    let at = from + 1
    let lineEnd = -1
    for (; at < length; at++) {
      const code = text.charCodeAt(at)
      if (code === 34) {
        this.#take(T.string, from, at + 1 - from)
        return
      }
      if (code === 92) at++
      else if (code === 10) {
        if (lineEnd === -1) lineEnd = at
        if (this.#stringsEndWithLine) break
      }
    }
    this.#stringsEndWithLine = true
    this.#at = Math.min(lineEnd === -1 ? length : lineEnd, length)
    this.#error(from, this.#at, 'string is not closed', 'End it with a double quote.')
    this.#push(T.string, from)
  }

  #hash(from: number): void {
    if (/^#if(?![A-Za-z0-9_])/.test(this.#text.slice(from, from + 4))) {
      this.#error(
        from,
        from + 3,
        'there is no conditional compilation',
        'For a comment write "# if", with a space.',
      )
    }
    this.#lineComment(from, 1)
  }

  #lineComment(from: number, mark: number): void {
    const found = this.#text.indexOf('\n', from)
    this.#at = found === -1 ? this.#text.length : found
    const text = this.#text.slice(from + mark, this.#at).trimEnd()
    this.#comment('line', text, from)
  }

  #blockComment(from: number): void {
    const found = this.#text.indexOf('*/', from + 2)
    const isClosed = found !== -1
    this.#at = isClosed ? found + 2 : this.#text.length
    const span = new SourceSpan(this.#source, from, this.#at)
    if (isClosed) {
      this.#report({
        severity: 'warning',
        code: 'W_BLOCK_COMMENT',
        message: 'other runtimes of this language reject block comments',
        span,
        hint: 'Use // at the start of each line.',
      })
    } else {
      const at = this.#text.length
      this.#error(at, at, 'comment is not closed', 'End it with */.', 'E_UNEXPECTED_EOF')
    }
    const text = this.#text.slice(from + 2, isClosed ? found : this.#at)
    this.#comment('block', text, from)
    if (text.includes('\n')) this.#lineBroke = 1
  }

  #comment(style: Comment['style'], text: string, from: number): void {
    const ownLine = this.#count === 0 || this.#lineBroke === 1
    this.#comments.push({
      style,
      text,
      ownLine,
      span: new SourceSpan(this.#source, from, this.#at),
    })
  }

  /** Skips the whole run of characters that cannot start a token, and tells it once. */
  #bad(from: number, code: number): void {
    const isOperator = code === 38 || code === 124
    this.#at++
    while (
      !isOperator &&
      this.#at < this.#text.length &&
      isStray(this.#text.charCodeAt(this.#at))
    ) {
      this.#at++
    }
    const message = isOperator
      ? `"${this.#text[from]}" is not an operator`
      : `unexpected character ${characterName(this.#text, from)}`
    const hint = isOperator
      ? `Did you mean "${this.#text[from]}${this.#text[from]}"?`
      : code >= 128
        ? 'Names are made of A-Z, a-z, 0-9 and _; other characters belong in strings and comments.'
        : undefined
    this.#error(from, this.#at, message, hint)
    this.#push(T.bad, from)
  }

  #singleQuotes(from: number): void {
    const rest = /^'[^'\n]*'?/.exec(this.#text.slice(from, from + 4096))
    this.#at = from + (rest?.[0].length ?? 1)
    this.#error(
      from,
      this.#at,
      'strings are written in double quotes',
      'Write "…" instead of \'…\'.',
    )
    this.#push(T.string, from)
  }

  #error(
    from: number,
    to: number,
    message: string,
    hint?: string,
    code: DiagnosticCode = 'E_SYNTAX',
  ): void {
    const span = new SourceSpan(this.#source, from, to)
    this.#report({ severity: 'error', code, message, span, ...(hint !== undefined && { hint }) })
  }
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

/** Neither white space nor the start of any token. */
function isStray(code: number): boolean {
  if (code >= 128) return true
  if (code <= 32) return code !== 32 && code !== 9 && code !== 10 && code !== 13
  const isQuote = code === 34 || code === 39 || code === 35 || code === 38 || code === 124
  return !isQuote && CLASS[code] === 0 && PUNCTUATION[code] === 0
}

function characterName(text: string, at: number): string {
  const code = text.codePointAt(at) ?? 0
  const isShown = /^[\p{L}\p{N}\p{P}\p{S}]$/u.test(String.fromCodePoint(code))
  const number = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
  return isShown ? `"${String.fromCodePoint(code)}" (${number})` : number
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
