import { once } from 'node:events'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { NotFoundError, SymbiontClient } from '@vestry/sdk/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { until } from '../../packages/server/src/journal/test-journal.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RuntimeNode } from './node.ts'

let at: TestDaemon
let node: RuntimeNode
let scout: string

beforeAll(async () => {
  at = await startTestDaemon()
  node = new RuntimeNode(at.daemon.ready)
  const public_key = newAgentKeys('scout').publicKeyHex
  await at.admin.call('admin.agent.add', { name: 'scout', public_key })
  scout = (await at.admin.call('admin.key.add', { name: 'scout', agent: 'scout' })).key
  for (const name of ['greeting', 'each-score']) {
    const file = join(import.meta.dirname, `../../examples/workflows/${name}.json`)
    const definition = JSON.parse(readFileSync(file, 'utf8'))
    const made = await node.ask('POST', 'workflows/definitions', { body: definition })
    expect(made.status).toBe(201)
  }
})
afterAll(() => at.stop())

const run = (workflow_id: string, parameters: unknown = {}, more: object = {}, key?: string) =>
  node.ask('POST', 'workflows', {
    body: { workflow_id, parameters, ...more },
    ...(key !== undefined && { key }),
  })
const define = (steps: object[], more: object = {}) =>
  node.ask('POST', 'workflows/definitions', { body: { id: 'tried', steps, ...more } })

test('runtime §5.1: a registered workflow runs, and answers with its result and its steps', async () => {
  const answer = await run('greeting', { name: 'Ada' })
  expect(answer.json).toMatchObject({
    execution_id: expect.stringMatching(/^exe_/),
    status: 'completed',
    started_at: expect.any(String),
    completed_at: expect.any(String),
    workflow_id: 'greeting',
    agent_id: null,
    result: { greeting: 'Hello, ADA!' },
    error: null,
    steps: [
      { id: 'shout', status: 'completed', output: 'ADA', duration_ms: expect.any(Number) },
      { id: 'greet', status: 'completed', output: 'Hello, ADA!' },
    ],
  })
  expect(answer.status).toBe(200)
  const again = await node.ask('GET', `workflows/executions/${answer.json.execution_id}`)
  expect(again.json).toEqual(answer.json)
  const alias = await node.ask('POST', 'workflows/execute', {
    body: { workflow_id: 'echo', parameters: { a: 1 } },
  })
  expect(alias.json.result).toEqual({ a: 1 })
})

test('runtime §5.1: what cannot be run is refused with its reason', async () => {
  expect(await run('nothing')).toMatchObject({ status: 404, json: { code: 'WORKFLOW_NOT_FOUND' } })
  expect(await run('greeting', { name: 'A' }, { agent_id: 'nobody' })).toMatchObject({
    status: 404,
    json: { code: 'AGENT_NOT_FOUND' },
  })
  const bad = await run('greeting', {})
  expect(bad).toMatchObject({ status: 400 })
  expect(bad.text).toContain('name')
  expect((await run('echo', {}, {}, scout)).status).toBe(403)
})

test('runtime §5.2: a definition is checked as a whole, and every problem is named with its place', async () => {
  const answer = await define([
    { id: 'a', kind: 'transform', with: { expression: 'steps.c.output' }, needs: ['zz'] },
    { id: 'a', kind: 'http', with: {} },
    { id: 'b', kind: 'transform', with: { expression: '1 +' }, when: 'process.exit()' },
  ])
  expect(answer).toMatchObject({ status: 400, json: { code: 'WORKFLOW_INVALID' } })
  for (const place of [
    'steps[0].needs[0]',
    'steps[0].with.expression',
    'steps[1].id',
    'steps[1].with.url',
    'steps[2].when',
  ])
    expect(answer.text).toContain(place)
  const circle = await define([
    { id: 'a', kind: 'transform', with: { expression: 'steps.b.output' } },
    { id: 'b', kind: 'transform', with: { expression: '1' }, needs: ['a'] },
  ])
  expect(circle.text).toContain('wait for each other')
})

