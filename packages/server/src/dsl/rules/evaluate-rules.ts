/**
 * The rules of a program's own policies, for one operation. Independent of their order: a deny that matches wins, then
 * an allow that matches; where the program allows anything at all, what it does not allow is denied.
 */
import type { PolicyItem, Rule } from '../ast.ts'
import type { Value } from '../host.ts'
import type { Callable } from '../interpreter/machine.ts'
import { type ConditionScope, conditionScope, holdsIn, valueIn } from './condition.ts'
import { isGated, type Operation, withinCapabilities } from './operation.ts'
import { type NamedRule, namedRules } from './rule-names.ts'
import { matchTarget, type TargetMatch, wordOf } from './target.ts'

export interface Question {
  readonly policies: readonly PolicyItem[]
  /** What the agent declares; see {@link declaredOf}. */
  readonly capabilities: readonly string[]
  readonly operation: Operation
  /** What conditions see beside the arguments that the target binds. */
  readonly scope: Readonly<Record<string, Value>>
  /** Of the program; conditions may call them. */
  readonly functions?: ReadonlyMap<string, Callable>
}

export interface RuleVerdict {
  readonly allow: boolean
  /** The rule that decided, `dsl:guard#2`; absent where none did. */
  readonly rule?: string
  /** The allow and deny rules that match and whose conditions hold: for `context.holds`. Sorted. */
  readonly holds: readonly string[]
  /** Whether the program wants it logged. */
  readonly audit: 'always' | 'errors' | 'never'
}

export function evaluateRules(question: Question): RuleVerdict {
  const { policies, capabilities, operation } = question
  const rules = namedRules(policies)
  const scope = conditionScope(question.scope, question.functions)
  const held = rules.filter(({ rule }) => applies(rule, operation, scope))
  const holds = held
    .filter(({ rule }) => rule.effect === 'allow' || rule.effect === 'deny')
    .map(({ id }) => id)
    .sort()
  const common = { holds, audit: auditOf(held, rules) }
  const deny = held.find(({ rule }) => rule.effect === 'deny')
  if (deny !== undefined) return { ...common, allow: false, rule: deny.id }
  const allow = held.find(({ rule }) => rule.effect === 'allow')
  if (allow !== undefined) return { ...common, allow: true, rule: allow.id }
  if (!isGated(operation)) return { ...common, allow: true }
  if (rules.some(({ rule }) => rule.effect === 'allow')) return { ...common, allow: false }
  return { ...common, allow: withinCapabilities(operation, capabilities) }
}

/** What nobody can read or evaluate counts against the operation. */
function applies({ effect, target, condition }: Rule, operation: Operation, scope: ConditionScope) {
  if (effect === 'require') return false
  const doubtful = effect === 'deny'
  const found =
    effect === 'audit' && isAuditMode(target)
      ? ({ kind: 'match', bound: {} } as const)
      : doubtful
        ? matchDenied(target, operation)
        : matchTarget(target, operation)
  if (found.kind !== 'match') return found.kind === 'unreadable' && doubtful
  return condition === undefined || (holdsIn(condition, scope, found.bound) ?? doubtful)
}

/** The tool of a server is denied by the name that it goes by, too: `files:read` for `mcp/files:read`. */
function matchDenied(target: Rule['target'], operation: Operation): TargetMatch {
  const found = matchTarget(target, operation)
  const { op, name } = operation
  if (found.kind !== 'none' || op !== 'tool call' || !name.startsWith('mcp/')) return found
  return matchTarget(target, { ...operation, name: name.slice('mcp/'.length) })
}

const AUDIT_MODES: ReadonlyMap<string, RuleVerdict['audit']> = new Map([
  ['all_operations', 'always'],
  ['errors_only', 'errors'],
  ['none', 'never'],
])

function isAuditMode(target: Rule['target']): boolean {
  return AUDIT_MODES.has(wordOf(target) ?? '')
}

/** The most that any rule asks for; without audit rules, everything is logged. */
function auditOf(held: readonly NamedRule[], rules: readonly NamedRule[]): RuleVerdict['audit'] {
  if (!rules.some(({ rule }) => rule.effect === 'audit')) return 'always'
  const modes = held
    .filter(({ rule }) => rule.effect === 'audit')
    .map(({ rule }) => AUDIT_MODES.get(wordOf(rule.target) ?? '') ?? 'always')
  if (modes.includes('always')) return 'always'
  return modes.includes('errors') ? 'errors' : 'never'
}

export interface RequirementQuestion {
  readonly policies: readonly PolicyItem[]
  readonly capabilities: readonly string[]
  /** Of the run: sandbox, environment, what the deployment sets. */
  readonly settings: Readonly<Record<string, Value>>
  readonly scope: Readonly<Record<string, Value>>
  readonly functions?: ReadonlyMap<string, Callable>
}

/** The `require` rules that do not hold, in the order of the source. With any of them a run must not start. */
export function unmetRequirements(question: RequirementQuestion): readonly string[] {
  const { policies, settings, capabilities } = question
  const scope = conditionScope({ ...settings, ...question.scope }, question.functions)
  const declared = new Set(capabilities)
  return namedRules(policies)
    .filter(({ rule }) => rule.effect === 'require' && !isMet(rule, settings, declared, scope))
    .map(({ id }) => id)
}

function isMet(
  { target, condition }: Rule,
  settings: Readonly<Record<string, Value>>,
  declared: ReadonlySet<string>,
  scope: ConditionScope,
): boolean {
  if (condition !== undefined) {
    const asked = holdsIn(condition, scope)
    if (asked === undefined) return false
    if (!asked) return true
  }
  if (target.kind === 'record') {
    return target.entries.every(({ name, value }) => {
      // A bare word is a value of its own here: { sandbox: tier1 }.
      const wanted = value.kind === 'name' ? value.text : valueIn(value, scope)
      const actual = Object.hasOwn(settings, name.text) ? settings[name.text] : undefined
      return wanted !== undefined && isSame(wanted, actual)
    })
  }
  const word = wordOf(target)
  if (word !== undefined && declared.has(word)) return true
  return holdsIn(target, scope) === true
}

/** Settings are plain values. */
function isSame(wanted: Value, actual: Value | undefined): boolean {
  return (typeof wanted !== 'object' || wanted === null) && wanted === actual
}
