import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { commandOf } from '../../packages/server/src/mcp/testing/hub.test-kit.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from './node.ts'
import { type OfficialClient, startOfficialClient } from './official-client.ts'

let daemon: TestDaemon
let node: RuntimeNode
let official: OfficialClient
const keys: Record<string, string> = {}

beforeAll(async () => {
  official = startOfficialClient()
  daemon = await startTestDaemon()
  node = new RuntimeNode(daemon.daemon.ready)
  for (const name of ['scout', 'clerk']) {
    await daemon.addAgent(name)
    const { key } = await daemon.admin.call('admin.key.add', { name, agent: name })
    keys[name] = String(key)
  }
  const text = `@id("scout-notes") @clauses("text")
     permit (principal == Agent::"scout", action == Action::"mcp:call", resource in Tool::"mcp/notes")
     when { !(context.args.hasTag("/text") && context.args.getTag("/text") like "*forbidden*") };`
  await daemon.admin.call('admin.policy.put', { files: [{ name: 'scout.cedar', text }] })
  await connect('notes')
  await connect('other')
})
afterAll(async () => {
  await official[Symbol.asyncDispose]()
  await daemon.stop()
})

async function connect(name: string, more: object = {}): Promise<void> {
  const body = { name, command: commandOf(), timeout_seconds: 20, ...more }
  expect(await node.ask('POST', 'mcp/servers', { body })).toMatchObject({ status: 201 })
  expect(await node.ask('POST', `mcp/servers/${name}/connect`)).toMatchObject({
    status: 200,
    json: { status: 'connected' },
  })
}

async function vestry(...args: string[]) {
  const terminal = fakeTerminal({})
  const argv = ['--home', daemon.home.dir, ...args]
  const exitCode = await runProgram(argv, terminal, new AbortController().signal)
  return { exitCode, out: terminal.out(), err: terminal.err() }
}

const tool = async (name: string, server = 'notes') => {
  const { json } = await node.ask('GET', `mcp/tools?server=${server}`)
  return json.find((one: { name: string }) => one.name === name)
}

const call = (name: string, args: object = {}, key?: string, server = 'notes') =>
  node.ask('POST', `mcp/servers/${server}/tools/${name}/call`, {
    body: { arguments: args },
    ...(key !== undefined && { key }),
  })

/** Submits a tool as it is listed, and signs it. */
async function sign(name: string, server = 'notes'): Promise<string> {
  const { description, schema } = await tool(name, server)
  const { json } = await node.ask('POST', 'tool-review/sessions', {
    body: {
      tool: { name, description, schema, provider: { name: server, public_key_url: null } },
      submitted_by: 'dana@sea.example',
      priority: 'high',
    },
  })
  await decided(json.review_id)
  return json.review_id
}

async function decided(id: string): Promise<void> {
  await until(async () => {
    const { json } = await node.ask('GET', `tool-review/sessions/${id}`)
    return json.state.analysis_completed_at !== null
  })
  const sign = { review_id: id, signing_key_id: 'default' }
  const decision = { decision: 'approve', comments: 'fine', reviewer_id: 'ada@sea.example' }
  const given = await node.ask('POST', `tool-review/sessions/${id}/decisions`, { body: decision })
  expect(given.status).toBe(200)
  expect((await node.ask('POST', 'tool-review/sign', { body: sign })).status).toBe(200)
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < 500; looks += 1) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('it does not become so')
}

const speak = (client: string, key: string) =>
  official.do('connect', { client, key, url: `${daemon.daemon.ready.http}/mcp` })
const namesFor = async (client: string): Promise<string[]> =>
  (await official.do('list', { client })).tools.map(({ name }: { name: string }) => name)

test('runtime §9.6: a tool that nobody reviewed is listed and told apart', async () => {
  expect(await tool('echo')).toMatchObject({
    verified: false,
    verification_reason: 'never_reviewed',
    verification_hash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
  })
})

