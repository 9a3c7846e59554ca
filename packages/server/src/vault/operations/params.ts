/** Reads members of an untrusted params object, one at a time, with errors that name the member. */
import { VestryError } from '@vestry/contract/errors'

export type Params = Readonly<Record<string, unknown>>

export function invalid(param: string, detail: string, hint?: string): VestryError {
  return new VestryError('INVALID_PARAMS', `${param} ${detail}`, {
    ...(hint !== undefined && { hint }),
    context: { param },
  })
}

/** A well-formed string, or undefined when absent or null. */
export function optionalString(
  params: Params,
  name: string,
  maxLength = 65_536,
): string | undefined {
  const value = params[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw invalid(name, 'must be a string')
  if (!value.isWellFormed()) throw invalid(name, 'holds an unpaired surrogate')
  if (value.length > maxLength) throw invalid(name, `is longer than ${maxLength} characters`)
  return value
}

export function requiredString(params: Params, name: string, maxLength?: number): string {
  const value = optionalString(params, name, maxLength)
  if (value === undefined) throw invalid(name, 'is required')
  return value
}

/** A JSON number without fraction; `300.0` parses to 300 and counts, a boolean does not. */
export function optionalInteger(
  params: Params,
  name: string,
  { min, max }: { min: number; max: number },
): number | undefined {
  const value = params[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
    throw invalid(name, 'must be an integer')
  }
  if (value < min || value > max) throw invalid(name, `must be between ${min} and ${max}`)
  return value
}

export function optionalBoolean(params: Params, name: string): boolean | undefined {
  const value = params[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'boolean') throw invalid(name, 'must be true or false')
  return value
}

export function optionalObject(params: Params, name: string): Params | undefined {
  const value = params[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid(name, 'must be an object')
  return value as Params
}

export type DataEncoding = 'utf8' | 'hex' | 'base64'

/**
 * The bytes an agent wants worked on, under either of two names that old clients use.
 * @throws VestryError INVALID_PARAMS when absent, contradictory, undecodable or over `maxBytes`.
 */
export function dataBytes(
  params: Params,
  names: readonly [string, string],
  maxBytes: number,
): Buffer {
  const [first, second] = names
  const one = optionalString(params, first, maxBytes * 2)
  const two = optionalString(params, second, maxBytes * 2)
  if (one !== undefined && two !== undefined && one !== two) {
    throw invalid(first, `and ${second} are both given and differ`)
  }
  const text = one ?? two
  if (text === undefined) throw invalid(first, 'is required')
  const encoding = optionalString(params, 'data_encoding', 16) ?? 'utf8'
  const bytes = decode(text, encoding, first)
  if (bytes.length > maxBytes) throw invalid(first, `is larger than ${maxBytes} bytes`)
  return bytes
}

const HEX = /^(?:[0-9a-fA-F]{2})*$/
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

export function decode(text: string, encoding: string, name: string): Buffer {
  if (encoding !== 'utf8' && encoding !== 'hex' && encoding !== 'base64') {
    throw invalid('data_encoding', 'must be utf8, hex or base64')
  }
  const bytes = tryDecode(text, encoding)
  if (bytes !== undefined) return bytes
  throw invalid(name, encoding === 'hex' ? 'is not hexadecimal' : 'is not base64')
}

/** Undefined when the text is not in this encoding; the platform would decode as much as it can. */
export function tryDecode(text: string, encoding: DataEncoding): Buffer | undefined {
  if (encoding === 'hex' && !HEX.test(text)) return undefined
  if (encoding === 'base64' && (!BASE64.test(text) || text.replace(/=+$/, '').length % 4 === 1))
    return undefined
  return Buffer.from(text, encoding)
}
