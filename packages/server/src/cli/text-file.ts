/** A text file that goes to the daemon whole: a policy, a tool. */
import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { type ErrorCode, VestryError } from '@vestry/contract/errors'

interface TextFileRules {
  readonly maxBytes: number
  /** For a file that is no UTF-8. */
  readonly invalid: ErrorCode
  /** When there is no such file. */
  readonly hint: string
}

/** @throws VestryError NOT_FOUND; INVALID_PARAMS for one that is too large; `rules.invalid`. */
export async function readTextFile(
  file: string,
  rules: TextFileRules,
): Promise<{ name: string; text: string }> {
  const { maxBytes, invalid, hint } = rules
  let bytes: Buffer
  try {
    if ((await stat(file)).size > maxBytes) {
      throw new VestryError('INVALID_PARAMS', `${file} is larger than ${maxBytes} bytes`)
    }
    bytes = await readFile(file)
  } catch (cause) {
    if (cause instanceof VestryError) throw cause
    const reason = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
    throw new VestryError('NOT_FOUND', `${file} cannot be read${reason}`, { hint, cause })
  }
  try {
    return { name: basename(file), text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch (cause) {
    throw new VestryError(invalid, `${file} is not UTF-8 text`, { cause })
  }
}
