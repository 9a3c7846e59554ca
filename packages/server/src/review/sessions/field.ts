/** Plain fields of requests about reviews: who says so, in which words, about which tool. Pure. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { readToolJson } from '../../json/number-tokens.ts'
import type { TokenJson } from '../../json/raw-number.ts'

const MAX_NAME_CHARS = 256
const MAX_COMMENT_CHARS = 20_000

export function invalidField(path: string, problem: string): VestryError {
  return new VestryError('VALIDATION_ERROR', `${path}: ${problem}`, {
    context: { fields: [{ path, problem }] },
  })
}

/** A person or a program: anything on one line that can be seen. @throws VestryError VALIDATION_ERROR */
export function whoField(path: string, value: unknown): string {
  if (value === undefined || value === null) throw invalidField(path, 'required')
  if (typeof value !== 'string') throw invalidField(path, 'must be a string')
  if (value.trim() === '') throw invalidField(path, 'must not be empty')
  if (value.length > MAX_NAME_CHARS)
    throw invalidField(path, `must be at most ${MAX_NAME_CHARS} characters`)
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value) || !value.isWellFormed())
    throw invalidField(path, 'must hold no control or invisible characters')
  return value
}

/** @returns undefined for `null`. @throws VestryError VALIDATION_ERROR */
export function commentsField(path: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw invalidField(path, 'must be a string')
  if (value.length > MAX_COMMENT_CHARS)
    throw invalidField(path, `must be at most ${MAX_COMMENT_CHARS} characters`)
  if (!value.isWellFormed()) throw invalidField(path, 'must be well-formed text')
  return value
}

/** @param what As a person calls it: `The file`. @throws VestryError INVALID_JSON */
export function readFile(text: string, what: string): TokenJson {
  try {
    return readToolJson(Buffer.from(text))
  } catch (error) {
    const { code, message } = asVestryError(error)
    throw new VestryError(code, message.replace(/^The body/, what), { cause: error })
  }
}
