/** Knowledge on real stores, with real policies and a real index thread. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ITEMS } from '../../../../test/retrieval/pairs.ts'
import { eachStore } from '../store/test-store.ts'
import type { Embedder } from './embedder.ts'
import { hashingEmbedder } from './embedding/hashing.ts'
import { ALL, as, idsOf, item, world } from './test-world.ts'

eachStore('knowledge', (at) => {
  test('runtime §20.21: the right item comes first with 0.7 and more, unrelated ones stay below 0.3', async () => {
    const { knowledge } = await world(at.store)
    const { reading, writing } = knowledge
    for (const { topic, text } of ITEMS) await writing.add(as('ada'), item(topic, text))
    let asked = 0
    let first = 0
    let clear = 0
    let unrelated = 0
    let beside = 0
    for (const {
      topic,
      answered: [, question],
      near,
    } of ITEMS) {
      const { hits } = await reading.search(as('ada'), question, ALL)
      asked += 1
      if (hits[0]?.item.id === topic) first += 1
      if ((hits[0]?.score ?? 0) >= 0.7) clear += 1
      unrelated += hits.filter(({ item: { id }, score }) => id !== topic && score >= 0.3).length
      const other = await reading.search(as('ada'), near, ALL)
      if (other.hits.every(({ item: { id }, score }) => id !== topic || score < 0.7)) beside += 1
    }
    expect(first / asked).toBeGreaterThanOrEqual(0.9)
    expect(clear / asked).toBeGreaterThanOrEqual(0.9)
    expect(beside / asked).toBeGreaterThanOrEqual(0.9)
    expect(unrelated / (asked * (ITEMS.length - 1))).toBeLessThan(0.02)
    const same = await reading.search(as('ada'), `  ${ITEMS[0]?.text}\n`, ALL)
    expect(same.hits[0]?.score).toBe(1)
  })

  test('runtime §20.21: who sees what is exact, against a model, for random owners, kinds and labels', async () => {
    const { knowledge } = await world(at.store, {
      cedar: `
        @id("hr") permit (principal == Agent::"clerk", action == Action::"knowledge:search", resource is Knowledge)
          when { resource.labels.contains("hr") && !resource.labels.contains("secret") };
        @id("no-code") forbid (principal == Agent::"baker", action == Action::"knowledge:search", resource is Knowledge)
          when { resource.source_type == "code" };`,
    })
    const { reading, writing } = knowledge
    const owners = [undefined, 'scout', 'clerk', 'baker']
    const kinds = ['document', 'code', 'conversation']
    const labelSets = [[], ['hr'], ['secret'], ['hr', 'secret']]
    const items = owners.flatMap((agentId) =>
      kinds.flatMap((sourceType) =>
        labelSets.map((labels) =>
          item(
            `${agentId ?? 'all'}-${sourceType}-${labels.join('+')}`,
            'the tide table of the harbour',
            {
              agentId,
              sourceType,
              labels,
            },
          ),
        ),
      ),
    )
    for (const one of items) await writing.add(as('ada'), one)
    for (const viewer of ['scout', 'clerk', 'baker'])
      for (const agentId of [undefined, viewer])
        for (const sourceTypes of [[], ['code'], ['document', 'conversation']]) {
          const seen = items.filter(({ agentId: owner, sourceType, labels }) => {
            if (sourceTypes.length > 0 && !sourceTypes.includes(sourceType)) return false
            if (owner !== undefined && owner !== agentId) return false
            if (viewer === 'baker' && sourceType === 'code') return false
            const byLabel =
              viewer === 'clerk' && labels.includes('hr') && !labels.includes('secret')
            return owner === viewer || labels.length === 0 || byLabel
          })
          const wanted = seen.map(({ id }) => id).sort()
          const options = { ...ALL, agentId, sourceTypes }
          expect(await idsOf(reading.search(as(viewer), 'tide table', options))).toEqual(wanted)
          // An administrator who names the agent sees what that agent would.
          if (agentId !== undefined)
            expect(await idsOf(reading.search(as('ada'), 'tide table', options))).toEqual(wanted)
        }
    expect((await reading.search(as('ada'), 'tide table', ALL)).total).toBe(items.length)
    await expect(reading.search(as('scout'), 'x', { agentId: 'clerk' })).rejects.toMatchObject({
      code: 'AGENT_NOT_FOUND',
    })
  })

  test('runtime §20.21: a replaced and a deleted item leave no chunk behind', async () => {
    const { knowledge } = await world(at.store)
    const { reading, writing } = knowledge
    const long = Array.from(
      { length: 40 },
      (_, n) => `## Part ${n}\n\n${'harbour tide '.repeat(40)}${n}`,
    )
    const added = await writing.add(as('ada'), item('long', long.join('\n\n')))
    expect(added.chunks).toBeGreaterThan(10)
    expect((await reading.search(as('ada'), 'harbour tide', ALL)).total).toBe(1)
    await writing.add(as('ada'), item('long', 'something about bread'))
    const rows = () => at.store.db.selectFrom('knowledge_chunk').select('seq').execute()
    expect(await rows()).toHaveLength(1)
    expect((await reading.search(as('ada'), 'harbour', ALL)).hits[0]?.score ?? 0).toBeLessThan(0.3)
    await writing.remove(as('ada'), 'long')
    expect(await rows()).toEqual([])
    expect((await reading.search(as('ada'), 'bread', ALL)).total).toBe(0)
    await expect(writing.remove(as('ada'), 'long')).rejects.toMatchObject({
      code: 'KNOWLEDGE_NOT_FOUND',
    })
  })

  test('an index that is lost, broken, old or ahead is made again and never answers wrongly', async () => {
    const first = await world(at.store)
    await first.knowledge.writing.add(as('ada'), item('a', 'tide table of the harbour'))
    await first.knowledge.writing.add(as('ada'), item('b', 'bread and butter'))
    await first.close()
    const file = join(first.directory, 'index.db')
    const search = async () => {
      const { knowledge, close } = await world(at.store, { directory: first.directory })
      const ids = await idsOf(knowledge.reading.search(as('ada'), 'tide table', ALL))
      await close()
      return ids
    }
    expect(await search()).toContain('a')
    writeFileSync(file, 'no database at all')
    expect(await search()).toContain('a')
    rmSync(file)
    expect(await search()).toContain('a')
    // Written by a process that died before its index heard of it.
    await at.store.write((trx) => trx.deleteFrom('knowledge_item').where('id', '=', 'a').execute())
    expect(await search()).not.toContain('a')
    // An older store in the place of this one.
    await at.store.write(async (trx) => {
      for (const table of ['knowledge_chunk', 'knowledge_item', 'knowledge_change'] as const)
        await trx.deleteFrom(table).execute()
      await trx
        .updateTable('meta')
        .set({ value: '0' })
        .where('key', '=', 'knowledge_revision')
        .execute()
    })
    expect(await search()).toEqual([])
  })

  test('what an embedder that was down left is embedded when it is back, and nothing twice', async () => {
    const built = hashingEmbedder()
    let isDown = true
    const embedder: Embedder = {
      ...built,
      embed: (texts, signal) =>
        isDown ? Promise.reject(new Error('down')) : built.embed(texts, signal),
    }
    const { knowledge, journal } = await world(at.store, { embedder: () => embedder })
    journal.start()
    const added = await knowledge.writing.add(as('ada'), item('a', 'tide table of the harbour'))
    expect(added).toMatchObject({ embedded: false, chunks: 1 })
    // Its words are found already.
    expect(await idsOf(knowledge.reading.search(as('ada'), 'harbour', ALL))).toEqual(['a'])
    isDown = false
    await expect
      .poll(async () => {
        await knowledge.prune()
        const row = await at.store.db.selectFrom('knowledge_item').select('embedder').execute()
        return row[0]?.embedder
      })
      .toBe(built.id)
    const chunks = await at.store.db.selectFrom('knowledge_chunk').selectAll().execute()
    expect(chunks).toHaveLength(1)
    expect(chunks[0]?.vector).not.toBeNull()
    const { hits } = await knowledge.reading.search(as('ada'), 'tide table of the harbour', ALL)
    expect(hits[0]?.chunk.vector).toHaveLength(built.dimension)
  })

  test('what a transaction read is known before it is answered, and follows what it writes', async () => {
    const { knowledge, taint, written } = await world(at.store)
    const { reading, writing } = knowledge
    const mine = { agentId: 'scout' }
    await writing.add(
      as('ada'),
      item('pay', 'salaries of all', { ...mine, labels: ['confidential'] }),
    )
    await reading.search(as('scout', 'txn_clean'), 'salaries', ALL)
    expect(taint.of('txn_clean')).toEqual([])
    await reading.context(as('scout', 'txn_read'), 'salaries of all', mine)
    expect(taint.of('txn_read')).toEqual(['confidential'])
    await writing.add(as('scout', 'txn_read'), item('note', 'what I learnt', mine))
    expect((await reading.get(as('ada'), 'note')).class.labels).toEqual(['confidential'])
    expect(written.at(-1)?.data).toMatchObject({ operation: 'knowledge:search' })
  })

  test('nothing is handed out when it cannot be noted that it was read', async () => {
    const { knowledge, taint } = await world(at.store)
    const mine = { agentId: 'scout', labels: ['confidential'] }
    await knowledge.writing.add(as('ada'), item('pay', 'salaries of all', mine))
    taint.add = () => Promise.reject(new Error('disk full'))
    const asked = knowledge.reading.search(as('scout'), 'salaries', { ...ALL, agentId: 'scout' })
    await expect(asked).rejects.toThrow('disk full')
  })

  test('an id that another agent uses is refused and its item stays', async () => {
    const { knowledge } = await world(at.store)
    const { reading, writing } = knowledge
    await writing.add(as('scout'), item('x', 'mine', { agentId: 'scout' }))
    await expect(
      writing.add(as('clerk'), item('x', 'yours', { agentId: 'clerk' })),
    ).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    await expect(writing.remove(as('clerk'), 'x')).rejects.toMatchObject({
      code: 'KNOWLEDGE_NOT_FOUND',
    })
    await expect(reading.get(as('clerk'), 'x')).rejects.toMatchObject({
      code: 'KNOWLEDGE_NOT_FOUND',
    })
    await expect(writing.add(as('clerk'), item('y', 'for all'))).rejects.toMatchObject({
      code: 'ACCESS_DENIED',
    })
    expect((await reading.get(as('scout'), 'x')).content).toBe('mine')
  })

  if (at.engine === 'postgres')
    test('two nodes see what the other wrote, at once where they are told of it', async () => {
      const other = await at.open()
      const here = await world(at.store)
      const there = await world(other)
      for (let n = 0; n < 8; n++) {
        const writer = n % 2 === 0 ? here : there
        await writer.knowledge.writing.add(as('ada'), item(`tide-${n}`, `tide table ${n}`))
      }
      for (const node of [here, there])
        await expect
          .poll(async () => (await node.knowledge.reading.search(as('ada'), 'tide', ALL)).total)
          .toBe(8)
    })
})
