/** What the body of a program asks for by name: calls with literal names, and `vault://` literals. */
import type { Argument, Expression } from './ast.ts'
import type { ProgramCode } from './definition.ts'
import { EFFECTS, type EffectName } from './host.ts'
import { expressionsOf, reachable } from './names-in.ts'
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
  for (const node of expressionsOf(ranCode(code))) {
    const { line } = node.span.start
    if (node.kind === 'secret') asked.push({ kind: 'credential', name: node.path, line })
    if (node.kind !== 'call' || node.callee.kind !== 'name') continue
    const name = node.callee.text
    // A function of the program's own hides the effect of that name.
    if (!EFFECT_NAMES.has(name) || own.has(name)) continue
    const found = ofCall(name as EffectName, node.args, line)
    if (typeof found === 'object' && isWild(found, node.args))
      notes.push(
        `line ${line}: ${name} is given a pattern: it asks for nothing, list it in an attribute`,
      )
    else if (typeof found === 'string') notes.push(`line ${line}: ${found}`)
    else if (found !== undefined) asked.push(found)
  }
  return { asked, notes }
}

/** What can run. A function of the file that only another agent calls asks for nothing here. */
function ranCode({ actions, bodies, functions }: ProgramCode): readonly unknown[] {
  const starts = functions.filter(({ name }) => name.text === 'main')
  return [actions, bodies, starts, reachable([actions, bodies, starts], functions)]
}

/** A call names one thing. What stands for many is asked for where people look for it: in an attribute. */
function isWild({ kind }: Asked, args: readonly Argument[]): boolean {
  const names = ['name', 'agent', 'id', 'workflow_id'].map((name) => argument(args, name))
  if (!['tool', 'mcp', 'agent', 'secret', 'workflow'].includes(kind)) return false
  return names.some((one) => one?.kind === 'string' && /[*?{}[\]]/.test(one.value))
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
      // Without an id, or with a record of parameters in its place, the attribute says which.
      const given = argument(args, 'id') ?? argument(args, 'workflow_id')
      if (given === undefined || given.kind === 'record') return undefined
      const id = given.kind === 'string' ? given.value : undefined
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

/** As the host reads it: by name, else in the first place. */
function argument(args: readonly Argument[], name: string): Expression | undefined {
  return named(args, name) ?? positional(args)[0]
}

function named(args: readonly Argument[], name: string): Expression | undefined {
  return args.find((arg) => arg.name?.text === name)?.value
}

function positional(args: readonly Argument[]): readonly Expression[] {
  return args.flatMap((arg) => (arg.name === undefined ? [arg.value] : []))
}

/** Of the methods that a request may begin with, as in `http_request("POST", url)`. */
const METHOD = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/i

function urlOf(args: readonly Argument[]): Expression | undefined {
  const [first, second] = positional(args)
  const byPlace = first?.kind === 'string' && METHOD.test(first.value) ? second : first
  return named(args, 'url') ?? byPlace
}

/** Also of a text that begins with a whole origin: whatever is added to it goes to the same host. */
function hostOf(args: readonly Argument[], line: number): Asked | undefined {
  let value = urlOf(args)
  let joined = false
  while (value?.kind === 'binary' && value.operator === '+') {
    value = value.left
    joined = true
  }
  if (value?.kind !== 'string') return undefined
  if (joined && !/^https?:\/\/[^/?#@\\]+\//i.test(value.value)) return undefined
  const asked = hostAsked(value.value, line)
  return asked?.name.includes('*') ? undefined : asked
}

/** Undefined: it is no URL of http or https. */
export function hostAsked(text: string, line: number): Asked | undefined {
  if (!URL.canParse(text)) return undefined
  const { protocol, hostname, port } = new URL(text)
  if (protocol !== 'https:' && protocol !== 'http:') return undefined
  const name = port === '' ? hostname : `${hostname}:${port}`
  return { kind: 'host', name, line, ...(protocol === 'http:' && { access: 'cleartext' }) }
}
