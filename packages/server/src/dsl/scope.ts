/** The names that a program and the conditions of its rules see, whoever started it and with whatever. */
import type { CheckedAgent } from './definition.ts'
import type { Value } from './host.ts'

/**
 * Attributes, declared parameters, `input` and `payload`. Nothing else of what a run was asked with becomes a name:
 * a webhook's body must not give a value to what a condition of the program asks about.
 */
export function scopeOf(
  { definition }: Pick<CheckedAgent, 'definition'>,
  params: Readonly<Record<string, Value>>,
): Readonly<Record<string, Value>> {
  const declared = [...definition.parameters.map(({ name }) => name), 'input', 'payload']
  const given = declared.filter((name) => Object.hasOwn(params, name))
  return Object.fromEntries([
    ...Object.entries(definition.attributes),
    ...given.map((name) => [name, params[name] ?? null] as const),
  ])
}
