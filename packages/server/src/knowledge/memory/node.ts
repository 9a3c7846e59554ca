/** What agents remember: shapes, bounds, and which of it stays. Pure. */
import { issueText } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import { MemoryLevel, MemoryType } from '@vestry/contract/runtime'
import * as z from 'zod'

export interface MemoryNode {
  readonly id: string
  /** Id of the agent. */
  readonly agentId: string
  readonly conversationId: string | undefined
  readonly parentId: string | undefined
  readonly type: MemoryType
  readonly level: MemoryLevel
  readonly content: Readonly<Record<string, unknown>>
  readonly metadata: Readonly<Record<string, unknown>>
  /** Of what the transaction that stored it had read; sorted. */
  readonly labels: readonly string[]
  /** 0 to 1. */
  readonly importance: number
  readonly accessCount: number
  /** Epoch ms, as all times here. */
  readonly timestamp: number
  readonly lastAccessed: number | undefined
  readonly createdAt: number
}

/** Of one agent. A fifth more than that, and it is tidied. */
export const CAPACITY: Readonly<Record<MemoryLevel, number>> = {
  short_term: 50,
  long_term: 1_000,
  episodic: 500,
  semantic: 2_000,
}
export const OVERFLOW = 1.2
/** Short-term memories that nobody looked at for so long are gone. */
export const IDLE_MS = 3_600_000
/** Short-term memories that matter more become long-term ones. */
export const PROMOTED_ABOVE = 0.7
/** Of two that say the same, one is kept. */
export const SAME_COSINE = 0.97

const MAX_CONTENT_BYTES = 65_536
const MAX_METADATA_BYTES = 16_384
const MAX_TEXT_CHARS = 8_192

const Id = z.string().min(1).max(128)
const json = (maxBytes: number) =>
  z
    .record(z.string(), z.unknown())
    .refine(
      (value) => Buffer.byteLength(JSON.stringify(value)) <= maxBytes,
      `takes at most ${maxBytes} bytes`,
    )
const Type = z.enum(MemoryType)
const Level = z.enum(MemoryLevel)
const Unit = z.number().min(0).max(1)
const Time = z.union([z.number(), z.string().max(64)]).transform((value, context) => {
  const ms = typeof value === 'number' ? value * 1_000 : Date.parse(value)
  if (Number.isFinite(ms) && Math.abs(ms) <= 8.64e15) return ms
  context.addIssue({ code: 'custom', message: 'must be a time in RFC 3339' })
  return z.NEVER
})

const Store = z.object({
  content: json(MAX_CONTENT_BYTES),
  memory_type: Type,
  memory_level: Level,
  agent_id: Id,
  conversation_id: Id.optional(),
  importance_score: Unit.default(0),
  parent_id: Id.optional(),
  metadata: json(MAX_METADATA_BYTES).default({}),
})
const Search = z.object({
  agent_id: Id,
  query: json(MAX_METADATA_BYTES).default({}),
  memory_levels: z.array(Level).max(4).default([]),
  content_contains: z.string().max(1_024).optional(),
  importance_threshold: Unit.optional(),
  time_range: z
    .preprocess(withoutNulls, z.object({ start: Time.optional(), end: Time.optional() }))
    .optional(),
  limit: z.int().min(1).max(1_000).default(50),
})
const Get = z.object({
  agent_id: Id,
  memory_id: Id.optional(),
  conversation_id: Id.optional(),
  memory_type: Type.optional(),
  memory_level: Level.optional(),
  parent_id: Id.optional(),
})
export type AskedMemory = z.output<typeof Store>
export type AskedSearch = z.output<typeof Search>
export type AskedOne = z.output<typeof Get>

/** @throws VestryError VALIDATION_ERROR, as all of these. */
export const readMemory = (body: unknown): AskedMemory => read(Store, body)
export const readSearch = (body: unknown): AskedSearch => read(Search, body)
export const readOne = (query: unknown): AskedOne => read(Get, query)

/** What it says, for who searches by meaning. */
export function textOf(content: Readonly<Record<string, unknown>>): string {
  const { text } = content
  const whole = typeof text === 'string' ? text : leaves(content).join(' ')
  return whole.slice(0, MAX_TEXT_CHARS).toWellFormed()
}

export function isExpired(
  node: Pick<MemoryNode, 'level' | 'lastAccessed' | 'createdAt'>,
  nowMs: number,
): boolean {
  return node.level === 'short_term' && (node.lastAccessed ?? node.createdAt) + IDLE_MS <= nowMs
}

/** Which of them there are too many of: the least important go first, of these the oldest. */
export function surplus(nodes: readonly MemoryNode[], capacity: number): readonly MemoryNode[] {
  if (nodes.length <= capacity) return []
  return nodes
    .toSorted((a, b) => a.importance - b.importance || a.timestamp - b.timestamp)
    .slice(0, nodes.length - capacity)
}

/** @param agentName As clients know it. */
export function nodeBody(
  node: MemoryNode,
  agentName: string,
  children: readonly string[],
): Record<string, unknown> {
  return {
    id: node.id,
    content: node.content,
    memory_type: node.type,
    memory_level: node.level,
    timestamp: new Date(node.timestamp).toISOString(),
    agent_id: agentName,
    conversation_id: node.conversationId ?? null,
    parent_id: node.parentId ?? null,
    children_ids: children,
    importance_score: node.importance,
    access_count: node.accessCount,
    last_accessed:
      node.lastAccessed === undefined ? null : new Date(node.lastAccessed).toISOString(),
    metadata: node.metadata,
    labels: node.labels,
  }
}

export function unknownMemory(): VestryError {
  return new VestryError('MEMORY_NOT_FOUND', 'There is no such memory')
}

function leaves(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value === 'number' || typeof value === 'boolean') return [String(value)]
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(leaves)
}

/** Clients send every member, null where nothing is meant. */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null))
}

function read<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(withoutNulls(body))
  if (parsed.success) return parsed.data
  const fields = parsed.error.issues.map((issue) => ({
    path: z.core.toDotPath(issue.path),
    problem: issueText(issue) === 'is required' ? 'required' : issueText(issue),
  }))
  const told = fields.map(({ path, problem }) => `${path}: ${problem}`).join('; ')
  throw new VestryError('VALIDATION_ERROR', told, { context: { details: { fields } } })
}
