/** Items and their chunks on disk: the only truth about knowledge. */
import { hash } from 'node:crypto'
import type { Kysely, Selectable } from 'kysely'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import {
  bytesOf,
  type KnowledgeClass,
  type KnowledgeItem,
  type StoredChunk,
  vectorOf,
} from '../item.ts'
import { nextRevision, raiseHorizon, readRevisions } from './revision.ts'

export interface ItemStoreDeps {
  readonly store: Pick<Store, 'db' | 'write'>
  readonly classes: () => Promise<ReadonlyMap<string, KnowledgeClass>>
  /** Epoch ms. */
  readonly now: () => number
}

/** What was put in or taken out; `chunks` is undefined where nothing is left of it. */
export interface ChangedItem {
  readonly id: string
  readonly classId: string
  readonly embedder: string
  readonly chunks: readonly StoredChunk[] | undefined
}

export interface OwnedChunk extends StoredChunk {
  readonly classId: string
}

export interface Changes {
  /** Up to which all is told. */
  readonly revision: number
  readonly items: readonly ChangedItem[]
}

type ItemRow = Selectable<Tables['knowledge_item']>
/** Before the id of the embedder whose vectors an item is being given. */
export const WAITING = 'waiting:'
/** What is gone is remembered this long for nodes that were away. */
const FORGET_MS = 30 * 24 * 3_600_000
/** Rows of one statement. */
const BATCH = 200
const TELL = { tell: ['knowledge_change'] } as const

export class ItemStore {
  readonly #deps: ItemStoreDeps

  constructor(deps: ItemStoreDeps) {
    this.#deps = deps
  }

