/**
 * What the rules of a program ask, with all that the answer hangs on: the functions and attributes that a condition
 * names, and the arguments that its target binds. Where any of it changes, so does the text.
 */
import type { Expression, Rule } from './ast.ts'
import type { CheckedAgent } from './definition.ts'
import { expressionText } from './expression-text.ts'
import { namesIn, reachable } from './names-in.ts'
import { Printer } from './printer.ts'
import { namedRules } from './rules/rule-names.ts'

/** By the name of the rule, `guard#1`; of rules without a condition it is empty. */
export function conditionTexts(agent: CheckedAgent): ReadonlyMap<string, string> {
  return new Map(
    namedRules(agent.code.policies).map(({ id, rule }) => {
      const { condition } = rule
      const text = condition === undefined ? '' : grounded(agent, condition, rule)
      return [id.slice('dsl:'.length), text] as const
    }),
  )
}

/** What must hold before a run starts. Sorted. */
export function requirementsOf(agent: CheckedAgent): readonly string[] {
  const { code, definition } = agent
  const rules = namedRules(code.policies).flatMap(({ rule }) => {
    if (rule.effect !== 'require') return []
    const target = grounded(agent, rule.target, undefined)
    return rule.condition === undefined
      ? target
      : `${target} if ${grounded(agent, rule.condition, undefined)}`
  })
  const sandboxes = definition.with.flatMap(({ sandbox }) =>
    sandbox === null ? [] : `the sandbox ${sandbox}`,
  )
  return [...new Set([...rules, ...sandboxes])].sort()
}

function grounded(
  { definition, code }: CheckedAgent,
  condition: Expression,
  rule: Rule | undefined,
): string {
  const functions = reachable(condition, [...code.functions])
  const names = namesIn([condition, functions])
  const bound = rule === undefined ? [] : boundBy(rule.target, names)
  const attributes = Object.entries(definition.attributes)
    .filter(([name]) => names.has(name))
    .map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
  const printer = new Printer()
  const bodies = functions.map((one) => {
    const params = one.kind === 'behavior' ? one.input : one.params
    const { statements, value } = one.kind === 'behavior' ? one.steps : one.block
    const lines = statements.map((statement) => printer.statement(statement))
    const head = params.map(({ name, fallback }) =>
      fallback === undefined ? name.text : `${name.text} = ${expressionText(fallback)}`,
    )
    const all = value === undefined ? lines : [...lines, expressionText(value)]
    return `${one.name.text}(${head.join(', ')}) { ${all.join(' ')} }`
  })
  const where = [...bound, ...attributes, ...bodies]
  const text = expressionText(condition)
  return where.length === 0 ? text : `${text}, where ${where.join(' and ')}`
}

/** The calls in a target that name an argument which the condition asks about. */
function boundBy(target: Expression, names: ReadonlySet<string>): string[] {
  if (target.kind === 'array') return target.items.flatMap((one) => boundBy(one, names))
  if (target.kind !== 'call') return []
  const isAsked = target.args.some(({ value }) => value.kind === 'name' && names.has(value.text))
  return isAsked ? [`it is ${expressionText(target)}`] : []
}
