/**
 * What agents remember, as the rest of the daemon sees it. An agent's memory is its own; what a transaction had read
 * when it stored something is said of that, and of whoever reads it.
 */

import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Agent } from '../../identity/agent.ts'
import type { ConversationMemory, Remembered } from '../context/conversation.ts'
import type { Asking } from '../requests.ts'
import { isAskedFor, isTheOne } from './match.ts'
import { MemoryAccess, type MemoryAccessDeps, type Own, SOURCE_TYPE } from './memory-access.ts'
import { MemoryRanking, type MemoryRankingDeps } from './memory-ranking.ts'
import type { StoredNode } from './memory-store.ts'
import {
  type AskedMemory,
  type AskedSearch,
  CAPACITY,
  type MemoryNode,
  nodeBody,
  OVERFLOW,
  readMemory,
  readOne,
  readSearch,
  textOf,
  unknownMemory,
} from './node.ts'
import { tidying } from './tidying.ts'

export interface MemoryDeps extends MemoryAccessDeps, MemoryRankingDeps {}

const MAX_LISTED = 1_000
const MAX_CONVERSATION = 200

export class Memory {
  readonly #deps: MemoryDeps
  readonly #access: MemoryAccess
  readonly #ranking: MemoryRanking

  constructor(deps: MemoryDeps) {
    this.#deps = deps
    this.#access = new MemoryAccess(deps)
    this.#ranking = new MemoryRanking(deps)
  }

  /** @throws VestryError VALIDATION_ERROR, AGENT_NOT_FOUND, ACCESS_DENIED, EMBEDDER_UNAVAILABLE */
  async add(asking: Asking, body: unknown): Promise<Record<string, unknown>> {
    const asked = readMemory(body)
    const own = await this.#access.own(asking, asked.agent_id)
    const node = await this.#store(own, asked)
    return { memory: nodeBody(node, own.agent.name, []), success: true, message: null }
  }

