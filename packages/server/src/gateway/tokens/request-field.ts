/** Reads the fields of a JSON body, with errors that name the field and never its content. */
import { VestryError } from '@vestry/contract/errors'

export type Fields = Readonly<Record<string, unknown>>

/** @throws VestryError `BAD_REQUEST` unless the body is a JSON object. */
export function fieldsOf(body: unknown): Fields {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Fields
  throw new VestryError('BAD_REQUEST', 'Request body is not a JSON object')
}

/** @throws VestryError `MISSING_FIELDS` naming all that are absent, null or empty text. */
export function requireFields(fields: Fields, names: readonly string[]): void {
  const missing = names.filter((name) => absent(fields[name]))
  if (missing.length === 0) return
  throw new VestryError('MISSING_FIELDS', `Missing required fields: ${missing.join(', ')}`)
}

export function absent(value: unknown): value is undefined | null | '' {
  return value === undefined || value === null || value === ''
}

/** @throws VestryError `INVALID_FIELD` */
export function textField(fields: Fields, name: string, pattern?: RegExp): string {
  const value = fields[name]
  if (typeof value === 'string' && pattern?.test(value) !== false) return value
  throw invalidField(name, pattern === undefined ? 'text' : '1 to 128 printable characters')
}

/** @throws VestryError `INVALID_FIELD` */
export function textsField(fields: Fields, name: string): readonly string[] {
  const value = fields[name]
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw invalidField(name, 'an array of strings')
}

export function invalidField(name: string, expected: string): VestryError {
  return new VestryError('INVALID_FIELD', `${name}: expected ${expected}`)
}

/** What people read: names, roles, intents. */
export const LABEL = /^[^\p{C}]{1,128}$/u