test('runtime §5.1: a step that fails is no error of the request, and is named', async () => {
  await define([
    { id: 'bad', kind: 'transform', with: { expression: '1 / 0' }, on_error: 'continue' },
    { id: 'told', kind: 'transform', with: { expression: 'steps.bad.error.code' } },
    { id: 'worse', kind: 'transform', with: { expression: 'params.x.y' }, needs: ['told'] },
    { id: 'never', kind: 'transform', with: { expression: '1' }, needs: ['worse'] },
  ])
  const answer = await run('tried', { x: 1 })
  expect(answer.status).toBe(200)
  expect(answer.json).toMatchObject({
    status: 'failed',
    result: null,
    error: { step: 'worse', code: 'INVALID_PARAMS' },
  })
  expect(
    answer.json.steps.map((one: { id: string; status: string }) => [one.id, one.status]),
  ).toEqual([
    ['bad', 'failed'],
    ['told', 'completed'],
    ['worse', 'failed'],
  ])
  expect((await node.ask('DELETE', 'workflows/definitions/tried')).status).toBe(200)
})

test('runtime §5.2: a run waits for a signal without a place, and goes on with what it says', async () => {
  const outgoing = run('each-score', { scores: [1, 2, 3] })
  let id = ''
  await until(async () => {
    const { json } = await node.ask('GET', 'workflows/executions?workflow_id=each-score')
    id = json.executions[0]?.execution_id ?? ''
    return id !== ''
  })
  const told = await node.ask('POST', `workflows/executions/${id}/signals/go`, {
    body: { by: 'ada' },
  })
  expect(told.status).toBe(200)
  expect((await outgoing).json).toMatchObject({
    status: 'completed',
    result: { doubled: [2, 4, 6], by: 'ada' },
  })
  expect(
    (await node.ask('POST', `workflows/executions/${id}/signals/go`, { body: {} })).status,
  ).toBe(409)
})

test('runtime §5.2: an approval is asked of operators, and a yes lets the run go on', async () => {
  await define([
    // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of workflows
    { id: 'ask', kind: 'wait_for_approval', with: { summary: 'send it to ${params.who}' } },
  ])
  const outgoing = run('tried', { who: 'bob' })
  let approval = ''
  await until(async () => {
    const { approvals } = await at.admin.call('admin.approval.list', {})
    const found = (approvals as { id: string; summary: string }[]).find(
      ({ summary }) => summary === 'send it to bob',
    )
    approval = found?.id ?? ''
    return approval !== ''
  })
  await at.admin.call('admin.approval.allow', { id: approval })
  expect((await outgoing).json).toMatchObject({
    status: 'completed',
    result: { approval_id: approval },
  })
  await node.ask('DELETE', 'workflows/definitions/tried')
})

test('runtime §5.1: a run that waits can be ended', async () => {
  await define([{ id: 'rest', kind: 'delay', with: { seconds: 3_600 } }])
  const outgoing = run('tried')
  let id = ''
  await until(async () => {
    const { json } = await node.ask('GET', 'workflows/executions?workflow_id=tried&status=running')
    id = json.executions[0]?.execution_id ?? ''
    return id !== ''
  })
  expect((await node.ask('DELETE', `workflows/executions/${id}`)).json.status).toBe('cancelled')
  expect((await outgoing).json).toMatchObject({ status: 'cancelled', error: { code: 'CANCELLED' } })
  expect((await node.ask('DELETE', `workflows/executions/${id}`)).status).toBe(409)
  expect((await node.ask('GET', `workflows/executions/${id}`, { key: scout })).status).toBe(404)
  await node.ask('DELETE', 'workflows/definitions/tried')
})