  /** The one that is named, or the newest that fits. @throws VestryError MEMORY_NOT_FOUND, ACCESS_DENIED … */
  async get(asking: Asking, query: unknown): Promise<Record<string, unknown>> {
    const asked = readOne(query)
    const own = await this.#access.own(asking, asked.agent_id)
    const [memory] = await this.#access.show(own, 'memory.get', (all) => {
      const found = all.find(({ node }) => isTheOne(node, asked))
      return found === undefined ? [] : [found.node]
    })
    if (memory === undefined) throw unknownMemory()
    return { memory, success: true, message: null }
  }

  /** Best first where `query.text` is given, else newest first. @throws VestryError VALIDATION_ERROR … */
  async search(asking: Asking, body: unknown): Promise<Record<string, unknown>> {
    const startedMs = performance.now()
    const asked = readSearch(body)
    const own = await this.#access.own(asking, asked.agent_id)
    let total = 0
    const memories = await this.#access.show(own, 'memory.search', async (all) => {
      const fitting = all.filter(({ node }) => isAskedFor(node, asked))
      const found = await this.#ranked(fitting, asked, asking.signal)
      total = found.length
      return found.slice(0, asked.limit)
    })
    return {
      memories,
      total_count: total,
      search_time_ms: performance.now() - startedMs,
      success: true,
      message: null,
    }
  }

  /** Newest first. */
  async list(asking: Asking, agentId: string, limit: number): Promise<Record<string, unknown>> {
    const body = { agent_id: agentId, limit: Math.min(limit, MAX_LISTED) }
    return this.search(asking, body)
  }

  /** In the order in which they came. @throws VestryError MEMORY_NOT_FOUND for a conversation without any. */
  async conversation(
    asking: Asking,
    agentId: string,
    conversationId: string,
  ): Promise<Record<string, unknown>> {
    const own = await this.#access.own(asking, agentId)
    const newest = await this.#access.show(own, 'memory.conversation', (all) =>
      all
        .map(({ node }) => node)
        .filter((node) => node.conversationId === conversationId)
        .slice(0, MAX_CONVERSATION),
    )
    const memories = newest.toReversed()
    if (memories.length === 0) throw unknownMemory()
    return {
      conversation_id: conversationId,
      agent_id: own.agent.name,
      memories,
      context_summary: null,
      created_at: memories[0]?.['timestamp'],
      updated_at: memories.at(-1)?.['timestamp'],
      metadata: {},
    }
  }

  /** @throws VestryError AGENT_NOT_FOUND, ACCESS_DENIED */
  async consolidate(asking: Asking, agentId: string): Promise<Record<string, unknown>> {
    const startedMs = performance.now()
    const own = await this.#access.own(asking, agentId)
    const done = await this.#access.write(own, 'memory.consolidate', [], () =>
      this.#tidy(own.agent.id),
    )
    return {
      agent_id: own.agent.name,
      ...done,
      execution_time_ms: performance.now() - startedMs,
      success: true,
      message: null,
    }
  }

  /** @throws VestryError MEMORY_NOT_FOUND, also where it is another agent's; ACCESS_DENIED */
  async remove(asking: Asking, id: string): Promise<Record<string, unknown>> {
    const node = await this.#deps.store.get(id)
    const agent = node && (await this.#deps.agents.byId(node.agentId))
    const { principal } = asking.caller
    const isForeign = principal.kind === 'agent' && principal.agent.id !== agent?.id
    if (node === undefined || agent === undefined || isForeign) throw unknownMemory()
    const own = await this.#access.own(asking, agent.name)
    await this.#access.write(own, 'memory.delete', node.labels, async () => {
      if (!(await this.#deps.store.remove(id))) throw unknownMemory()
    })
    return { id, status: 'deleted' }
  }

  /** For programs: something in words, of the agent that runs. @returns its id. */
  async remember(
    asking: Asking,
    given: { readonly agent: string; readonly content: Readonly<Record<string, unknown>> } & {
      readonly level?: AskedMemory['memory_level']
      readonly conversationId?: string
      readonly importance?: number
    },
  ): Promise<string> {
    const asked = readMemory({
      agent_id: given.agent,
      content: given.content,
      memory_type: 'fact',
      memory_level: given.level ?? 'long_term',
      conversation_id: given.conversationId,
      importance_score: given.importance ?? 0,
    })
    return (await this.#store(await this.#access.own(asking, given.agent), asked)).id
  }

  /** For programs: what the agent that runs remembers of it, best first. */
  async recall(
    asking: Asking,
    given: { readonly agent: string; readonly text: string; readonly limit: number },
  ): Promise<readonly Record<string, unknown>[]> {
    const body = { agent_id: given.agent, query: { text: given.text }, limit: given.limit }
    const { memories } = await this.search(asking, body)
    return memories as Record<string, unknown>[] // so search says
  }

  /** For context of questions. Whoever hands it out looks at its labels, and asks policy. */
  readonly conversations: ConversationMemory = {
    recall: async ({ agent: name, query, limit, signal }) => {
      const agent = await this.#deps.agents.byName(name)
      if (agent === undefined) return []
      const alive = (await this.#access.alive(agent.id)).filter(
        ({ node }) => node.type === SOURCE_TYPE,
      )
      const scored = await this.#ranking.scored(alive, query, signal)
      return scored.slice(0, limit).map(
        ({ node, score }): Remembered => ({
          id: node.id,
          text: textOf(node.content),
          source: `memory:${node.conversationId ?? node.id}`,
          score,
          labels: node.labels,
        }),
      )
    },
  }

  prune(): Promise<void> {
    return this.#deps.store.prune(this.#deps.now())
  }

  async #store(own: Own, asked: AskedMemory): Promise<MemoryNode> {
    const { stations, store, now } = this.#deps
    const labels = stations.taint.of(own.caller.txn)
    await this.#assertParent(own.agent, asked.parent_id)
    return this.#access.write(own, 'memory.add', labels, async () => {
      const nowMs = now()
      const node: MemoryNode = {
        id: newTimeOrderedId('mem', nowMs),
        agentId: own.agent.id,
        conversationId: asked.conversation_id,
        parentId: asked.parent_id,
        type: asked.memory_type,
        level: asked.memory_level,
        content: asked.content,
        metadata: asked.metadata,
        labels,
        importance: asked.importance_score,
        accessCount: 0,
        timestamp: nowMs,
        lastAccessed: undefined,
        createdAt: nowMs,
      }
      const [embedded] = await this.#ranking.embed([node], own.signal)
      await store.add(node, embedded)
      const isTooMany =
        (await store.count(own.agent.id, node.level)) > CAPACITY[node.level] * OVERFLOW
      if (isTooMany) await this.#tidy(own.agent.id)
      return node
    })
  }

  async #assertParent(agent: Agent, id: string | undefined): Promise<void> {
    if (id === undefined) return
    const parent = await this.#deps.store.get(id)
    if (parent?.agentId === agent.id) return
    const problem = 'is no memory of this agent'
    throw new VestryError('VALIDATION_ERROR', `parent_id: ${problem}`, {
      context: { details: { fields: [{ path: 'parent_id', problem }] } },
    })
  }

  async #tidy(agentId: string) {
    const { store, now } = this.#deps
    const done = await tidying(await store.list(agentId), now())
    await store.tidy(done)
    return {
      promoted_count: done.promoted.length,
      pruned_count: done.gone.size - done.merged,
      consolidated_count: done.merged,
    }
  }

  async #ranked(
    fitting: readonly StoredNode[],
    asked: AskedSearch,
    signal: AbortSignal,
  ): Promise<readonly MemoryNode[]> {
    const { text } = asked.query
    if (typeof text !== 'string' || text.trim() === '') return fitting.map(({ node }) => node)
    return (await this.#ranking.scored(fitting, text, signal)).map(({ node }) => node)
  }
}
