/** The names of rules: `dsl:<policy>#<n>`, counted from 1 in each policy. */
import type { PolicyItem, Rule } from '../ast.ts'

export interface NamedRule {
  /** `dsl:guard#1` */
  readonly id: string
  readonly rule: Rule
}

/** Policies of one name, in the file and in the agent, go on counting. */
export function namedRules(policies: readonly PolicyItem[]): readonly NamedRule[] {
  const counts = new Map<string, number>()
  return policies.flatMap(({ name, rules }) =>
    rules.map((rule) => {
      const count = (counts.get(name.text) ?? 0) + 1
      counts.set(name.text, count)
      return { id: `dsl:${name.text}#${count}`, rule }
    }),
  )
}
