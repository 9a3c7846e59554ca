import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from './node.ts'

let at: TestDaemon
let node: RuntimeNode
let scoutKey: string
let otherKey: string

beforeAll(async () => {
  at = await startTestDaemon({ dev: true })
  node = new RuntimeNode(at.daemon.ready)
  for (const id of ['sorter', 'other']) {
    const { status } = await node.ask('POST', 'agents', {
      body: {
        id,
        name: id,
        description: 'Sorts tickets',
        system_prompt: 'Sort.',
        tools: [],
        model: 'anthropic:claude-sonnet-4-5',
        temperature: 0,
        top_p: 1,
        max_tokens: 64,
      },
    })
    expect(status).toBe(201)
  }
  const key = async (agent: string) =>
    String((await at.admin.call('admin.key.add', { agent, name: agent }))['key'])
  scoutKey = await key('sorter')
  otherKey = await key('other')
})
afterAll(() => at.stop())

const config = { bind_address: '0.0.0.0', port: 0, path: '/webhook', agent_id: 'sorter' }

test('runtime §20.27: made, asked over the network, triggered, counted, deleted; the numbers add up', async () => {
  const made = await node.ask('POST', 'http-input/servers', {
    body: {
      config: {
        ...config,
        auth_header: null,
        jwt_public_key_path: null,
        max_body_bytes: 65_536,
        concurrency: 10,
        routing_rules: null,
        response_control: null,
        forward_headers: [],
        cors_enabled: false,
        audit_enabled: true,
      },
    },
  })
  expect(made.status).toBe(201)
  expect(made.json).toMatchObject({
    status: 'running',
    effective_bind_address: '127.0.0.1',
    requests_processed: 0,
    active_connections: 0,
    last_error: null,
  })
  const id = String(made.json?.['server_id'])
  const real = await fetch(`http://127.0.0.1:${made.json?.['bound_port']}/webhook`, {
    method: 'POST',
    body: '{"ticket":7}',
  })
  const told: unknown = await real.json()
  expect(real.status).toBe(200)
  const triggered = await node.ask('POST', `http-input/servers/${id}/trigger`, {
    body: { server_id: id, payload: { ticket: 7 }, headers: {} },
  })
  expect(triggered.json).toMatchObject({
    status: 'completed',
    response_code: 200,
    agent_id: 'sorter',
  })
  expect(Object.keys(triggered.json?.['response_body'] as object)).toEqual(
    Object.keys(typeof told === 'object' ? (told as object) : { output: told }),
  )
  const { json: metrics } = await node.ask('GET', `http-input/servers/${id}/metrics`)
  expect(metrics).toMatchObject({
    requests_total: 2,
    requests_succeeded: 2,
    requests_failed: 0,
    by_agent: { sorter: 2 },
  })
  expect((await node.ask('POST', `http-input/servers/${id}/stop`)).json).toEqual({
    server_id: id,
    status: 'stopped',
  })
  expect((await node.ask('DELETE', `http-input/servers/${id}`)).json).toEqual({
    server_id: id,
    status: 'deleted',
  })
  expect(await node.ask('GET', `http-input/servers/${id}`)).toMatchObject({
    status: 404,
    json: { code: 'HTTP_INPUT_NOT_FOUND' },
  })
})

test('what is wrong with a configuration is said by field, and ids have to agree', async () => {
  const create = (change: object) =>
    node.ask('POST', 'http-input/servers', { body: { config: { ...config, ...change } } })
  expect(await create({ port: 70_000 })).toMatchObject({
    status: 400,
    json: { code: 'VALIDATION_ERROR' },
  })
  expect(await create({ agent_id: 'nobody' })).toMatchObject({
    status: 404,
    json: { code: 'AGENT_NOT_FOUND' },
  })
  expect(await node.ask('POST', 'http-input/servers', { body: {} })).toMatchObject({ status: 400 })
  const { json } = await create({})
  const id = String(json?.['server_id'])
  const update = await node.ask('PUT', `http-input/servers/${id}`, {
    body: { server_id: 'his_other', config },
  })
  expect(update).toMatchObject({ status: 400, json: { code: 'VALIDATION_ERROR' } })
  expect(await create({ port: Number(json?.['bound_port']) })).toMatchObject({
    status: 409,
    json: { code: 'PORT_IN_USE' },
  })
  expect(await node.ask('GET', `http-input/servers/${id}`, { key: scoutKey })).toMatchObject({
    status: 200,
  })
  expect(await node.ask('GET', `http-input/servers/${id}`, { key: otherKey })).toMatchObject({
    status: 404,
  })
  expect(await node.ask('DELETE', `http-input/servers/${id}`, { key: scoutKey })).toMatchObject({
    status: 403,
  })
  await node.ask('DELETE', `http-input/servers/${id}`)
})

