import { expect, it } from 'vitest'
import { eachStore } from '../../store/test-store.ts'
import { Collections } from './collections.ts'

const failing = (code: string) => expect.objectContaining({ code })
const signal = new AbortController().signal

eachStore('collections of vectors', (at) => {
  const made = async (change: object = {}) => {
    const collections = new Collections({ store: at.store, now: Date.now })
    await collections.create({ name: 'notes', vector_size: 2, ...change })
    return collections
  }
  const POINTS = [
    { id: 1, vector: [1, 0], payload: { colour: 'red', n: 1 } },
    { id: 'b', vector: [0, 2], payload: { colour: 'blue' } },
    { id: 3, vector: [3, 3], payload: { colour: 'red', n: 3 } },
  ]
  const ids = async (collections: Collections, search: object) => {
    const asked = { collection_name: 'notes', vector: [1, 0.1], ...search }
    const { results } = await collections.search(asked, signal)
    return (results as { id: unknown }[]).map(({ id }) => id)
  }

  it('runtime §14.4: is made, described, listed, counted and deleted', async () => {
    const collections = await made({ hnsw_config: { m: 16 }, optimizers_config: null })
    expect(await collections.list()).toEqual(['notes'])
    expect(await collections.upsert({ collection_name: 'notes', points: POINTS })).toEqual({
      collection_name: 'notes',
      operation_id: expect.stringMatching(/^op_/),
      status: 'completed',
      points_count: 3,
    })
    expect(await collections.info('notes')).toEqual({
      collection_name: 'notes',
      config: {
        vector_size: 2,
        distance: 'Cosine',
        on_disk_payload: false,
        hnsw_config: { m: 16 },
      },
      status: 'green',
      vectors_count: 3,
      indexed_vectors_count: 3,
      points_count: 3,
    })
    expect(await collections.count('notes')).toEqual({ count: 3 })
    await expect(collections.create({ name: 'notes', vector_size: 2 })).rejects.toEqual(
      failing('ALREADY_EXISTS'),
    )
    expect(await collections.remove('notes')).toMatchObject({ status: 'deleted' })
    for (const call of [collections.info, collections.count, collections.remove])
      await expect(call.call(collections, 'notes')).rejects.toEqual(failing('COLLECTION_NOT_FOUND'))
    await made()
    expect(await collections.count('notes')).toEqual({ count: 0 })
  })

  it('runtime §14.4: each distance has its own order', async () => {
    const cosine = await made()
    await cosine.upsert({ collection_name: 'notes', points: POINTS })
    expect(await ids(cosine, {})).toEqual([1, 3, 'b'])
    expect(await ids(cosine, { score_threshold: 0.9 })).toEqual([1])
    await cosine.remove('notes')
    const dot = await made({ distance: 'Dot' })
    await dot.upsert({ collection_name: 'notes', points: POINTS })
    expect(await ids(dot, {})).toEqual([3, 1, 'b'])
    await dot.remove('notes')
    const euclidean = await made({ distance: 'Euclidean' })
    await euclidean.upsert({ collection_name: 'notes', points: POINTS })
    expect(await ids(euclidean, { vector: [0, 1.9] })).toEqual(['b', 1, 3])
    expect(await ids(euclidean, { vector: [0, 1.9], score_threshold: 1 })).toEqual(['b'])
  })

  it('runtime §14.4: points are replaced, retrieved by repeated ids, filtered and deleted', async () => {
    const collections = await made({ distance: 'Dot' })
    await collections.upsert({ collection_name: 'notes', points: POINTS })
    await collections.upsert({
      collection_name: 'notes',
      points: [
        { id: 3, vector: [5, 5], payload: null },
        { id: '1', vector: [7, 7], payload: {} },
      ],
    })
    expect(await collections.retrieve('notes', ['b', '3', 'none'])).toEqual([
      { id: 'b', vector: [0, 2], payload: { colour: 'blue' } },
      { id: 3, vector: [5, 5], payload: {} },
    ])
    // A query cannot say whether it means the number or the text.
    expect((await collections.retrieve('notes', ['1'])).map(({ id }) => id)).toEqual([1, '1'])
    expect(await ids(collections, { filter: { colour: 'red' } })).toEqual([1])
    expect(await ids(collections, { filter: { toString: null } })).toEqual([])
    expect(await collections.removePoints({ collection_name: 'notes', ids: [1, 'x'] })).toEqual({
      collection_name: 'notes',
      status: 'completed',
      deleted_count: 1,
    })
    expect(await collections.count('notes')).toEqual({ count: 3 })
  })

  it('a point may have several vectors with names', async () => {
    const collections = await made({ distance: 'Dot' })
    const vector = { title: [1, 0], body: [0, 1] }
    await collections.upsert({ collection_name: 'notes', points: [{ id: 'a', vector }] })
    expect(await collections.retrieve('notes', ['a'])).toEqual([{ id: 'a', vector, payload: {} }])
    expect(await ids(collections, { using: 'body', score_threshold: 0.05 })).toEqual(['a'])
    expect(await ids(collections, { using: 'body', score_threshold: 0.2 })).toEqual([])
    expect(await ids(collections, {})).toEqual([])
  })

  it('runtime §1.7: vectors of another size and what is no vector are refused, all or nothing', async () => {
    const collections = await made()
    const put = (...points: object[]) => collections.upsert({ collection_name: 'notes', points })
    await expect(put(POINTS[0] as object, { id: 2, vector: [1, 2, 3] })).rejects.toEqual(
      failing('DIMENSION_MISMATCH'),
    )
    expect(await collections.count('notes')).toEqual({ count: 0 })
    await expect(ids(collections, { vector: [1] })).rejects.toEqual(failing('DIMENSION_MISMATCH'))
    for (const bad of [
      { id: 1, vector: [1, 1e300] },
      { id: 1, vector: ['1', 2] },
      { id: -1, vector: [1, 2] },
      { id: 1, vector: [1, 2], payload: { text: 'x'.repeat(70_000) } },
    ])
      await expect(put(bad), JSON.stringify(bad).slice(0, 50)).rejects.toEqual(
        failing('VALIDATION_ERROR'),
      )
    for (const bad of [{ vector_size: 8_193 }, { vector_size: 0 }, { distance: 'cosine' }])
      await expect(collections.create({ name: 'more', vector_size: 2, ...bad })).rejects.toEqual(
        failing('VALIDATION_ERROR'),
      )
    await expect(collections.create({ name: '../x', vector_size: 2 })).rejects.toEqual(
      failing('VALIDATION_ERROR'),
    )
    // All zeros have no direction, and are near to nothing.
    await put({ id: 1, vector: [0, 0] })
    expect(await ids(collections, { score_threshold: 0.1 })).toEqual([])
  })
})
