/** The families of kinds: which of them are spans, of what kind they are in either vocabulary, and their names. */
import { CORE_KINDS } from '@vestry/coat/aot'
import { type CoatEvent, members, type Payload, text } from './coat-event.ts'

/** `Span.kind` of OTLP. */
export const INTERNAL = 1
export const CLIENT = 3

export type OpenInferenceKind =
  | 'AGENT'
  | 'CHAIN'
  | 'LLM'
  | 'EMBEDDING'
  | 'TOOL'
  | 'RETRIEVER'
  | 'GUARDRAIL'
  | 'PROMPT'

export type FamilyName =
  | 'session'
  | 'run'
  | 'step'
  | 'llm'
  | 'tool'
  | 'memory.read'
  | 'memory.write'
  | 'memory.delete'
  | 'subagent'
  | 'human'

export interface Family {
  /** undefined: told by log records only. */
  readonly kind: ((facts: Payload) => OpenInferenceKind) | undefined
  readonly spanKind: (facts: Payload) => number
  /** `gen_ai.operation.name` */
  readonly operation: (facts: Payload) => string | undefined
  /** @param agent Name of a claimed caller. */
  readonly name: (facts: Payload, agent: string | undefined) => string
}

const internal = (): number => INTERNAL
const client = (): number => CLIENT
const none = (): undefined => undefined
const fn = (facts: Payload): string => text(facts['fn']) ?? 'anonymous'

export const FAMILIES: Readonly<Record<FamilyName, Family>> = {
  session: { kind: undefined, spanKind: internal, operation: none, name: () => 'session' },
  run: {
    kind: () => 'AGENT',
    spanKind: internal,
    operation: () => 'invoke_agent',
    name: (facts, agent) => `invoke_agent ${agent ?? fn(facts)}`,
  },
  step: {
    kind: ({ step_kind: kind }) =>
      kind === 'guardrail' ? 'GUARDRAIL' : kind === 'prompt' ? 'PROMPT' : 'CHAIN',
    spanKind: internal,
    operation: ({ step_kind: kind, op }) => {
      if (kind === 'plan' || op === 'plan') return 'plan'
      return op === 'workflow' ? 'invoke_workflow' : undefined
    },
    name: fn,
  },
  llm: {
    kind: (facts) => (modelOperation(facts) === 'embeddings' ? 'EMBEDDING' : 'LLM'),
    spanKind: client,
    operation: modelOperation,
    name: (facts) => {
      const model = text(facts['model']) ?? text(facts['response_model'])
      return model === undefined ? modelOperation(facts) : `${modelOperation(facts)} ${model}`
    },
  },
  tool: {
    kind: () => 'TOOL',
    spanKind: ({ mcp }) => (members(mcp) === undefined ? INTERNAL : CLIENT),
    operation: () => 'execute_tool',
    name: (facts) => {
      const tool = text(members(facts['tool'])?.['name']) ?? fn(facts)
      const mcp = members(facts['mcp'])
      if (mcp === undefined) return `execute_tool ${tool}`
      const method = text(mcp['method']) ?? 'tools/call'
      return method === 'tools/call' ? `tools/call ${tool}` : method
    },
  },
  'memory.read': {
    kind: () => 'RETRIEVER',
    spanKind: client,
    operation: reading,
    name: reading,
  },
  'memory.write': {
    kind: () => 'CHAIN',
    spanKind: client,
    operation: writing,
    name: writing,
  },
  'memory.delete': {
    kind: () => 'CHAIN',
    spanKind: client,
    operation: () => 'delete_memory',
    name: () => 'delete_memory',
  },
  subagent: {
    kind: () => 'AGENT',
    spanKind: ({ via }) => (via === 'remote' ? CLIENT : INTERNAL),
    operation: () => 'invoke_agent',
    name: (facts) => `invoke_agent ${text(facts['name']) ?? fn(facts)}`,
  },
  human: {
    kind: () => 'CHAIN',
    spanKind: internal,
    operation: none,
    name: (facts) => `human ${text(facts['request']) ?? 'request'}`,
  },
}

/** Kinds whose start and end differ by name; all others tell by `phase`. */
const ENDS = new Set(['end', 'response', 'result'])
const PHASED = /^agent\.(?:memory|human)\./

/** A table, not a rule: whoever makes up a kind must not end up in a family by the way it is spelt. */
const FAMILY_OF: ReadonlyMap<string, FamilyName> = new Map(
  CORE_KINDS.map((kind) => {
    const [, first = '', second = ''] = kind.split('.')
    const name = first === 'memory' ? `memory.${second}` : first
    return [kind, name as FamilyName] // the sixteen kinds are of these families
  }),
)

/** @returns undefined for extensions and kinds that nobody registered. */
export function familyOf(kind: string): FamilyName | undefined {
  return FAMILY_OF.get(kind)
}

export function isEnd({ kind, payload }: CoatEvent): boolean {
  const last = kind.slice(kind.lastIndexOf('.') + 1)
  return ENDS.has(last) || (PHASED.test(kind) && payload['phase'] === 'end')
}

function modelOperation(facts: Payload): string {
  const told = text(facts['operation'])
  if (told !== undefined) return told
  if (facts['op'] === 'embedding') return 'embeddings'
  return facts['op'] === 'completion' ? 'text_completion' : 'chat'
}

function reading(facts: Payload): string {
  return facts['source'] === 'retriever' ? 'retrieval' : 'search_memory'
}

function writing({ operation }: Payload): string {
  if (operation === 'create') return 'create_memory'
  return operation === 'update' || operation === 'compact' ? 'update_memory' : 'upsert_memory'
}
