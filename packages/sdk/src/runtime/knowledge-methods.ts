/** Knowledge, memories of agents and collections of vectors. */
import * as shapes from '@vestry/contract/runtime'
import type { CallOptions, Calls } from './calls.ts'
import { id } from './path.ts'
import { ProgramMethods } from './program-methods.ts'
import type * as requests from './requests.ts'
import { LIST_OF_TEXT, listOf } from './shape.ts'

export class KnowledgeMethods extends ProgramMethods {
  readonly #calls: Calls

  constructor(calls: Calls) {
    super(calls)
    this.#calls = calls
  }

  // Knowledge

  async addKnowledgeItem(
    item: requests.KnowledgeItemInput,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#calls.post('knowledge', item, shapes.AnyObject, options)
  }

  /** A whole document: the server reads its text and cuts it into passages. The same id again replaces it. */
  async addKnowledgeDocument(
    document: requests.KnowledgeDocument,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#calls.post('knowledge/documents', document, shapes.AnyObject, options)
  }

  async searchKnowledge(
    request: requests.VectorSearchRequest,
    options?: CallOptions,
  ): Promise<shapes.VectorSearchResponse> {
    return this.#calls.repeatable('knowledge/search', request, shapes.VectorSearchResponse, options)
  }

  async getContext(
    query: requests.ContextQuery,
    options?: CallOptions,
  ): Promise<shapes.ContextResponse> {
    return this.#calls.repeatable('rag/context', query, shapes.ContextResponse, options)
  }

  async deleteKnowledgeItem(itemId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.delete(`knowledge/${id(itemId)}`, shapes.AnyObject, options)
  }

  /** What is stored, oldest first. */
  async listKnowledgeItems(
    { agent_id: agentId, source_type: sourceType, page, limit }: requests.ListKnowledgeQuery = {},
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const query = { agent_id: agentId, source_type: sourceType, page, limit }
    return this.#calls.get('knowledge', shapes.AnyObject, options, query)
  }

  async getKnowledgeItem(itemId: string, options?: CallOptions): Promise<shapes.KnowledgeItem> {
    return this.#calls.get(`knowledge/${id(itemId)}`, shapes.KnowledgeItem, options)
  }

  // Memory

  async addMemory(
    request: requests.MemoryStoreRequest,
    options?: CallOptions,
  ): Promise<shapes.MemoryResponse> {
    return this.#calls.post('memory', request, shapes.MemoryResponse, options)
  }

  /** The one that is named, or the newest that fits. */
  async getMemory(
    request: requests.MemoryQuery,
    options?: CallOptions,
  ): Promise<shapes.MemoryResponse> {
    const given = Object.entries(request).filter(([, value]) => value !== null)
    return this.#calls.get('memory', shapes.MemoryResponse, options, Object.fromEntries(given))
  }

  async searchMemory(
    request: requests.MemorySearchRequest,
    options?: CallOptions,
  ): Promise<shapes.MemorySearchResponse> {
    return this.#calls.repeatable('memory/search', request, shapes.MemorySearchResponse, options)
  }

  /** Merges what says the same, keeps what matters and drops what is too much. */
  async consolidateMemory(
    agentId: string,
    options?: CallOptions,
  ): Promise<shapes.ConsolidationResponse> {
    const path = `memory/consolidate/${id(agentId)}`
    return this.#calls.repeatable(path, undefined, shapes.ConsolidationResponse, options)
  }

  async getConversationContext(
    conversationId: string,
    agentId: string,
    options?: CallOptions,
  ): Promise<shapes.ConversationContext> {
    const query = { conversation_id: conversationId, agent_id: agentId }
    return this.#calls.get('memory/conversation', shapes.ConversationContext, options, query)
  }

  async deleteMemory(memoryId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.delete(`memory/${id(memoryId)}`, shapes.AnyObject, options)
  }

  /** Newest first. */
  async listAgentMemories(
    agentId: string,
    options?: CallOptions & { /** Default 100. */ limit?: number },
  ): Promise<shapes.MemorySearchResponse> {
    const query = { agent_id: agentId, limit: options?.limit }
    return this.#calls.get('memory/agent', shapes.MemorySearchResponse, options, query)
  }

  // Collections of vectors

  async createVectorCollection(
    request: requests.CollectionCreateRequest,
    options?: CallOptions,
  ): Promise<shapes.CollectionResponse> {
    return this.#calls.post('vectors/collections', request, shapes.CollectionResponse, options)
  }

  async deleteVectorCollection(name: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.delete(`vectors/collections/${id(name)}`, shapes.AnyObject, options)
  }

  async getCollectionInfo(name: string, options?: CallOptions): Promise<shapes.CollectionInfo> {
    return this.#calls.get(`vectors/collections/${id(name)}`, shapes.CollectionInfo, options)
  }

  /** Names. */
  async listVectorCollections(options?: CallOptions): Promise<string[]> {
    return this.#calls.get('vectors/collections', LIST_OF_TEXT, options)
  }

  async addVectors(
    request: requests.VectorUpsertRequest,
    options?: CallOptions,
  ): Promise<shapes.UpsertResponse> {
    return this.#calls.repeatable('vectors/upsert', request, shapes.UpsertResponse, options)
  }

  async getVectors(
    collectionName: string,
    ids: readonly (string | number)[],
    options?: CallOptions,
  ): Promise<shapes.VectorPoint[]> {
    const query = { collection_name: collectionName, ids: ids.map(String) }
    return this.#calls.get('vectors/retrieve', listOf(shapes.VectorPoint), options, query)
  }

  /** Searches knowledge, as {@link searchKnowledge} does. */
  async searchVectors(
    request: requests.VectorSearchRequest,
    options?: CallOptions,
  ): Promise<shapes.VectorSearchResponse> {
    const path = 'vectors/search'
    return this.#calls.repeatable(path, request, shapes.VectorSearchResponse, options)
  }

  /** Searches one collection, the nearest first. */
  async searchPoints(
    request: requests.PointSearchRequest,
    options?: CallOptions,
  ): Promise<shapes.PointSearchResponse> {
    return this.#calls.repeatable('vectors/search', request, shapes.PointSearchResponse, options)
  }

  async deleteVectors(
    request: requests.VectorDeleteRequest,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#calls.delete('vectors/delete', shapes.AnyObject, options, request)
  }

  async countVectors(name: string, options?: CallOptions): Promise<shapes.CountResponse> {
    return this.#calls.get(`vectors/collections/${id(name)}/count`, shapes.CountResponse, options)
  }
}
