/** What the body of a program asks for by name: calls with literal names, and `vault://` literals. */
import type { Argument, Expression } from './ast.ts'
import type { ProgramCode } from './definition.ts'
import { EFFECTS, type EffectName } from './host.ts'
import { toolName } from './permission-names.ts'
import type { Permission } from './permissions.ts'

export type Asked = Omit<Permission, 'conditions'>

export interface Found {
  readonly asked: readonly Asked[]
  readonly notes: readonly string[]
}

const EFFECT_NAMES: ReadonlySet<string> = new Set(EFFECTS)

export function askedInCode(code: ProgramCode): Found {
  const own = new Set([...code.actions, ...code.functions].map(({ name }) => name.text))
  const asked: Asked[] = []
  const notes: string[] = []
  for (const node of expressionsOf([code.actions, code.functions, code.bodies])) {
    const { line } = node.span.start
    if (node.kind === 'secret') asked.push({ kind: 'credential', name: node.path, line })
    if (node.kind !== 'call' || node.callee.kind !== 'name') continue
    const name = node.callee.text
    // A function of the program's own hides the effect of that name.
    if (!EFFECT_NAMES.has(name) || own.has(name)) continue
    const found = ofCall(name as EffectName, node.args, line)
    if (typeof found === 'string') notes.push(`line ${line}: ${found}`)
    else if (found !== undefined) asked.push(found)
  }
  return { asked, notes }
}

/** What it asks for; undefined: nothing; or why that cannot be told. */
function ofCall(
  name: EffectName,
  args: readonly Argument[],
  line: number,
): Asked | string | undefined {
  const computed = (what: string): string =>
    `${name} is given a name that is worked out: it asks for nothing, name ${what}`
  switch (name) {
    case 'call_tool': {
      const tool = literal(args, 'name')
      return tool === undefined
        ? computed('the tools in the attribute "tools"')
        : { ...toolName(tool), line }
    }
    case 'ask': {
      const agent = literal(args, 'agent')
      return agent === undefined
        ? computed('the agents in the attribute "agents"')
        : { kind: 'agent', name: agent, line }
    }
    case 'secret': {
      const secret = literal(args, 'name')
      return secret === undefined
        ? computed('the secrets in the attribute "secrets"')
        : { kind: 'secret', name: secret, line }
    }
    case 'trigger_workflow': {
      if (args.length === 0) return undefined
      const id = literal(args, 'id')
      return id === undefined
        ? computed('the workflow in the attribute "workflow"')
        : { kind: 'workflow', name: id, line }
    }
    case 'http_request':
      return hostOf(args, line) ?? computed('the hosts in the attribute "hosts"')
    case 'search_knowledge':
      return { kind: 'knowledge', name: 'shared', access: 'read', line }
    case 'recall':
      return { kind: 'knowledge', name: 'own', access: 'read', line }
    case 'remember':
      return { kind: 'knowledge', name: 'own', access: 'write', line }
    default:
      return undefined
  }
}

function literal(args: readonly Argument[], name: string): string | undefined {
  const value = argument(args, name)
  return value?.kind === 'string' ? value.value : undefined
}

function argument(args: readonly Argument[], name: string): Expression | undefined {
  const named = args.find((arg) => arg.name?.text === name)
  return (named ?? args.find((arg) => arg.name === undefined))?.value
}

/** Also of a text that begins with a whole origin: whatever is added to it goes to the same host. */
function hostOf(args: readonly Argument[], line: number): Asked | undefined {
  let value = argument(args, 'url')
  let joined = false
  while (value?.kind === 'binary' && value.operator === '+') {
    value = value.left
    joined = true
  }
  if (value?.kind !== 'string') return undefined
  if (joined && !/^https?:\/\/[^/?#@\\]+\//i.test(value.value)) return undefined
  return hostAsked(value.value, line)
}

/** Undefined: it is no URL of http or https. */
export function hostAsked(text: string, line: number): Asked | undefined {
  if (!URL.canParse(text)) return undefined
  const { protocol, hostname, port } = new URL(text)
  if (protocol !== 'https:' && protocol !== 'http:') return undefined
  const name = port === '' ? hostname : `${hostname}:${port}`
  return { kind: 'host', name, line, ...(protocol === 'http:' && { access: 'cleartext' }) }
}

/** Every expression below, in the order of the source. */
function* expressionsOf(node: unknown): Iterable<Expression> {
  if (typeof node !== 'object' || node === null) return
  if (Array.isArray(node)) {
    for (const part of node) yield* expressionsOf(part)
    return
  }
  // Expressions are the nodes of these two kinds that we look for; statements have other kinds.
  if ('kind' in node && (node.kind === 'call' || node.kind === 'secret')) yield node as Expression
  for (const [name, part] of Object.entries(node)) if (name !== 'span') yield* expressionsOf(part)
}
