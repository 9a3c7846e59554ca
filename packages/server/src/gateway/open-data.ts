/** The params of a call as policy may look at them: texts and integers by JSON pointer. Pure. */
import type { JsonObject } from './tools/tool.ts'

/** More than any honest call has. What is beyond would be hidden from a forbid, so such a call is refused. */
export const MAX_VALUES = 10_000

export interface OpenData {
  readonly args: Record<string, string>
  readonly nums: Record<string, number>
}

/** Whether policy can look at all of them; stops counting where it cannot. */
export function isVisible(params: JsonObject): boolean {
  let left = MAX_VALUES
  const count = (value: unknown): boolean => {
    left -= 1
    if (left < 0 || typeof value !== 'object' || value === null) return left >= 0
    return Object.values(value).every(count)
  }
  return Object.values(params).every(count)
}

/** @param lengths Text lengths that the tool tells, under `/name#length`. */
export function openData(
  params: JsonObject,
  lengths: Readonly<Record<string, number>> = {},
): OpenData {
  const args: Record<string, string> = Object.create(null) as Record<string, string>
  const nums: Record<string, number> = Object.create(null) as Record<string, number>
  const walk = (value: unknown, pointer: string): void => {
    if (typeof value === 'string') {
      args[pointer] = value
    } else if (typeof value === 'number') {
      nums[pointer] = value
    } else if (typeof value === 'object' && value !== null) {
      for (const [name, member] of Object.entries(value))
        walk(member, `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`)
    }
  }
  walk(params, '')
  for (const [name, length] of Object.entries(lengths)) nums[`/${name}#length`] = length
  return { args, nums }
}