test('runtime §5.1: a run is followed as it goes, from where its client was, to its end', async () => {
  await define([
    { id: 'first', kind: 'transform', with: { expression: '1' } },
    { id: 'rest', kind: 'wait_for_signal', with: { name: 'go' }, needs: ['first'] },
  ])
  const outgoing = run('tried')
  let id = ''
  await until(async () => {
    const { json } = await node.ask('GET', 'workflows/executions?workflow_id=tried&status=running')
    id = json.executions[0]?.execution_id ?? ''
    return id !== ''
  })
  const events = `workflows/executions/${id}/events`
  const begun = node.begin('GET', events)
  begun.end()
  const [reply] = (await once(begun, 'response')) as [IncomingMessage]
  expect(reply.headers['content-type']).toBe('text/event-stream')
  let text = ''
  reply.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  await until(async () => text.includes('"waiting"'))
  expect(text).toContain('"id":"first"')
  expect(text).not.toContain('event: end')
  await node.ask('POST', `workflows/executions/${id}/signals/go`, { body: {} })
  await once(reply, 'end')
  expect(text).toMatch(/event: end\ndata: \{.*"status":"completed"/)
  expect((await outgoing).json.status).toBe('completed')

  const last = [...text.matchAll(/^id: (\d+)$/gm)].at(-1)?.[1] ?? ''
  const again = await node.ask('GET', events, { headers: { 'last-event-id': `${last}9` } })
  expect(again.text).not.toContain('event: step')
  expect(again.text).toContain('event: end')
  const foreign = await node.ask('GET', events, { key: scout })
  expect(foreign).toMatchObject({ status: 404, json: { code: 'JOB_NOT_FOUND' } })
  expect((await node.ask('GET', events, { key: null })).status).toBe(401)
  await node.ask('DELETE', 'workflows/definitions/tried')
})

test('runtime §5.2: the run and its parts hang together in one trace', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  await node.ask('POST', 'workflows', {
    body: { workflow_id: 'data-analysis-workflow', parameters: { input_data: [{ a: 1 }] } },
    headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
  })
  const { records } = (await at.admin.call('admin.audit.query', { limit: 5_000 })) as {
    records: { action: string; span?: Record<'trace_id' | 'span_id' | 'parent_span_id', string> }[]
  }
  const spanOf = (action: string) =>
    records.find((one) => one.action === action && one.span?.trace_id === traceId)?.span
  expect(spanOf('workflow.step')?.parent_span_id).toBe(spanOf('workflow.end')?.span_id)
  expect(spanOf('workflow.end')?.parent_span_id).toBe(spanOf('workflow.start')?.span_id)
})

test('runtime §20.26: the statistics of a table are right, and paths stay within the data directory', async () => {
  const root = join(at.home.dir, 'data')
  writeFileSync(join(root, 'prices.csv'), 'item,price,weight\nA,1,10\nB,2,20\nB,,30\nC,4,30\n')
  const { json } = await run('data-analysis-workflow', {
    input_data: 'prices.csv',
    analysis_type: 'statistical',
  })
  expect(json).toMatchObject({
    status: 'completed',
    result: {
      rows: 4,
      columns: {
        item: { count: 4, missing: 0, distinct: 3, top: [{ value: 'B', count: 2 }, {}, {}] },
        price: { count: 3, missing: 1, min: 1, max: 4, median: 2 },
        weight: { mean: 22.5 },
      },
    },
  })
  expect(json.result.columns.price.mean).toBeCloseTo(7 / 3, 12)
  expect(json.result.columns.price.stddev).toBeCloseTo(Math.sqrt(7 / 3), 12)
  expect(json.result.correlations[0].r).toBeCloseTo(0.9819805060619657, 12)

  writeFileSync(join(at.home.dir, 'outside.csv'), 'a\n1\n')
  symlinkSync(join(at.home.dir, 'outside.csv'), join(root, 'link.csv'))
  for (const [path, code] of [
    ['../outside.csv', 'PATH_REFUSED'],
    ['link.csv', 'PATH_REFUSED'],
    ['/etc/passwd', 'PATH_REFUSED'],
    ['missing.csv', 'NOT_FOUND'],
    // The daemon's own files are there, too.
    ['vestry.db', 'PATH_REFUSED'],
  ]) {
    const answer = await run('data-analysis-workflow', { input_data: path })
    expect(answer.status).toBe(200)
    expect(answer.json).toMatchObject({ status: 'failed', error: { step: 'analyse', code } })
  }
})

test('runtime §20.20: knowledge comes in by the workflow, with its times as text', async () => {
  const items = [
    {
      id: 'wf-1',
      content: 'Filters are changed every 90 days.',
      metadata: {
        source: 'manual.md',
        source_type: 'document',
        timestamp: '2031-04-05T06:07:08Z',
        agent_id: null,
      },
    },
  ]
  const answer = await run('knowledge-ingest', { items })
  expect(answer.json).toMatchObject({ status: 'completed', result: { stored: 1 } })
  const found = await node.ask('POST', 'knowledge/search', {
    body: { query: 'how often are filters changed', similarity_threshold: 0 },
  })
  expect(found.json.results[0].item.id).toBe('wf-1')
})

