/**
 * What a program asks for: its attributes, its capabilities and the names in its body, kept to what its own policies
 * leave of them. From the file alone, so that the same file always asks for the same.
 */
import { type Asked, askedInCode, type Found, hostAsked } from './asked-for.ts'
import type { Rule } from './ast.ts'
import { budgetsOf } from './budgets.ts'
import { conditionTexts, requirementsOf } from './condition-text.ts'
import type { CheckedAgent, Json, ProgramDefinition } from './definition.ts'
import { coversName } from './permission-cover.ts'
import { nameProblem, PERMISSION_KINDS, type PermissionKind, toolName } from './permission-names.ts'
import type { Permission, Permissions } from './permissions.ts'
import { covers, kindNamed, type OperationKind, withinCapabilities } from './rules/operation.ts'
import { type NamedRule, namedRules } from './rules/rule-names.ts'
import { wordOf } from './rules/target.ts'

/** @throws VestryError DSL_INVALID for a budget that cannot be read. */
export function permissionsOf(agent: CheckedAgent): Permissions {
  const { definition, code } = agent
  const inCode = askedInCode(code)
  const attributes = askedInAttributes(definition)
  const notes = [...inCode.notes, ...attributes.notes]
  const asked = [...attributes.asked, ...inCode.asked].filter((one) => {
    const problem = nameProblem(one)
    if (problem !== undefined)
      notes.push(`${place(one)}${one.kind} ${JSON.stringify(one.name)} ${problem}`)
    return problem === undefined
  })
  const rules = namedRules(code.policies).map((one) => ({
    ...one,
    id: one.id.slice('dsl:'.length),
  }))
  const declared = declaredOf(agent)
  const allows = asked.flatMap((one) => allowed(one, rules, declared, notes))
  const denies = rules.flatMap((rule) => denied(rule, asked, notes))
  const texts = conditionTexts(agent)
  const requires = requirementsOf(agent)
  const used = [...allows, ...denies].flatMap(({ conditions }) => conditions)
  return {
    allows: distinct(allows),
    denies: distinct(denies),
    budgets: budgetsOf(definition),
    rules: Object.fromEntries([...new Set(used)].sort().map((id) => [id, texts.get(id) ?? ''])),
    ...(requires.length > 0 && { requires }),
    notes: [...new Set(notes)].sort(),
  }
}

/** Capabilities, and what attributes name: what a program without allow rules is kept to. Sorted. */
export function declaredOf({ definition }: CheckedAgent): readonly string[] {
  const words: Readonly<Partial<Record<PermissionKind, string>>> = {
    host: 'http',
    secret: 'secret',
    credential: 'secret',
    agent: 'delegate',
    workflow: 'workflow',
  }
  const named = askedInAttributes(definition).asked.flatMap(({ kind, name }) => {
    if (kind === 'tool' || kind === 'mcp') return name
    const word = words[kind]
    return word === undefined ? [] : `${word}:${name}`
  })
  return [...new Set([...definition.capabilities, ...named])].sort()
}

