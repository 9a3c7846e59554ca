/**
 * What agents remember, as the rest of the daemon sees it. An agent's memory is its own; what a transaction had read
 * when it stored something is said of that, and of whoever reads it.
 */

import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import { perform, type Stations } from '../../call/perform.ts'
import type { Agent } from '../../identity/agent.ts'
import { mayUse, resourceOf, type View, viewOf } from '../access/visible.ts'
import type { ConversationMemory, Remembered } from '../context/conversation.ts'
import type { Embedder } from '../embedder.ts'
import { classOf, type KnowledgeClass } from '../item.ts'
import type { Asking } from '../requests.ts'
import { isAskedFor, isTheOne } from './match.ts'
import type { Embedded, MemoryStore, StoredNode } from './memory-store.ts'
import {
  type AskedMemory,
  type AskedSearch,
  CAPACITY,
  isExpired,
  type MemoryNode,
  nodeBody,
  OVERFLOW,
  readMemory,
  readOne,
  readSearch,
  textOf,
  unknownMemory,
} from './node.ts'
import { dot, tidying } from './tidying.ts'

export interface MemoryDeps {
  readonly stations: Stations
  readonly store: MemoryStore
  readonly agents: {
    byName(name: string): Promise<Agent | undefined>
    byId(id: string): Promise<Agent | undefined>
  }
  readonly embedder: () => Embedder
  /** Epoch ms. */
  readonly now: () => number
}

interface Own extends Asking {
  readonly agent: Agent
  readonly view: View
}

const SOURCE_TYPE = 'conversation'
const EMBEDDED_AT_ONCE = 256
/** Meaning less alike is something else. */
const MIN_SCORE = 0.3
const MAX_LISTED = 1_000
const MAX_CONVERSATION = 200

export class Memory {
  readonly #deps: MemoryDeps

  constructor(deps: MemoryDeps) {
    this.#deps = deps
  }

  /** @throws VestryError VALIDATION_ERROR, AGENT_NOT_FOUND, ACCESS_DENIED, EMBEDDER_UNAVAILABLE */
  async add(asking: Asking, body: unknown): Promise<Record<string, unknown>> {
    const asked = readMemory(body)
    const own = await this.#own(asking, asked.agent_id)
    const node = await this.#store(own, asked)
    return { memory: nodeBody(node, own.agent.name, []), success: true, message: null }
  }

  /** The one that is named, or the newest that fits. @throws VestryError MEMORY_NOT_FOUND, ACCESS_DENIED … */
  async get(asking: Asking, query: unknown): Promise<Record<string, unknown>> {
    const asked = readOne(query)
    const own = await this.#own(asking, asked.agent_id)
    const [memory] = await this.#show(own, 'memory.get', (all) => {
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
    const own = await this.#own(asking, asked.agent_id)
    let total = 0
    const memories = await this.#show(own, 'memory.search', async (all) => {
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
    const own = await this.#own(asking, agentId)
    const newest = await this.#show(own, 'memory.conversation', (all) =>
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
    const own = await this.#own(asking, agentId)
    const done = await this.#write(own, 'memory.consolidate', [], () => this.#tidy(own.agent.id))
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
    const own = await this.#own(asking, agent.name)
    await this.#write(own, 'memory.delete', node.labels, async () => {
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
    return (await this.#store(await this.#own(asking, given.agent), asked)).id
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
      const alive = (await this.#alive(agent.id)).filter(({ node }) => node.type === SOURCE_TYPE)
      const scored = await this.#scored(alive, query, signal)
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

  async #own(asking: Asking, named: string): Promise<Own> {
    const view = await viewOf(asking.caller, named, (name) => this.#deps.agents.byName(name))
    const { agent } = view
    if (agent === undefined) throw new VestryError('AGENT_NOT_FOUND')
    return { ...asking, agent, view }
  }

  async #store(own: Own, asked: AskedMemory): Promise<MemoryNode> {
    const { stations, store, now } = this.#deps
    const labels = stations.taint.of(own.caller.txn)
    await this.#assertParent(own.agent, asked.parent_id)
    return this.#write(own, 'memory.add', labels, async () => {
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
      const [embedded] = await this.#embed([node], own.signal)
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

  /** What `chosen` takes of all that the caller may see. Its labels are known of the caller before it is told. */
  #show(
    own: Own,
    event: string,
    chosen: (all: readonly StoredNode[]) => readonly MemoryNode[] | Promise<readonly MemoryNode[]>,
  ): Promise<Record<string, unknown>[]> {
    const { stations, store, now } = this.#deps
    return perform(stations, {
      ...this.#asked(own, event, 'knowledge:search', []),
      readOnly: true,
      settle: () => ({
        effect: async (note) => {
          const alive = await this.#alive(own.agent.id)
          const seen = this.#visible(own, alive)
          const found = await chosen(seen)
          const labels = [...new Set(found.flatMap((node) => node.labels))].sort()
          await stations.taint.add(own.caller.txn, labels)
          note({ found: found.length, ...(labels.length > 0 && { labels }) })
          const children = childrenOf(seen)
          return (await store.touched(found, now())).map((node) =>
            nodeBody(node, own.agent.name, children.get(node.id) ?? []),
          )
        },
      }),
    })
  }

  #write<T>(
    own: Own,
    event: string,
    labels: readonly string[],
    effect: () => Promise<T>,
  ): Promise<T> {
    return perform(this.#deps.stations, {
      ...this.#asked(own, event, 'knowledge:write', labels),
      settle: () => ({ effect }),
    })
  }

