/** The params of a call as policy may look at them: texts and integers by JSON pointer. Pure. */
import type { JsonObject } from './tools/tool.ts'

/** More than any honest call has; what is beyond is not seen, so a permit that asks for it does not hold. */
const MAX_VALUES = 1_000

export interface OpenData {
  readonly args: Record<string, string>
  readonly nums: Record<string, number>
}

/** @param lengths Text lengths that the tool tells, under `/name#length`. */
export function openData(
  params: JsonObject,
  lengths: Readonly<Record<string, number>> = {},
): OpenData {
  const args: Record<string, string> = Object.create(null) as Record<string, string>
  const nums: Record<string, number> = Object.create(null) as Record<string, number>
  let left = MAX_VALUES
  const walk = (value: unknown, pointer: string): void => {
    if (left <= 0) return
    if (typeof value === 'string') {
      left -= 1
      args[pointer] = value
    } else if (typeof value === 'number') {
      left -= 1
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
