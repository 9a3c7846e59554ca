/**
 * Finds secrets in the bytes of a reply, comparing through any escapes. One pass over the data with a table
 * of bytes that can begin a match; only there are the shapes compared. Works on bytes throughout, since a
 * regular expression would keep the secrets in strings that nobody can wipe.
 */
import type { Form, Kind, Needles } from './needles.ts'
import { BACKSLASH, CUT, isLetterOrDigit, PERCENT, type Reading, readEscape } from './unescape.ts'

/** Bytes `[start, end)` of the data that must not be shown. */
export interface Span {
  start: number
  end: number
}

export interface Scan {
  /** In order, none overlapping another. */
  spans: Span[]
  /** Data before this is decided; from here on a secret may continue in data still to come. */
  decided: number
}

export interface ScanOptions {
  /** True when no data follows. */
  final: boolean
  /** Ignore the case of letters, for places where parsers change it. */
  foldCase?: boolean
  /** Where to begin; earlier bytes are only looked back at. */
  from?: number
}

const NONE = -1
const PARTIAL = -2

const SPACE = 0x20
const PLUS = 0x2b
const DASH = 0x2d
const SLASH = 0x2f
const EQUALS = 0x3d
const UNDERSCORE = 0x5f
const CR = 0x0d
const LF = 0x0a

/**
 * How far a line break within base64 has come. Encoders write CR, LF or both; an empty line ends the text, so that
 * what comes in lines of its own is not held back for a next line.
 */
const NO_BREAK = 0
const AFTER_CR = 1
const AFTER_LF = 2

type Canon = Readonly<Record<Kind, Uint8Array>>

const EXACT: Canon = {
  plain: table(false, false),
  base64: table(false, true),
  hex: table(true, false),
}
const FOLDED: Canon = {
  plain: table(true, false),
  base64: table(true, true),
  hex: table(true, false),
}

/** Bytes at which a comparison has to stop and think. */
const SPECIAL = new Uint8Array(256)
for (const char of '%\\&+\r\n') SPECIAL[char.charCodeAt(0)] = 1

const ESCAPES = new Uint8Array(256)
for (const char of '%\\&') ESCAPES[char.charCodeAt(0)] = 1

/** The forms whose first character a byte may be, by byte; and which bytes are worth a look. */
interface Beginners {
  readonly forms: readonly (Form[] | undefined)[]
  readonly starts: Uint8Array
}

/** Needles that serve many replies are prepared once. */
const prepared = new WeakMap<Needles, Matcher>()

const NO_FORMS: readonly Form[] = []

export class Matcher {
  readonly #forms: readonly Form[]
  readonly #sharesBefore: boolean
  readonly #exact: Beginners
  readonly #folded: Beginners

  private constructor(needles: Needles) {
    this.#forms = needles.forms
    this.#sharesBefore = needles.forms.some(({ sharesBefore }) => sharesBefore)
    this.#exact = byFirst(needles.forms, EXACT, false)
    this.#folded = byFirst(needles.forms, FOLDED, true)
  }

  static of(needles: Needles): Matcher {
    let matcher = prepared.get(needles)
    if (matcher === undefined) {
      matcher = new Matcher(needles)
      prepared.set(needles, matcher)
    }
    return matcher
  }

  get matchesNothing(): boolean {
    return this.#forms.length === 0
  }