  #asked(
    { caller, requestId, agent }: Own,
    event: string,
    action: 'knowledge:search' | 'knowledge:write',
    labels: readonly string[],
  ) {
    return {
      caller,
      requestId,
      action,
      event,
      source: 'runtime' as const,
      resource: resourceOf(classOf(agent.name, SOURCE_TYPE, labels)),
      context: { nowMs: this.#deps.now(), transport: caller.peer.transport },
      detail: `${event} ${agent.name}`,
      data: { agent: agent.name },
    }
  }

  #visible(own: Own, all: readonly StoredNode[]): StoredNode[] {
    const may = new Map<string, boolean>()
    return all.filter(({ node }) => {
      const of: KnowledgeClass = classOf(own.agent.name, SOURCE_TYPE, node.labels)
      const known = may.get(of.id)
      if (known !== undefined) return known
      const allowed = mayUse(this.#deps.stations, own.view, 'knowledge:search', of)
      may.set(of.id, allowed)
      return allowed
    })
  }

  async #alive(agentId: string): Promise<StoredNode[]> {
    const nowMs = this.#deps.now()
    return (await this.#deps.store.list(agentId)).filter(({ node }) => !isExpired(node, nowMs))
  }

  async #ranked(
    fitting: readonly StoredNode[],
    asked: AskedSearch,
    signal: AbortSignal,
  ): Promise<readonly MemoryNode[]> {
    const { text } = asked.query
    if (typeof text !== 'string' || text.trim() === '') return fitting.map(({ node }) => node)
    return (await this.#scored(fitting, text, signal)).map(({ node }) => node)
  }

  async #scored(all: readonly StoredNode[], text: string, signal: AbortSignal) {
    if (all.length === 0) return []
    const embedder = this.#deps.embedder()
    const [query] = await embedder.embed([text.slice(0, 8_192)], signal)
    if (query === undefined) return []
    const vectors = await this.#vectors(all, embedder, signal)
    return all
      .map(({ node }) => {
        const vector = vectors.get(node.id)
        return { node, score: vector === undefined ? 0 : embedder.calibrated(dot(query, vector)) }
      })
      .filter(({ score }) => score >= MIN_SCORE)
      .sort((a, b) => b.score - a.score || b.node.timestamp - a.node.timestamp)
  }

  /** Those that another embedder made are made anew, and kept. */
  async #vectors(all: readonly StoredNode[], embedder: Embedder, signal: AbortSignal) {
    const vectors = new Map<string, Float32Array>()
    const others: MemoryNode[] = []
    for (const { node, embedded } of all) {
      if (embedded?.embedder === embedder.id) vectors.set(node.id, embedded.vector)
      else others.push(node)
    }
    for (let at = 0; at < others.length; at += EMBEDDED_AT_ONCE) {
      const some = others.slice(at, at + EMBEDDED_AT_ONCE)
      const made = await this.#embed(some, signal)
      const kept = new Map<string, Embedded>()
      for (const [index, { id }] of some.entries()) {
        const embedded = made[index]
        if (embedded === undefined) continue
        kept.set(id, embedded)
        vectors.set(id, embedded.vector)
      }
      await this.#deps.store.embed(kept)
    }
    return vectors
  }

  async #embed(nodes: readonly MemoryNode[], signal: AbortSignal): Promise<Embedded[]> {
    const embedder = this.#deps.embedder()
    const vectors = await embedder.embed(
      nodes.map(({ content }) => textOf(content)),
      signal,
    )
    return vectors.map((vector) => ({ embedder: embedder.id, vector }))
  }
}

function childrenOf(all: readonly StoredNode[]): Map<string, string[]> {
  const children = new Map<string, string[]>()
  // They come newest first; children are told in the order in which they came.
  for (const { node } of all.toReversed()) {
    if (node.parentId === undefined) continue
    const known = children.get(node.parentId)
    if (known === undefined) children.set(node.parentId, [node.id])
    else known.push(node.id)
  }
  return children
}
