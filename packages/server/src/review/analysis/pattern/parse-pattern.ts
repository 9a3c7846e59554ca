/** Reads a regular expression into a tree, by hand: it comes from somebody else and must not be run. */
import {
  ANY,
  type CharSet,
  complement,
  DIGIT,
  DOT,
  type Range,
  SPACE,
  union,
  WORD,
} from './char-set.ts'

export type PatternNode =
  | { readonly kind: 'chars'; readonly set: CharSet }
  | { readonly kind: 'sequence'; readonly parts: readonly PatternNode[] }
  | { readonly kind: 'choice'; readonly options: readonly PatternNode[] }
  | {
      readonly kind: 'repeat'
      readonly body: PatternNode
      readonly min: number
      readonly max: number
    }

export interface ParsedPattern {
  readonly root: PatternNode
  /** What is looked for ahead or behind: matched by itself, with its own backtracking. */
  readonly looks: readonly PatternNode[]
}

/** Nesting beyond this is not followed. */
const MAX_DEPTH = 64

const NOTHING: PatternNode = { kind: 'sequence', parts: [] }
/** Coarse, and right in what matters: what ASCII characters are in. */
const HIGH: Range = [0x80, 0x10ffff]
const LETTERS = union([[0x41, 0x5a], [0x61, 0x7a], HIGH])
const PROPERTIES: readonly (readonly [RegExp, CharSet])[] = [
  [/^(?:L|Letter|Alphabetic|Lu|Ll|Lt|Lm|Lo|Script=.*|sc=.*)$/, LETTERS],
  [/^(?:N|Nd|Nl|No|Number|Decimal_Number)$/, union([[0x30, 0x39], HIGH])],
  [/^(?:M|Mn|Mc|Me|Mark)$/, [HIGH]],
  [/^(?:Z|Zs|Separator|Space_Separator|White_Space)$/, SPACE],
]

/** @returns `undefined` for what cannot be followed; whether it is valid is for others to say. */
export function parsePattern(pattern: string): ParsedPattern | undefined {
  const parser = new Parser(pattern)
  const root = parser.choice(0)
  return root === undefined || !parser.ended ? undefined : { root, looks: parser.looks }
}

class Parser {
  readonly looks: PatternNode[] = []
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  get ended(): boolean {
    return this.#at >= this.#text.length
  }

  choice(depth: number): PatternNode | undefined {
    if (depth > MAX_DEPTH) return undefined
    const options: PatternNode[] = []
    do {
      const option = this.#sequence(depth)
      if (option === undefined) return undefined
      options.push(option)
    } while (this.#take('|'))
    return options.length === 1 ? options[0] : { kind: 'choice', options }
  }

  #sequence(depth: number): PatternNode | undefined {
    const parts: PatternNode[] = []
    while (!this.ended && this.#peek() !== '|' && this.#peek() !== ')') {
      const atom = this.#atom(depth)
      if (atom === undefined) return undefined
      const times = this.#quantifier()
      parts.push(times === undefined ? atom : { kind: 'repeat', body: atom, ...times })
    }
    return parts.length === 1 ? parts[0] : { kind: 'sequence', parts }
  }

