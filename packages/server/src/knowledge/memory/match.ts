/** Which memories are asked for, by what they say of themselves. Pure. */
import { canonicalJson } from '@vestry/contract/canonical'
import type { AskedOne, AskedSearch, MemoryNode } from './node.ts'

/** Members of a node by the names that clients use. */
const FIELDS: Readonly<Record<string, (node: MemoryNode) => unknown>> = {
  id: ({ id }) => id,
  memory_type: ({ type }) => type,
  memory_level: ({ level }) => level,
  conversation_id: ({ conversationId }) => conversationId,
  parent_id: ({ parentId }) => parentId,
  importance_score: ({ importance }) => importance,
  access_count: ({ accessCount }) => accessCount,
  content: ({ content }) => content,
  metadata: ({ metadata }) => metadata,
}
/** Searched by meaning, or known already. */
const ELSEWHERE: ReadonlySet<string> = new Set(['text', 'agent_id'])

export function isAskedFor(node: MemoryNode, asked: AskedSearch): boolean {
  const { memory_levels: levels, content_contains: part, time_range: range } = asked
  if (levels.length > 0 && !levels.includes(node.level)) return false
  if (node.importance < (asked.importance_threshold ?? 0)) return false
  if (node.timestamp < (range?.start ?? Number.NEGATIVE_INFINITY)) return false
  if (node.timestamp > (range?.end ?? Number.POSITIVE_INFINITY)) return false
  if (part !== undefined && !folded(JSON.stringify(node.content)).includes(folded(part)))
    return false
  return Object.entries(asked.query).every(
    ([name, value]) => ELSEWHERE.has(name) || value === null || isEqual(node, name, value),
  )
}

export function isTheOne(node: MemoryNode, asked: AskedOne): boolean {
  return (
    (asked.memory_id === undefined || node.id === asked.memory_id) &&
    (asked.conversation_id === undefined || node.conversationId === asked.conversation_id) &&
    (asked.memory_type === undefined || node.type === asked.memory_type) &&
    (asked.memory_level === undefined || node.level === asked.memory_level) &&
    (asked.parent_id === undefined || node.parentId === asked.parent_id)
  )
}

/** What is no member of a node is one of its content. */
function isEqual(node: MemoryNode, name: string, value: unknown): boolean {
  const own = Object.hasOwn(FIELDS, name) ? FIELDS[name]?.(node) : ownMember(node.content, name)
  return own !== undefined && canonicalJson(own) === canonicalJson(value)
}

function ownMember(content: MemoryNode['content'], name: string): unknown {
  return Object.hasOwn(content, name) ? content[name] : undefined
}

function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase()
}
