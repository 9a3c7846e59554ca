/** Members as lines `path: value`; what the outermost object or array holds is one block each. */
import { VestryError } from '@vestry/contract/errors'
import { readStrictJson } from '../../json/strict-json.ts'
import { invalid } from './limits.ts'
import type { Outline } from './outline.ts'

const NONE: ReadonlySet<string> = new Set()

/** @throws VestryError DOCUMENT_INVALID, also for a member that stands twice: which one is meant nobody can know. */
export function readJson(text: string, outline: Outline): void {
  const value = parsed(text)
  if (Array.isArray(value)) {
    for (const item of value) outline.block('row', linesOf(item, '').join('\n'))
    return
  }
  if (typeof value !== 'object' || value === null) {
    outline.block('text', String(value))
    return
  }
  for (const [name, member] of Object.entries(value))
    outline.block('row', linesOf(member, name).join('\n'))
}

function parsed(text: string): unknown {
  try {
    return readStrictJson(Buffer.from(text), NONE)
  } catch (error) {
    if (!(error instanceof VestryError)) throw error
    throw invalid(
      `is not JSON that can be relied on: ${error.message.replace(/^The body /, 'it ')}`,
    )
  }
}

/** Of one value; short lists of plain values are one line. */
function linesOf(value: unknown, path: string): string[] {
  if (typeof value !== 'object' || value === null) return [named(path, String(value))]
  const members = Object.entries(value)
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object' || item === null))
    return value.length === 0 ? [] : [named(path, value.map(String).join(', '))]
  return members.flatMap(([name, member]) =>
    linesOf(member, Array.isArray(value) ? path : path === '' ? name : `${path}.${name}`),
  )
}

function named(path: string, value: string): string {
  return path === '' ? value : `${path}: ${value}`
}
