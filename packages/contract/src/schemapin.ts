/**
 * Canonical JSON in the form schemapin-v1 (runtime contract §7.4), over which every tool digest is made. It differs
 * from RFC 8785 in the order of keys and in how fractions are written.
 */
import { canonicalString } from './canonical.ts'
import { VestryError } from './errors.ts'

/**
 * One number token that is written as it came, as `JSON.rawJSON` makes it: frozen and without a prototype, so that
 * no object that a parser made can pass for one.
 */
export interface NumberToken {
  readonly rawJSON: string
}

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | NumberToken
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue }

const MAX_DEPTH = 64
const NUMBER = /^-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/**
 * A JavaScript number does not remember how it was written: `1.0` and `1` are the same value and come out as `1`,
 * `-0.0` as `0`. Where documents of others are signed or verified, a reader that keeps number tokens has to stand
 * before; what Vestry defines itself has no such numbers.
 *
 * @param value Plain JSON data; nothing in it is `undefined`. Whole numbers of any size may be number tokens.
 * @returns Text whose UTF-8 bytes are the canonical form.
 * @throws VestryError `INVALID_PARAMS` for what has no such form: numbers that are not finite, JavaScript's whole
 *   numbers beyond 2^53 (their last digits are lost already), unpaired surrogates, nesting deeper than 64.
 */
export function schemapinCanonical(value: JsonValue): string {
  return write(value, 0)
}

function write(value: JsonValue, depth: number): string {
  switch (typeof value) {
    case 'string':
      return canonicalString(value)
    case 'number':
      return canonicalNumber(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      break
    default:
      throw noForm(`a ${typeof value}`)
  }
  if (value === null) return 'null'
  if (isNumberToken(value)) return canonicalToken(value.rawJSON)
  if (depth >= MAX_DEPTH) throw noForm(`nesting deeper than ${MAX_DEPTH}`)
  if (isList(value)) return `[${Array.from(value, (item) => write(item, depth + 1)).join(',')}]`
  const members = Object.entries(value).sort(([one], [other]) => byCodePoint(one, other))
  return `{${members.map(([key, member]) => `${canonicalString(key)}:${write(member, depth + 1)}`).join(',')}}`
}

function isList(value: object): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function isNumberToken(value: object): value is NumberToken {
  if (Object.getPrototypeOf(value) !== null || !Object.isFrozen(value)) return false
  const keys = Object.keys(value)
  return (
    keys.length === 1 && keys[0] === 'rawJSON' && typeof Reflect.get(value, 'rawJSON') === 'string'
  )
}

function canonicalToken(token: string): string {
  const parts = NUMBER.exec(token)
  if (parts === null) throw noForm('a number that is not written as JSON writes numbers')
  const [, fraction, exponent] = parts
  if (fraction === undefined && exponent === undefined) return token === '-0' ? '0' : token
  return canonicalFloat(Number(token))
}

function canonicalNumber(value: number): string {
  if (!Number.isInteger(value)) return canonicalFloat(value)
  if (Number.isSafeInteger(value)) return value === 0 ? '0' : String(value)
  throw noForm('a whole number beyond 2^53')
}

/** As Python writes a float: it always shows that it is one, and its exponents have a sign and two digits. */
function canonicalFloat(value: number): string {
  if (!Number.isFinite(value)) throw noForm('a number that is not finite')
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const [digits = '', power = ''] = value.toExponential().split('e')
  const exponent = Number(power)
  if (exponent >= -4 && exponent < 16) {
    const text = String(value)
    return Number.isInteger(value) ? `${text}.0` : text
  }
  const size = String(Math.abs(exponent)).padStart(2, '0')
  return `${digits}e${exponent < 0 ? '-' : '+'}${size}`
}

/** Order of code points, which is the order of UTF-8 bytes; comparing UTF-16 units puts U+1F600 before U+FFFF. */
function byCodePoint(one: string, other: string): number {
  const shared = Math.min(one.length, other.length)
  for (let at = 0; at < shared; at += 1) {
    const a = one.charCodeAt(at)
    const b = other.charCodeAt(at)
    if (a !== b) return rank(a) - rank(b)
  }
  return one.length - other.length
}

/** Moves the surrogates, which stand for the highest code points, above U+E000–U+FFFF. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}

function noForm(what: string): VestryError {
  return new VestryError('INVALID_PARAMS', `${what} has no canonical schemapin-v1 form`)
}
