/** One id joins everything: what an agent does at three doors in one run is one tree, and ends with the run. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { AgentKeys } from '../harness/keys.ts'
import { RawClient } from '../harness/raw-client.ts'
import { type RawReply, rawRequest, requestBytes } from './raw-http.ts'

const RUN = 'run_one_trace'
const SECRET = 'ghp_of-nobody-0123456789'

// biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
type Whatever = any

let vestry: TestDaemon
let keys: AgentKeys
let env: Record<string, string>
let vault: RawClient
/** Tokens of the run, as its process reads them. */
let svid: string
let trat: string
/** Taken under the run, and before it. */
let gatewayToken: string
let olderToken: string
let leaseId: string
let usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number }
let refused: RawReply

beforeAll(async () => {
  vestry = await startTestDaemon({
    config: { limits: { authenticate: { per_second: 500, burst: 500 } } },
  })
  keys = await vestry.addAgent('scanner', { role: 'scraper' })
  await vestry.addCredential('github/token', SECRET)
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'github',
        principals: ['agent:scanner'],
        resources: ['github/*'],
        actions: ['retrieve'],
      },
    ],
  })
  const registered = await vestry.admin.call('admin.run.register', {
    agent: keys.name,
    run_id: RUN,
    org_id: '90210',
    scope: 'scan.execute',
    allowed_models: { analysis: ['openai:gpt-4o'] },
  })
  env = registered.env
  svid = fileOf('SPIFFE_JWT_PATH')
  trat = fileOf('TRAT_FILE')

  vault = await RawClient.connect({ path: vestry.home.vaultSocket })
  await vault.login(keys, 'agent_name', { txn_token: trat })
  leaseId = (await vault.call('retrieve', { path: 'github/token' })).lease_id
  gatewayToken = await mint({ 'txn-token': trat })
  olderToken = await mint()
  expect(await search(gatewayToken)).toMatchObject({ success: true })
  expect(await search(olderToken, { 'txn-token': trat })).toMatchObject({ success: true })
  const answered = await chat('gpt-4o')
  expect(answered.status, answered.body).toBe(200)
  usage = JSON.parse(answered.body).usage
  refused = await chat('gpt-4.1')
})
afterAll(async () => {
  vault?.destroy()
  await vestry?.stop()
})

function fileOf(name: string): string {
  return readFileSync(env[name] ?? '', 'utf8').trim()
}

/** The command line, in this process. */
async function command(...argv: string[]): Promise<string> {
  const terminal = fakeTerminal({ input: '' })
  const words = ['--home', vestry.home.dir, ...argv]
  const exitCode = await runProgram(words, terminal, new AbortController().signal)
  expect(exitCode, terminal.err()).toBe(0)
  return terminal.out()
}

