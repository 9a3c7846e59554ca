/** Which `catch` takes an error, and what it sees of it: code and message, as everybody outside does. */
import { asVestryError, type ErrorCode } from '@vestry/contract/errors'
import type { Block, Catch } from '../ast.ts'
import type { Value } from '../host.ts'
import { newRecord } from './values.ts'

/** Kinds that programs name. Any other name is that of a code: `RateLimited` is RATE_LIMITED. */
const KINDS: ReadonlyMap<string, readonly ErrorCode[]> = new Map<string, readonly ErrorCode[]>([
  ['RuntimeError', ['DSL_RUNTIME_ERROR']],
  ['TypeError', ['DSL_RUNTIME_ERROR']],
  ['PolicyError', ['DSL_POLICY_DENIED', 'ACCESS_DENIED']],
  ['TimeoutError', ['TIMEOUT', 'UPSTREAM_TIMEOUT', 'PROVIDER_TIMEOUT', 'MCP_TIMEOUT']],
])
const ALL: ReadonlySet<string> = new Set(['Error', 'Exception', 'any'])

export function caught(
  catches: readonly Catch[],
  error: unknown,
): { readonly name: string; readonly value: Value; readonly block: Block } | undefined {
  const { code, message } = asVestryError(error)
  const found = catches.find(({ type }) => type === undefined || takes(type.text, code))
  if (found === undefined) return undefined
  const value = newRecord()
  value['code'] = code
  value['message'] = message
  return { name: found.name.text, value, block: found.block }
}

function takes(kind: string, code: ErrorCode): boolean {
  if (ALL.has(kind) || kind === code) return true
  const codes = KINDS.get(kind)
  if (codes !== undefined) return codes.includes(code)
  return kind.replaceAll(/(?<=[a-z0-9])(?=[A-Z])/g, '_').toUpperCase() === code
}
