/** Tags of operations: which events one makes, and what its payload says beside the name. */

/** The tags by name; the strings do as well. */
export const Op = Object.freeze({
  SESSION: 'session',
  RUN: 'run',
  STEP: 'step',
  LLM: 'llm',
  TOOL: 'tool',
  MEMORY_READ: 'memory.read',
  MEMORY_WRITE: 'memory.write',
  MEMORY_DELETE: 'memory.delete',
  SUBAGENT: 'subagent',
  HUMAN: 'human',
} as const)
export type Op = (typeof Op)[keyof typeof Op]

/** What kind of thing a tag names. */
export type Family = Op

export interface Operation {
  readonly family: Family
  /** `payload.op`: the tag as written, in lower case. */
  readonly tag: string
  readonly startKind: string
  readonly endKind: string
  /** Start and end have one kind, and a `phase` that tells them apart. */
  readonly phased: boolean
  /** The tag was no tag. */
  readonly invalid: boolean
}

const KINDS: Record<Family, readonly [start: string, end: string]> = {
  session: ['agent.session.start', 'agent.session.end'],
  run: ['agent.run.start', 'agent.run.end'],
  step: ['agent.step.start', 'agent.step.end'],
  llm: ['agent.llm.request', 'agent.llm.response'],
  tool: ['agent.tool.call', 'agent.tool.result'],
  'memory.read': ['agent.memory.read', 'agent.memory.read'],
  'memory.write': ['agent.memory.write', 'agent.memory.write'],
  'memory.delete': ['agent.memory.delete', 'agent.memory.delete'],
  subagent: ['agent.subagent.start', 'agent.subagent.end'],
  human: ['agent.human.request', 'agent.human.request'],
}

const FAMILIES = new Map<string, Family>([
  ['session', 'session'],
  ['run', 'run'],
  ['agent', 'run'],
  ['step', 'step'],
  ['chain', 'step'],
  ['task', 'step'],
  ['workflow', 'step'],
  ['plan', 'step'],
  ['llm', 'llm'],
  ['chat', 'llm'],
  ['completion', 'llm'],
  ['embedding', 'llm'],
  ['tool', 'tool'],
  ['function', 'tool'],
  ['memory', 'memory.read'],
  ['memory.read', 'memory.read'],
  ['retriever', 'memory.read'],
  ['retrieval', 'memory.read'],
  ['memory.write', 'memory.write'],
  ['memory.delete', 'memory.delete'],
  ['subagent', 'subagent'],
  ['human', 'human'],
])

const TAG = /^[a-z][a-z0-9_.-]{0,63}$/

/** Adapters and wrappers use few tags; more are computed anew each time. */
const MAX_KNOWN = 1024
const known = new Map<unknown, Operation>()

/** Any other tag is a step of its own name; what is no tag at all is a step too, and says so. */
export function operationOf(tag: unknown): Operation {
  const found = known.get(tag)
  if (found !== undefined) return found
  const operation = describe(tag)
  if (known.size < MAX_KNOWN) known.set(tag, operation)
  return operation
}

function describe(given: unknown): Operation {
  const tag = typeof given === 'string' ? given.toLowerCase().slice(0, 65) : ''
  const family = FAMILIES.get(tag) ?? 'step'
  const [startKind, endKind] = KINDS[family]
  return Object.freeze({
    family,
    tag: tag.slice(0, 64),
    startKind,
    endKind,
    phased: startKind === endKind,
    invalid: !TAG.test(tag),
  })
}