test('endpoints are served below ep/, by their status, their limit and who asks', async () => {
  const body = {
    path: '/orders/{id}',
    method: 'POST',
    agent_id: 'sorter',
    description: null,
    auth_required: true,
    rate_limit: null,
    timeout_seconds: 30,
    middleware: [],
    metadata: {},
  }
  const made = await node.ask('POST', 'endpoints', { body })
  expect(made.status).toBe(201)
  expect(made.json).toMatchObject({
    status: 'created',
    endpoint_info: { path: '/orders/{id}', status: 'active', metrics: { total_requests: 0 } },
  })
  const id = String(made.json?.['endpoint_id'])
  expect(await node.ask('POST', 'endpoints', { body })).toMatchObject({
    status: 409,
    json: { code: 'ALREADY_EXISTS' },
  })
  const call = (key?: string | null) =>
    node.ask('POST', 'ep/orders/7', { body: { n: 1 }, ...(key !== undefined && { key }) })
  expect(await call()).toMatchObject({ status: 200 })
  expect(await call(scoutKey)).toMatchObject({ status: 200 })
  expect(await call(otherKey)).toMatchObject({ status: 404, json: { code: 'ENDPOINT_NOT_FOUND' } })
  expect(await call(null)).toMatchObject({ status: 401 })
  expect(await node.ask('POST', 'ep/nowhere', { key: null })).toMatchObject({ status: 401 })
  await node.ask('PUT', `endpoints/${id}`, {
    body: { auth_required: false, rate_limit: 1, path: null },
  })
  expect(await call(null)).toMatchObject({ status: 200 })
  expect(await call(null)).toMatchObject({ status: 429 })
  await node.ask('PUT', `endpoints/${id}`, { body: { status: 'maintenance', rate_limit: 1_000 } })
  expect(await call(null)).toMatchObject({ status: 503 })
  await node.ask('POST', `endpoints/${id}/disable`)
  expect(await call()).toMatchObject({ status: 404 })
  const { json: metrics } = await node.ask('GET', `endpoints/${id}/metrics`)
  expect(metrics).toMatchObject({
    total_requests: 3,
    successful_requests: 3,
    error_rate_percent: 0,
  })
  expect((await node.ask('GET', 'endpoints')).json).toHaveLength(1)
  expect((await node.ask('DELETE', `endpoints/${id}`)).json).toEqual({
    endpoint_id: id,
    status: 'deleted',
  })
  expect(await node.ask('GET', `endpoints/${id}`)).toMatchObject({ status: 404 })
})

test('runtime §20.30: while sealed no input listens, unsealed it does again; a trigger that failed is told by the exit code', async () => {
  const made = await node.ask('POST', 'http-input/servers', { body: { config } })
  const [id, port] = [String(made.json?.['server_id']), Number(made.json?.['bound_port'])]
  await node.ask('PUT', `http-input/servers/${id}`, {
    body: { server_id: id, config: { ...config, port } },
  })
  const send = () =>
    fetch(`http://127.0.0.1:${port}/webhook`, { method: 'POST', body: '{}' }).then(
      ({ status }) => status,
      () => 'nobody is there',
    )
  expect(await send()).toBe(200)
  for (const _ of [1, 2]) {
    await at.seal()
    expect(await send()).toBe('nobody is there')
    await at.unseal()
    expect(await send()).toBe(200)
  }
  expect((await node.ask('GET', `http-input/servers/${id}/metrics`)).json).toMatchObject({
    requests_total: 3,
  })
  await node.ask('PUT', `http-input/servers/${id}`, {
    body: { server_id: id, config: { ...config, port, max_body_bytes: 1 } },
  })
  const terminal = fakeTerminal()
  const exitCode = await runProgram(
    ['input', 'trigger', id, '--home', at.home.dir],
    terminal,
    new AbortController().signal,
  )
  expect([exitCode, terminal.out()]).toEqual([1, expect.stringContaining('413')])
  await node.ask('DELETE', `http-input/servers/${id}`)
})
