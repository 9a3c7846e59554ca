import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import {
  type Remote,
  startRemote,
} from '../../packages/server/src/mcp/testing/http-server.test-kit.ts'
import { commandOf } from '../../packages/server/src/mcp/testing/hub.test-kit.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RuntimeNode } from './node.ts'

const TOKEN = 'tok-4f1e77c2b90d'

let daemon: TestDaemon
let node: RuntimeNode
let remote: Remote
let scoutKey: string

beforeAll(async () => {
  remote = await startRemote()
  daemon = await startTestDaemon({ config: { egress: { allow_cidrs: ['127.0.0.1/32'] } } })
  node = new RuntimeNode(daemon.daemon.ready)
  await daemon.addCredential('crm/token', TOKEN)
  await daemon.admin.call('admin.agent.add', {
    name: 'scout',
    public_key: newAgentKeys('scout').publicKeyHex,
  })
  scoutKey = (await daemon.admin.call('admin.key.add', { name: 'scout', agent: 'scout' })).key
})
afterAll(async () => {
  await daemon.stop()
  await remote[Symbol.asyncDispose]()
})

async function vestry(...args: string[]) {
  const terminal = fakeTerminal({})
  const argv = ['--home', daemon.home.dir, ...args]
  const exitCode = await runProgram(argv, terminal, new AbortController().signal)
  return { exitCode, out: terminal.out(), err: terminal.err() }
}

const isRunning = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

const NOTES = {
  name: 'notes',
  command: commandOf({ resources: 2, templates: true }),
  env: { CRM_TOKEN: 'vault://crm/token' },
  cwd: null,
  timeout_seconds: 20,
}

test('runtime §20.17: a server is added, connected, looked at and disconnected over HTTP', async () => {
  const added = { status: 'added', server_name: 'notes', transport: 'stdio' }
  expect(await node.ask('POST', 'mcp/servers', { body: NOTES })).toMatchObject({
    status: 201,
    json: added,
  })
  expect(await node.ask('POST', 'mcp/servers', { body: NOTES })).toMatchObject({
    status: 200,
    json: { ...added, status: 'unchanged' },
  })
  const other = { ...NOTES, timeout_seconds: 21 }
  expect(await node.ask('POST', 'mcp/servers', { body: other })).toMatchObject({
    status: 409,
    json: { code: 'ALREADY_EXISTS' },
  })
  expect(await node.ask('POST', 'mcp/servers?replace=true', { body: other })).toMatchObject({
    status: 200,
  })
  expect((await node.ask('GET', 'mcp/servers/notes')).json).toEqual({
    server_name: 'notes',
    status: 'disconnected',
    transport: 'stdio',
    pid: null,
    connected_at: null,
    last_error: null,
    tools_count: 0,
    resources_count: 0,
    protocol_version: null,
  })
  expect((await node.ask('GET', 'mcp/tools?server=notes')).json).toEqual([])

  const connected = await node.ask('POST', 'mcp/servers/notes/connect')
  expect(connected).toMatchObject({
    status: 200,
    json: {
      status: 'connected',
      server_name: 'notes',
      pid: expect.any(Number),
      protocol_version: '2025-11-25',
      server_info: { name: 'scripted', version: '1.2.3' },
      resources_count: 3,
    },
  })
  expect((await node.ask('POST', 'mcp/servers/notes/connect')).json).toEqual(connected.json)

  const [state] = (await node.ask('GET', 'mcp/servers')).json
  const tools = (await node.ask('GET', 'mcp/tools?server=notes')).json
  const resources = (await node.ask('GET', 'mcp/resources?server=notes')).json
  expect([state.tools_count, state.resources_count]).toEqual([tools.length, resources.length])
  expect(tools.find(({ name }: { name: string }) => name === 'echo')).toMatchObject({
    description: 'Says it again',
    server_name: 'notes',
    schema: { type: 'object', required: ['text'] },
    verified: false,
    verification_hash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
  })
  for (const { description } of tools) expect(description).toEqual(expect.any(String))
  expect(resources.at(-1)).toMatchObject({ uri: 'note://{id}', is_template: true })
  expect((await node.ask('GET', 'mcp/servers/notes/prompts')).json).toEqual([{ name: 'summarise' }])
  const read = await node.ask('GET', 'mcp/servers/notes/resources/read?uri=note%3A%2F%2F1')
  expect(read.json).toEqual({ contents: [{ uri: 'note://1', text: 'about note://1' }] })
  expect((await node.ask('GET', 'metrics')).json.mcp_connections).toBe(1)
  expect((await node.ask('GET', '/metrics')).text).toContain('vestry_mcp_servers_connected 1')

  const disconnected = { status: 'disconnected', server_name: 'notes' }
  for (const _ of [1, 2])
    expect((await node.ask('POST', 'mcp/servers/notes/disconnect')).json).toEqual(disconnected)
  expect(isRunning(state.pid)).toBe(false)
})

