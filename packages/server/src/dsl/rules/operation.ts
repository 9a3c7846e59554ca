/** What a program is about to do, as the rules of its policies see it, and the words they have for it. */
import type { Value } from '../host.ts'

/** Kinds of operations. The first six need a rule that allows them, or a declared capability; the others do not. */
export const OPERATION_KINDS = [
  'tool call',
  'http',
  'secret',
  'publish',
  'delegate',
  'file',
  'workflow',
  'knowledge',
  'model',
  'log',
] as const
export type OperationKind = (typeof OPERATION_KINDS)[number]

const GATED: ReadonlySet<OperationKind> = new Set<OperationKind>([
  'tool call',
  'http',
  'secret',
  'publish',
  'delegate',
  'file',
])

export interface Operation {
  readonly op: OperationKind
  /** Of the tool (`notes:append`, `mcp/notes:append`), the host, the secret, the topic, the agent, the path. */
  readonly name: string
  readonly args: Readonly<Record<string, Value>>
  /** More names of it: a host with its port. */
  readonly tags?: readonly string[]
}

const WORDS: ReadonlyMap<string, OperationKind> = new Map<string, OperationKind>([
  ...OPERATION_KINDS.map((kind) => [kind, kind] as const),
  ['tool', 'tool call'],
  ['tool_call', 'tool call'],
  ['call_tool', 'tool call'],
  ['http_request', 'http'],
  ['network', 'http'],
  ['ask', 'delegate'],
  ['trigger_workflow', 'workflow'],
  ['search_knowledge', 'knowledge'],
  ['remember', 'knowledge'],
  ['recall', 'knowledge'],
])

/** The kind that a word of a rule means; undefined for the name of one operation. */
export function kindNamed(word: string): OperationKind | undefined {
  return WORDS.get(word)
}

export function isGated({ op }: Operation): boolean {
  return GATED.has(op)
}

/** A name covers itself and what is in it: `notes` covers `notes:append`. `*` stands for any characters. */
export function covers(pattern: string, name: string): boolean {
  if (pattern === name || name.startsWith(`${pattern}:`)) return true
  return pattern.includes('*') && starMatches(pattern, name)
}

/** Whether a pattern means it, by any of its names. */
export function isNamed(pattern: string, { name, tags = [] }: Operation): boolean {
  return [name, ...tags].some((one) => covers(pattern, one))
}

/** Whether declared capabilities cover it: by its kind, by its name, or both (`http:api.example.com`). */
export function withinCapabilities(operation: Operation, capabilities: readonly string[]): boolean {
  const { op } = operation
  return capabilities.some((capability) => {
    if (capability === '*' || kindNamed(capability) === op) return true
    if (isNamed(capability, operation)) return true
    const colon = capability.indexOf(':')
    if (colon < 0 || kindNamed(capability.slice(0, colon)) !== op) return false
    return isNamed(capability.slice(colon + 1), operation)
  })
}

/** Only `*` is special. At most text × pattern steps. */
function starMatches(pattern: string, text: string): boolean {
  let [p, t, star, resume] = [0, 0, -1, 0]
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p
      resume = t
      p += 1
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p += 1
      t += 1
    } else if (star >= 0) {
      resume += 1
      t = resume
      p = star + 1
    } else return false
  }
  while (pattern[p] === '*') p += 1
  return p === pattern.length
}