describe('once tools are signed', () => {
  beforeAll(async () => {
    for (const name of ['echo', 'swap', 'fail', 'meta']) await sign(name)
    await sign('echo', 'other')
  })

  test('runtime §9.2: an administrator calls a signed tool', async () => {
    expect(await tool('echo')).toMatchObject({ verified: true })
    expect(await call('echo', { text: 'hello' })).toMatchObject({
      status: 200,
      json: {
        content: [{ type: 'text', text: 'hello' }],
        structured_content: null,
        is_error: false,
      },
    })
  })

  test('runtime §20.17: a failure of the tool is a result; one of the protocol is 502, and arguments are checked', async () => {
    expect(await call('fail')).toMatchObject({ status: 200, json: { is_error: true } })
    expect(await call('echo', { text: 7 })).toMatchObject({
      status: 400,
      json: { code: 'VALIDATION_ERROR' },
    })
    expect(await call('nowhere')).toMatchObject({
      status: 404,
      json: { code: 'MCP_TOOL_NOT_FOUND' },
    })
    expect(await call('echo', {}, undefined, 'nobody')).toMatchObject({
      status: 404,
      json: { code: 'MCP_SERVER_NOT_FOUND' },
    })
    const named = { tool: 'echo', arguments: { text: 'by name' } }
    expect(await node.ask('POST', 'mcp/servers/notes/call', { body: named })).toMatchObject({
      status: 200,
      json: { content: [{ text: 'by name' }] },
    })
  })

  test('runtime §9.2: what policy does not permit is refused with 403, and says nothing of the tool', async () => {
    expect(await call('echo', { text: 'hi' }, keys['scout'])).toMatchObject({ status: 200 })
    expect(await call('echo', { text: 'a forbidden word' }, keys['scout'])).toMatchObject({
      status: 403,
      json: { code: 'ACCESS_DENIED' },
    })
    const there = await call('echo', { text: 'hi' }, keys['clerk'])
    const absent = await call('nowhere', { text: 'hi' }, keys['clerk'])
    const unsigned = await call('hang', {}, keys['clerk'])
    for (const answer of [there, absent, unsigned])
      expect(answer).toMatchObject({ status: 403, json: { code: 'ACCESS_DENIED' } })
    const words = (text: string) => text.replaceAll(/"request_id":"[^"]*"|dec_\w+/g, '')
    expect(words(absent.text)).toBe(words(there.text).replaceAll('notes:echo', 'notes:nowhere'))
  })

  test('runtime §20.16: a call leaves intent and outcome with names and digests, and no argument', async () => {
    const marker = 'argument-of-a-call'
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const asked = await node.ask('POST', 'mcp/servers/notes/tools/echo/call', {
      body: { arguments: { text: marker } },
      headers: { traceparent },
    })
    expect(asked.status).toBe(200)
    const lines = daemon.auditLines()
    expect(lines.join('')).not.toContain(marker)
    const records = lines
      .map((line) => JSON.parse(line))
      .filter(
        ({ request_id: id, action }) =>
          id === asked.headers['x-request-id'] && action === 'mcp.call',
      )
    const { verification_hash: digest } = await tool('echo')
    expect(records).toMatchObject([
      {
        phase: 'intent',
        source: 'mcp',
        data: { server: 'notes', tool: 'echo', digest, reviewed: true },
        span: { trace_id: '0af7651916cd43dd8448eb211c80319c', parent_span_id: 'b7ad6b7169203331' },
      },
      { phase: 'outcome', outcome: { code: 'OK', is_error: false } },
    ])
    const meta = await call('meta')
    expect(JSON.parse(meta.json.content[0].text)).toEqual({
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/),
    })
  })

  test('an MCP client sees exactly the tools its key may call, and calls them through the stations', async () => {
    expect(await speak('ada', node.adminKey)).toMatchObject({ server: { name: 'vestry' } })
    await speak('scout', keys['scout'] ?? '')
    await speak('clerk', keys['clerk'] ?? '')
    const { json: all } = await node.ask('GET', 'mcp/tools')
    const names = all.map(
      (one: { server_name: string; name: string }) => `${one.server_name}__${one.name}`,
    )
    expect(await namesFor('ada')).toEqual(names.sort())
    const notes = names.filter((name: string) => name.startsWith('notes__'))
    expect(await namesFor('scout')).toEqual(notes)
    expect(await namesFor('clerk')).toEqual([])

    const asked = { client: 'scout', name: 'notes__echo', args: { text: 'over MCP' } }
    expect(await official.do('call', asked)).toEqual({
      content: [{ type: 'text', text: 'over MCP' }],
      isError: false,
    })
    expect(await official.do('call', { ...asked, args: { text: 'forbidden' } })).toMatchObject({
      isError: true,
      content: [{ text: expect.stringMatching(/^ACCESS_DENIED: /) }],
    })
    await expect(official.do('call', { ...asked, client: 'clerk' })).rejects.toThrow(
      /-32602.*Unknown tool: notes__echo/,
    )
    const denied = daemon
      .auditLines()
      .map((line) => JSON.parse(line))
      .filter(({ action, agent }) => action === 'policy.deny' && agent === 'clerk')
    expect(denied.at(-1)).toMatchObject({ data: { server: 'notes', tool: 'echo' }, source: 'mcp' })
  })

  test('an MCP client of an agent sees the tools of the gateway that it may call, and hears of a change', async () => {
    const heard = official.changed('clerk')
    const text = `@id("clerk-fetch") permit (principal == Agent::"clerk", action == Action::"tool:call", resource == Tool::"http_fetch:get");`
    await daemon.admin.call('admin.policy.put', { files: [{ name: 'clerk.cedar', text }] })
    await heard
    expect(await namesFor('clerk')).toEqual(['http_fetch__get'])
    const asked = { client: 'clerk', name: 'http_fetch__get', args: { url: 'http://127.0.0.1:1/' } }
    expect(await official.do('call', asked)).toMatchObject({ isError: true })
  })

  test('the endpoint wants a key, its own sessions, and no pages of strangers', async () => {
    const post = (body: unknown, headers: Record<string, string> = {}, key?: string | null) =>
      node.ask('POST', '/mcp', {
        body,
        headers: { 'content-type': 'application/json', ...headers },
        ...(key !== undefined && { key }),
      })
    const opening = {
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: {
        protocolVersion: '2025-06-18',
        capabilities: {},
        clientInfo: { name: 'x', version: '1' },
      },
    }
    expect(await post(opening, {}, null)).toMatchObject({ status: 401 })
    expect(await post(opening, {}, 'key_0000000000000000.nonsense')).toMatchObject({ status: 401 })
    expect(await post(opening, { origin: 'https://evil.example' })).toMatchObject({ status: 403 })
    expect(await post(opening, { host: 'evil.example' })).toMatchObject({ status: 403 })
    expect(await post(opening, { 'content-type': 'text/plain' })).toMatchObject({ status: 415 })
    expect(await post('{"jsonrpc":"2.0","id":1,"id":2}')).toMatchObject({
      status: 400,
      json: { error: { code: -32700 } },
    })
    const opened = await post(opening)
    expect(opened).toMatchObject({
      status: 200,
      json: { result: { protocolVersion: '2025-06-18' } },
    })
    const session = { 'mcp-session-id': String(opened.headers['mcp-session-id']) }
    const ping = { jsonrpc: '2.0', id: 'a', method: 'ping' }
    expect(await post(ping, session)).toMatchObject({ status: 200, json: { id: 'a', result: {} } })
    expect(await post(ping)).toMatchObject({ status: 400 })
    expect(await post(ping, session, keys['scout'])).toMatchObject({ status: 404 })
    expect(
      await post({ jsonrpc: '2.0', method: 'notifications/initialized' }, session),
    ).toMatchObject({ status: 202 })
    expect(await post({ ...ping, method: 'tools/steal' }, session)).toMatchObject({
      json: { error: { code: -32601 } },
    })
    expect(await node.ask('DELETE', '/mcp', { headers: session })).toMatchObject({ status: 200 })
    expect(await post(ping, session)).toMatchObject({ status: 404 })
  })

  test('whoever listens with a key that is revoked hears nothing more', async () => {
    const { key, id } = await daemon.admin.call('admin.key.add', { name: 'brief', agent: 'scout' })
    const info = { capabilities: {}, clientInfo: { name: 'x', version: '1' } }
    const params = { protocolVersion: '2025-11-25', ...info }
    const opened = await node.ask('POST', '/mcp', {
      key: String(key),
      body: { jsonrpc: '2.0', id: 1, method: 'initialize', params },
      headers: { 'content-type': 'application/json' },
    })
    const headers = {
      accept: 'text/event-stream',
      'mcp-session-id': String(opened.headers['mcp-session-id']),
    }
    const asked = node.begin('GET', '/mcp', { key: String(key), headers })
    asked.end()
    const [stream] = (await once(asked, 'response')) as [IncomingMessage]
    const ended = once(stream.resume(), 'end')
    await daemon.admin.call('admin.key.revoke', { id })
    await ended
  })

  test('a client that starts programs speaks to the same endpoint, line by line', async () => {
    const file = join(daemon.home.dir, 'scout.key')
    writeFileSync(file, `${keys['scout']}\n`, { mode: 0o600 })
    const terminal = fakeTerminal({})
    const argv = ['--home', daemon.home.dir, 'mcp', 'serve', '--key-file', file]
    const running = runProgram(argv, terminal, new AbortController().signal)
    const said = async (id: number) => {
      await until(async () => terminal.out().includes(`"id":${id},`))
      const lines = terminal.out().trim().split('\n')
      return lines.map((line) => JSON.parse(line)).find((message) => message.id === id)
    }
    const say = (message: object) =>
      terminal.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
    const info = { capabilities: {}, clientInfo: { name: 'x', version: '1' } }
    say({ id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', ...info } })
    expect(await said(1)).toMatchObject({ result: { protocolVersion: '2025-11-25' } })
    say({ method: 'notifications/initialized' })
    say({ id: 2, method: 'tools/list' })
    expect((await said(2)).result.tools).toContainEqual(
      expect.objectContaining({ name: 'notes__echo', description: 'Says it again' }),
    )
    say({
      id: 3,
      method: 'tools/call',
      params: { name: 'notes__echo', arguments: { text: 'line' } },
    })
    expect(await said(3)).toMatchObject({ result: { content: [{ text: 'line' }] } })
    terminal.stdin.write('no message\n')
    terminal.stdin.end()
    expect(await running).toBe(0)
    expect(terminal.out()).toContain('"code":-32700')
    expect(terminal.err()).toBe('')
  })

  test('the command line calls a tool, and the trace tells which definition it was', async () => {
    const { out, exitCode } = await vestry(
      'mcp',
      'call',
      'notes',
      'echo',
      '--args',
      '{"text":"cli"}',
    )
    expect({ out, exitCode }).toEqual({ out: 'cli\n', exitCode: 0 })
    expect(await vestry('mcp', 'call', 'notes', 'fail')).toMatchObject({ exitCode: 1 })
    expect(await vestry('mcp', 'call', 'notes', 'echo', '--args', '[1]')).toMatchObject({
      exitCode: 2,
      err: expect.stringContaining('must be a JSON object'),
    })
    const { verification_hash: digest } = await tool('echo')
    const record = daemon
      .auditLines()
      .map((line) => JSON.parse(line))
      .findLast(({ action, data }) => action === 'mcp.call' && data.tool === 'echo')
    const trace = await vestry('trace', record.txn)
    expect(trace.out).toContain(`mcp/notes:echo  ${digest.slice(0, 19)}  reviewed as rev_`)
  })

  test('runtime §20.11: a server that swaps the schema of a signed tool is found out, refused and reviewed again', async () => {
    const before = await tool('echo')
    const heard = official.changed('scout')
    const swapped = {
      inputSchema: {
        type: 'object',
        properties: { text: { type: 'string' }, bcc: { type: 'string' } },
      },
    }
    expect(await call('swap', swapped)).toMatchObject({ status: 200 })
    await heard
    const names = await namesFor('scout')
    expect(names).toContain('notes__swap')
    expect(names).not.toContain('notes__echo')
    const after = await tool('echo')
    expect(after).toMatchObject({ verified: false, verification_reason: 'definition_differs' })
    expect(after.verification_hash).not.toBe(before.verification_hash)
    expect(await call('echo', { text: 'x' })).toMatchObject({
      status: 409,
      json: { code: 'TOOL_NOT_VERIFIED', details: { reason: 'definition_differs' } },
    })
    let reopened: { review_id: string; submitted_by: string }[] = []
    await until(async () => {
      const { json } = await node.ask('GET', 'tool-review/sessions?author=vestry:mcp')
      reopened = json.sessions
      return reopened.length > 0
    })
    expect(reopened).toHaveLength(1)
    const changed = daemon
      .auditLines()
      .map((line) => JSON.parse(line))
      .filter(({ action }) => action === 'mcp.tool_changed')
    expect(changed).toMatchObject([
      {
        source: 'mcp',
        data: {
          server: 'notes',
          tool: 'echo',
          review_id: reopened[0]?.review_id,
          changes: expect.arrayContaining([{ pointer: '/schema/properties/bcc', kind: 'added' }]),
        },
      },
    ])
    // Whoever looks again changes nothing; a signature does.
    await tool('echo')
    await decided(reopened[0]?.review_id ?? '')
    await until(async () => (await tool('echo')).verified === true)
    expect(await call('echo', { text: 'again' })).toMatchObject({ status: 200 })
  })
})