/** Lists of names in attributes. */
const LISTS: Readonly<Record<string, (name: string) => Pick<Asked, 'kind' | 'name' | 'access'>>> = {
  tools: toolName,
  model: (name) => ({ kind: 'model', name: model(name) }),
  models: (name) => ({ kind: 'model', name: model(name) }),
  credentials: (name) => ({ kind: 'credential', name: name.replace(/^vault:\/\//, '') }),
  secrets: (name) => ({ kind: 'secret', name }),
  hosts: (name) => hostAsked(name, 0) ?? { kind: 'host', name },
  knowledge: (name) => ({ kind: 'knowledge', name, access: 'read' }),
  agents: (name) => ({ kind: 'agent', name }),
  workflow: (name) => ({ kind: 'workflow', name }),
  workflows: (name) => ({ kind: 'workflow', name }),
}

function askedInAttributes(definition: ProgramDefinition): Found {
  const asked: Asked[] = []
  const notes: string[] = []
  const add = (one: Pick<Asked, 'kind' | 'name' | 'access'>): void => {
    asked.push({ ...one, line: 0 })
  }
  for (const attributes of [
    definition.attributes,
    ...definition.with.map((one) => one.attributes),
  ]) {
    for (const [name, read] of Object.entries(LISTS)) {
      for (const text of textsOf(attributes, name, notes)) add(read(text))
    }
  }
  for (const name of definition.capabilities) if (name.includes(':')) addCapability(name, add)
  const webhooks = definition.webhooks.filter(
    ({ agent }) => agent === null || agent === definition.name,
  )
  for (const { secret_ref } of [...definition.triggers, ...webhooks]) {
    if (secret_ref === '') continue
    const path = secret_ref.replace(/^vault:\/\//, '')
    add({ kind: path === secret_ref ? 'secret' : 'credential', name: path })
  }
  return { asked, notes }
}

/** `notes:append` is a tool, `http:api.example.com` a host. */
function addCapability(
  text: string,
  add: (one: Pick<Asked, 'kind' | 'name' | 'access'>) => void,
): void {
  const colon = text.indexOf(':')
  const rest = text.slice(colon + 1)
  const kind = kindNamed(text.slice(0, colon))
  if (kind === undefined) add(toolName(text))
  else if (kind === 'tool call') add(toolName(rest))
  else if (kind === 'http') add({ kind: 'host', name: rest })
  else if (kind === 'secret') add({ kind: 'secret', name: rest })
  else if (kind === 'delegate') add({ kind: 'agent', name: rest })
  else if (kind === 'workflow') add({ kind: 'workflow', name: rest })
}

function textsOf(
  attributes: Readonly<Record<string, Json>>,
  name: string,
  notes: string[],
): string[] {
  const value = Object.hasOwn(attributes, name) ? attributes[name] : undefined
  if (value === undefined || value === null) return []
  const list: readonly Json[] = Array.isArray(value) ? value : [value as Json]
  const texts = list.filter((one): one is string => typeof one === 'string')
  if (texts.length < list.length) notes.push(`the attribute "${name}" holds more than names`)
  return texts
}

/** Providers are lower case. */
function model(name: string): string {
  const colon = name.indexOf(':')
  return colon < 0 ? name : name.slice(0, colon).toLowerCase() + name.slice(colon)
}

const OPERATIONS: Readonly<Record<PermissionKind, OperationKind>> = {
  tool: 'tool call',
  mcp: 'tool call',
  model: 'model',
  credential: 'secret',
  secret: 'secret',
  host: 'http',
  knowledge: 'knowledge',
  agent: 'delegate',
  workflow: 'workflow',
}
const FREE: ReadonlySet<PermissionKind> = new Set<PermissionKind>([
  'model',
  'knowledge',
  'workflow',
])

/** What the allow rules leave of it; without any, what is declared. */
function allowed(
  one: Asked,
  rules: readonly NamedRule[],
  declared: readonly string[],
  notes: string[],
): Permission[] {
  if (FREE.has(one.kind)) return [{ ...one, conditions: [] }]
  const allows = rules.filter(({ rule }) => rule.effect === 'allow')
  const operation = { op: OPERATIONS[one.kind], name: one.name, args: {} }
  if (allows.length === 0) {
    if (!withinCapabilities(operation, declared)) {
      const what = `${one.kind} ${JSON.stringify(one.name)}`
      notes.push(`${place(one)}${what} is not declared: the program cannot use it while it runs`)
    }
    return [{ ...one, conditions: [] }]
  }
  const found = allows.flatMap(({ id, rule }) =>
    targetsOf(rule.target).flatMap((target): Permission[] => {
      const name = intersection(one, target)
      if (name === undefined) return []
      return [{ ...one, name, conditions: rule.condition === undefined ? [] : [id] }]
    }),
  )
  if (found.length === 0)
    notes.push(
      `${place(one)}${one.kind} ${JSON.stringify(one.name)} is allowed by no rule of the program`,
    )
  return found
}

/** The part of what is asked for that a target means. */
function intersection(one: Asked, target: Target): string | undefined {
  if (target === 'unreadable') return undefined
  if (target.op !== undefined && target.op !== OPERATIONS[one.kind]) return undefined
  if (target.name === '*' || covers(target.name, one.name)) return one.name
  const tool = toolName(target.name)
  const isTool = one.kind === 'tool' || one.kind === 'mcp'
  if (isTool && tool.kind !== one.kind) return undefined
  const name = isTool ? tool.name : target.name
  if (nameProblem({ kind: one.kind, name }) !== undefined) return undefined
  return coversName(one.kind, one.name, name) ? name : undefined
}

function denied({ id, rule }: NamedRule, asked: readonly Asked[], notes: string[]): Permission[] {
  if (rule.effect !== 'deny') return []
  const { line } = rule.span.start
  const conditions = rule.condition === undefined ? [] : [id]
  return targetsOf(rule.target).flatMap((target): Permission[] => {
    if (target === 'unreadable')
      notes.push(`line ${line}: what ${id} denies cannot be read: it denies everything`)
    const names = target === 'unreadable' ? allKinds() : deniedNames(target, asked)
    return names.map((one) => ({ ...one, conditions, line }))
  })
}

type Denied = Pick<Permission, 'kind' | 'name'>

function deniedNames(target: Exclude<Target, 'unreadable'>, asked: readonly Asked[]): Denied[] {
  const { op, name } = target
  const kinds = PERMISSION_KINDS.filter((kind) => op === undefined || OPERATIONS[kind] === op)
  if (name === '*') return kinds.map((kind) => ({ kind, name }))
  const tool = toolName(name)
  const named = kinds.flatMap((kind): Denied[] => {
    if (kind === tool.kind) return [tool]
    // `notes:append` is also what the tool of a server is called.
    const shown = kind === 'mcp' ? `mcp/${tool.name}` : name
    if (kind === 'tool') return []
    if (op !== undefined && kind !== 'mcp') return [{ kind, name }]
    const isAsked = asked.some(
      (one) => one.kind === kind && (covers(shown, one.name) || covers(one.name, shown)),
    )
    return isAsked ? [{ kind, name: shown }] : []
  })
  // A deny that no policy can hold is held by one that denies more.
  return named.map((one) => (nameProblem(one) === undefined ? one : { kind: one.kind, name: '*' }))
}

function allKinds(): Denied[] {
  return PERMISSION_KINDS.map((kind) => ({ kind, name: '*' }))
}

type Target = { readonly op: OperationKind | undefined; readonly name: string } | 'unreadable'

function targetsOf(target: Rule['target']): Target[] {
  const word = wordOf(target)
  if (word !== undefined) return [named(word)]
  if (target.kind === 'array') return target.items.flatMap(targetsOf)
  if (target.kind !== 'call') return ['unreadable']
  const callee = wordOf(target.callee)
  if (callee === undefined) return ['unreadable']
  const [first] = target.args
  const whole = named(callee)
  if (first?.value.kind !== 'string' || whole === 'unreadable') return [whole]
  return [{ op: whole.op, name: first.value.value }]
}

function named(word: string): Target {
  if (word === 'any') return { op: undefined, name: '*' }
  const op = kindNamed(word)
  return op === undefined ? { op, name: word } : { op, name: '*' }
}

function place({ line }: Pick<Asked, 'line'>): string {
  return line === 0 ? '' : `line ${line}: `
}

/** Without repetition, the first line of each; without what an unconditional one of the same name makes idle. */
function distinct(permissions: readonly Permission[]): Permission[] {
  const found = new Map<string, Permission>()
  for (const one of permissions) {
    const key = JSON.stringify(sortKey(one))
    const known = found.get(key)
    if (known === undefined || one.line < known.line) found.set(key, one)
  }
  const all = [...found.values()]
  return all
    .filter(
      (one) =>
        one.conditions.length === 0 ||
        !found.has(JSON.stringify(sortKey({ ...one, conditions: [] }))),
    )
    .sort((a, b) => (JSON.stringify(sortKey(a)) < JSON.stringify(sortKey(b)) ? -1 : 1))
}

function sortKey({ kind, name, access, conditions }: Permission): readonly string[] {
  return [kind, name, access ?? '', ...conditions]
}
