/**
 * Reads one escape at one place in a reply: percent (`%2F`, also `%252F`), JSON and JavaScript (`\u002f`, `\x2f`,
 * `\/`, with any number of back-slashes for strings within strings) or HTML (`&#47;`, `&#x2f;`, `&sol;`, `&amp;#47;`).
 */
import { ENTITIES, LONGEST_ENTITY } from './entities.ts'

/** What an escape may stand for, in the order to be tried. */
export interface Reading {
  /** `byte`: one byte. `point`: a code point, in whatever character set. */
  kind: 'byte' | 'point'
  value: number
  /** Bytes of the reply that it takes. */
  length: number
}

/** The data ends inside what may be an escape. */
export const CUT = 'cut'

export const PERCENT = 0x25
export const AMPERSAND = 0x26
export const BACKSLASH = 0x5c

const HASH = 0x23
const SEMICOLON = 0x3b
const LOWER_U = 0x75
const LOWER_X = 0x78

/** Beyond these an escape is taken as text: no escaper nests this deep, and unbounded runs would cost. */
const MAX_NESTING = 4
const MAX_BACKSLASHES = 16
const MAX_DIGITS = 8

const CONTROL: Readonly<Record<string, number>> = { b: 8, t: 9, n: 10, f: 12, r: 13 }

/** Readings of the escape that begins at `at`; empty if none does. */
export function readEscape(data: Uint8Array, at: number): Reading[] | typeof CUT {
  switch (data[at]) {
    case PERCENT:
      return percent(data, at)
    case BACKSLASH:
      return backslash(data, at)
    case AMPERSAND:
      return entity(data, at)
    default:
      return []
  }
}

function percent(data: Uint8Array, at: number): Reading[] | typeof CUT {
  const readings: Reading[] = []
  for (let digits = at + 1; readings.length < MAX_NESTING; digits += 2) {
    const value = hex(data, digits, 2)
    if (value === CUT) return CUT
    if (value < 0) break
    readings.push({ kind: 'byte', value, length: digits + 2 - at })
    if (value !== PERCENT) break
  }
  return readings
}

function backslash(data: Uint8Array, at: number): Reading[] | typeof CUT {
  let after = at
  while (data[after] === BACKSLASH && after - at < MAX_BACKSLASHES) after += 1
  const char = data[after]
  if (char === undefined) return CUT
  if (char === BACKSLASH) return []
  const literal: Reading = { kind: 'byte', value: char, length: after + 1 - at }
  if (char === LOWER_U) return unicode(data, at, after, literal)
  if (char === LOWER_X) {
    const value = hex(data, after + 1, 2)
    if (value === CUT) return CUT
    return value < 0 ? [literal] : [{ kind: 'point', value, length: after + 3 - at }, literal]
  }
  const control = CONTROL[String.fromCharCode(char)]
  return control === undefined
    ? [literal]
    : [{ kind: 'byte', value: control, length: literal.length }, literal]
}

function unicode(
  data: Uint8Array,
  at: number,
  after: number,
  literal: Reading,
): Reading[] | typeof CUT {
  const value = hex(data, after + 1, 4)
  if (value === CUT) return CUT
  if (value < 0) return [literal]
  const end = after + 5
  if (value < 0xd800 || value > 0xdbff) return [{ kind: 'point', value, length: end - at }, literal]
  // A pair of surrogates is one code point.
  const slashes = after - at
  const low = hex(data, end + slashes + 1, 4)
  if (low === CUT) return CUT
  if (low < 0xdc00 || low > 0xdfff) return [literal]
  const point = 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00)
  return [{ kind: 'point', value: point, length: end + slashes + 5 - at }, literal]
}

function entity(data: Uint8Array, at: number): Reading[] | typeof CUT {
  const readings: Reading[] = []
  for (let from = at + 1; readings.length < MAX_NESTING; ) {
    const found = data[from] === HASH ? numeric(data, from + 1) : named(data, from)
    if (found === CUT) return CUT
    if (found === undefined) break
    readings.push({ kind: 'point', value: found.value, length: found.end - at })
    if (found.value !== AMPERSAND) break
    from = found.end
  }
  return readings
}

interface Found {
  value: number
  end: number
}

function numeric(data: Uint8Array, at: number): Found | typeof CUT | undefined {
  const isHex = ((data[at] ?? 0) | 0x20) === LOWER_X
  const first = isHex ? at + 1 : at
  let value = 0
  for (let digit = first; digit <= first + MAX_DIGITS; digit += 1) {
    const char = data[digit]
    if (char === undefined) return CUT
    if (char === SEMICOLON) return digit === first ? undefined : { value, end: digit + 1 }
    const worth = digitValue(char)
    if (worth < 0 || (!isHex && worth > 9)) return undefined
    value = value * (isHex ? 16 : 10) + worth
  }
  return undefined
}

function named(data: Uint8Array, at: number): Found | typeof CUT | undefined {
  for (let end = at; end <= at + LONGEST_ENTITY; end += 1) {
    const char = data[end]
    if (char === undefined) return CUT
    if (char === SEMICOLON) {
      const value = ENTITIES.get(String.fromCharCode(...data.subarray(at, end)))
      return value === undefined ? undefined : { value, end: end + 1 }
    }
    if (!isLetterOrDigit(char)) return undefined
  }
  return undefined
}

/** The value of `count` hex digits, or -1 if there is anything else. */
function hex(data: Uint8Array, at: number, count: number): number | typeof CUT {
  let value = 0
  for (let digit = at; digit < at + count; digit += 1) {
    const char = data[digit]
    if (char === undefined) return CUT
    const worth = digitValue(char)
    if (worth < 0) return -1
    value = value * 16 + worth
  }
  return value
}

function digitValue(char: number): number {
  if (char >= 0x30 && char <= 0x39) return char - 0x30
  const letter = char | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

export function isLetterOrDigit(char: number): boolean {
  const letter = char | 0x20
  return (char >= 0x30 && char <= 0x39) || (letter >= 0x61 && letter <= 0x7a)
}
