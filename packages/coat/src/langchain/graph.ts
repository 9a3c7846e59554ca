/** What LangGraph adds to LangChain's callbacks: nodes, interrupts and their answers. Pure. */
import { fields, figure, list, presentOrNone, text } from '../adapters/shapes.ts'

/** LangGraph's plumbing wears this tag; it makes no event, but what runs below it keeps its parents. */
const HIDDEN = 'langsmith:hidden'

export function isHidden(tags: unknown): boolean {
  return list(tags).includes(HIDDEN)
}

export function graphPlace(metadata: unknown): Record<string, unknown> | undefined {
  const told = fields(metadata)
  const node = text(told?.['langgraph_node'])
  if (node === undefined) return undefined
  return presentOrNone({
    node,
    step: figure(told?.['langgraph_step']),
    parent: outerNode(told?.['langgraph_checkpoint_ns'] ?? told?.['checkpoint_ns']),
  })
}

/** A namespace reads `outer:<task>|inner:<task>`: the node around the innermost is its parent. */
function outerNode(namespace: unknown): string | undefined {
  const around = text(namespace)?.split('|').at(-2)
  return around === undefined ? undefined : text(around.split(':')[0])
}

export function conversationId(metadata: unknown): string | undefined {
  const told = fields(metadata)
  for (const name of ['session_id', 'thread_id', 'conversation_id']) {
    const id = told?.[name]
    if (typeof id === 'string' && id !== '') return id
    if (typeof id === 'number') return String(id)
  }
  return undefined
}

export interface Interrupt {
  readonly id: string
  readonly value: unknown
}

/** Thrown to steer a graph, not because something failed: an interrupt, or a command for the graph around. */
export function isControlFlow(error: unknown): boolean {
  const told = fields(error)
  const name = text(told?.['name'])
  return (
    told?.['is_bubble_up'] === true ||
    name === 'GraphInterrupt' ||
    name === 'NodeInterrupt' ||
    name === 'ParentCommand'
  )
}

export function interruptsOf(error: unknown): Interrupt[] {
  return list(fields(error)?.['interrupts']).map((each, index) => {
    const told = fields(each)
    return {
      id: text(told?.['id']) ?? text(told?.['interrupt_id']) ?? `interrupt-${index}`,
      value: told?.['value'],
    }
  })
}

/** @returns The answer that a graph is resumed with; `undefined` when these inputs resume nothing. */
export function resumeOf(inputs: unknown): { readonly value: unknown } | undefined {
  const told = fields(inputs)
  if (told?.['lg_name'] !== 'Command' || told['resume'] === undefined) return undefined
  return { value: told['resume'] }
}

/** An answer may be given to all that asked, or to each by the id of its interrupt. */
export function answerFor(resume: unknown, id: string): { readonly value: unknown } | undefined {
  const byId = fields(resume)
  const keys = byId === undefined || Array.isArray(byId) ? [] : Object.keys(byId)
  const named = keys.length > 0 && keys.every((key) => /^[0-9a-f]{32}$/.test(key))
  if (!named) return { value: resume }
  return byId !== undefined && id in byId ? { value: byId[id] } : undefined
}

export type Outcome = 'approved' | 'denied' | 'answered'

/** What an answer means: a plain yes or no, or the decisions of a review; all else just answers. */
export function outcomeOf(answer: unknown): Outcome {
  if (typeof answer === 'boolean') return answer ? 'approved' : 'denied'
  const told = Array.isArray(answer) ? answer : fields(answer)?.['decisions']
  const types = list(told ?? [answer]).map(
    (each) => text(fields(each)?.['type']) ?? text(fields(each)?.['action']),
  )
  if (types.length === 0) return 'answered'
  if (types.every((type) => type === 'approve' || type === 'accept' || type === 'edit')) {
    return 'approved'
  }
  return types.every((type) => type === 'reject' || type === 'ignore') ? 'denied' : 'answered'
}
