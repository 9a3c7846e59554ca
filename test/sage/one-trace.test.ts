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

let vestry: TestDaemon
let keys: AgentKeys
let env: Record<string, string>
let vault: RawClient
let gatewayToken: string
/** Tokens of the run, as its process reads them. */
let svid: string
let trat: string

beforeAll(async () => {
  vestry = await startTestDaemon({
    config: { limits: { authenticate: { per_second: 500, burst: 500 } } },
  })
  const { admin } = vestry
  keys = await vestry.addAgent('scanner', { role: 'scraper' })
  await vestry.addCredential('github/token', SECRET)
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'github-of-scanner',
        principals: ['agent:scanner'],
        resources: ['github/*'],
        actions: ['retrieve'],
      },
    ],
  })
  const registered = await admin.call('admin.run.register', {
    agent: keys.name,
    run_id: RUN,
    org_id: '90210',
    scope: 'scan.execute',
    allowed_models: { analysis: ['openai:gpt-4o'] },
  })
  env = registered.env
  svid = fileOf('SPIFFE_JWT_PATH')
  trat = fileOf('TRAT_FILE')
})
afterAll(async () => {
  vault?.destroy()
  await vestry?.stop()
})

function fileOf(name: string): string {
  return readFileSync(env[name] ?? '', 'utf8').trim()
}

/** Of the command line, in this process. */
async function vestryCli(...argv: string[]): Promise<string> {
  const terminal = fakeTerminal({ input: '' })
  const words = ['--home', vestry.home.dir, ...argv]
  const exitCode = await runProgram(words, terminal, new AbortController().signal)
  expect(exitCode, terminal.err()).toBe(0)
  return terminal.out()
}

// biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
type Whatever = any

async function gateway(path: string, body: object, headers: object = {}): Promise<Whatever> {
  const reply = await fetch(`${vestry.daemon.ready.http}/api/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  return reply.json()
}

async function mint(headers: object): Promise<Whatever> {
  const { id: agent_id } = await vestry.admin.call('admin.agent.show', { name: keys.name })
  return gateway(
    'generate-token',
    {
      agent_id,
      tools: ['serpapi'],
      permissions: ['read'],
      expires_at: new Date(Date.now() + 600_000).toISOString(),
    },
    headers,
  )
}

const search = (agent_token: string, headers: object = {}) =>
  gateway(
    'proxy-request',
    { agent_token, tool: 'serpapi', action: 'search', params: { q: 'robot arm' } },
    headers,
  )

function chat(model: string): Promise<RawReply> {
  const headers = { Authorization: `Bearer ${svid}`, 'Txn-Token': trat, 'X-Provider': 'openai' }
  const body = { model, messages: [{ role: 'user', content: 'hello' }] }
  return rawRequest(
    { path: env['LLM_GATEWAY_SOCKET'] ?? '' },
    requestBytes('POST', '/v1/chat/completions', headers, body),
  )
}

test('look', async () => {
  vault = await RawClient.connect({ path: vestry.home.vaultSocket })
  await vault.login(keys, 'agent_name', { txn_token: trat })
  console.log(await vault.call('retrieve', { path: 'github/token' }))
  gatewayToken = (await mint({ 'txn-token': trat })).agent_token
  const own = (await mint({})).agent_token
  console.log(await search(gatewayToken), await search(own, { 'txn-token': trat }))
  console.log((await chat('gpt-4o')).body, (await chat('gpt-4.1')).body)
  console.log(await vestryCli('trace', RUN))
  console.log(await vestryCli('audit', 'tail', '-n', '30'))
  console.log(await vestryCli('audit', 'query', '--txn', RUN))
  await vestry.admin.call('admin.run.close', { id: RUN })
  console.log(await vestryCli('trace', RUN))
  console.log(
    JSON.stringify(JSON.parse(await vestryCli('trace', RUN, '--json')), null, 1).slice(0, 9000),
  )
  console.log(
    await search(gatewayToken),
    await search(own, { 'txn-token': trat }),
    await search(own),
    await vestry.admin.call('admin.lease.list'),
  )
})