  scan(data: Uint8Array, options: ScanOptions): Scan {
    const { final, foldCase = false, from = 0 } = options
    if (this.matchesNothing) return { spans: [], decided: data.length }
    const canon = foldCase ? FOLDED : EXACT
    const beginners = foldCase ? this.#folded : this.#exact
    const { starts } = beginners
    const search: Search = { data, canon, foldCase, final }
    const spans: Span[] = []
    let decided = data.length

    for (let at = from; at < data.length; at += 1) {
      const byte = data[at] ?? 0
      if (starts[byte] === 0) continue
      let end = NONE
      let start = at
      for (const form of candidates(search, at, byte, beginners, this.#forms)) {
        const found = matchAt(search, form, at)
        // The character before holds bits of the secret as well.
        const before = form.sharesBefore && at > from && isBase64(data[at - 1] ?? 0)
        const begin = before ? at - 1 : at
        if (found === PARTIAL) decided = Math.min(decided, begin)
        if (found <= end) continue
        end = found
        start = begin
      }
      if (end > at) include(spans, { start, end })
    }
    // It may turn out to hold the first bits of a secret.
    if (!final && this.#sharesBefore && isBase64(data.at(-1) ?? 0)) {
      decided = Math.min(decided, data.length - 1)
    }
    // What is redacted only in part would leave its rest behind.
    for (const span of spans) if (span.end > decided) decided = Math.min(decided, span.start)
    return { spans, decided }
  }
}

interface Search {
  data: Uint8Array
  canon: Canon
  foldCase: boolean
  final: boolean
}

/** Which forms may begin at `at`: those whose first character is there, plain or as an escape. */
function candidates(
  { data }: Search,
  at: number,
  byte: number,
  beginners: Beginners,
  all: readonly Form[],
): readonly Form[] {
  const plain = beginners.forms[byte] ?? NO_FORMS
  if (ESCAPES[byte] === 0) return plain
  // A run of back-slashes counts from its first; the later ones only when they are characters themselves.
  if (byte === BACKSLASH && at > 0 && data[at - 1] === BACKSLASH) return plain
  const readings = readEscape(data, at)
  if (readings === CUT) return all
  let forms = plain
  for (const reading of readings) {
    const more = beginners.forms[firstByte(reading)]
    if (more !== undefined) forms = forms.length === 0 ? more : [...new Set([...forms, ...more])]
    // `\u0041` is an A; should it be a `u` after all, that `u` is a beginning of its own.
    if (reading.kind === 'point' && byte === BACKSLASH) break
  }
  return forms
}

/** A point in a comparison: the next byte of the data, the next character of the form, the line break just passed. */
type State = readonly [position: number, index: number, breaks: number]

/**
 * Where the form that begins at `at` ends; NONE; or PARTIAL if the data ends first and more may come.
 * Where a byte may be meant as itself or as an escape, both are followed.
 */
function matchAt(search: Search, form: Form, at: number): number {
  const { data } = search
  if (form.bounded && !isBoundaryBefore(data, at)) return NONE
  const chars = search.foldCase ? form.folded : form.chars
  const canon = search.canon[form.kind]
  const next = data[at + 1]
  // Most candidates end at their second byte: they cost nothing more.
  if (next !== undefined && SPECIAL[next] === 0 && SPECIAL[data[at] ?? 0] === 0) {
    if (canon[next] !== chars[1]) return NONE
  }
  let longest = NONE
  let partial = false
  let seen: Set<number> | undefined
  const open: State[] = [[at, 0, NO_BREAK]]
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    let [position, index] = state
    // Ordinary bytes, nearly all of them, stay in this loop.
    for (let byte = data[position]; byte !== undefined && SPECIAL[byte] === 0; ) {
      if (index === chars.length || canon[byte] !== chars[index]) break
      position += 1
      index += 1
      byte = data[position]
    }
    if (index === chars.length) {
      const end = extend(search, form, position)
      if (end === PARTIAL) partial = true
      else longest = Math.max(longest, end)
      continue
    }
    const byte = data[position]
    if (byte === undefined) {
      partial = !search.final
      continue
    }
    if (SPECIAL[byte] === 0) continue
    const key = position * (chars.length + 1) + index
    if (seen?.has(key)) continue
    seen = (seen ?? new Set()).add(key)
    if (canon[byte] === chars[index]) open.push([position + 1, index + 1, NO_BREAK])
    const breaks = position === state[0] ? state[2] : NO_BREAK
    const ways = special(search, form, chars, canon, [position, index, breaks])
    if (ways !== CUT) open.push(...ways)
    else partial = !search.final
  }
  return longest === NONE && partial ? PARTIAL : longest
}

/** Ways on from a special byte, other than taking it for itself. */
function special(
  { data }: Search,
  form: Form,
  chars: Uint8Array,
  canon: Uint8Array,
  [position, index, breaks]: State,
): State[] | typeof CUT {
  const byte = data[position]
  if (byte === PLUS) {
    return form.kind === 'plain' && chars[index] === SPACE
      ? [[position + 1, index + 1, NO_BREAK]]
      : []
  }
  const breakable = form.kind === 'base64' && index > 0
  if (byte === CR || byte === LF) {
    const after = breakable ? lineBreak(breaks, byte) : undefined
    return after === undefined ? [] : [[position + 1, index, after]]
  }
  const readings = readEscape(data, position)
  if (readings === CUT) return CUT
  const ways: State[] = []
  for (const reading of readings) {
    const { value, length } = reading
    const after = breakable ? lineBreak(breaks, value) : undefined
    if (after !== undefined) ways.push([position + length, index, after])
    const taken = taking(reading, chars, canon, index)
    if (taken > 0) ways.push([position + length, index + taken, NO_BREAK])
  }
  return ways
}

/** Undefined where no line break goes on with this byte. */
function lineBreak(before: number, byte: number): number | undefined {
  if (byte === CR) return before === NO_BREAK ? AFTER_CR : undefined
  if (byte === LF) return before === AFTER_LF ? undefined : AFTER_LF
  return undefined
}

