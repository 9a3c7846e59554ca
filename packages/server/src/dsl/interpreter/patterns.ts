/** Whether a value has the form of a pattern, and the names that the pattern gives to its parts. */
import type { Pattern } from '../ast.ts'
import { Tagged, type Value } from '../host.ts'

const CONSTRUCTORS: ReadonlySet<string> = new Set(['Ok', 'Error', 'Some'])

/** Undefined: it has another form. */
export function matched(
  pattern: Pattern,
  value: Value,
): readonly (readonly [string, Value])[] | undefined {
  const { text } = pattern.name
  const { args } = pattern
  if (text === '_' && args === undefined) return []
  if (text === 'None' || text === 'null') return value === null ? [] : undefined
  if (args === undefined) {
    if (!CONSTRUCTORS.has(text)) return [[text, value]]
    return value instanceof Tagged && value.tag === text ? [] : undefined
  }
  if (!(value instanceof Tagged) || value.tag !== text || value.args.length !== args.length)
    return undefined
  const names: (readonly [string, Value])[] = []
  for (const [i, part] of args.entries()) {
    const inner = matched(part, value.args[i] ?? null)
    if (inner === undefined) return undefined
    names.push(...inner)
  }
  return names
}