  /**
   * Puts it, with all its chunks, in the place of what had its id.
   *
   * @param mayReplace Asked in the same write with the class of what is there; it throws where that is not allowed.
   * @returns whether something was replaced
   */
  put(
    item: KnowledgeItem,
    chunks: readonly StoredChunk[],
    mayReplace: (classId: string) => void,
  ): Promise<boolean> {
    const row = this.#row(item)
    return this.#deps.store.write(async (trx) => {
      // First: it makes writers of knowledge queue up, so that what is read below is what is there.
      const revision = await nextRevision(trx)
      const old = await trx
        .selectFrom('knowledge_item')
        .select(['class_id', 'created_at'])
        .where('id', '=', item.id)
        .executeTakeFirst()
      if (old !== undefined) mayReplace(old.class_id)
      await trx.deleteFrom('knowledge_chunk').where('item_id', '=', item.id).execute()
      const values = { ...row, created_at: old?.created_at ?? row.created_at }
      const { id: _, ...rest } = values
      await trx
        .insertInto('knowledge_item')
        .values(values)
        .onConflict((clash) => clash.column('id').doUpdateSet(rest))
        .execute()
      await insertChunks(trx, item, chunks)
      await this.#changed(trx, item.id, revision)
      return old !== undefined
    }, TELL)
  }

  /** @returns whether it was there; `only`: and is of this class. */
  remove(id: string, only: string): Promise<boolean> {
    return this.#deps.store.write(async (trx) => {
      const revision = await nextRevision(trx)
      const gone = await trx
        .deleteFrom('knowledge_item')
        .where('id', '=', id)
        .where('class_id', '=', only)
        .executeTakeFirst()
      if (gone.numDeletedRows === 0n) return false
      await trx.deleteFrom('knowledge_chunk').where('item_id', '=', id).execute()
      await this.#changed(trx, id, revision)
      return true
    }, TELL)
  }

  async get(id: string): Promise<KnowledgeItem | undefined> {
    return (await this.many([id])).get(id)
  }

  async many(ids: readonly string[]): Promise<Map<string, KnowledgeItem>> {
    if (ids.length === 0) return new Map()
    const classes = await this.#deps.classes()
    const rows = await this.#deps.store.db
      .selectFrom('knowledge_item')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
    return new Map(rows.flatMap((row) => this.#items(row, classes).map((item) => [row.id, item])))
  }

  /** Newest first. */
  async list(
    classIds: readonly string[],
    page: { readonly offset: number; readonly limit: number },
  ): Promise<{ readonly items: readonly KnowledgeItem[]; readonly total: number }> {
    if (classIds.length === 0) return { items: [], total: 0 }
    const classes = await this.#deps.classes()
    const base = this.#deps.store.db
      .selectFrom('knowledge_item')
      .where('class_id', 'in', [...classIds])
    const rows = await base
      .selectAll()
      .orderBy('created_at', 'desc')
      .orderBy('id')
      .offset(page.offset)
      .limit(page.limit)
      .execute()
    const { total } = await base
      .select((eb) => eb.fn.countAll<number | string>().as('total'))
      .executeTakeFirstOrThrow()
    return { items: rows.flatMap((row) => this.#items(row, classes)), total: Number(total) }
  }

  async count(): Promise<number> {
    const { total } = await this.#deps.store.db
      .selectFrom('knowledge_item')
      .select((eb) => eb.fn.countAll<number | string>().as('total'))
      .executeTakeFirstOrThrow()
    return Number(total)
  }

  /** Which class each is of; those that are gone are left out. */
  async classIds(ids: readonly string[]): Promise<Map<string, string>> {
    if (ids.length === 0) return new Map()
    const rows = await this.#deps.store.db
      .selectFrom('knowledge_item')
      .select(['id', 'class_id'])
      .where('id', 'in', [...ids])
      .execute()
    return new Map(rows.map((row) => [row.id, row.class_id]))
  }

  async chunk(id: string, seq: number): Promise<OwnedChunk | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('knowledge_chunk')
      .selectAll()
      .where('item_id', '=', id)
      .where('seq', '=', seq)
      .executeTakeFirst()
    return row && { ...chunkOf(row), classId: row.class_id }
  }

  async chunks(id: string): Promise<StoredChunk[]> {
    const rows = await this.#deps.store.db
      .selectFrom('knowledge_chunk')
      .selectAll()
      .where('item_id', '=', id)
      .orderBy('seq')
      .execute()
    return rows.map(chunkOf)
  }

  /** Ids of items that `embedder` has not embedded, oldest first. */
  async notEmbeddedBy(embedder: string, limit: number): Promise<string[]> {
    const rows = await this.#deps.store.db
      .selectFrom('knowledge_item')
      .select('id')
      .where('embedder', '!=', embedder)
      .orderBy('updated_at')
      .limit(limit)
      .execute()
    return rows.map(({ id }) => id)
  }

  /**
   * Gives all chunks of an item their vectors at once, unless the item is another one by now.
   * @returns whether it did
   */
  setVectors(
    { id, content }: Pick<KnowledgeItem, 'id' | 'content'>,
    embedder: string,
    vectors: readonly Float32Array[],
  ): Promise<boolean> {
    return this.#deps.store.write(async (trx) => {
      const revision = await nextRevision(trx)
      const same = await trx
        .updateTable('knowledge_item')
        .set({ embedder })
        .where('id', '=', id)
        .where('content_hash', '=', contentHash(content))
        .executeTakeFirst()
      if (same.numUpdatedRows === 0n) return false
      for (const [seq, vector] of vectors.entries())
        await trx
          .updateTable('knowledge_chunk')
          .set({ vector: bytesOf(vector) })
          .where('item_id', '=', id)
          .where('seq', '=', seq)
          .execute()
      await this.#changed(trx, id, revision)
      return true
    }, TELL)
  }

  /** Keeps what one batch of a long item came to, so that it is not asked for again. */
  keepVectors(
    { id, content }: Pick<KnowledgeItem, 'id' | 'content'>,
    from: number,
    vectors: readonly Float32Array[],
  ): Promise<void> {
    return this.#deps.store.write(async (trx) => {
      const same = await trx
        .selectFrom('knowledge_item')
        .select('id')
        .where('id', '=', id)
        .where('content_hash', '=', contentHash(content))
        .executeTakeFirst()
      if (same === undefined) return
      for (const [at, vector] of vectors.entries())
        await trx
          .updateTable('knowledge_chunk')
          .set({ vector: bytesOf(vector) })
          .where('item_id', '=', id)
          .where('seq', '=', from + at)
          .execute()
    })
  }

  revisions() {
    return readRevisions(this.#deps.store.db)
  }

  /** Which items changed after `revision`, in order. */
  async changesAfter(revision: number, limit: number): Promise<Changes | undefined> {
    const { db } = this.#deps.store
    const changed = await db
      .selectFrom('knowledge_change')
      .select(['revision', 'item_id'])
      .where('revision', '>', revision)
      .orderBy('revision')
      .limit(limit)
      .execute()
    const last = changed.at(-1)
    if (last === undefined) return undefined
    const ids = changed.map(({ item_id: id }) => id)
    const items = await db
      .selectFrom('knowledge_item')
      .select(['id', 'class_id', 'embedder'])
      .where('id', 'in', ids)
      .execute()
    const chunks = await db
      .selectFrom('knowledge_chunk')
      .selectAll()
      .where('item_id', 'in', ids)
      .orderBy('seq')
      .execute()
    const byItem = Map.groupBy(chunks, ({ item_id: id }) => id)
    const rows = new Map(items.map((row) => [row.id, row]))
    return {
      revision: last.revision,
      items: ids.map((id) => {
        const row = rows.get(id)
        const own = byItem.get(id) ?? []
        return {
          id,
          // What a chunk says of itself: the item may have become another one between the two reads.
          classId: own[0]?.class_id ?? '',
          embedder: row === undefined || row.embedder.startsWith(WAITING) ? '' : row.embedder,
          chunks: row && own.map(chunkOf),
        }
      }),
    }
  }

  /** Forgets what is long gone. */
  async prune(): Promise<void> {
    const before = this.#deps.now() - FORGET_MS
    await this.#deps.store.write(async (trx) => {
      const gone = await trx
        .selectFrom('knowledge_change')
        .leftJoin('knowledge_item', 'knowledge_item.id', 'knowledge_change.item_id')
        .select('revision')
        .where('at', '<', before)
        .where('knowledge_item.id', 'is', null)
        .orderBy('revision', 'desc')
        .limit(BATCH)
        .execute()
      const [newest] = gone
      if (newest === undefined) return
      const revisions = gone.map(({ revision }) => revision)
      await trx.deleteFrom('knowledge_change').where('revision', 'in', revisions).execute()
      const { horizon } = await readRevisions(trx)
      await raiseHorizon(trx, Math.max(horizon, newest.revision))
    })
  }

  async #changed(trx: Kysely<Tables>, id: string, revision: number): Promise<void> {
    const change = { revision, at: this.#deps.now() }
    await trx
      .insertInto('knowledge_change')
      .values({ ...change, item_id: id })
      .onConflict((clash) => clash.column('item_id').doUpdateSet(change))
      .execute()
  }

  #row(item: KnowledgeItem) {
    return {
      id: item.id,
      class_id: item.class.id,
      source: item.source,
      content: item.content,
      content_hash: contentHash(item.content),
      metadata_json: JSON.stringify(item.metadata),
      embedder: item.embedder,
      timestamp: item.timestamp,
      created_at: item.createdAt,
      updated_at: item.updatedAt,
    }
  }

  /** Of a class that is not there nothing is shown: nobody could say who may see it. */
  #items(row: ItemRow, classes: ReadonlyMap<string, KnowledgeClass>): KnowledgeItem[] {
    const of = classes.get(row.class_id)
    if (of === undefined) return []
    return [
      {
        id: row.id,
        class: of,
        source: row.source,
        content: row.content,
        metadata: JSON.parse(row.metadata_json) as Record<string, unknown>, // ours
        embedder: row.embedder,
        timestamp: row.timestamp,
        createdAt: row.created_at,
        updatedAt: row.updated_at,
      },
    ]
  }
}

function contentHash(content: string): string {
  return hash('sha256', content)
}

async function insertChunks(
  trx: Kysely<Tables>,
  item: KnowledgeItem,
  chunks: readonly StoredChunk[],
): Promise<void> {
  const rows = chunks.map(({ seq, text, heading, vector }) => ({
    item_id: item.id,
    seq,
    class_id: item.class.id,
    text,
    heading,
    vector: vector === undefined ? null : bytesOf(vector),
  }))
  for (let at = 0; at < rows.length; at += BATCH)
    await trx
      .insertInto('knowledge_chunk')
      .values(rows.slice(at, at + BATCH))
      .execute()
}

function chunkOf(row: Selectable<Tables['knowledge_chunk']>): StoredChunk {
  const { seq, text, heading, vector } = row
  return { seq, text, heading, vector: vector === null ? undefined : vectorOf(vector) }
}
