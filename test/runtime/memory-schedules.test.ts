/** Schedules, memory, collections of vectors and metrics, through the runtime API of a whole daemon. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SymbiontClient } from '../../packages/sdk/src/runtime/client.ts'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type FakeProviders, startFakeProviders } from '../harness/fake-providers.ts'
import { RuntimeNode } from './node.ts'

let at: TestDaemon
let node: RuntimeNode
let fakes: FakeProviders
let client: SymbiontClient

const agent = (id: string) => ({
  id,
  name: id,
  description: '',
  system_prompt: 'You look around.',
  tools: [],
  model: 'openai:gpt-4o-mini',
  temperature: 0,
  top_p: 1,
  max_tokens: 100,
})

beforeAll(async () => {
  fakes = await startFakeProviders()
  at = await startTestDaemon({
    config: {
      egress: { allow_cidrs: ['127.0.0.1/32'] },
      llm: { providers: { openai: { base_url: fakes.openai.url } } },
    },
  })
  node = new RuntimeNode(at.daemon.ready)
  client = new SymbiontClient({
    baseUrl: `${node.url}/api/v1`,
    apiKey: node.adminKey,
    envFile: false,
  })
  for (const id of ['scout', 'clerk']) await client.createAgent(agent(id))
})
afterAll(async () => {
  await at?.stop()
  await fakes?.close()
})

test('runtime §15.3: a schedule is made, paused, resumed and removed, and the metrics move with it', async () => {
  const before = await client.getStatus()
  const made = await client.createSchedule({
    name: 'nightly',
    cron_expression: '30 2 * * *',
    agent_name: 'scout',
    timezone: 'Europe/Berlin',
  })
  const id = made.job_id
  expect(made).toEqual({ job_id: id, next_run: expect.any(String), status: 'active' })
  expect(await client.listSchedules()).toMatchObject([{ job_id: id, run_count: 0 }])
  expect((await client.getNextRuns(id, { count: 3 })).next_runs).toHaveLength(3)
  expect(await client.pauseSchedule(id)).toEqual({ job_id: id, action: 'pause', status: 'paused' })
  expect(await client.getSchedulerMetrics()).toMatchObject({ jobs_total: 1, jobs_paused: 1 })
  expect((await client.getMetrics())['scheduler']).toMatchObject({ jobs_paused: 1 })
  expect(await client.resumeSchedule(id)).toMatchObject({ status: 'active' })
  expect(await client.updateSchedule(id, { name: 'early' })).toMatchObject({ name: 'early' })
  expect(await client.getSchedulerHealth()).toMatchObject({ is_running: true, jobs_active: 1 })
  expect((await client.getStatus())['schedule_count']).toBe(Number(before['schedule_count']) + 1)
  expect(await client.deleteSchedule(id)).toEqual({ job_id: id, deleted: true })
  await expect(client.getSchedule(id)).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' })
})

test('runtime §15.3: a schedule that is triggered really runs its agent', async () => {
  const { job_id: id } = await client.createSchedule({
    name: 'now',
    cron_expression: '0 0 1 1 *',
    agent_name: 'clerk',
  })
  await client.triggerSchedule(id)
  await expect
    .poll(async () => (await client.getScheduleHistory(id)).history[0]?.status)
    .not.toBe('running')
  const { history } = await client.getScheduleHistory(id)
  const { history: executions } = await client.getAgentHistory('clerk')
  expect(history).toHaveLength(1)
  expect(executions).toHaveLength(1)
  // There is no key of a provider here, so the agent fails; the schedule says so.
  expect(history[0]).toMatchObject({ status: 'failed', error: expect.any(String) })
  expect(await client.getSchedulerMetrics()).toMatchObject({ runs_total: 1, runs_failed: 1 })
  await client.deleteSchedule(id)
})

test('runtime §14.3: what is remembered is found by meaning, by member and by conversation', async () => {
  const add = (text: string, more: object = {}) =>
    client.addMemory({
      agent_id: 'scout',
      content: { text },
      memory_type: 'conversation',
      memory_level: 'episodic',
      conversation_id: 'c-1',
      ...more,
    })
  const { memory } = await add('Backups of the database run every night at half past two.')
  await add('The cafeteria serves soup on Thursdays.', { parent_id: memory.id })
  expect(memory).toMatchObject({ access_count: 0, agent_id: 'scout', children_ids: [] })
  const found = await client.searchMemory({
    agent_id: 'scout',
    query: { text: 'When do database backups run?' },
  })
  expect(found.memories[0]?.id).toBe(memory.id)
  expect(found.memories[0]).toMatchObject({ access_count: 1, children_ids: [expect.any(String)] })
  const soup = await client.searchMemory({ agent_id: 'scout', content_contains: 'SOUP' })
  expect(soup).toMatchObject({ total_count: 1, success: true })
  expect((await client.getMemory({ agent_id: 'scout' })).memory.content).toEqual({
    text: 'The cafeteria serves soup on Thursdays.',
  })
  const talk = await client.getConversationContext('c-1', 'scout')
  expect(talk.memories.map(({ id }) => id)[0]).toBe(memory.id)
  expect(await client.consolidateMemory('scout')).toMatchObject({ pruned_count: 0, success: true })
  await client.deleteMemory(memory.id)
  await expect(client.getMemory({ agent_id: 'scout', memory_id: memory.id })).rejects.toMatchObject(
    { code: 'MEMORY_NOT_FOUND' },
  )
  expect((await client.listAgentMemories('scout')).total_count).toBe(1)
})

test('runtime §14.3: an agent’s memory is its own: to another key it is not there', async () => {
  const { json } = await node.ask('GET', 'memory/agent?agent_id=scout')
  const id = String(json.memories[0].id)
  const { key } = await at.admin.call('admin.key.add', { name: 'clerk', agent: 'clerk' })
  const own = await node.ask('POST', 'memory', {
    key,
    body: { agent_id: 'clerk', content: { a: 1 }, memory_type: 'fact', memory_level: 'long_term' },
  })
  expect(own.status).toBe(201)
  for (const [method, path, body] of [
    ['GET', `memory?agent_id=scout&memory_id=${id}`],
    ['GET', `memory?agent_id=clerk&memory_id=${id}`],
    ['GET', 'memory/agent?agent_id=scout'],
    ['POST', 'memory/search', { agent_id: 'scout' }],
    ['POST', 'memory/consolidate/scout'],
    ['DELETE', `memory/${id}`],
  ] as const)
    expect((await node.ask(method, path, { key, body })).status, `${method} ${path}`).toBe(404)
  expect((await client.listAgentMemories('scout')).total_count).toBe(1)
})

test('runtime §14.4: a collection of vectors lives through the client', async () => {
  await client.createVectorCollection({ name: 'shapes', vector_size: 2 })
  await client.addVectors({
    collection_name: 'shapes',
    points: [
      { id: 1, vector: [1, 0], payload: { kind: 'line' } },
      { id: 'dot', vector: [0, 1] },
    ],
  })
  expect(await client.listVectorCollections()).toEqual(['shapes'])
  expect(await client.getCollectionInfo('shapes')).toMatchObject({ points_count: 2 })
  expect((await client.getVectors('shapes', ['dot', 1])).map(({ id }) => id)).toEqual(['dot', 1])
  const found = await client.searchPoints({ collection_name: 'shapes', vector: [2, 0.1] })
  expect(found.results[0]).toMatchObject({ id: 1, payload: { kind: 'line' } })
  expect(await client.deleteVectors({ collection_name: 'shapes', ids: [1] })).toMatchObject({
    deleted_count: 1,
  })
  expect(await client.countVectors('shapes')).toEqual({ count: 1 })
  await expect(
    client.addVectors({ collection_name: 'shapes', points: [{ id: 1, vector: [1] }] }),
  ).rejects.toMatchObject({ code: 'DIMENSION_MISMATCH', statusCode: 400 })
  await client.deleteVectorCollection('shapes')
  await expect(client.countVectors('shapes')).rejects.toMatchObject({
    code: 'COLLECTION_NOT_FOUND',
  })
})

test('runtime §15.4: metrics are exported as JSON and as Prometheus reads them', async () => {
  const json = await client.exportMetrics()
  expect(json).toMatchObject({
    format: 'json',
    metrics: { scheduler: {}, task_manager: {}, load_balancer: {}, system: {} },
  })
  const text = await client.exportMetrics({ format: 'prometheus' })
  expect(text['text']).toContain('runtime_requests_total')
  const wrong = await node.ask('POST', 'metrics/export', { body: { format: 'xml' } })
  expect([wrong.status, wrong.json.code]).toEqual([400, 'UNSUPPORTED_VALUE'])
})

test('vestry schedule adds, lists, triggers and removes', async () => {
  const added = await vestry(
    'schedule',
    'add',
    'by hand',
    '--agent',
    'scout',
    '--cron',
    '0 0 * * 7',
  )
  expect(added).toMatchObject({
    exitCode: 0,
    out: expect.stringMatching(/^added sch_\w{26}; next/),
  })
  const [, id = ''] = /(sch_\w{26})/.exec(added.out) ?? []
  expect((await vestry('schedule', 'list')).out).toContain('by hand')
  for (const done of [['pause'], ['resume'], ['history'], ['rm']])
    expect(await vestry('schedule', ...done, id)).toMatchObject({ exitCode: 0, err: '' })
  const gone = await vestry('schedule', 'pause', id)
  expect(gone.err).toContain('SCHEDULE_NOT_FOUND')
  const both = await vestry('schedule', 'add', 'x', '--agent', 'scout')
  expect(both).toMatchObject({ exitCode: 2, err: expect.stringContaining('--cron or --at') })
})

async function vestry(...argv: string[]) {
  const terminal = fakeTerminal()
  const signal = new AbortController().signal
  const exitCode = await runProgram([...argv, '--home', at.home.dir], terminal, signal)
  return { exitCode, out: terminal.out(), err: terminal.err() }
}
