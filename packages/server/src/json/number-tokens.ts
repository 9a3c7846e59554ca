/**
 * Reads JSON that is signed or compared by its bytes: numbers keep how they were written where that makes a
 * difference, and no member is lost, `__proto__` included.
 */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import { isRawNumber, type RawNumber, type TokenJson, type TokenObject } from './raw-number.ts'
import { checkText, countMembers, JsonRefused, MAX_JSON_DEPTH } from './strict-json.ts'

/**
 * @param bytes UTF-8 without a byte order mark.
 * @returns Numbers are {@link RawNumber} where a double would lose something: with `.`, `e` or `E`, `-0`, and whole
 *   ones beyond 2^53, of any length.
 * @throws VestryError `INVALID_JSON` for what is not JSON, is nested deeper than 64, or holds a key twice, an
 *   unpaired surrogate or a fraction beyond the range of a double.
 */
export function readToolJson(bytes: Uint8Array): TokenJson {
  try {
    return read(bytes)
  } catch (error) {
    if (error instanceof JsonRefused) throw new VestryError('INVALID_JSON', error.message)
    throw error
  }
}

function read(bytes: Uint8Array): TokenJson {
  if (!isUtf8(bytes)) throw new JsonRefused('utf8', 'is not valid UTF-8')
  const members = countMembers(bytes, MAX_JSON_DEPTH)
  const value = parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'))
  // The parser keeps the last of equal keys, so a lost member is a key that came twice.
  if (check(value) !== members) throw new JsonRefused('key_twice', 'holds a key twice')
  return value
}

/** What the library's types do not know yet: the source of a primitive, and a number made of it. */
type WithSource = (
  text: string,
  reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown
const parseWithSource = JSON.parse as WithSource
const { rawJSON } = JSON as unknown as { rawJSON: (token: string) => RawNumber }

/** Where one of these may stand, in a string or outside. Without any of them the plain parser, much faster, will do. */
const KEPT = /\d[.eE]|-0|\d{16}/

function parse(text: string): TokenJson {
  try {
    if (!KEPT.test(text)) return JSON.parse(text) as TokenJson
    return parseWithSource(text, (_key, value, { source }) =>
      typeof value === 'number' && source !== undefined ? keep(source, value) : value,
    ) as TokenJson // JSON and the numbers kept
  } catch (error) {
    if (error instanceof JsonRefused) throw error
    // Without its cause, which quotes the text.
    throw new JsonRefused('syntax', 'is not valid JSON')
  }
}

function keep(source: string, value: number): number | RawNumber {
  const fraction = /[.eE]/.test(source)
  if (fraction && !Number.isFinite(value))
    throw new JsonRefused('number', 'holds a number that is out of range')
  return fraction || source === '-0' || !Number.isSafeInteger(value) ? rawJSON(source) : value
}

/** @returns The number of members in all objects. */
function check(value: TokenJson): number {
  if (typeof value === 'string') checkText(value)
  if (typeof value !== 'object' || value === null || isRawNumber(value)) return 0
  let members = 0
  if (Array.isArray(value)) {
    for (const item of value as readonly TokenJson[]) members += check(item)
    return members
  }
  const object = value as TokenObject
  const keys = Object.keys(object)
  for (const key of keys) {
    checkText(key)
    members += check(object[key] as TokenJson) // its own, `__proto__` too
  }
  return members + keys.length
}