async function gateway(path: string, body: object, headers: object): Promise<Whatever> {
  const reply = await fetch(`${vestry.daemon.ready.http}/api/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  return reply.json()
}

async function mint(headers: object = {}): Promise<string> {
  const { id: agent_id } = await vestry.admin.call('admin.agent.show', { name: keys.name })
  const expires_at = new Date(Date.now() + 600_000).toISOString()
  const wanted = { agent_id, tools: ['serpapi'], permissions: ['read'], expires_at }
  return (await gateway('generate-token', wanted, headers)).agent_token
}

function search(agent_token: string, headers: object = {}): Promise<Whatever> {
  const params = { q: 'robot arm' }
  const body = { agent_token, tool: 'serpapi', action: 'search', params }
  return gateway('proxy-request', body, headers)
}

function chat(model: string): Promise<RawReply> {
  const headers = { Authorization: `Bearer ${svid}`, 'Txn-Token': trat, 'X-Provider': 'openai' }
  const body = { model, messages: [{ role: 'user', content: 'hello' }] }
  const bytes = requestBytes('POST', '/v1/chat/completions', headers, body)
  return rawRequest({ path: env['LLM_GATEWAY_SOCKET'] ?? '' }, bytes)
}

test('a vault lease, a tool call and a model call under one transaction token are one tree', async () => {
  const tree = JSON.parse(await command('trace', RUN, '--json'))
  const all: Whatever[] = []
  const walk = (spans: Whatever[]) => {
    for (const span of spans) {
      all.push(span)
      walk(span.children)
    }
  }
  walk(tree.spans)
  const shown = (action: string) => all.filter((span) => span.action === action)

  expect(tree.txns).toContain(RUN)
  expect(all.map(({ action }) => action)).toEqual([
    ...['run.register', 'svid.issue', 'trat.issue', 'auth.success', 'credential.retrieve'],
    ...['token.mint', 'tool.call', 'tool.call', 'llm.chat', 'policy.deny'],
  ])
  expect(shown('credential.retrieve')).toMatchObject([
    { lease: expect.stringMatching(/^hmac:/), decision: { policies: ['vault:github'] } },
  ])
  // Below the making of its token, where that was under the run too.
  expect(shown('token.mint')[0].children).toMatchObject([{ action: 'tool.call' }])
  const { total_tokens: total, prompt_tokens: prompt, completion_tokens: completion } = usage
  const [call] = shown('llm.chat')
  expect(call).toMatchObject({
    data: { provider: 'openai', model: 'gpt-4o', run: RUN },
    decision: { allow: true, policies: [`run:${RUN}`] },
    outcome: { code: 'OK', usage: { prompt, completion, total } },
  })
  // List price of gpt-4o: $2.5 and $10 per million.
  const cost = Math.ceil(prompt * 2.5 + completion * 10)
  expect(call.outcome.cost_micros).toBe(cost)
  expect(tree.totals).toEqual({
    calls: { model: 2, tool: 2, credential: 1 },
    tokens: total,
    cost_micros: cost,
    denied: 1,
    failed: 0,
  })
  const decisions = all.flatMap(({ decision }) => (decision === null ? [] : [decision.id]))
  expect(new Set(decisions).size).toBe(6)
  for (const id of decisions) expect(id).toMatch(/^dec_[0-9a-f]{24}$/)
})

test('drawn, it ends with what the run comes to, and holds no secret', async () => {
  const text = await command('trace', RUN)
  expect(text).toMatch(/^├─ credential\.retrieve {2}retrieve github\/token {2}/m)
  expect(text).toMatch(/^│ {5}├─ tool {2}serpapi:search {2}/m)
  expect(text).toMatch(/^├─ llm\.chat {2}openai:gpt-4o {2}/m)
  expect(text).toMatch(/^└─ policy\.deny {2}llm\.chat openai:gpt-4\.1 {2}/m)
  expect(text).toMatch(
    /\ntotal {2}5 calls \(2 model, 2 tool, 1 credential\) {2}\d+ tokens {2}\$0\.\d+ {2}1 denied\n$/,
  )
  for (const secret of [SECRET, Buffer.from(SECRET).toString('hex'), svid, trat, gatewayToken])
    expect(text).not.toContain(secret)
  expect(text).not.toContain(leaseId)
})

test('the record of the run can be queried, and each decision of it explained', async () => {
  const { records } = JSON.parse(await command('audit', 'query', '--txn', RUN, '--json'))
  expect(new Set(records.map(({ source }: Whatever) => source))).toEqual(
    new Set(['identity', 'vault', 'gateway', 'llm']),
  )
  expect(records.every(({ txn }: Whatever) => txn === RUN)).toBe(true)
  const lines = await command('audit', 'query', '--txn', RUN)
  expect(lines).toMatch(/✓ .* llm\.chat +openai:gpt-4o {2}\d+ tokens {2}\$0\.\d+ {2}mock$/m)
  expect(refused.status).toBe(403)
  const denied = records.find(({ action }: Whatever) => action === 'policy.deny')
  expect(await command('why', denied.decision.id)).toMatch(/not permitted to use this model/)
})

test('closing the run ends its session, its lease, its gateway token and its calls of models at once', async () => {
  expect(await vestry.admin.call('admin.lease.list')).toMatchObject({ total: 1 })
  expect(await command('status')).toMatch(/^in use +1 lease, \d sessions?, 1 open run$/m)
  const closed = await command('run', 'close', RUN)
  expect(closed).toMatch(/^ended with it +1 session, 1 lease, 1 gateway token$/m)
  expect(await vestry.admin.call('admin.lease.list')).toMatchObject({ total: 0 })
  expect(await command('status')).toMatch(/^in use +0 leases, \d sessions?, 0 open runs$/m)

  await expect(vault.call('retrieve', { path: 'github/token' })).rejects.toThrow(/SESSION_EXPIRED/)
  expect(['RUN_CLOSED', 'TOKEN_REVOKED']).toContain((await search(gatewayToken)).code)
  expect(await search(olderToken, { 'txn-token': trat })).toMatchObject({ code: 'RUN_CLOSED' })
  // What was not taken under the run goes on.
  expect(await search(olderToken)).toMatchObject({ success: true })
  const { status, body } = await chat('gpt-4o')
  expect([status, JSON.parse(body).error.code]).toEqual([403, 'run_closed'])

  const text = await command('trace', RUN)
  expect(text).toMatch(/run\.close {2}run_one_trace[\s\S]*ended {2}1 session, 1 lease, 1 gateway/)
  expect(text).toMatch(/session\.end {2}session ended: run_closed/)
})