test('runtime §5.2: the command line registers, runs and watches a workflow', async () => {
  const terminal = fakeTerminal()
  const file = join(import.meta.dirname, '../../examples/workflows/greeting.json')
  const { signal } = new AbortController()
  const vestry = (...words: string[]) =>
    runProgram([...words, '--home', at.home.dir], terminal, signal)
  expect(await vestry('workflow', 'add', file, '--replace')).toBe(0)
  expect(await vestry('workflow', 'run', 'greeting', '--param', 'name=Ada', '--watch')).toBe(0)
  expect(terminal.out()).toContain('Hello, ADA!')
  expect(terminal.err()).toContain('greet completed')
  expect(await vestry('workflow', 'run', 'greeting')).not.toBe(0)
})

test('runtime §5.1: the SDK tells of a run of a live daemon as it goes', async () => {
  const steps = [
    { id: 'first', kind: 'transform', with: { value: 1 } },
    { id: 'gate', kind: 'wait_for_signal', with: { name: 'go' }, needs: ['first'] },
  ]
  expect((await define(steps)).status).toBe(201)
  const client = new SymbiontClient({
    baseUrl: `${node.url}/api/v1`,
    apiKey: node.adminKey,
    envFile: false,
  })
  const outgoing = run('tried')
  let id = ''
  await until(async () => {
    const { executions } = await client.listWorkflowExecutions({
      workflow_id: 'tried',
      status: 'running',
    })
    id = executions[0]?.execution_id ?? ''
    return id !== ''
  })
  const told: string[] = []
  let kept = ''
  for await (const { event, id: at, data } of client.watchWorkflowExecution(id)) {
    told.push(`${event} ${data['id'] ?? ''} ${data.status}`)
    if (data.status === 'waiting') await client.signalWorkflow(id, 'go')
    kept = at
  }
  expect(told).toContain('step first completed')
  expect(told).toContain('step gate waiting')
  expect(told.slice(-2)).toEqual(['step gate completed', 'end  completed'])
  expect(new Set(told).size).toBe(told.length)
  await outgoing
  const again = client.watchWorkflowExecution(id, { lastEventId: `${kept}9` })
  const events = await all(again)
  expect(events.map(({ event }) => event)).toEqual(['end'])
  const foreign = new SymbiontClient({
    baseUrl: `${node.url}/api/v1`,
    apiKey: scout,
    envFile: false,
  })
  await expect(foreign.watchWorkflowExecution(id).next()).rejects.toBeInstanceOf(NotFoundError)
  await node.ask('DELETE', 'workflows/definitions/tried')
})

test('runtime §5.2: --watch draws the steps in their place on a terminal, and Ctrl-C leaves the run alone', async () => {
  const steps = [
    { id: 'first', kind: 'transform', with: { value: 1 } },
    { id: 'gate', kind: 'wait_for_signal', with: { name: 'go' }, needs: ['first'] },
  ]
  expect((await define(steps)).status).toBe(201)
  const terminal = fakeTerminal({ isTTY: true })
  const interrupt = new AbortController()
  const words = ['workflow', 'run', 'tried', '--watch', '--home', at.home.dir]
  const watching = runProgram(words, terminal, interrupt.signal)
  await until(async () => terminal.err().includes('gate  waiting'))
  interrupt.abort()
  expect(await watching).toBe(0)
  const id = /The run goes on\. Look again: vestry workflow watch (exe_\w+)/.exec(
    terminal.err(),
  )?.[1]
  expect(id).toBeDefined()
  const plain = fakeTerminal()
  const other = new AbortController()
  const again = runProgram(
    ['workflow', 'watch', id ?? '', '--home', at.home.dir],
    plain,
    other.signal,
  )
  await until(async () => plain.err().includes('gate waiting'))
  await node.ask('POST', `workflows/executions/${id}/signals/go`, { body: {} })
  expect(await again).toBe(0)
  expect(plain.err()).toMatch(/^first completed \(\d+ ms\)\ngate waiting\ngate completed/m)
  expect(plain.err()).not.toContain('\u001b')
  expect(plain.out()).toContain('completed')
  const missing = ['workflow', 'watch', 'exe_none', '--home', at.home.dir]
  expect(await runProgram(missing, plain, other.signal)).not.toBe(0)
  await node.ask('DELETE', 'workflows/definitions/tried')
})

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}