test('failures are told as the server’s, with a status that says nothing of the caller’s key', async () => {
  const bad = { name: 'bad', command: commandOf({ fault: 'crash' }), env: { A: 'x' } }
  await node.ask('POST', 'mcp/servers', { body: bad })
  expect(await node.ask('POST', 'mcp/servers/bad/connect')).toMatchObject({
    status: 502,
    json: { code: 'MCP_PROTOCOL_ERROR', error: expect.stringContaining('exit code 7') },
  })
  expect((await node.ask('GET', 'mcp/servers/bad')).json).toMatchObject({
    status: 'error',
    last_error: 'ended with exit code 7\ncannot read the configuration',
  })
  expect((await node.ask('GET', 'mcp/servers/bad/logs')).json.stderr).toBe(
    'cannot read the configuration\n',
  )
  for (const [method, path] of [
    ['GET', 'mcp/tools?server=nobody'],
    ['GET', 'mcp/resources?server=nobody'],
    ['GET', 'mcp/servers/nobody/prompts'],
    ['DELETE', 'mcp/servers/nobody'],
  ] as const)
    expect(await node.ask(method, path)).toMatchObject({
      status: 404,
      json: { code: 'MCP_SERVER_NOT_FOUND' },
    })
  expect(
    await node.ask('POST', 'mcp/servers', { body: { name: 'x', command: [], env: {} } }),
  ).toMatchObject({
    status: 400,
    json: { code: 'VALIDATION_ERROR' },
  })
})

test('agents see servers and tools; they register, start and end none, and read no logs', async () => {
  const asScout = { key: scoutKey }
  const [bad] = (await node.ask('GET', 'mcp/servers', asScout)).json
  expect(bad).toMatchObject({ last_error: 'ended with exit code 7' })
  expect(await node.ask('GET', 'mcp/tools', asScout)).toMatchObject({ status: 200 })
  for (const [method, path] of [
    ['POST', 'mcp/servers'],
    ['DELETE', 'mcp/servers/notes'],
    ['POST', 'mcp/servers/notes/connect'],
    ['POST', 'mcp/servers/notes/disconnect'],
    ['GET', 'mcp/servers/notes/logs'],
    ['GET', 'mcp/servers/notes/resources/read?uri=x'],
  ] as const)
    expect(await node.ask(method, path, asScout)).toMatchObject({
      status: 403,
      json: { code: 'ADMIN_REQUIRED' },
    })
})

test('the command line does the same', async () => {
  expect(
    await vestry(
      'mcp',
      'add',
      'remote',
      '--url',
      remote.url,
      '--header',
      'X-Key: vault://crm/token',
    ),
  ).toMatchObject({
    exitCode: 0,
    out: 'added remote\n',
  })
  expect((await vestry('mcp', 'connect', 'remote')).out).toBe(
    'connected remote: 1 tool, 0 resources\n',
  )
  expect((await vestry('mcp', 'list')).out).toMatch(/remote +connected +streamable_http/)
  expect((await vestry('mcp', 'tools', 'remote')).out).toMatch(
    /remote +echo +never_reviewed +sha256:/,
  )
  const shown = await vestry('mcp', 'show', 'remote')
  expect(shown.out).toContain('X-Key')
  expect(shown.out).not.toContain('crm/token')
  expect((await vestry('mcp', 'resources', 'remote')).out).toContain('no resources')
  expect((await vestry('mcp', 'disconnect', 'remote')).out).toBe('disconnected remote\n')
  expect(remote.seen[0]?.headers['x-key']).toBe(TOKEN)
  expect(await vestry('mcp', 'connect', 'bad')).toMatchObject({
    exitCode: 1,
    err: expect.stringContaining('MCP_PROTOCOL_ERROR'),
  })
  expect((await vestry('mcp', 'logs', 'bad')).out).toContain('cannot read the configuration')
  expect((await vestry('mcp', 'rm', 'bad')).out).toBe('removed bad\n')
  expect(await vestry('mcp', 'add', 'x')).toMatchObject({ exitCode: 2 })
  const envFile = `${daemon.home.dir}/variables`
  writeFileSync(envFile, '# comment\nA=1\nnot a variable\n')
  expect(await vestry('mcp', 'add', 'x', '--env-from', envFile, '--', 'node')).toMatchObject({
    exitCode: 2,
    err: expect.stringContaining('line 3'),
  })
})

test('runtime §20.30: sealing ends every server; unsealing connects those that connect by themselves', async () => {
  await node.ask('POST', 'mcp/servers/notes/connect')
  const { pid } = (await node.ask('GET', 'mcp/servers/notes')).json
  await daemon.seal()
  expect(isRunning(pid)).toBe(false)
  expect(await node.ask('GET', 'mcp/servers')).toMatchObject({ status: 503 })
  await daemon.unseal()
  await expect
    .poll(async () => (await node.ask('GET', 'mcp/servers/notes')).json.status, { timeout: 10_000 })
    .toBe('connected')
})

test('what was started and what ended is on record; values of secrets are nowhere', async () => {
  const lines = daemon.auditLines().map((line) => JSON.parse(line))
  const of = (action: string) => lines.filter((line) => line.action === action)
  const [asked] = of('mcp.start')
  expect(asked).toMatchObject({
    source: 'mcp',
    actor: expect.stringMatching(/^operator:/),
    data: { server: 'notes', child_pid: expect.any(Number), command_digest: expect.any(String) },
  })
  // The start belongs to the request that caused it.
  const request = of('mcp.connect_request').find(({ span }) => span.span_id === asked.span.span_id)
  expect(request).toMatchObject({ txn: asked.txn, data: { server: 'notes' } })
  expect(of('mcp.stop').map(({ data }) => data.why)).toEqual(
    expect.arrayContaining(['asked', 'seal']),
  )
  const seen = JSON.stringify([
    daemon.auditLines(),
    (await node.ask('GET', 'mcp/servers')).text,
    (await node.ask('GET', 'mcp/servers/notes/logs')).text,
  ])
  expect(seen).not.toContain(TOKEN)
})
