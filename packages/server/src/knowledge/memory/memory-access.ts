/** Who may see and change which memories. What is seen is known of the transaction before it is told. */
import { VestryError } from '@vestry/contract/errors'
import { perform, type Stations } from '../../call/perform.ts'
import type { Agent } from '../../identity/agent.ts'
import { mayUse, resourceOf, type View, viewOf } from '../access/visible.ts'
import { classOf, type KnowledgeClass } from '../item.ts'
import type { Asking } from '../requests.ts'
import type { MemoryStore, StoredNode } from './memory-store.ts'
import { isExpired, type MemoryNode, nodeBody } from './node.ts'

export interface MemoryAccessDeps {
  readonly stations: Stations
  readonly store: MemoryStore
  readonly agents: {
    byName(name: string): Promise<Agent | undefined>
    byId(id: string): Promise<Agent | undefined>
  }
  /** Epoch ms. */
  readonly now: () => number
}

/** Somebody asks for what one agent remembers. */
export interface Own extends Asking {
  readonly agent: Agent
  readonly view: View
}

export const SOURCE_TYPE = 'conversation'

export class MemoryAccess {
  readonly #deps: MemoryAccessDeps

  constructor(deps: MemoryAccessDeps) {
    this.#deps = deps
  }

  /** @throws VestryError AGENT_NOT_FOUND, also where the caller may not know of it. */
  async own(asking: Asking, named: string): Promise<Own> {
    const view = await viewOf(asking.caller, named, (name) => this.#deps.agents.byName(name))
    const { agent } = view
    if (agent === undefined) throw new VestryError('AGENT_NOT_FOUND')
    return { ...asking, agent, view }
  }

  /** What `chosen` takes of all that the caller may see. Its labels are known of the caller before it is told. */
  show(
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
          const alive = await this.alive(own.agent.id)
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

  write<T>(
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
      resource: resourceOf(classOf(agent, SOURCE_TYPE, labels)),
      context: { nowMs: this.#deps.now(), transport: caller.peer.transport },
      detail: `${event} ${agent.name}`,
      data: { agent: agent.name },
    }
  }

  #visible(own: Own, all: readonly StoredNode[]): StoredNode[] {
    const may = new Map<string, boolean>()
    return all.filter(({ node }) => {
      const of: KnowledgeClass = classOf(own.agent, SOURCE_TYPE, node.labels)
      const known = may.get(of.id)
      if (known !== undefined) return known
      const allowed = mayUse(this.#deps.stations, own.view, 'knowledge:search', of)
      may.set(of.id, allowed)
      return allowed
    })
  }

  async alive(agentId: string): Promise<StoredNode[]> {
    const nowMs = this.#deps.now()
    return (await this.#deps.store.list(agentId)).filter(({ node }) => !isExpired(node, nowMs))
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