  #atom(depth: number): PatternNode | undefined {
    const letter = this.#next()
    switch (letter) {
      case '(':
        return this.#group(depth)
      case '[':
        return this.#class()
      case '.':
        return { kind: 'chars', set: DOT }
      case '^':
      case '$':
        return NOTHING
      case '\\':
        return this.#escape()
      default:
        return only(letter)
    }
  }

  #group(depth: number): PatternNode | undefined {
    const [opening = ''] =
      /^\?(?:<?[=!]|<[^>]{1,64}>|[a-z]{0,4}-?[a-z]{0,4}:)/.exec(
        this.#text.slice(this.#at, this.#at + 70),
      ) ?? []
    this.#at += opening.length
    const body = this.choice(depth + 1)
    if (body === undefined || !this.#take(')')) return undefined
    if (!/^\?<?[=!]$/.test(opening)) return body
    this.looks.push(body)
    return NOTHING
  }

  #escape(): PatternNode {
    if (/^[bB]/.test(this.#peek())) {
      this.#at += 1
      return NOTHING
    }
    const [back = ''] =
      /^(?:[1-9]\d?|k<[^>]{1,64}>)/.exec(this.#text.slice(this.#at, this.#at + 70)) ?? []
    this.#at += back.length
    // What was matched before comes again: it can be anything.
    if (back !== '') return { kind: 'repeat', body: { kind: 'chars', set: ANY }, min: 0, max: 1 }
    return { kind: 'chars', set: this.#escaped() }
  }

  #class(): PatternNode | undefined {
    const negated = this.#take('^')
    const ranges: Range[] = []
    while (!this.#take(']')) {
      if (this.ended) return undefined
      const first = this.#member()
      const [from] = first
      if (this.#peek() === '-' && this.#text.charAt(this.#at + 1) !== ']' && isSingle(first)) {
        this.#at += 1
        const last = this.#member()
        const [to] = last
        if (from !== undefined && to !== undefined && isSingle(last) && from[0] <= to[0]) {
          ranges.push([from[0], to[0]])
        } else ranges.push(...first, ...last, [0x2d, 0x2d])
      } else ranges.push(...first)
    }
    const set = union(ranges)
    return { kind: 'chars', set: negated ? complement(set) : set }
  }

  #member(): CharSet {
    const letter = this.#next()
    if (letter !== '\\') return single(letter)
    if (this.#take('b')) return [[8, 8]]
    return this.#escaped()
  }

  /** Behind a backslash, one character or a kind of characters. */
  #escaped(): CharSet {
    const letter = this.#next()
    const rest = this.#text.slice(this.#at, this.#at + 70)
    const kind = KINDS.get(letter)
    if (kind !== undefined) return kind
    if (letter === 'p' || letter === 'P') {
      const [whole = '', name = ''] = /^\{([^}]{1,64})\}/.exec(rest) ?? []
      if (whole === '') return single(letter)
      this.#at += whole.length
      const found = PROPERTIES.find(([names]) => names.test(name))?.[1] ?? ANY
      return letter === 'P' && found !== ANY ? complement(found) : found
    }
    const [hex = ''] =
      (letter === 'x'
        ? /^[0-9a-f]{2}/i
        : letter === 'u'
          ? /^(?:[0-9a-f]{4}|\{[0-9a-f]{1,6}\})/i
          : /^$/
      ).exec(rest) ?? []
    if (hex !== '') {
      this.#at += hex.length
      const code = Number.parseInt(hex.replace(/[{}]/g, ''), 16)
      return [[code, code]]
    }
    if (letter === 'c' && /^[a-z]/i.test(rest)) {
      this.#at += 1
      const code = rest.charCodeAt(0) % 32
      return [[code, code]]
    }
    return single(letter)
  }

  #quantifier(): { min: number; max: number } | undefined {
    const found = /^(?:[*+?]|\{(\d{1,9})(,(\d{1,9})?)?\})\??/.exec(
      this.#text.slice(this.#at, this.#at + 24),
    )
    if (found === null) return undefined
    const [whole, least, comma, most] = found
    this.#at += whole.length
    if (least === undefined) {
      return { min: whole.startsWith('+') ? 1 : 0, max: whole.startsWith('?') ? 1 : Infinity }
    }
    const min = Number(least)
    return { min, max: comma === undefined ? min : most === undefined ? Infinity : Number(most) }
  }

  #peek(): string {
    return this.#text.charAt(this.#at)
  }

  /** One code point. */
  #next(): string {
    const code = this.#text.codePointAt(this.#at)
    if (code === undefined) return ''
    const letter = String.fromCodePoint(code)
    this.#at += letter.length
    return letter
  }

  #take(letter: string): boolean {
    if (this.#peek() !== letter) return false
    this.#at += 1
    return true
  }
}

const KINDS: ReadonlyMap<string, CharSet> = new Map<string, CharSet>([
  ['d', DIGIT],
  ['D', complement(DIGIT)],
  ['w', WORD],
  ['W', complement(WORD)],
  ['s', SPACE],
  ['S', complement(SPACE)],
  ['t', [[9, 9]]],
  ['n', [[10, 10]]],
  ['v', [[11, 11]]],
  ['f', [[12, 12]]],
  ['r', [[13, 13]]],
  ['0', [[0, 0]]],
])

function only(letter: string): PatternNode {
  return { kind: 'chars', set: single(letter) }
}

function single(letter: string): CharSet {
  const code = letter.codePointAt(0)
  return code === undefined ? [] : [[code, code]]
}

function isSingle([range, ...more]: CharSet): boolean {
  return range !== undefined && more.length === 0 && range[0] === range[1]
}
