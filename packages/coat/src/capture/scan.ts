/**
 * Finds secrets in text by their shape and puts `[redacted:<rule>]` in their place. One pass: a table
 * tells for each pair of characters whether a secret may be recognised there, and nearly always says no.
 */
import { IBAN_LENGTHS, isCardNumber, isIban } from './checksums.ts'
import type { KeyRule } from './sensitive-key.ts'
import { TOKEN_RULES, URL_PARAMETERS } from './token-rules.ts'

export interface Scanner {
  /**
   * @param cut The text goes on where this piece of it ends, so what reaches the end may be longer.
   * @param hits Receives the names of the rules that found something.
   * @returns The same text when it holds no secret.
   */
  redact(text: string, cut?: boolean, hits?: Set<string>): string
}

export interface ScanOptions {
  /** Judges the names in JSON that is written in a text. */
  readonly keyRule: KeyRule
  /** Texts that are secret whatever their shape. */
  readonly exact?: readonly string[]
  /** Also long runs of base64 or hex digits that look random. */
  readonly entropy?: boolean
}

/** A match is tried at `from`, where its anchor begins. */
interface Anchor {
  readonly literal: string
  find(search: Search, from: number): boolean
}

export function createScanner({ keyRule, exact = [], entropy = false }: ScanOptions): Scanner {
  const table = new AnchorTable()
  // What is known to be secret goes whole, so it is tried before a shape takes a part of it.
  for (const secret of variants(exact)) table.add(exactAnchor(secret))
  for (const anchor of TOKEN_ANCHORS) table.add(anchor)
  return {
    redact(text, cut = false, hits) {
      const search = new Search(text, cut, keyRule, hits)
      search.run(table)
      const clean = search.result()
      if (!entropy) return clean
      const again = new Search(clean, cut, keyRule, hits)
      again.findRandom()
      return again.result()
    },
  }
}

/** One text being searched, and what was found so far in it. */
class Search {
  readonly text: string
  readonly cut: boolean
  readonly keyRule: KeyRule
  readonly #hits: Set<string> | undefined
  #starts: number[] | undefined
  #ends: number[] = []
  #rules: string[] = []
  /** A run that was no JWT is none from a later beginning in it either. */
  noJwtBefore = 0

  constructor(text: string, cut: boolean, keyRule: KeyRule, hits: Set<string> | undefined) {
    this.text = text
    this.cut = cut
    this.keyRule = keyRule
    this.#hits = hits
  }

  run(table: AnchorTable): void {
    const { text } = this
    const { isLast, anchors } = table
    const { length } = text
    let before = 0
    for (let at = 0; at < length; at += 1) {
      const code = text.charCodeAt(at)
      const kind = isLast[code & 127] as number
      if (kind !== NOTHING) {
        let next = 0
        if (kind & ANCHOR) {
          const tried = anchors[((before & 127) << 7) | (code & 127)]
          if (tried !== undefined) next = this.#try(tried, at)
        }
        if (next === 0 && kind !== ANCHOR) next = this.#trySpecial(code, before, at)
        if (next > at + 1) {
          at = next - 1
          before = text.charCodeAt(at)
          continue
        }
      }
      before = code
    }
  }

