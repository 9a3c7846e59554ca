/** Agents that the daemon itself runs: through the runtime API, with a provider and tools that behave like real ones. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AgentMetrics, AgentStatusResponse } from '@vestry/contract/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { commandOf } from '../../packages/server/src/mcp/testing/hub.test-kit.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { FAKE_KEYS, type FakeProviders, startFakeProviders } from '../harness/fake-providers.ts'
import { type Answer, RuntimeNode } from './node.ts'

type Json = Record<string, unknown>

let at: TestDaemon
let node: RuntimeNode
let fakes: FakeProviders
/** Takes requests and never answers. */
const mute = createServer()

const SORTER = {
  id: 'ticket_sorter',
  name: 'Ticket Sorter',
  description: 'Sorts tickets',
  system_prompt: 'You sort tickets.',
  tools: [],
  model: 'anthropic:claude-sonnet-4-5',
  temperature: 0.7,
  top_p: 0.9,
  max_tokens: 1000,
}
/** Whose key asks. */
const DESK = 'operator:first admin key'
const SLOW = { delayMs: 20_000, text: 'Too late.' }

beforeAll(async () => {
  fakes = await startFakeProviders()
  const { openai, google } = fakes
  await once(mute.listen(0, '127.0.0.1'), 'listening')
  const mute_url = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`
  const providers = { openai: { base_url: openai.url }, google: { base_url: google.url } }
  at = await startTestDaemon({
    config: {
      egress: { allow_cidrs: ['127.0.0.1/32'] },
      llm: { providers },
      gateway: {
        tools: {
          mute: {
            description: 'never answers',
            base_url: mute_url,
            actions: { ask: { method: 'GET', path: '/', timeout_ms: 25_000 } },
          },
        },
      },
      runtime: { agent_max_iterations: 4, agent_heartbeat_seconds: 1 },
    },
  })
  node = new RuntimeNode(at.daemon.ready)
  await at.addCredential('llm/openai', FAKE_KEYS.openai)
})
afterAll(async () => {
  await at.stop()
  await fakes.close()
  mute.closeAllConnections()
  mute.close()
})

function ask(method: string, path: string, body?: unknown, key?: string): Promise<Answer> {
  return node.ask(method, `/api/v1/${path}`, {
    ...(body !== undefined && { body }),
    ...(key !== undefined && { key }),
  })
}

async function define(id: string, more: object = {}): Promise<Json> {
  const { status, json } = await ask('POST', 'agents', { ...SORTER, id, ...more })
  expect(status).toBe(201)
  return json
}

async function keyOf(agent: string): Promise<string> {
  return String((await at.admin.call('admin.key.add', { name: agent, agent }))['key'])
}

async function begin(agent: string, body: unknown = {}, key?: string): Promise<string> {
  const { status, json } = await ask('POST', `agents/${agent}/execute`, body, key)
  expect([status, json.status]).toEqual([200, 'execution_started'])
  return json.execution_id
}

/** Begun, and its model has been asked. */
async function beginSlow(agent: string): Promise<string> {
  const { length } = fakes.openai.requests
  const id = await begin(agent)
  await expect.poll(() => fakes.openai.requests.length).toBe(length + 1)
  expect(await stateOf(agent)).toBe('busy')
  return id
}

async function ended(agent: string, id: string): Promise<Json> {
  for (;;) {
    const { json } = await ask('GET', `agents/${agent}/executions/${id}?wait_seconds=20`)
    if (json.status !== 'pending' && json.status !== 'running') return json
  }
}

async function stateOf(agent: string): Promise<string> {
  return (await ask('GET', `agents/${agent}`)).json.state
}

/** Lets an agent call a tool. */
async function permit(name: string, resource: string, action = 'tool:call'): Promise<void> {
  const text = `@id("${name}") permit (principal == Agent::"${name}", action == Action::"${action}", ${resource});`
  await at.admin.call('admin.policy.put', { files: [{ name: `${name}.cedar`, text }] })
}

async function vestry(...argv: string[]) {
  const terminal = fakeTerminal()
  const signal = new AbortController().signal
  const exitCode = await runProgram([...argv, '--home', at.home.dir], terminal, signal)
  return { exitCode, out: terminal.out(), err: terminal.err() }
}

test('runtime §20.7: of agents, whole numbers are whole and lists are lists, whether there is nothing or much', async () => {
  expect((await ask('GET', 'agents')).json).toEqual([])
  await define('plain', { description: '', system_prompt: '', temperature: 0, top_p: 1 })
  for (const path of ['history', 'events', 'messages'])
    expect((await ask('GET', `agents/plain/${path}`)).json).toEqual({ [path]: [] })
  const read = async () => {
    AgentStatusResponse.parse((await ask('GET', 'agents/plain')).json)
    return AgentMetrics.parse((await ask('GET', 'agents/plain/metrics')).json)
  }
  expect(await read()).toMatchObject({ tasks_completed: 0, average_response_time_ms: 0 })
  const ids = await Promise.all(Array.from({ length: 12 }, () => begin('plain')))
  for (const id of ids) expect(await ended('plain', id)).toMatchObject({ status: 'completed' })
  expect(await read()).toMatchObject({ tasks_completed: 12, tasks_failed: 0 })
  const { history } = (await ask('GET', 'agents/plain/history?limit=5')).json
  expect(history).toHaveLength(5)
  for (const { duration_ms, iterations, tool_calls } of history)
    expect([duration_ms, iterations, tool_calls].every(Number.isInteger)).toBe(true)
  expect((await ask('GET', 'agents/plain/history?limit=0')).status).toBe(400)
  await ask('DELETE', 'agents/plain')
  expect((await ask('GET', 'agents')).json).toEqual([])
})

test('runtime §20.1: an agent is created, listed, idle, and its counts are all zero', async () => {
  const before = (await ask('GET', 'metrics')).json
  const made = await define('ticket_sorter', { tools: ['web_search'], team: 'desk' })
  expect(made).toEqual({
    id: 'ticket_sorter',
    status: 'created',
    created_at: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/),
    warnings: ['tools: no tool is called "web_search" now'],
  })
  expect((await ask('POST', 'agents', SORTER)).json.code).toBe('ALREADY_EXISTS')
  await at.addAgent('by-command')
  expect((await ask('GET', 'agents')).json).toEqual(['ticket_sorter', 'by-command'])
  const status = (await ask('GET', 'agents/ticket_sorter')).json
  expect(status).toMatchObject({
    agent_id: 'ticket_sorter',
    state: 'idle',
    last_activity: made['created_at'],
    resource_usage: { memory_bytes: 0, cpu_percent: 0, active_tasks: 0 },
    lifecycle_state: 'Created',
    definition: { system_prompt: 'You sort tickets.', metadata: { team: 'desk' } },
  })
  expect((await ask('GET', 'agents/ticket_sorter/status')).json).toEqual(status)
  expect((await ask('GET', 'agents/ticket_sorter/metrics')).json).toEqual({
    agent_id: 'ticket_sorter',
    tasks_completed: 0,
    tasks_failed: 0,
    average_response_time_ms: 0,
    memory_usage_bytes: 0,
    cpu_usage_percent: 0,
    last_activity: made['created_at'],
    uptime_seconds: 0,
  })
  expect((await ask('GET', 'metrics')).json.total_agents).toBe(before.total_agents + 2)
  expect((await ask('GET', 'agents/nobody/metrics')).json.code).toBe('AGENT_NOT_FOUND')
  const wrong = await ask('POST', 'agents', { ...SORTER, id: 'a b', top_p: 2 })
  expect(wrong.json.details.fields.map(({ path }: Json) => path)).toEqual(['id', 'top_p'])
  expect((await ask('POST', 'agents', { name: 'x', dsl: 'agent {' })).status).toBe(400)
  const bare = await ask('POST', 'agents/by-command/execute', {})
  expect([bare.status, bare.json.code]).toEqual([409, 'INVALID_STATE_TRANSITION'])
})

test('the stand-in model of development answers, and what was done survives a restart', async () => {
  const first = await begin('ticket_sorter', { input: 'Sort ticket 7.' })
  const answer = { result: { output: 'Mock answer to: Sort ticket 7.' }, status: 'completed' }
  expect(await ended('ticket_sorter', first)).toMatchObject({
    ...answer,
    agent_id: 'ticket_sorter',
    trigger: 'api',
    error: null,
    iterations: 1,
    finish_reason: 'stop',
  })
  const again = (await ask('POST', 'agents/ticket_sorter/re-execute')).json.execution_id
  expect(await ended('ticket_sorter', again)).toMatchObject(answer)
  await at.restart()
  node = new RuntimeNode(at.daemon.ready)
  const { history } = (await ask('GET', 'agents/ticket_sorter/history')).json
  expect(history.map(({ execution_id }: Json) => execution_id)).toEqual([again, first])
  expect(await ended('ticket_sorter', first)).toMatchObject(answer)
  const { json: metrics } = await ask('GET', 'agents/ticket_sorter/metrics')
  expect(metrics).toMatchObject({ tasks_completed: 2, tasks_failed: 0, uptime_seconds: 0 })
  expect(metrics.average_response_time_ms).toBeGreaterThan(0)
  expect((await ask('GET', 'agents/ticket_sorter')).json.lifecycle_state).toBe('Completed')
  const onDisk = readFileSync(at.home.store).includes('Sort ticket 7.')
  expect([onDisk, at.auditLines().join('').includes('Sort ticket 7.')]).toEqual([false, false])
})

test('a model calls the tools of its agent through policy, and one trace tells all of it', async () => {
  await define('searcher', { model: 'gpt-4o', tools: ['serpapi', 'http_fetch:get'] })
  await permit('searcher', 'resource in Tool::"serpapi"')
  fakes.openai.script(
    {
      tools: [
        { name: 'serpapi', arguments: { query: 'tides', engine: 'google' } },
        { name: 'http_fetch__get', arguments: { url: 'https://example.com/' } },
      ],
    },
    { text: 'High water at noon.' },
  )
  const id = await begin('searcher', { input: 'When is high water?' })
  const done = await ended('searcher', id)
  expect(done).toMatchObject({
    status: 'completed',
    result: { output: 'High water at noon.' },
    iterations: 2,
    tool_calls: 2,
    denied: 1,
  })
  const { messages = [], tools = [] } = (fakes.openai.requests.at(-1)?.body ?? {}) as {
    messages?: Json[]
    tools?: Json[]
  }
  expect(tools.map((tool) => (tool['function'] as Json)['name'])).toEqual([
    'serpapi',
    'http_fetch__get',
  ])
  const [found, refused] = messages.slice(-2).map(({ content }) => String(content))
  expect(found).toContain('tides')
  expect(refused).toMatch(/^Error ACCESS_DENIED: Agent 'searcher' may not call 'http_fetch:get'/)
  const trace = await at.admin.call('admin.trace', { id })
  expect([trace['txns'], trace['actors']]).toEqual([[id], [DESK, 'agent:searcher']])
  interface Node {
    readonly action: string
    readonly data: Json
    readonly children: readonly Node[]
  }
  const [start] = trace['spans'] as readonly Node[]
  const run = start?.children[0]
  const [first, ...calls] = run?.children.map(({ action }) => action) ?? []
  const within = [first, ...calls.slice(0, 2).sort(), ...calls.slice(2)] // calls run side by side
  expect([start?.action, run?.action, ...within]).toEqual([
    'agent.start',
    'agent.run',
    'llm.chat',
    'policy.deny',
    'tool.call',
    'llm.chat',
  ])
  expect(run?.data).toMatchObject({ execution: id, trigger: 'api', actor: DESK })
})

test('an agent calls a tool of an MCP server as itself, and only what policy permits', async () => {
  const server = { name: 'notes', command: commandOf(), env: {}, cwd: null, timeout_seconds: 20 }
  expect((await ask('POST', 'mcp/servers', server)).status).toBe(201)
  expect((await ask('POST', 'mcp/servers/notes/connect')).json.status).toBe('connected')
  await define('noter', { model: 'gpt-4o', tools: ['echo', 'notes/say'] })
  await permit('noter', 'resource == Tool::"mcp/notes:echo"', 'mcp:call')
  const calls = (...names: string[]) => ({
    tools: names.map((name) => ({ name, arguments: { text: 'High water at noon.' } })),
  })
  fakes.openai.script(calls('echo', 'notes__say'), { text: 'Noted.' })
  const id = await begin('noter')
  const done = await ended('noter', id)
  expect(done).toMatchObject({ status: 'completed', tool_calls: 2, denied: 1 })
  const steps = done['steps'] as Json[]
  expect(steps.flatMap(({ tool, status }) => (tool ? [`${tool} ${status}`] : [])).sort()).toEqual([
    'mcp/notes:echo ok',
    'mcp/notes:say denied',
  ])
  expect(JSON.stringify(fakes.openai.requests.at(-1)?.body)).toContain('High water at noon.')
  const { spans } = await at.admin.call('admin.trace', { id })
  expect(JSON.stringify(spans)).toMatch(/"action":"mcp\.call".*"digest":"sha256:/)
})

test('an execution that cannot go well fails and says why, and the next one may go well', async () => {
  const model = 'google:gemini-2.5-flash'
  const warned = await define('unlucky', { model, tools: ['serpapi'] })
  expect(warned['warnings']).toEqual(['model: there is no key for google yet'])
  const { error } = await ended('unlucky', await begin('unlucky'))
  expect(error).toMatchObject({ code: 'MODEL_PROVIDER_NOT_CONFIGURED' })
  expect(await stateOf('unlucky')).toBe('error')
  const changed = await ask('PUT', 'agents/unlucky', { model: 'gpt-4o' })
  expect(changed.json).toEqual({ id: 'unlucky', status: 'updated' })
  const call = (n: number) => ({ tools: [{ name: 'serpapi', arguments: { query: `${n}` } }] })
  fakes.openai.script(call(1), call(2), call(3))
  const denied = await ended('unlucky', await begin('unlucky'))
  expect(denied).toMatchObject({
    status: 'failed',
    error: { code: 'POLICY_DENIAL_LOOP' },
    denied: 3,
  })
  await permit('unlucky', 'resource in Tool::"serpapi"')
  fakes.openai.script(call(1), call(2), call(3), call(4))
  expect(await ended('unlucky', await begin('unlucky'))).toMatchObject({
    error: { code: 'ITERATION_LIMIT' },
    tool_calls: 3,
  })
  fakes.openai.script({ text: 'At last.' })
  expect((await ended('unlucky', await begin('unlucky')))['result']).toEqual({ output: 'At last.' })
  expect(await stateOf('unlucky')).toBe('idle')
  expect((await ask('GET', 'agents/unlucky/metrics')).json).toMatchObject({
    tasks_completed: 1,
    tasks_failed: 3,
  })
})

test('runtime §20.28: an agent at work is busy and counted, until it is stopped, disabled or deleted', async () => {
  await define('worker', { model: 'gpt-4o' })
  const { active_agents: before } = (await ask('GET', 'metrics')).json
  fakes.openai.script(SLOW, SLOW, SLOW)
  const busy = () => beginSlow('worker')
  const first = await busy()
  expect((await ask('GET', 'metrics')).json.active_agents).toBe(before + 1)
  expect((await ask('GET', 'agents/worker')).json).toMatchObject({
    lifecycle_state: 'Running',
    resource_usage: { active_tasks: 1 },
  })
  expect((await ask('POST', 'agents/worker/stop')).json).toEqual({
    id: 'worker',
    status: 'stopped',
    stopped: 1,
  })
  expect(await ended('worker', first)).toMatchObject({ status: 'cancelled' })
  expect([await stateOf('worker'), (await ask('GET', 'metrics')).json.active_agents]).toEqual([
    'stopped',
    before,
  ])
  const over = await ask('DELETE', `agents/worker/executions/${first}`)
  expect(over.json.code).toBe('INVALID_STATE_TRANSITION')
  const second = await busy()
  await at.admin.call('admin.agent.disable', { name: 'worker' })
  expect(await ended('worker', second)).toMatchObject({ status: 'cancelled' })
  expect((await ask('POST', 'agents/worker/execute', {})).json.code).toBe(
    'INVALID_STATE_TRANSITION',
  )
  await at.admin.call('admin.agent.enable', { name: 'worker' })
  const third = await busy()
  expect((await ask('DELETE', 'agents/worker')).json).toEqual({ id: 'worker', status: 'deleted' })
  expect((await at.admin.call('admin.agent.execution', { id: third }))['status']).toBe('cancelled')
  expect((await ask('GET', 'agents/worker')).json.code).toBe('AGENT_NOT_FOUND')
  await define('worker')
  expect((await ask('GET', 'agents/worker/history')).json).toEqual({ history: [] })
})

test('an agent that is stopped ends the call of a tool that is under way', async () => {
  await define('patient', { model: 'gpt-4o', tools: ['mute'] })
  await permit('patient', 'resource in Tool::"mute"')
  fakes.openai.script({ tools: [{ name: 'mute', arguments: {} }] })
  const arrived = once(mute, 'request')
  const id = await begin('patient')
  const [request] = await arrived
  const gone = once(request.socket, 'close', { signal: AbortSignal.timeout(10_000) })
  expect((await ask('POST', 'agents/patient/stop')).json).toMatchObject({ stopped: 1 })
  await gone
  const { spans } = await at.admin.call('admin.trace', { id })
  expect(JSON.stringify(spans)).toMatch(/"action":"tool\.call".*"code":"CANCELLED"/)
})

test('what a sealing breaks off is told as interrupted and never done again', async () => {
  await define('sealed', { model: 'gpt-4o' })
  fakes.openai.script(SLOW)
  const id = await beginSlow('sealed')
  const asked = fakes.openai.requests.length
  await at.seal()
  expect((await ask('POST', 'agents/sealed/execute', {})).json.code).toBe('NOT_READY')
  await at.unseal()
  expect(await ended('sealed', id)).toMatchObject({
    status: 'failed',
    result: null,
    error: { code: 'INTERRUPTED' },
  })
  expect(fakes.openai.requests).toHaveLength(asked)
  expect(await stateOf('sealed')).toBe('error')
  fakes.openai.script({ text: 'Back.' })
  expect((await ended('sealed', await begin('sealed')))['result']).toEqual({ output: 'Back.' })
})

test('the key of an agent sees and runs that agent, and to it every other one is absent', async () => {
  await define('narrow')
  const key = await keyOf('narrow')
  expect((await ask('GET', 'agents', undefined, key)).json).toEqual(['narrow'])
  const own = await begin('narrow', { parameters: { ticket: 7 } }, key)
  expect(await ended('narrow', own)).toMatchObject({ status: 'completed', actor: 'agent:narrow' })
  const foreign = await begin('ticket_sorter')
  for (const [method, path] of [
    ['GET', 'agents/ticket_sorter'],
    ['GET', 'agents/ticket_sorter/metrics'],
    ['GET', 'agents/ticket_sorter/history'],
    ['POST', 'agents/ticket_sorter/execute'],
    ['POST', 'agents/ticket_sorter/stop'],
    ['POST', 'agents/ticket_sorter/messages'],
    ['POST', 'agents/ticket_sorter/heartbeat'],
    ['GET', `agents/ticket_sorter/executions/${foreign}`],
    ['GET', `agents/narrow/executions/${foreign}`],
  ] as const)
    expect((await ask(method, path, method === 'POST' ? {} : undefined, key)).status, path).toBe(
      404,
    )
  for (const [method, path] of [
    ['POST', 'agents'],
    ['PUT', 'agents/narrow'],
    ['DELETE', 'agents/narrow'],
  ] as const)
    expect(
      (await ask(method, path, method === 'DELETE' ? undefined : SORTER, key)).json.code,
      path,
    ).toBe('ADMIN_REQUIRED')
})

test('agents elsewhere are known by their signs of life, and get messages', async () => {
  await define('remote')
  const key = await keyOf('remote')
  const beat = (state: string) => ask('POST', 'agents/remote/heartbeat', { state }, key)
  expect((await beat('Running')).json).toMatchObject({ status: 'ok', interval_seconds: 1 })
  expect(await stateOf('remote')).toBe('active')
  expect((await ask('GET', 'metrics')).json.active_agents).toBe(1)
  expect((await beat('running')).json.code).toBe('VALIDATION_ERROR')
  for (const event_type of ['RunStarted', 'RunFailed'])
    await ask('POST', 'agents/remote/events', { event_type, payload: { n: 1 } }, key)
  const { events } = (await ask('GET', 'agents/remote/events', undefined, key)).json
  expect(events.map((event: Json) => event['event_type'])).toEqual(['RunFailed', 'RunStarted'])
  const message = { sender: 'desk', payload: 'Ticket 8 is urgent.', topic: 'tickets' }
  const sent = (await ask('POST', 'agents/remote/messages', message)).json
  expect(sent).toEqual({ message_id: expect.stringMatching(/^msg_/), status: 'pending' })
  const status = async () => (await ask('GET', `messages/${sent.message_id}/status`)).json.status
  expect(await status()).toBe('pending')
  // Who may only look takes nothing away, starts nothing and stops nothing.
  const { key: looks } = await at.admin.call('admin.key.add', { name: 'eye', role: 'auditor' })
  for (const [method, path] of [
    ['GET', 'messages'],
    ['POST', 'execute'],
    ['POST', 'stop'],
  ] as const)
    expect((await ask(method, `agents/remote/${path}`, undefined, String(looks))).json.code).toBe(
      'ADMIN_REQUIRED',
    )
  expect((await ask('HEAD', 'agents/remote/messages', undefined, key)).status).toBe(405)
  const drain = async () =>
    (await ask('GET', 'agents/remote/messages', undefined, key)).json.messages
  expect(await drain()).toEqual([
    {
      ...message,
      message_id: sent.message_id,
      recipient: 'remote',
      message_type: 'direct',
      timestamp_secs: expect.any(Number),
      ttl_seconds: 300,
    },
  ])
  expect([await drain(), await status()]).toEqual([[], 'delivered'])
  await beat('Terminated')
  expect(await stateOf('remote')).toBe('stopped')
})

test('on the command line an agent runs, its steps are told, and its history is listed', async () => {
  const ran = await vestry('agent', 'run', 'ticket_sorter', '--input', 'Sort ticket 9.', '--watch')
  expect([ran.exitCode, ran.out]).toEqual([0, 'Mock answer to: Sort ticket 9.\n'])
  expect(ran.err).toMatch(/execution exe_[0-9a-z]{26}/)
  expect(ran.err).toMatch(/model {2}answers {2}\d+ tokens/)
  const failed = await vestry('agent', 'run', 'by-command', '--json')
  expect([failed.exitCode, JSON.parse(failed.out).error.code]).toEqual([
    1,
    'INVALID_STATE_TRANSITION',
  ])
  const history = await vestry('agent', 'history', 'ticket_sorter', '--limit', '1', '--json')
  expect(JSON.parse(history.out).history).toMatchObject([{ status: 'completed', trigger: 'cli' }])
  expect((await vestry('agent', 'history', 'nobody')).err).toContain('AGENT_NOT_FOUND')
})
