/** Knowledge and memory of the agent that a program is. Both label the transaction before they hand anything out. */
import type { Json } from '../../dsl/definition.ts'
import type { SearchFor } from '../../knowledge/knowledge.ts'
import type { Memory } from '../../knowledge/memory/memory.ts'
import type { KnowledgeDoor } from './program-doors.ts'

export interface KnowledgeDoorDeps {
  readonly search: SearchFor
  /** @throws VestryError NOT_READY */
  readonly memory: () => Pick<Memory, 'add' | 'search'>
}

export function knowledgeDoor({ search, memory }: KnowledgeDoorDeps): KnowledgeDoor {
  return {
    search: async ({ query, limit, caller, requestId, signal }) => {
      const { hits } = await search({ caller, requestId, signal }, query, { limit })
      return plainJson(hits)
    },
    remember: async ({ agent, content, caller, requestId, signal }) => {
      const isObject = typeof content === 'object' && content !== null && !Array.isArray(content)
      const { memory: kept } = await memory().add(
        { caller, requestId, signal },
        {
          agent_id: agent.name,
          content: isObject ? content : { text: content },
          memory_type: 'fact',
          memory_level: 'long_term',
        },
      )
      return String((kept as { readonly id?: unknown }).id ?? '')
    },
    recall: async ({ agent, query, limit, caller, requestId, signal }) => {
      const { memories } = await memory().search(
        { caller, requestId, signal },
        { agent_id: agent.name, query: { text: query }, limit },
      )
      return plainJson(memories)
    },
  }
}

/** As a client would get it. */
function plainJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value)) as Json
}
