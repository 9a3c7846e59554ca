/** Knowledge that a provider embeds: every call is an agent's model call, decided, counted and recorded. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RuntimeNode } from './node.ts'

const MODEL = 'demo:text-embedding-3-small'

let daemon: TestDaemon
let node: RuntimeNode

beforeAll(async () => {
  daemon = await startTestDaemon({
    config: {
      llm: { providers: { demo: { kind: 'mock' } } },
      runtime: { knowledge_embedder: 'provider', knowledge_model: MODEL, knowledge_dimension: 64 },
    },
  })
  node = new RuntimeNode(daemon.daemon.ready)
})
afterAll(() => daemon.stop())

const TEXT = 'The lighthouse keeper trims the wick at dusk.'

const add = (id: string) =>
  node.ask('POST', 'knowledge', {
    body: { id, content: TEXT, metadata: { source: `${id}.md`, source_type: 'document' } },
  })

test('runtime §10.4: a provider embeds as an agent that the operator names, on record', async () => {
  expect((await add('before')).status).toBeLessThan(500) // nobody to ask as: it waits for its vector
  await daemon.admin.call('admin.agent.add', {
    name: 'knowledge',
    public_key: newAgentKeys('knowledge').publicKeyHex,
  })
  expect((await add('kb')).json).toMatchObject({ embedding_model: MODEL, dimension: 64 })
  const { json } = await node.ask('POST', 'knowledge/search', { body: { query: TEXT } })
  expect(json.results[0]).toMatchObject({ similarity_score: 1 })
  const { records } = await daemon.admin.call('admin.audit.query', {
    action: 'llm.embed',
    limit: 50,
  })
  const outcome = records.find(({ phase }: { phase: string }) => phase === 'outcome')
  expect(outcome).toMatchObject({ actor: 'agent:knowledge', source: 'llm', success: true })
  expect(JSON.stringify(records)).not.toContain('lighthouse')
})

test('runtime §10.4: an agent that is disabled asks for nothing more, and words are still found', async () => {
  await daemon.admin.call('admin.agent.disable', { name: 'knowledge' })
  const { json, status } = await node.ask('POST', 'knowledge/search', {
    body: { query: 'lighthouse keeper', similarity_threshold: 0 },
  })
  expect(status).toBe(200)
  expect(json.total_results).toBeGreaterThan(0)
})
