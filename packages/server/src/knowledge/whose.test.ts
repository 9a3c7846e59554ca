/** Whose knowledge it is, and who may change what is said of it. */
import { expect, test } from 'vitest'
import type { Agent } from '../identity/agent.ts'
import { eachStore } from '../store/test-store.ts'
import { AGENTS, ALL, as, idsOf, item, world } from './test-world.ts'

eachStore('knowledge of agents', (at) => {
  test('runtime §10.3: an agent that is given a free name gets nothing of who had it', async () => {
    const [first] = AGENTS
    if (first === undefined) throw new Error('no agent')
    const agents: Agent[] = [first]
    const { knowledge } = await world(at.store, { agents })
    const { reading, writing } = knowledge
    const own = { agentId: 'scout' }
    await writing.add(as(first), item('diary', 'what I saw at the pier', own))
    const second: Agent = { ...first, id: '018f3c5e-0000-7000-8000-0000000000ff' }
    agents.splice(0, 1, second)
    const mine = { ...ALL, ...own }
    expect(await idsOf(reading.search(as(second), 'the pier', mine))).toEqual([])
    expect((await reading.context(as(second), 'what I saw at the pier', own)).passages).toEqual([])
    expect((await reading.list(as(second), own, { offset: 0, limit: 9 })).total).toBe(0)
    for (const asked of [
      () => reading.get(as(second), 'diary'),
      () => writing.remove(as(second), 'diary'),
    ])
      await expect(asked()).rejects.toMatchObject({ code: 'KNOWLEDGE_NOT_FOUND' })
    await expect(writing.add(as(second), item('diary', 'what I did', own))).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    })
    expect((await reading.get(as('ada'), 'diary')).content).toBe('what I saw at the pier')
    expect(await writing.add(as('ada'), item('diary', 'anew', own))).toMatchObject({
      replaced: true,
    })
    expect((await reading.get(as(second), 'diary')).content).toBe('anew')
  })

  test('runtime §10.3: labels of what is there are taken away by administrators alone', async () => {
    const cedar = `@id("writes") permit (principal, action, resource is Knowledge);`
    const { knowledge } = await world(at.store, { cedar })
    const { reading, writing } = knowledge
    for (const [id, owned] of [
      ['own', { agentId: 'scout' }],
      ['shared', {}],
    ] as const) {
      await writing.add(as('ada'), item(id, 'salaries', { ...owned, labels: ['confidential'] }))
      await writing.add(as('scout'), item(id, 'anew', { ...owned, labels: ['new'] }))
      const labels = async () => (await reading.get(as('ada'), id)).class.labels
      expect(await labels()).toEqual(['confidential', 'new'])
      await writing.add(as('ada'), item(id, 'again', owned))
      expect(await labels()).toEqual([])
    }
  })

  test('what policy keeps from a search is not remembered into context either', async () => {
    const cedar = `@id("closed") forbid (principal, action == Action::"knowledge:search", resource is Knowledge)
      when { resource.labels.contains("confidential") };`
    const remembered = (id: string, labels: readonly string[]) => ({
      id,
      text: `what was said of ${id}`,
      source: `memory:${id}`,
      score: 0.9,
      labels,
    })
    const memory = {
      recall: async () => [remembered('pay', ['confidential']), remembered('tea', ['kitchen'])],
    }
    const { knowledge, taint } = await world(at.store, { cedar, memory })
    const asking = as('scout')
    const { passages } = await knowledge.reading.context(asking, 'what was said', {
      agentId: 'scout',
    })
    expect(passages.map(({ id }) => id)).toEqual(['tea'])
    expect(taint.of(asking.caller.txn)).toEqual(['kitchen'])
  })
})
