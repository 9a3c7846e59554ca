/** RFC 8785 canonical JSON: the one byte form that is hashed, signed and compared. */
import { VestryError } from './errors.ts'

/**
 * @param value Plain JSON data; `undefined` members are left out as JSON.stringify does.
 * @throws VestryError `INVALID_PARAMS` for NaN, infinities, BigInt, functions and lone surrogates,
 *   which have no canonical form.
 */
export function canonicalJson(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return canonicalString(value)
    case 'number':
      if (!Number.isFinite(value)) throw noForm('a number that is not finite')
      return Object.is(value, -0) ? '0' : String(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      break
    default:
      throw noForm(`a ${typeof value}`)
  }
  if (value === null) return 'null'
  if (Array.isArray(value)) return `[${Array.from(value, canonicalJson).join(',')}]`
  const record = value as Record<string, unknown>
  let out = ''
  // Default sort compares UTF-16 code units, which is the order RFC 8785 §3.2.3 asks for.
  for (const key of inOrder(Object.keys(record))) {
    const member = record[key]
    if (member === undefined) continue
    out += `${out === '' ? '' : ','}${canonicalString(key)}:${canonicalJson(member)}`
  }
  return `{${out}}`
}

/** Sorting costs more than seeing that nothing needs to be sorted, which is the common case. */
function inOrder(keys: string[]): string[] {
  for (let at = 1; at < keys.length; at += 1) {
    if ((keys[at - 1] as string) > (keys[at] as string)) return keys.sort()
  }
  return keys
}

/** Nothing in it is escaped and nothing can be malformed. */
const PLAIN = /^[ !#-[\]-~]*$/

/** One string in canonical form. @throws VestryError `INVALID_PARAMS` for an unpaired surrogate. */
export function canonicalString(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  if (!text.isWellFormed()) throw noForm('a string with an unpaired surrogate')
  return JSON.stringify(text)
}

function noForm(what: string): VestryError {
  return new VestryError('INVALID_PARAMS', `${what} has no canonical JSON form`)
}