/** How many characters of the form the reading stands for: 0 if it is another one. */
function taking(
  { kind, value }: Reading,
  chars: Uint8Array,
  canon: Uint8Array,
  index: number,
): number {
  if (value < 0x100 && canon[value] === chars[index]) return 1
  if (kind === 'byte' || value < 0x80) return 0
  const utf8 = utf8Of(value)
  return utf8.every((byte, offset) => chars[index + offset] === byte) ? utf8.length : 0
}

/** The end of a complete match, moved over what else belongs to it. */
function extend({ data, final }: Search, form: Form, position: number): number {
  let end = position
  const at = (index: number) => data[index] ?? (final ? SPACE : PARTIAL)
  if (form.bounded) {
    const next = at(end)
    if (next === PARTIAL) return PARTIAL
    if (isLetterOrDigit(next)) return NONE
  }
  if (form.sharesAfter) {
    const next = at(end)
    if (next === PARTIAL) return PARTIAL
    if (isBase64(next)) end += 1
    for (let padding = 0; padding < 2; padding += 1) {
      if (at(end) === PARTIAL) return PARTIAL
      if (at(end) !== EQUALS) break
      end += 1
    }
  }
  if (form.kind === 'plain' && form.chars.at(-1) === BACKSLASH) {
    let run = end
    while (at(run) === BACKSLASH) run += 1
    if (at(run) === PARTIAL) return PARTIAL
    return endOfBackslashes(data, form, end, run)
  }
  return end
}

/**
 * A secret that ends in back-slashes ends in twice, four or eight times as many inside strings. Half of them left
 * behind would break the string, and so would taking the one that belongs to the quote after them.
 */
function endOfBackslashes(data: Uint8Array, form: Form, end: number, run: number): number {
  const own = form.chars.length - 1 - form.chars.findLastIndex((char) => char !== BACKSLASH)
  const start = end - own
  if (!data.subarray(start, end).every((byte) => byte === BACKSLASH)) return end
  return start + own * 2 ** Math.floor(Math.log2((run - start) / own))
}

/** An escape that ends here is a boundary too: `%3Dsecret`, `\nsecret`, `\u003dsecret`. */
function isBoundaryBefore(data: Uint8Array, at: number): boolean {
  if (at === 0 || !isLetterOrDigit(data[at - 1] ?? 0)) return true
  return (
    data[at - 3] === PERCENT ||
    data[at - 2] === BACKSLASH ||
    data[at - 4] === BACKSLASH ||
    data[at - 6] === BACKSLASH
  )
}

function include(spans: Span[], span: Span): void {
  const last = spans.at(-1)
  if (last === undefined || span.start >= last.end) spans.push(span)
  else last.end = Math.max(last.end, span.end)
}

function byFirst(forms: readonly Form[], canon: Canon, foldCase: boolean): Beginners {
  const lists: (Form[] | undefined)[] = new Array(256)
  const add = (byte: number, form: Form) => {
    const list = lists[byte]
    if (list === undefined) lists[byte] = [form]
    else list.push(form)
  }
  for (const form of forms) {
    const first = (foldCase ? form.folded : form.chars)[0]
    const sameAs = canon[form.kind]
    for (let byte = 0; byte < 256; byte += 1) if (sameAs[byte] === first) add(byte, form)
    if (form.kind === 'plain' && first === SPACE) add(PLUS, form)
  }
  const starts = Uint8Array.from(ESCAPES)
  for (const [byte, some] of lists.entries()) if (some !== undefined) starts[byte] = 1
  return { forms: lists, starts }
}

function firstByte({ kind, value }: Reading): number {
  return kind === 'byte' || value < 0x100 ? value : (utf8Of(value)[0] ?? 0)
}

function table(foldCase: boolean, base64: boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => {
    if (base64 && byte === DASH) return PLUS
    if (base64 && byte === UNDERSCORE) return SLASH
    return foldCase && byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte
  })
}

function isBase64(byte: number): boolean {
  return (
    isLetterOrDigit(byte) || byte === PLUS || byte === SLASH || byte === DASH || byte === UNDERSCORE
  )
}

function utf8Of(point: number): number[] {
  if (point < 0x80) return [point]
  if (point < 0x800) return [0xc0 | (point >> 6), 0x80 | (point & 63)]
  if (point < 0x10000) {
    return [0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63)]
  }
  return [
    0xf0 | (point >> 18),
    0x80 | ((point >> 12) & 63),
    0x80 | ((point >> 6) & 63),
    0x80 | (point & 63),
  ]
}
