/** Putting knowledge in and taking it out, through the stations. */
import { VestryError } from '@vestry/contract/errors'
import { perform } from '../call/perform.ts'
import { isAdministrator, mayUse, resourceOf, viewOf } from './access/visible.ts'
import { chunkDocument } from './documents/chunk.ts'
import { readDocument } from './documents/read.ts'
import {
  AT_ONCE_MS,
  type Chunker,
  chunksOf,
  EMBEDDED_AT_ONCE,
  embeddedText,
  embedTexts,
  suppliedVector,
} from './ingest.ts'
import { classOf, type KnowledgeClass, type KnowledgeItem, type StoredChunk } from './item.ts'
import type { KnowledgeDeps } from './knowledge-deps.ts'
import type { Added, Asking, NewDocument, NewItem } from './requests.ts'
import { WAITING } from './store/item-store.ts'

/** A text that is no longer is one passage. */
const SHORT_CHARS = 800

export class Writing {
  readonly #deps: KnowledgeDeps

  constructor(deps: KnowledgeDeps) {
    this.#deps = deps
  }

  /**
   * Resolves when it is on disk; what this node is asked from now on finds it.
   * @throws VestryError VALIDATION_ERROR, DIMENSION_MISMATCH, AGENT_NOT_FOUND, ACCESS_DENIED, ALREADY_EXISTS for an
   *   id that somebody else uses
   */
  async add(asking: Asking, item: NewItem): Promise<Added> {
    const of = await this.#classFor(asking, item)
    const supplied =
      item.embedding === undefined
        ? undefined
        : suppliedVector(item.embedding, this.#deps.embedder())
    return this.#perform(asking, of, 'knowledge.add', item.id, async () => {
      const chunks = await this.#chunks(item, asking.signal)
      const [only] = chunks
      const given =
        supplied !== undefined && chunks.length === 1 && only !== undefined
          ? [{ ...only, vector: supplied }]
          : chunks
      return this.#put(asking, of, item, item.content, given, [])
    })
  }

  /** The same of a document, whose text and parts are read first. @throws VestryError DOCUMENT_INVALID too */
  async addDocument(asking: Asking, item: NewDocument): Promise<Added> {
    const of = await this.#classFor(asking, item)
    return this.#perform(asking, of, 'knowledge.add', item.id, async () => {
      const document = await readDocument(item.document, asking.signal)
      const content = document.blocks.map(({ text }) => text).join('\n\n')
      const chunks = chunksOf(content, () => chunkDocument(document))
      return this.#put(asking, of, item, content, chunks, document.warnings)
    })
  }

  /** @throws VestryError KNOWLEDGE_NOT_FOUND, also for what the caller may not see; ACCESS_DENIED */
  async remove(asking: Asking, id: string): Promise<void> {
    const { caller } = asking
    const item = await this.#deps.items.get(id)
    const { principal } = caller
    const ownId = principal.kind === 'agent' ? principal.agent.id : undefined
    const isTheirs =
      item !== undefined &&
      (isAdministrator(caller) || item.class.owner === undefined || item.class.ownerId === ownId)
    const view = { caller, agent: undefined, everything: false }
    if (!isTheirs || !mayUse(this.#deps.stations, view, 'knowledge:search', item.class))
      throw unknownItem(id)
    await this.#perform(asking, item.class, 'knowledge.remove', id, async () => {
      if (!(await this.#deps.items.remove(id, item.class.id))) throw unknownItem(id)
      await this.#indexed()
    })
  }

  async #put(
    asking: Asking,
    of: KnowledgeClass,
    item: Omit<NewItem, 'content'>,
    content: string,
    chunks: readonly StoredChunk[],
    warnings: readonly string[],
  ): Promise<Added> {
    const { items, classes, now, pending, embedder } = this.#deps
    const by = embedder()
    await classes.ensure(of)
    const all = await this.#embedded(chunks, asking.signal)
    const embedded = all.every(({ vector }) => vector !== undefined)
    const nowMs = now()
    const stored: KnowledgeItem = {
      id: item.id,
      class: of,
      source: item.source,
      content,
      metadata: {
        ...item.metadata,
        ...(item.chunkIndex !== undefined && { chunk_index: item.chunkIndex }),
      },
      embedder: embedded ? by.id : `${WAITING}${by.id}`,
      timestamp: item.timestamp ?? nowMs,
      createdAt: nowMs,
      updatedAt: nowMs,
    }
    const known = await classes.all()
    const view = { caller: asking.caller, agent: undefined, everything: false }
    // Of an agent that is gone, an administrator may replace what another one of its name goes on with.
    const replacesAny = isAdministrator(asking.caller)
    const replaced = await items.put(stored, all, (classId) => {
      const old = known.get(classId)
      const isTheirs =
        old !== undefined &&
        (old.ownerId === of.ownerId || (replacesAny && old.owner === of.owner)) &&
        (classId === of.id || mayUse(this.#deps.stations, view, 'knowledge:write', old))
      if (!isTheirs)
        throw new VestryError('ALREADY_EXISTS', `The id ${item.id.slice(0, 64)} is in use`, {
          hint: 'Choose another id',
        })
      if (!replacesAny && old.labels.some((label) => !of.labels.includes(label)))
        throw new VestryError('CONFLICT', 'The item was given more labels meanwhile', {
          hint: 'Try again',
        })
    })
    await this.#indexed()
    if (!embedded) await pending().queue(item.id)
    return {
      id: item.id,
      replaced,
      chunks: all.length,
      embeddingModel: by.name,
      dimension: by.dimension,
      embedded,
      warnings,
    }
  }

  /** A few at once, many later; and later, too, when the embedder is down: the text is kept in any case. */
  async #embedded(
    chunks: readonly StoredChunk[],
    signal: AbortSignal,
  ): Promise<readonly StoredChunk[]> {
    if (chunks.length > EMBEDDED_AT_ONCE || chunks.every(({ vector }) => vector !== undefined))
      return chunks
    const late = AbortSignal.timeout(AT_ONCE_MS)
    const either = AbortSignal.any([signal, late])
    try {
      const vectors = await embedTexts(this.#deps.embedder(), chunks.map(embeddedText), either)
      return chunks.map((chunk, at) => ({ ...chunk, vector: vectors[at] }))
    } catch (error) {
      signal.throwIfAborted()
      if (late.aborted) return chunks
      this.#deps.warn(`knowledge: an item waits for its vectors: ${String(error)}`)
      return chunks
    }
  }

  async #chunks(item: NewItem, signal: AbortSignal): Promise<StoredChunk[]> {
    if (item.content.length <= SHORT_CHARS) return chunksOf(item.content, whole)
    const mediaType = item.sourceType === 'code' ? 'text/plain' : 'text/markdown'
    const bytes = Buffer.from(item.content, 'utf8')
    const document = await readDocument({ bytes, mediaType }, signal)
    return chunksOf(item.content, () => chunkDocument(document))
  }

  /** What the transaction has read follows what it writes. @throws VestryError AGENT_NOT_FOUND, VALIDATION_ERROR */
  async #classFor({ caller }: Asking, item: Omit<NewItem, 'content'>): Promise<KnowledgeClass> {
    const { stations, agents } = this.#deps
    const { agent } = await viewOf(caller, item.agentId, (name) => agents.byName(name))
    const labels = [...item.labels, ...stations.taint.of(caller.txn)]
    const of = classOf(agent, item.sourceType, labels)
    if (isAdministrator(caller)) return of
    // Only an administrator takes labels away from what is there.
    const old = (await this.#deps.items.get(item.id))?.class
    if (old === undefined || old.ownerId !== of.ownerId) return of
    return classOf(agent, item.sourceType, [...labels, ...old.labels])
  }

  /** The text is stored; an index that fails now takes it over at the next search. */
  async #indexed(): Promise<void> {
    this.#deps.index.changed()
    await this.#deps.index.catchUp().catch((error: unknown) => {
      this.#deps.warn(`knowledge: the index is behind: ${String(error)}`)
    })
  }

  #perform<T>(
    { caller, requestId }: Asking,
    of: KnowledgeClass,
    event: string,
    id: string,
    effect: () => Promise<T>,
  ): Promise<T> {
    const { stations } = this.#deps
    return perform<T>(stations, {
      caller,
      requestId,
      action: 'knowledge:write',
      event,
      source: 'runtime',
      resource: resourceOf(of),
      context: { nowMs: stations.now(), transport: caller.peer.transport },
      detail: `${event} ${id.slice(0, 64)}`.toWellFormed(),
      data: { item: id, owner: of.owner ?? null, source_type: of.sourceType, labels: of.labels },
      approvalParams: { id, owner: of.owner ?? null, event },
      settle: () => ({ effect }),
    })
  }
}

const whole: Chunker = (text) => [{ text, heading: '' }]

export function unknownItem(id: string): VestryError {
  return new VestryError('KNOWLEDGE_NOT_FOUND', `Knowledge item ${id.slice(0, 64)} does not exist`)
}
