/**
 * Cedar written by programs: each expression carries its JSON form, which is compiled, and its text, which
 * people read. Only what importers need; both forms mean the same, so neither has to be parsed again.
 */

export interface Expression {
  readonly json: unknown
  readonly text: string
  /** Binds weaker than an operand may: put in parentheses there. */
  readonly loose?: true
}

export interface WrittenPolicy {
  id: string
  effect: 'permit' | 'forbid'
  /** Besides `@id`, in this order. */
  notes: readonly (readonly [name: string, value: string])[]
  principal: Scope
  /** The name of the one action. */
  action: string
  resource: Scope
  /** Each becomes a `when` of its own. */
  conditions: readonly Expression[]
}

export type Scope = { op: '==' | 'in'; type: string; id: string } | { op: 'is'; type: string }

export const CONTEXT: Expression = { json: { Var: 'context' }, text: 'context' }

export function text(value: string): Expression {
  return { json: { Value: value }, text: cedarString(value) }
}

export function long(value: number): Expression {
  return { json: { Value: value }, text: String(value) }
}

export function entity(type: string, id: string): Expression {
  return { json: { Value: { __entity: { type, id } } }, text: uid(type, id) }
}

/** At least one member: an empty set has no type. */
export function texts(values: readonly [string, ...string[]] | readonly string[]): Expression {
  const members = values.map(text)
  return {
    json: { Set: members.map(({ json }) => json) },
    text: `[${members.map((member) => member.text).join(', ')}]`,
  }
}

export function member(of: Expression, attr: string): Expression {
  return { json: { '.': { left: of.json, attr } }, text: `${operand(of)}.${attr}` }
}

export function has(of: Expression, attr: string): Expression {
  return {
    json: { has: { left: of.json, attr } },
    text: `${operand(of)} has ${attr}`,
    loose: true,
  }
}

export function not(inner: Expression): Expression {
  return { json: { '!': { arg: inner.json } }, text: `!${operand(inner)}` }
}

type Operator = '&&' | '||' | '>' | '<=' | '==' | 'in'

export function binary(left: Expression, operator: Operator, right: Expression): Expression {
  return {
    json: { [operator]: { left: left.json, right: right.json } },
    text: `${operand(left)} ${operator} ${operand(right)}`,
    loose: true,
  }
}

type Method = 'contains' | 'containsAll' | 'containsAny' | 'hasTag' | 'getTag'

export function call(of: Expression, method: Method, argument: Expression): Expression {
  return {
    json: { [method]: { left: of.json, right: argument.json } },
    text: `${operand(of)}.${method}(${argument.text})`,
  }
}

/** Cedar's JSON form. */
export function policyJson(policy: WrittenPolicy): Record<string, unknown> {
  return {
    effect: policy.effect,
    principal: scopeJson(policy.principal),
    action: { op: '==', entity: { type: 'Action', id: policy.action } },
    resource: scopeJson(policy.resource),
    conditions: policy.conditions.map(({ json }) => ({ kind: 'when', body: json })),
    annotations: Object.fromEntries([['id', policy.id], ...policy.notes]),
  }
}

/** Cedar text. */
export function policyText(policy: WrittenPolicy): string {
  const { effect, principal, action, resource, conditions } = policy
  return [
    ...[['id', policy.id] as const, ...policy.notes].map(
      ([name, value]) => `@${name}(${cedarString(value)})`,
    ),
    `${effect} (`,
    `  principal ${scopeText(principal)},`,
    `  action == ${uid('Action', action)},`,
    `  resource ${scopeText(resource)}`,
    [')', ...conditions.map((condition) => `when { ${condition.text} }`)].join('\n').concat(';'),
  ].join('\n')
}

/** A Cedar string literal. Everything outside printable ASCII is escaped by code point. */
export function cedarString(value: string): string {
  let out = '"'
  for (const char of value.toWellFormed()) {
    if (char === '"' || char === '\\') out += `\\${char}`
    else if (char >= ' ' && char <= '~') out += char
    else out += `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`
  }
  return `${out}"`
}

function scopeJson(scope: Scope): Record<string, unknown> {
  if (scope.op === 'is') return { op: 'is', entity_type: scope.type }
  return { op: scope.op, entity: { type: scope.type, id: scope.id } }
}

function scopeText(scope: Scope): string {
  return scope.op === 'is' ? `is ${scope.type}` : `${scope.op} ${uid(scope.type, scope.id)}`
}

function uid(type: string, id: string): string {
  return `${type}::${cedarString(id)}`
}

function operand({ text: inner, loose }: Expression): string {
  return loose ? `(${inner})` : inner
}
