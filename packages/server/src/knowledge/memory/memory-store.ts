/** Memories on disk. */
import type { MemoryLevel, MemoryType } from '@vestry/contract/runtime'
import type { Selectable } from 'kysely'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import { bytesOf, vectorOf } from '../item.ts'
import { IDLE_MS, type MemoryNode } from './node.ts'

export interface MemoryStoreDeps {
  readonly store: Pick<Store, 'db' | 'write'>
}

export interface Embedded {
  readonly embedder: string
  readonly vector: Float32Array
}

export interface StoredNode {
  readonly node: MemoryNode
  readonly embedded: Embedded | undefined
}

type Row = Selectable<Tables['memory_node']>

/** Of parameters in one statement. */
const BATCH = 500

export class MemoryStore {
  readonly #store: MemoryStoreDeps['store']

  constructor({ store }: MemoryStoreDeps) {
    this.#store = store
  }

  async add(node: MemoryNode, embedded: Embedded | undefined): Promise<void> {
    await this.#store.write((trx) =>
      trx.insertInto('memory_node').values(rowOf(node, embedded)).execute(),
    )
  }

  async get(id: string): Promise<MemoryNode | undefined> {
    const row = await this.#store.db
      .selectFrom('memory_node')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst()
    return row && nodeOf(row)
  }

  /** Of one agent, newest first. */
  async list(agentId: string): Promise<StoredNode[]> {
    const rows = await this.#store.db
      .selectFrom('memory_node')
      .selectAll()
      .where('agent', '=', agentId)
      .orderBy('timestamp', 'desc')
      .orderBy('id', 'desc')
      .execute()
    return rows.map((row) => ({
      node: nodeOf(row),
      embedded:
        row.vector === null ? undefined : { embedder: row.embedder, vector: vectorOf(row.vector) },
    }))
  }

  async count(agentId: string, level: MemoryLevel): Promise<number> {
    const { count } = await this.#store.db
      .selectFrom('memory_node')
      .select(({ fn }) => fn.countAll().as('count'))
      .where('agent', '=', agentId)
      .where('memory_level', '=', level)
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  /** Somebody was shown them. @returns as they are then. */
  async touched(nodes: readonly MemoryNode[], nowMs: number): Promise<MemoryNode[]> {
    if (nodes.length === 0) return []
    await this.#store.write(async (trx) => {
      for (const ids of batches(nodes.map(({ id }) => id)))
        await trx
          .updateTable('memory_node')
          .set((of) => ({ access_count: of('access_count', '+', 1), last_accessed: nowMs }))
          .where('id', 'in', ids)
          .execute()
    })
    return nodes.map((node) => ({
      ...node,
      accessCount: node.accessCount + 1,
      lastAccessed: nowMs,
    }))
  }

  async embed(vectors: ReadonlyMap<string, Embedded>): Promise<void> {
    await this.#store.write(async (trx) => {
      for (const [id, { embedder, vector }] of vectors)
        await trx
          .updateTable('memory_node')
          .set({ embedder, vector: bytesOf(vector) })
          .where('id', '=', id)
          .execute()
    })
  }

  /** All of it, or nothing. */
  async tidy(change: {
    readonly promoted: readonly MemoryNode[]
    /** What is kept of several, with what all of them come to. */
    readonly kept: readonly MemoryNode[]
    /** Id of what goes → id of what its children belong to now. */
    readonly gone: ReadonlyMap<string, string | undefined>
  }): Promise<void> {
    await this.#store.write(async (trx) => {
      for (const { id } of change.promoted)
        await trx
          .updateTable('memory_node')
          .set({ memory_level: 'long_term' })
          .where('id', '=', id)
          .execute()
      for (const { id, importance, accessCount } of change.kept)
        await trx
          .updateTable('memory_node')
          .set({ importance, access_count: accessCount })
          .where('id', '=', id)
          .execute()
      for (const [id, heir] of change.gone) {
        await trx.deleteFrom('memory_node').where('id', '=', id).execute()
        await trx
          .updateTable('memory_node')
          .set({ parent_id: heir ?? null })
          .where('parent_id', '=', id)
          .execute()
      }
    })
  }

  /** @returns Whether there was one. */
  async remove(id: string): Promise<boolean> {
    return this.#store.write(async (trx) => {
      const gone = await trx.deleteFrom('memory_node').where('id', '=', id).executeTakeFirst()
      await trx
        .updateTable('memory_node')
        .set({ parent_id: null })
        .where('parent_id', '=', id)
        .execute()
      return gone.numDeletedRows > 0n
    })
  }

  /** Short-term memories that nobody looked at for long. */
  async prune(nowMs: number): Promise<void> {
    const before = nowMs - IDLE_MS
    await this.#store.write((trx) =>
      trx
        .deleteFrom('memory_node')
        .where('memory_level', '=', 'short_term')
        .where((of) =>
          of.or([
            of('last_accessed', '<=', before),
            of.and([of('last_accessed', 'is', null), of('created_at', '<=', before)]),
          ]),
        )
        .execute(),
    )
  }
}

function rowOf(node: MemoryNode, embedded: Embedded | undefined): Row {
  return {
    id: node.id,
    agent: node.agentId,
    conversation_id: node.conversationId ?? null,
    parent_id: node.parentId ?? null,
    memory_type: node.type,
    memory_level: node.level,
    content_json: JSON.stringify(node.content),
    metadata_json: JSON.stringify(node.metadata),
    labels_json: JSON.stringify(node.labels),
    importance: node.importance,
    access_count: node.accessCount,
    embedder: embedded?.embedder ?? '',
    vector: embedded === undefined ? null : bytesOf(embedded.vector),
    timestamp: node.timestamp,
    last_accessed: node.lastAccessed ?? null,
    created_at: node.createdAt,
  }
}

function nodeOf(row: Row): MemoryNode {
  return {
    id: row.id,
    agentId: row.agent,
    conversationId: row.conversation_id ?? undefined,
    parentId: row.parent_id ?? undefined,
    // Only we write it.
    type: row.memory_type as MemoryType,
    level: row.memory_level as MemoryLevel,
    content: JSON.parse(row.content_json) as Record<string, unknown>,
    metadata: JSON.parse(row.metadata_json) as Record<string, unknown>,
    labels: JSON.parse(row.labels_json) as string[],
    importance: row.importance,
    accessCount: row.access_count,
    timestamp: row.timestamp,
    lastAccessed: row.last_accessed ?? undefined,
    createdAt: row.created_at,
  }
}

function* batches(ids: readonly string[]): Iterable<string[]> {
  for (let at = 0; at < ids.length; at += BATCH) yield ids.slice(at, at + BATCH)
}