  /** @returns Where to go on, 0 when nothing was found. */
  #try(anchors: readonly PlacedAnchor[], at: number): number {
    for (const { anchor, offset } of anchors) {
      const from = at - offset
      if (!this.text.startsWith(anchor.literal, from)) continue
      if (anchor.find(this, from)) return this.#ends.at(-1) as number
    }
    return 0
  }

  #trySpecial(code: number, before: number, at: number): number {
    switch (code) {
      case SPACE:
        return this.#authHeader(before, at)
      case EQUALS:
        return this.#urlParameter(at)
      case COLON:
        return before === QUOTE ? this.#jsonMember(at) : this.#cookie(before, at)
      default:
        return isDigitCode(code) && !isDigitCode(before) ? this.#digits(at) : 0
    }
  }

  /** `at` is the space behind the word. */
  #authHeader(before: number, at: number): number {
    const word = AUTH_SCHEMES[before | 32]
    if (word === undefined) return 0
    const { text } = this
    const start = at - word.length
    if (start < 0 || (text.charCodeAt(start) | 32) !== word.charCodeAt(0)) return 0
    if (text.slice(start, at).toLowerCase() !== word || !startsWord(text, start)) return 0
    let from = at + 1
    while (text.charCodeAt(from) === SPACE) from += 1
    const value = word === 'digest' ? LINE : CREDENTIAL
    value.lastIndex = from
    if (!value.test(text)) return 0
    const end = value.lastIndex
    if (end - from < 8 && !(this.cut && end === text.length)) return 0
    if (isMark(text, from, end)) return 0
    return this.add('auth-header', start, end)
  }

  /** `at` is the equals sign. */
  #urlParameter(at: number): number {
    const { text } = this
    let start = at
    while (start > 0 && at - start < 16 && isNameCode(text.charCodeAt(start - 1))) start -= 1
    const before = text.charCodeAt(start - 1)
    if (before !== QUESTION && before !== AMPERSAND && before !== HASH) {
      if (!isEscapedAmpersand(text, start)) return 0
    }
    if (!URL_PARAMETERS.has(text.slice(start, at).toLowerCase())) return 0
    PARAMETER_VALUE.lastIndex = at + 1
    if (!PARAMETER_VALUE.test(text)) return 0
    const end = PARAMETER_VALUE.lastIndex
    return isMark(text, at + 1, end) ? 0 : this.add('url-param', at + 1, end)
  }

  /** `at` is the colon behind the name of the header. */
  #cookie(before: number, at: number): number {
    if ((before | 32) !== LETTER_E) return 0
    const { text } = this
    const start = at - 6
    if (start < 0 || text.slice(start, at).toLowerCase() !== 'cookie') return 0
    if (!startsWord(text, start)) return 0
    let from = at + 1
    while (text.charCodeAt(from) === SPACE) from += 1
    LINE.lastIndex = from
    if (!LINE.test(text) || isMark(text, from, LINE.lastIndex)) return 0
    return this.add('cookie', from, LINE.lastIndex)
  }

  /** `at` is the colon behind a quoted name: JSON within a text, perhaps within another. */
  #jsonMember(at: number): number {
    const { text } = this
    const escapes = backslashesBefore(text, at - 1)
    const nameEnd = at - 1 - escapes
    const quote = text.lastIndexOf('"', nameEnd - 1)
    if (quote < 0 || nameEnd - quote > 130) return 0
    const verdict = this.keyRule(text.slice(quote + 1, nameEnd))
    if (verdict !== 'secret' && verdict !== 'counter') return 0
    let from = at + 1
    while (text.charCodeAt(from) === SPACE) from += 1
    if (!text.startsWith('\\'.repeat(escapes), from)) return 0
    from += escapes
    if (text.charCodeAt(from) !== QUOTE) return 0
    from += 1
    let end = from
    // The closing quote has as many backslashes as the opening one; more belong to the value.
    for (;;) {
      end = text.indexOf('"', end)
      if (end < 0) {
        end = text.length
        break
      }
      const own = backslashesBefore(text, end)
      if (escapes === 0 ? own % 2 === 0 : own <= escapes) {
        end -= escapes === 0 ? 0 : own
        break
      }
      end += 1
    }
    if (end <= from || isMark(text, from, end)) return 0
    return this.add('key', from, end)
  }

  /** `at` is the first digit of a run. */
  #digits(at: number): number {
    const { text } = this
    let end = at + 1
    while (isDigitCode(text.charCodeAt(end))) end += 1
    return this.#iban(at) || this.#ssn(at, end) || this.#card(at, end)
  }

  #iban(at: number): number {
    const start = at - 2
    const { text } = this
    if (start < 0 || !isCapital(text.charCodeAt(start)) || !isCapital(text.charCodeAt(start + 1)))
      return 0
    const length = IBAN_LENGTHS[text.slice(start, at)]
    if (length === undefined || !startsWord(text, start)) return 0
    // Written in groups of four, or without a space.
    const compact = text.slice(start, start + length)
    if (isIban(compact) && !isWordCode(text.charCodeAt(start + length)))
      return this.add('iban', start, start + length)
    const spaced = start + length + Math.floor((length - 1) / 4)
    const grouped = text.slice(start, spaced)
    if (GROUPS_OF_FOUR.test(grouped) && isIban(grouped.replaceAll(' ', '')))
      return isWordCode(text.charCodeAt(spaced)) ? 0 : this.add('iban', start, spaced)
    return 0
  }

  #ssn(at: number, end: number): number {
    if (end - at !== 3 || this.text.charCodeAt(end) !== HYPHEN) return 0
    SSN.lastIndex = at
    if (!SSN.test(this.text) || !startsNumber(this.text, at)) return 0
    return this.add('ssn', at, SSN.lastIndex)
  }

  #card(at: number, end: number): number {
    const { text } = this
    const length = end - at
    let last = end
    if (length === 4) {
      CARD_GROUPS.lastIndex = at
      if (!CARD_GROUPS.test(text)) return 0
      last = CARD_GROUPS.lastIndex
    } else if (length < 13 || length > 19) return 0
    if (isWordCode(text.charCodeAt(last)) || !startsNumber(text, at)) return 0
    if (!isCardNumber(text.slice(at, last).replace(/[ -]/g, ''))) return 0
    return this.add('card', at, last)
  }

  /** Runs of digits of base64 or hex that are as even as random ones. */
  findRandom(): void {
    for (const { 0: run, index } of this.text.matchAll(RANDOM_RUN)) {
      const least = /^[0-9a-fA-F]+$/.test(run) ? 3 : 4
      if (bitsPerCharacter(run) > least) this.add('entropy', index, index + run.length)
    }
  }

  /** Matches may overlap: then they become one, under the name of the first. @returns `end` */
  add(rule: string, start: number, end: number): number {
    if (this.#starts === undefined) this.#starts = []
    const starts = this.#starts
    let from = start
    let to = end
    let name = rule
    for (let last = starts.length - 1; last >= 0; last -= 1) {
      if ((this.#ends[last] as number) <= from) break
      from = Math.min(from, starts.pop() as number)
      to = Math.max(to, this.#ends.pop() as number)
      name = this.#rules.pop() as string
    }
    starts.push(from)
    this.#ends.push(to)
    this.#rules.push(name)
    this.#hits?.add(rule)
    return to
  }

  result(): string {
    if (this.#starts === undefined) return this.text
    let out = ''
    let from = 0
    this.#starts.forEach((start, at) => {
      out += `${this.text.slice(from, start)}[redacted:${this.#rules[at]}]`
      from = this.#ends[at] as number
    })
    return out + this.text.slice(from)
  }
}

interface PlacedAnchor {
  readonly anchor: Anchor
  /** Where in the literal the pair of characters ends that the table knows. */
  readonly offset: number
}

const NOTHING = 0
const ANCHOR = 1
const SPECIAL = 2

/** Which anchors may end, or pass, where a pair of characters stands. Codes are taken modulo 128. */
class AnchorTable {
  readonly isLast = new Uint8Array(128)
  readonly anchors: (PlacedAnchor[] | undefined)[] = new Array(128 * 128).fill(undefined)

  constructor() {
    for (const character of ' =:0123456789') this.isLast[character.charCodeAt(0)] = SPECIAL
  }

  add(anchor: Anchor): void {
    const offset = rarestPair(anchor.literal)
    const last = anchor.literal.charCodeAt(offset) & 127
    const before = anchor.literal.charCodeAt(offset - 1) & 127
    this.isLast[last] = (this.isLast[last] as number) | ANCHOR
    const at = (before << 7) | last
    const there = this.anchors[at]
    if (there === undefined) this.anchors[at] = [{ anchor, offset }]
    else there.push({ anchor, offset })
  }
}

/** Characters that are seldom in text are looked for, so that the common ones cost nothing. */
function rarestPair(literal: string): number {
  let best = literal.length - 1
  for (let at = best; at > 0; at -= 1)
    if (rarity(literal.charCodeAt(at)) > rarity(literal.charCodeAt(best))) best = at
  return best
}

function rarity(code: number): number {
  if (code === 0x5f || code === HYPHEN || isCapital(code)) return 3
  if (COMMON.includes(String.fromCharCode(code))) return 1
  return isDigitCode(code) || code === SPACE || code === COLON || code === EQUALS ? 1 : 2
}

const COMMON = 'etaoinshrdlu'

const TOKEN_ANCHORS: readonly Anchor[] = [
  ...TOKEN_RULES.flatMap(({ rule, anchors, shape, wordStart, keep }) =>
    anchors.map((literal) => ({
      literal,
      find(search: Search, from: number) {
        const { text } = search
        if (wordStart && !startsWord(text, from)) return false
        shape.lastIndex = from
        if (!shape.test(text)) return false
        const end = shape.lastIndex
        let start = from
        if (keep !== undefined) {
          keep.lastIndex = from
          keep.test(text)
          start = keep.lastIndex
          if (isMark(text, start, end)) return false
        }
        search.add(rule, start, end)
        return true
      },
    })),
  ),
  { literal: 'eyJ', find: findJwt },
]

function findJwt(search: Search, from: number): boolean {
  if (from < search.noJwtBefore) return false
  const { text } = search
  const firstEnd = runEnd(text, from)
  if (firstEnd === text.length && search.cut) {
    search.add('jwt', from, firstEnd)
    return true
  }
  if (!text.startsWith('.eyJ', firstEnd)) {
    search.noJwtBefore = firstEnd
    return false
  }
  const secondEnd = runEnd(text, firstEnd + 1)
  if (text.charCodeAt(secondEnd) !== DOT && !(search.cut && secondEnd === text.length)) {
    search.noJwtBefore = secondEnd
    return false
  }
  search.add('jwt', from, runEnd(text, Math.min(secondEnd + 1, text.length)))
  return true
}

function runEnd(text: string, from: number): number {
  BASE64URL_RUN.lastIndex = from
  return BASE64URL_RUN.test(text) ? BASE64URL_RUN.lastIndex : from
}

/** A long secret is looked for by its beginning, so that it is found also where the text is cut in it. */
function exactAnchor(secret: string): Anchor {
  const literal = secret.slice(0, 8)
  return {
    literal,
    find(search, from) {
      const { text } = search
      const whole = text.startsWith(secret, from)
      const left = text.length - from
      if (!whole && !(search.cut && left < secret.length && secret.startsWith(text.slice(from))))
        return false
      search.add('env-exact', from, Math.min(from + secret.length, text.length))
      return true
    },
  }
}

/** Lines of a secret that are shorter may stand in any text. */
const LEAST_LINE = 20
const MOST_LINES = 64

/** A secret as it stands, and as JSON, JSON within JSON, URLs and forms write it; the longest first. */
function variants(secrets: readonly string[]): string[] {
  const all = new Set<string>()
  for (const secret of secrets) {
    // Of several lines each one by itself too: they are indented, or end differently, elsewhere.
    const lines = secret.split(/\s*\n\s*/, MOST_LINES).filter(({ length }) => length >= LEAST_LINE)
    for (const one of [secret, secret.trim(), ...lines]) {
      const escaped = JSON.stringify(one).slice(1, -1)
      const encoded = encodeURIComponent(one.toWellFormed())
      all.add(one)
      all.add(escaped)
      all.add(JSON.stringify(escaped).slice(1, -1))
      all.add(encoded)
      all.add(encoded.replaceAll('%20', '+'))
    }
  }
  return [...all].filter(({ length }) => length >= 8).sort((a, b) => b.length - a.length)
}

/**
 * Does a word begin here? Also behind an escape: in JSON within a text the line before ends in a
 * backslash and an `n`, and in a URL a sign is a percent sign and two digits.
 */
function startsWord(text: string, at: number): boolean {
  const before = text.charCodeAt(at - 1)
  if (at === 0 || before === UNDERSCORE || !isWordCode(before)) return true
  return ESCAPE_BEFORE.test(text.slice(Math.max(0, at - 6), at))
}

/** As a word, and it is not the fraction of a decimal number. */
function startsNumber(text: string, at: number): boolean {
  const before = text.charCodeAt(at - 1)
  if (!startsWord(text, at) || before === HYPHEN || before === UNDERSCORE) return false
  return !(before === DOT && isDigitCode(text.charCodeAt(at - 2)))
}

/** Is the whole text what redaction leaves of a value, here or elsewhere? */
export function isMarkedText(text: string): boolean {
  return isMark(text, 0, text.length) || /^\*{3,64}$/.test(text)
}

/** Is all of this what an earlier pass left, perhaps cut since? */
function isMark(text: string, start: number, end: number): boolean {
  MARK.lastIndex = start
  return MARK.test(text) && MARK.lastIndex >= end
}

function isEscapedAmpersand(text: string, end: number): boolean {
  return text.endsWith('\\u0026', end) || text.endsWith('&amp;', end)
}

function backslashesBefore(text: string, at: number): number {
  let count = 0
  while (count < 16 && text.charCodeAt(at - 1 - count) === BACKSLASH) count += 1
  return count
}

function bitsPerCharacter(run: string): number {
  const counts = new Map<string, number>()
  for (const character of run) counts.set(character, (counts.get(character) ?? 0) + 1)
  let bits = 0
  for (const count of counts.values()) bits -= (count / run.length) * Math.log2(count / run.length)
  return bits
}

function isDigitCode(code: number): boolean {
  return code >= ZERO && code <= NINE
}

function isCapital(code: number): boolean {
  return code >= 65 && code <= 90
}

function isWordCode(code: number): boolean {
  return isDigitCode(code) || isCapital(code) || (code >= 97 && code <= 122) || code === UNDERSCORE
}

function isNameCode(code: number): boolean {
  return isCapital(code) || (code >= 97 && code <= 122) || code === UNDERSCORE
}

const SPACE = 0x20
const QUOTE = 0x22
const HASH = 0x23
const AMPERSAND = 0x26
const HYPHEN = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const EQUALS = 0x3d
const QUESTION = 0x3f
const BACKSLASH = 0x5c
const UNDERSCORE = 0x5f
const LETTER_E = 0x65

/** By the code of the last letter. */
const AUTH_SCHEMES: readonly (string | undefined)[] = (() => {
  const words: (string | undefined)[] = new Array(128).fill(undefined)
  for (const word of ['bearer', 'basic', 'token', 'digest', 'negotiate'])
    words[word.charCodeAt(word.length - 1)] = word
  return words
})()

const CREDENTIAL = /[^\s"'<>\\]+/y
/** Up to the end of the line, also of one that is written as an escape. */
const LINE = /(?:[^\r\n\\]|\\(?![rn]))+/y
const PARAMETER_VALUE = /[^\s&#"'<>\\`]+/y
const BASE64URL_RUN = /[\w-]+/y
const GROUPS_OF_FOUR = /^[A-Z0-9]{4}(?: [A-Z0-9]{4})*(?: [A-Z0-9]{1,3})?$/
const SSN = /(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])/y
const CARD_GROUPS = /\d{4}([ -])(?:\d{6}\1\d{4,5}|\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?)(?![ -]?\d)/y
const RANDOM_RUN = /[A-Za-z0-9+/_-]{32,}={0,2}/g
const MARK =
  /\[redacted(?::[\w-]{1,40})?\](?:…\[\+\d+\])?|(?:\[[a-z]{0,8}(?::[\w-]{0,40})?)?…\[\+\d+\]/y
const ESCAPE_BEFORE = /\\[nrtbf]$|%[0-9A-Fa-f]{2}$|\\u[0-9A-Fa-f]{4}$/
