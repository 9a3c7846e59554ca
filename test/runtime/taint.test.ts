/** What a transaction has read follows it over every wire: into tools, requests, children, their parents, and what it writes. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RuntimeNode } from './node.ts'

let daemon: TestDaemon
let node: RuntimeNode
let site: Server
let origin: string
let key: string
let served: string[] = []

const policies = (host: string) => `
  @id("agents-read") permit (principal is Agent, action in [Action::"knowledge:search", Action::"knowledge:write"], resource is Knowledge);
  @id("agents-act") permit (principal is Agent, action in [Action::"tool:call", Action::"workflow:run", Action::"agent:run"], resource);
  @id("to-the-site") permit (principal is Agent, action == Action::"tool:call", resource in Tool::"http")
    when { context has host && context.host in HostGlob::"${host}" };
  @id("stays-inside") forbid (principal, action == Action::"tool:call", resource)
    when { context.taint.contains("confidential") };
  @id("goes-no-further") forbid (principal, action == Action::"tool:call", resource)
    when { context has redirect && context.redirect && context.taint.contains("plans") };`

beforeAll(async () => {
  site = createServer((request, response) => {
    served.push(request.url ?? '')
    if (request.url === '/moved') response.writeHead(302, { location: '/out' })
    response.end('{"from":"the site"}')
  })
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`
  daemon = await startTestDaemon({ config: { egress: { allow_cidrs: ['127.0.0.1/32'] } } })
  node = new RuntimeNode(daemon.daemon.ready)
  const public_key = newAgentKeys('scout').publicKeyHex
  await daemon.admin.call('admin.agent.add', { name: 'scout', public_key })
  key = (await daemon.admin.call('admin.key.add', { name: 'scout', agent: 'scout' })).key
  const text = policies(new URL(origin).host)
  await daemon.admin.call('admin.policy.put', { files: [{ name: 'taint.cedar', text }] })
  for (const [label, content] of [
    ['confidential', 'The salaries of all'],
    ['plans', 'Plans of the harbour'],
  ]) {
    const metadata = { source: 'papers', source_type: 'document', labels: [label] }
    const body = { id: label, content, metadata }
    expect((await node.ask('POST', 'knowledge', { body })).status).toBe(201)
  }
})
afterAll(async () => {
  site.close()
  await daemon.stop()
})

const READ = {
  id: 'read',
  kind: 'knowledge.search',
  with: { query: 'The salaries of all' },
}
const FETCH = (needs: string[] = []) => ({
  id: 'fetch',
  kind: 'http',
  with: { url: `${origin}/out` },
  needs,
})

async function outcome(id: string, steps: object[]): Promise<string> {
  const defined = await node.ask('POST', 'workflows/definitions', { body: { id, steps } })
  expect(defined.status, defined.text).toBe(201)
  const body = { workflow_id: id, parameters: {}, agent_id: 'scout' }
  const { json } = await node.ask('POST', 'workflows', { body })
  return json.error?.code ?? json.status
}

test('runtime §20: a workflow that has read confidential knowledge sends no request; one that has not is asked about where it goes', async () => {
  expect(await outcome('clean', [FETCH()])).toBe('completed')
  expect(await outcome('reads-first', [READ, FETCH(['read'])])).toBe('ACCESS_DENIED')
  await outcome('only-reads', [READ])
  await outcome('only-fetches', [FETCH()])
  const child = (id: string) => ({ id: 'child', kind: 'subworkflow', with: { workflow_id: id } })
  expect(await outcome('child-reads', [child('only-reads'), FETCH(['child'])])).toBe(
    'ACCESS_DENIED',
  )
  const fetches = { ...child('only-fetches'), needs: ['read'] }
  expect(await outcome('child-fetches', [READ, fetches])).toBe('ACCESS_DENIED')
  expect(served).toEqual(['/out', '/out'])
})

test('runtime §20: no redirect is followed that the labels forbid', async () => {
  served = []
  const moved = {
    id: 'moved',
    kind: 'http',
    with: { url: `${origin}/moved`, follow_redirects: true },
  }
  expect(await outcome('follows', [moved])).toBe('completed')
  const noted = { ...READ, with: { query: 'Plans of the harbour' } }
  expect(await outcome('stops', [noted, { ...moved, needs: ['read'] }])).toBe('REDIRECT_BLOCKED')
  expect(served).toEqual(['/moved', '/out', '/moved'])
})

async function headersIn(run_id: string): Promise<Record<string, string>> {
  const run = {
    run_id,
    agent: 'scout',
    org_id: 'sea',
    allowed_models: { analysis: ['openai:gpt-4o'] },
  }
  await daemon.admin.call('admin.run.register', run)
  const { trat } = await daemon.admin.call('admin.token.trat', { run: run_id })
  return { 'txn-token': String(trat), 'content-type': 'application/json' }
}

test('runtime §20: what a run writes keeps its labels: knowledge, memories and messages, for whoever reads them', async () => {
  const as = (headers: Record<string, string>) => (method: string, path: string, body?: unknown) =>
    node.ask(method, path, { key, headers, body })
  const writer = as(await headersIn('writer'))
  const query = { query: 'The salaries of all', agent_id: 'scout' }
  expect((await writer('POST', 'knowledge/search', query)).json.total_results).toBe(1)
  const metadata = { source: 'note', source_type: 'document', agent_id: 'scout' }
  const item = { id: 'note', content: 'What the baker earns', metadata }
  expect((await writer('POST', 'knowledge', item)).status).toBe(201)
  const memory = {
    agent_id: 'scout',
    content: { text: 'What the smith earns' },
    memory_type: 'fact',
    memory_level: 'long_term',
  }
  expect((await writer('POST', 'memory', memory)).text).toContain('mem_')
  const message = { payload: 'what the cook earns', sender: 'scout' }
  expect((await writer('POST', 'agents/scout/messages', message)).status).toBe(200)

  const ways: [string, string, unknown?][] = [
    ['GET', 'knowledge/note'],
    ['POST', 'memory/search', { agent_id: 'scout', query: { text: 'the smith earns' } }],
    ['GET', 'agents/scout/messages'],
  ]
  for (const [n, [method, path, body]] of ways.entries()) {
    const reader = as(await headersIn(`reader-${n}`))
    const told = await reader(method, path, body)
    expect(told.text, path).toContain('earns')
    const defined = { workflow_id: 'only-fetches', parameters: {} }
    const { json } = await reader('POST', 'workflows', defined)
    expect(json.error?.code, path).toBe('ACCESS_DENIED')
  }
})

test('runtime §20: a tool call through the gateway is decided by what its run has read', async () => {
  const { agents } = await daemon.admin.call('admin.agent.list', {})
  const id = agents.find((one: { name: string }) => one.name === 'scout')
  const called = async (headers: Record<string, string>) => {
    const minted = await node.ask('POST', '/api/generate-token', {
      key: null,
      headers,
      body: {
        agent_id: id.id,
        tools: ['*'],
        permissions: ['read', 'write'],
        expires_at: new Date(Date.now() + 600_000).toISOString(),
      },
    })
    expect(minted.status, minted.text).toBe(201)
    const call = { tool: 'serpapi', action: 'search', params: { q: 'tides' } }
    const answer = await node.ask('POST', '/api/proxy-request', {
      key: null,
      headers,
      body: { agent_token: minted.json.agent_token, ...call },
    })
    return answer.json.code ?? 'OK'
  }
  const [reads, clean] = [await headersIn('reads'), await headersIn('clean')]
  expect(await called(reads)).toBe('OK')
  const body = { query: 'The salaries of all', agent_id: 'scout' }
  const read = await node.ask('POST', 'knowledge/search', { body, key, headers: reads })
  expect(read.json.total_results).toBe(1)
  expect(await called(reads)).toBe('POLICY_GUARD')
  expect(await called(clean)).toBe('OK')
})

test('runtime §20: labels go to a program that is asked, and come back with its answer', async () => {
  const programs = {
    reader:
      'agent reader { policy p { allow: any } action a { return search_knowledge("The salaries of all") } }',
    caller: `agent caller { policy p { allow: any } action a { return http_request("${origin}/out") } }`,
    asks_reader: `agent asks_reader { policy p { allow: any } agents: ["reader"] action a { ask("reader", 1) ; return http_request("${origin}/out") } }`,
    asks_caller: `agent asks_caller { policy p { allow: any } agents: ["caller"] action a { search_knowledge("The salaries of all") ; return ask("caller", 1) } }`,
    asks_clean:
      'agent asks_clean { policy p { allow: any } agents: ["caller"] action a { return ask("caller", 1) } }',
    reads_calls: `agent reads_calls { policy p { allow: any } action a { search_knowledge("The salaries of all") ; return http_request("${origin}/out") } }`,
  }
  for (const [name, source] of Object.entries(programs)) {
    const body = { dsl_content: source, agent_name: name }
    const { json } = await node.ask('POST', 'dsl/compile', { body })
    expect(json.errors).toEqual([])
  }
  expect(await ran('asks_clean')).toBe('completed')
  expect(await ran('reads_calls')).toBe('ACCESS_DENIED')
  expect(await ran('asks_reader')).toBe('ACCESS_DENIED')
  expect(await ran('asks_caller')).toBe('ACCESS_DENIED')
})

async function ran(agent: string): Promise<string> {
  const { json: begun } = await node.ask('POST', `agents/${agent}/execute`, { body: { input: {} } })
  for (;;) {
    const path = `agents/${agent}/executions/${begun.execution_id}?wait_seconds=5`
    const { json } = await node.ask('GET', path)
    if (json.status === 'completed') return 'completed'
    if (json.status !== 'pending' && json.status !== 'running') return json.error.code
  }
}
