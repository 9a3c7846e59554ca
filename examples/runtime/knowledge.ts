/** Knowledge: put in, searched, made into the context of a prompt, and deleted. */
import {
  type Client,
  type ContextQuery,
  type KnowledgeItem,
  KnowledgeSourceType,
  type VectorMetadata,
  type VectorSearchRequest,
} from '@vestry/sdk/runtime'

export async function add(client: Client, content: string, agentId: string) {
  // Add knowledge items
  const metadata: VectorMetadata = {
    source: 'documentation.md',
    source_type: KnowledgeSourceType.DOCUMENT,
    timestamp: new Date(),
    agent_id: agentId,
  }
  const item: KnowledgeItem = { id: 'doc-001', content, metadata }
  return client.addKnowledgeItem(item)
}

export async function addFile(client: Client, name: string, text: string) {
  return client.addKnowledgeDocument({ name, text, labels: ['internal'] })
}

export async function search(client: Client, query: string, agentId: string) {
  // Search knowledge base
  const request: VectorSearchRequest = {
    query,
    agent_id: agentId,
    source_types: [KnowledgeSourceType.DOCUMENT],
    limit: 5,
    similarity_threshold: 0.7,
  }
  const { results } = await client.searchKnowledge(request)
  return results.map(({ similarity_score: score, item }) => ({
    score,
    content: item.content.slice(0, 100),
  }))
}

export async function context(client: Client, query: string, agentId: string) {
  // Get context for RAG operations
  const asked: ContextQuery = { query, agent_id: agentId, max_context_items: 3 }
  const { context_items: items, sources } = await client.getContext(asked)
  return [`Retrieved ${items.length} context items`, `Sources: ${sources.join(', ')}`]
}
