/**
 * Canonical JSON in the form schemapin-v1 (runtime contract §7.4), over which every tool digest is made. It differs
 * from RFC 8785 in the order of keys and in how fractions are written.
 */
import { canonicalString } from './canonical.ts'
import { VestryError } from './errors.ts'

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue }

const MAX_DEPTH = 64

/**
 * A JavaScript number does not remember how it was written: `1.0` and `1` are the same value here and come out as
 * `1`, `-0.0` as `0`. Where documents of others are signed or verified, a reader that keeps number tokens has to
 * stand before; what Vestry defines itself has no such numbers.
 *
 * @param value Plain JSON data; nothing in it is `undefined`.
 * @returns Text whose UTF-8 bytes are the canonical form.
 * @throws VestryError `INVALID_PARAMS` for what has no such form: numbers that are not finite, whole numbers beyond
 *   2^53 (their last digits are lost already), unpaired surrogates, nesting deeper than 64.
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
  if (depth >= MAX_DEPTH) throw noForm(`nesting deeper than ${MAX_DEPTH}`)
  if (isList(value)) return `[${Array.from(value, (item) => write(item, depth + 1)).join(',')}]`
  const members = Object.entries(value).sort(([one], [other]) => byCodePoint(one, other))
  return `{${members.map(([key, member]) => `${canonicalString(key)}:${write(member, depth + 1)}`).join(',')}}`
}

function isList(value: object): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function canonicalNumber(value: number): string {
  if (Number.isInteger(value)) {
    if (Number.isSafeInteger(value)) return value === 0 ? '0' : String(value)
    throw noForm('a whole number beyond 2^53')
  }
  if (!Number.isFinite(value)) throw noForm('a number that is not finite')
  // A fraction is below 2^53, so only small ones take the exponent form; JavaScript starts it later and pads it less.
  const [digits = '', power = ''] = value.toExponential().split('e')
  const exponent = Number(power)
  return exponent < -4 ? `${digits}e-${String(-exponent).padStart(2, '0')}` : String(value)
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
