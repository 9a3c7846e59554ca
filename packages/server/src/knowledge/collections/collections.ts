/** Collections of vectors, searched exactly: administrators write them, every key may read them. */
import { setImmediate as breath } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import {
  type Collection,
  fits,
  isNearer,
  MAX_COLLECTIONS,
  MAX_POINTS,
  type Point,
  type PointId,
  packVectors,
  readCreate,
  readIds,
  readPointSearch,
  readUpsert,
  scoreOf,
  unknownCollection,
  unpackVectors,
  vectorFrom,
} from './collection.ts'

export interface CollectionsDeps {
  readonly store: Pick<Store, 'db' | 'change' | 'write'>
  /** Epoch ms. */
  readonly now: () => number
}

interface Scored {
  readonly id: PointId
  readonly score: number
  readonly payload: Readonly<Record<string, unknown>>
}

/** Points between two breaths: others have their turn. */
const PAGE = 500

export class Collections {
  readonly #deps: CollectionsDeps

  constructor(deps: CollectionsDeps) {
    this.#deps = deps
  }

  /** @throws VestryError VALIDATION_ERROR, ALREADY_EXISTS, QUEUE_FULL */
  async create(body: unknown): Promise<Record<string, unknown>> {
    const { name, vector_size: size, distance, ...more } = readCreate(body)
    const config: Omit<Collection, 'name'> = { size, distance, more }
    await this.#deps.store.change(async (trx) => {
      const names = await trx.selectFrom('vector_collection').select('id').execute()
      if (names.some(({ id }) => id === name))
        throw new VestryError('ALREADY_EXISTS', `There is another collection ${name}`)
      if (names.length >= MAX_COLLECTIONS)
        throw new VestryError('QUEUE_FULL', `There may be ${MAX_COLLECTIONS} collections`)
      const row = { id: name, config_json: JSON.stringify(config), created_at: this.#deps.now() }
      await trx.insertInto('vector_collection').values(row).execute()
    })
    return { collection_name: name, status: 'created', result: null }
  }

  /** With all its points. @throws VestryError COLLECTION_NOT_FOUND */
  async remove(name: string): Promise<Record<string, unknown>> {
    await this.#deps.store.change(async (trx) => {
      await trx.deleteFrom('vector_point').where('collection', '=', name).execute()
      const gone = await trx
        .deleteFrom('vector_collection')
        .where('id', '=', name)
        .executeTakeFirst()
      if (gone.numDeletedRows === 0n) throw unknownCollection(name)
    })
    return { collection_name: name, status: 'deleted' }
  }

  /** Sorted. */
  async list(): Promise<string[]> {
    const rows = await this.#deps.store.db
      .selectFrom('vector_collection')
      .select('id')
      .orderBy('id')
      .execute()
    return rows.map(({ id }) => id)
  }

  /** @throws VestryError COLLECTION_NOT_FOUND */
  async info(name: string): Promise<Record<string, unknown>> {
    const { size, distance, more } = await this.#get(name)
    const points = await this.#count(name)
    return {
      collection_name: name,
      config: { vector_size: size, distance, ...more },
      status: 'green',
      vectors_count: points,
      // Each search looks at all of them.
      indexed_vectors_count: points,
      points_count: points,
    }
  }

  /** @throws VestryError COLLECTION_NOT_FOUND */
  async count(name: string): Promise<Record<string, unknown>> {
    await this.#get(name)
    return { count: await this.#count(name) }
  }

  /**
   * All of them or none; a point that is there is replaced.
   * @throws VestryError COLLECTION_NOT_FOUND, DIMENSION_MISMATCH, VALIDATION_ERROR, QUEUE_FULL
   */
  async upsert(body: unknown): Promise<Record<string, unknown>> {
    const { collection_name: name, points } = readUpsert(body)
    const collection = await this.#get(name)
    const nowMs = this.#deps.now()
    const rows = points.map(({ id, vector, payload }): Tables['vector_point'] => {
      const named = Array.isArray(vector) ? [['', vector] as const] : Object.entries(vector)
      const vectors = new Map(named.map(([key, one]) => [key, vectorFrom(one, collection)]))
      return {
        collection: name,
        id: keyOf(id),
        vectors: packVectors(vectors),
        payload_json: JSON.stringify(payload),
        updated_at: nowMs,
      }
    })
    const count = await this.#deps.store.write(async (trx) => {
      // Removed meanwhile: its points have no place.
      const there = await trx
        .selectFrom('vector_collection')
        .select('id')
        .where('id', '=', name)
        .executeTakeFirst()
      if (there === undefined) throw unknownCollection(name)
      for (const row of rows)
        await trx
          .insertInto('vector_point')
          .values(row)
          .onConflict((clash) => clash.columns(['collection', 'id']).doUpdateSet(row))
          .execute()
      const { count: all } = await trx
        .selectFrom('vector_point')
        .select(({ fn }) => fn.countAll().as('count'))
        .where('collection', '=', name)
        .executeTakeFirstOrThrow()
      if (Number(all) > MAX_POINTS)
        throw new VestryError('QUEUE_FULL', `A collection may have ${MAX_POINTS} points`)
      return Number(all)
    })
    return {
      collection_name: name,
      operation_id: newTimeOrderedId('op', nowMs),
      status: 'completed',
      points_count: count,
    }
  }

  /** In the order asked for; those that are not there are left out. @throws VestryError COLLECTION_NOT_FOUND */
  async retrieve(name: string, ids: readonly string[]): Promise<Record<string, unknown>[]> {
    const collection = await this.#get(name)
    const { ids: asked } = readIds({ collection_name: name, ids })
    // In a query a number looks like a text.
    const keys = asked.flatMap((id) => keysOf(String(id)))
    const rows = await this.#deps.store.db
      .selectFrom('vector_point')
      .selectAll()
      .where('collection', '=', name)
      .where('id', 'in', keys)
      .execute()
    const found = new Map(rows.map((row) => [row.id, pointOf(row, collection.size)]))
    return keys.flatMap((key) => {
      const point = found.get(key)
      return point === undefined ? [] : [pointBody(point)]
    })
  }

  /** The nearest first. @throws VestryError COLLECTION_NOT_FOUND, DIMENSION_MISMATCH; the signal's reason */
  async search(body: unknown, signal: AbortSignal): Promise<Record<string, unknown>> {
    const asked = readPointSearch(body)
    const collection = await this.#get(asked.collection_name)
    const { distance } = collection
    const query = vectorFrom(asked.vector, collection)
    let best: Scored[] = []
    let total = 0
    for await (const points of this.#pages(collection, signal)) {
      for (const { id, vectors, payload } of points) {
        const vector = vectors.get(asked.using)
        if (vector === undefined || !fits(payload, asked.filter)) continue
        const score = scoreOf(distance, query, vector)
        const limit = asked.score_threshold
        if (limit !== undefined && score !== limit && !isNearer(distance, score, limit)) continue
        total += 1
        best.push({ id, score, payload })
      }
      best = best
        .sort((a, b) => (a.score === b.score ? 0 : isNearer(distance, a.score, b.score) ? -1 : 1))
        .slice(0, asked.limit)
    }
    return { results: best, total_results: total }
  }

  /** @throws VestryError COLLECTION_NOT_FOUND */
  async removePoints(body: unknown): Promise<Record<string, unknown>> {
    const { collection_name: name, ids } = readIds(body)
    await this.#get(name)
    const gone = await this.#deps.store.write((trx) =>
      trx
        .deleteFrom('vector_point')
        .where('collection', '=', name)
        .where('id', 'in', ids.map(keyOf))
        .executeTakeFirst(),
    )
    return {
      collection_name: name,
      status: 'completed',
      deleted_count: Number(gone.numDeletedRows),
    }
  }

  async *#pages({ name, size }: Collection, signal: AbortSignal): AsyncIterable<Point[]> {
    for (let after = ''; ; ) {
      signal.throwIfAborted()
      const rows = await this.#deps.store.db
        .selectFrom('vector_point')
        .selectAll()
        .where('collection', '=', name)
        .where('id', '>', after)
        .orderBy('id')
        .limit(PAGE)
        .execute()
      yield rows.map((row) => pointOf(row, size))
      const last = rows.at(-1)
      if (last === undefined || rows.length < PAGE) return
      after = last.id
      await breath()
    }
  }

  async #get(name: string): Promise<Collection> {
    const row = await this.#deps.store.db
      .selectFrom('vector_collection')
      .select('config_json')
      .where('id', '=', name)
      .executeTakeFirst()
    if (row === undefined) throw unknownCollection(name)
    // We wrote it.
    return { name, ...(JSON.parse(row.config_json) as Omit<Collection, 'name'>) }
  }

  async #count(name: string): Promise<number> {
    const { count } = await this.#deps.store.db
      .selectFrom('vector_point')
      .select(({ fn }) => fn.countAll().as('count'))
      .where('collection', '=', name)
      .executeTakeFirstOrThrow()
    return Number(count)
  }
}

/** Numbers and texts are two kinds of ids. */
function keyOf(id: PointId): string {
  return typeof id === 'number' ? `n:${id}` : `s:${id}`
}

function keysOf(text: string): string[] {
  return /^(0|[1-9]\d{0,15})$/.test(text) ? [`n:${text}`, `s:${text}`] : [`s:${text}`]
}

function idOf(key: string): PointId {
  return key.startsWith('n:') ? Number(key.slice(2)) : key.slice(2)
}

function pointOf(row: Tables['vector_point'], size: number): Point {
  return {
    id: idOf(row.id),
    vectors: unpackVectors(row.vectors, size),
    payload: JSON.parse(row.payload_json) as Record<string, unknown>, // we wrote it
  }
}

function pointBody({ id, vectors, payload }: Point): Record<string, unknown> {
  const only = vectors.get('')
  const named = [...vectors].map(([name, vector]) => [name, [...vector]] as const)
  return { id, vector: only === undefined ? Object.fromEntries(named) : [...only], payload }
}
