/**
 * Reads the part of regular expressions that can be matched in linear time: literals, classes, groups, `|`, and
 * repetition. Refuses what cannot (back-references, look-around), instead of reading it as something else.
 */
import { VestryError } from '@vestry/contract/errors'
import { complement, DIGITS, LINE_ENDS, type Range, SPACES, WORD } from './char-set.ts'

export type Pattern =
  | { readonly kind: 'set'; readonly ranges: readonly Range[] }
  | { readonly kind: 'edge'; readonly edge: 'start' | 'end' | 'word' | 'inside' }
  | { readonly kind: 'sequence'; readonly items: readonly Pattern[] }
  | { readonly kind: 'either'; readonly items: readonly Pattern[] }
  | {
      readonly kind: 'repeat'
      readonly item: Pattern
      readonly min: number
      /** Infinity for no bound. */
      readonly max: number
    }

const MAX_LENGTH = 512
const MAX_NESTING = 32
const MAX_COUNT = 1_000

const CLASSES: Readonly<Record<string, readonly Range[]>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACES,
  S: complement(SPACES),
}
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 }

/** @throws VestryError `POLICY_INVALID` */
export function parsePattern(source: string): Pattern {
  if (source.length > MAX_LENGTH) throw invalid(`is longer than ${MAX_LENGTH} characters`)
  const reader = new Reader(source)
  const pattern = reader.alternatives(0)
  if (!reader.atEnd) throw invalid('closes a group that was not opened')
  return pattern
}

class Reader {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  get atEnd(): boolean {
    return this.#at >= this.#source.length
  }

  alternatives(depth: number): Pattern {
    if (depth > MAX_NESTING) throw invalid('nests groups too deeply')
    const items = [this.#sequence(depth)]
    while (this.#take('|')) items.push(this.#sequence(depth))
    return items.length === 1 && items[0] !== undefined ? items[0] : { kind: 'either', items }
  }

  #sequence(depth: number): Pattern {
    const items: Pattern[] = []
    while (!this.atEnd && !this.#sees('|') && !this.#sees(')')) items.push(this.#repeated(depth))
    return { kind: 'sequence', items }
  }

  #repeated(depth: number): Pattern {
    const item = this.#atom(depth)
    const bounds = this.#bounds()
    if (bounds === undefined) return item
    if (item.kind === 'edge') throw invalid('repeats an edge')
    // A match is a match, whether it took little or much.
    this.#take('?')
    if (this.#bounds() !== undefined) throw invalid('repeats a repetition; use a group')
    return { kind: 'repeat', item, ...bounds }
  }

  #bounds(): { min: number; max: number } | undefined {
    if (this.#take('*')) return { min: 0, max: Number.POSITIVE_INFINITY }
    if (this.#take('+')) return { min: 1, max: Number.POSITIVE_INFINITY }
    if (this.#take('?')) return { min: 0, max: 1 }
    if (!this.#sees('{')) return undefined
    const [whole, from = '', comma, to = ''] = this.#match(/\{(\d{1,4})(,)?(\d{1,4})?\}/y) ?? []
    if (whole === undefined) throw invalid('has a brace that is no count; write \\{')
    const min = Number(from)
    const max = comma === undefined ? min : to === '' ? Number.POSITIVE_INFINITY : Number(to)
    if (max < min || min > MAX_COUNT || (Number.isFinite(max) && max > MAX_COUNT)) {
      throw invalid(`has a count that is out of order or above ${MAX_COUNT}`)
    }
    return { min, max }
  }

  #atom(depth: number): Pattern {
    const char = this.#next()
    switch (char) {
      case '(':
        return this.#group(depth)
      case '[':
        return { kind: 'set', ranges: this.#class() }
      case '.':
        return { kind: 'set', ranges: complement(LINE_ENDS) }
      case '^':
        return { kind: 'edge', edge: 'start' }
      case '$':
        return { kind: 'edge', edge: 'end' }
      case '\\':
        if (this.#take('b')) return { kind: 'edge', edge: 'word' }
        if (this.#take('B')) return { kind: 'edge', edge: 'inside' }
        return { kind: 'set', ranges: this.#escape() }
      case '*':
      case '+':
      case '?':
      case '{':
        throw invalid('repeats nothing')
      case ']':
      case '}':
        throw invalid(`has a stray ${char}; write \\${char}`)
      default:
        return { kind: 'set', ranges: single(char.charCodeAt(0)) }
    }
  }

  #group(depth: number): Pattern {
    if (this.#sees('?') && this.#match(/\?:/y) === undefined) {
      throw invalid('looks around or names a group, which is not supported')
    }
    const inner = this.alternatives(depth + 1)
    if (!this.#take(')')) throw invalid('opens a group that is not closed')
    return inner
  }

  #class(): readonly Range[] {
    const negated = this.#take('^')
    const ranges: Range[] = []
    while (!this.#take(']')) {
      const first = this.#member()
      const spans = this.#sees('-') && this.#source[this.#at + 1] !== ']'
      if (!spans) {
        ranges.push(...first)
        continue
      }
      this.#next()
      const [[from, same] = [1, 0]] = first
      const [[to, last] = [1, 0]] = this.#member()
      if (from !== same || to !== last || to < from) throw invalid('has a range out of order')
      ranges.push([from, to])
    }
    return negated ? complement(ranges) : ranges
  }

  #member(): readonly Range[] {
    const char = this.#next()
    if (char !== '\\') return single(char.charCodeAt(0))
    return this.#take('b') ? single(8) : this.#escape()
  }

  #escape(): readonly Range[] {
    const hex = this.#match(/x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})/y)
    if (hex !== undefined) return single(Number.parseInt(hex[1] ?? hex[2] ?? '', 16))
    const char = this.#next()
    const known = Object.hasOwn(CLASSES, char) ? CLASSES[char] : undefined
    if (known !== undefined) return known
    if (Object.hasOwn(CONTROLS, char)) return single(CONTROLS[char] ?? 0)
    if (/[0-9A-Za-z]/.test(char)) throw invalid(`has an escape that is not supported: \\${char}`)
    return single(char.charCodeAt(0))
  }

  #sees(char: string): boolean {
    return this.#source[this.#at] === char
  }

  #take(char: string): boolean {
    if (!this.#sees(char)) return false
    this.#at += 1
    return true
  }

  #next(): string {
    const char = this.#source[this.#at]
    if (char === undefined) throw invalid('ends too early')
    this.#at += 1
    return char
  }

  #match(sticky: RegExp): RegExpExecArray | undefined {
    sticky.lastIndex = this.#at
    const found = sticky.exec(this.#source) ?? undefined
    if (found !== undefined) this.#at = sticky.lastIndex
    return found
  }
}

function single(unit: number): Range[] {
  return [[unit, unit]]
}

function invalid(what: string): VestryError {
  return new VestryError('POLICY_INVALID', `The pattern ${what}`, {
    hint: 'Supported: literals, classes, ".", "^", "$", \\b, groups, "|" and repetition.',
  })
}
