/** Steps and programs that send requests, on a live daemon and to a real upstream; and where secrets do not come to stand. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../packages/server/src/egress/testing/upstream.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RuntimeNode } from './node.ts'

const VALUE = 'opensesame-opensesame-1'
/** As a definition reads the step before. */
const KEY = `\${steps.key.output}`
const PASTED = `sk-proj-${'a1B2'.repeat(8)}`

let at: TestDaemon
let node: RuntimeNode
let upstream: Upstream

beforeAll(async () => {
  at = await startTestDaemon({ config: { egress: { allow_cidrs: ['127.0.0.1/32'] } } })
  node = new RuntimeNode(at.daemon.ready)
  upstream = await startUpstream(({ url, headers }, reply) => {
    const given = String(headers.authorization)
    if (url === '/binary') reply.end(Buffer.from([0xff, 0x00, 0x80]))
    else if (url === '/fails') reply.writeHead(500).end(given)
    else {
      reply.setHeader('x-echo', given)
      reply.end(JSON.stringify({ given, twice: Buffer.from(given).toString('base64') }))
    }
  })
  await at.admin.call('admin.agent.add', {
    name: 'scout',
    public_key: newAgentKeys('scout').publicKeyHex,
  })
  const host = `127.0.0.1:${upstream.port}`
  const text = `
    @id("run") permit(principal, action == Action::"workflow:run", resource is Workflow);
    @id("tool") @allow_http("true")
    permit(principal, action == Action::"tool:call", resource in Tool::"http")
    when { context has host && context.host in HostGlob::"${host}" };
    @id("credential") @allow_http("true")
    permit(principal, action == Action::"vault:use:http_request", resource in PathGlob::"prod/**")
    when { context has host && context.host in HostGlob::"${host}" };`
  await at.admin.call('admin.policy.put', { files: [{ name: 'http.cedar', text }] })
  await at.addCredential('prod/key', VALUE)
  await at.addCredential('other/key', VALUE)
})
afterAll(async () => {
  await at.stop()
  await upstream[Symbol.asyncDispose]()
})

const url = (path: string) => `http://127.0.0.1:${upstream.port}${path}`
const http = (path: string, more: object = {}) => ({
  id: 'call',
  kind: 'http',
  with: { url: url(path), headers: { authorization: `Bearer ${KEY}` }, ...more },
})
const key = (reference = 'vault://prod/key') => ({
  id: 'key',
  kind: 'secret.get',
  with: { reference },
})

async function run(steps: object[], agent?: string) {
  const defined = await node.ask('POST', 'workflows/definitions', {
    body: { id: 'sends', steps },
  })
  expect(defined.status, defined.text).toBeLessThan(300)
  const { json } = await node.ask('POST', 'workflows', {
    body: { workflow_id: 'sends', parameters: {}, ...(agent !== undefined && { agent_id: agent }) },
  })
  await node.ask('DELETE', 'workflows/definitions/sends')
  return json
}

test('runtime §5.2: a secret is opened where it is sent, and stands nowhere else', async () => {
  const ended = await run([key(), http('/x')], 'scout')
  expect(ended, JSON.stringify(ended)).toMatchObject({ status: 'completed' })
  expect(upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${VALUE}`)
  expect(ended.steps[0]).toMatchObject({ id: 'key', output: '[secret]' })
  expect(ended.result.body.given).toContain('[REDACTED]')
  const failed = await run([key(), http('/fails')], 'scout')
  expect(failed).toMatchObject({ status: 'failed', error: { code: 'UPSTREAM_FAILED' } })
  const later = await node.ask('GET', `workflows/executions/${ended.execution_id}`)
  const shown = JSON.stringify([ended, failed, later.json]) + at.auditLines().join('\n')
  const encoded = Buffer.from(VALUE).toString('base64').slice(0, 24)
  for (const text of [VALUE, encoded]) expect(shown).not.toContain(text)
  for (const file of readdirSync(at.home.dir, { recursive: true, encoding: 'utf8' }))
    if (/\.(db|db-wal|sqlite|jsonl|log)$/.test(file))
      expect(readFileSync(join(at.home.dir, file)).includes(VALUE), file).toBe(false)
  const uses = at.auditLines().filter((line) => line.includes('"action":"credential.use"'))
  expect(uses.length).toBeGreaterThanOrEqual(4)
})

test('runtime §5.2: a credential that no policy opens is refused, and so is its place in a URL or a body', async () => {
  const before = upstream.seen.length
  const other = await run([key('vault://other/key'), http('/x')], 'scout')
  expect(other).toMatchObject({ status: 'failed', error: { code: 'ACCESS_DENIED' } })
  for (const given of [
    { url: `${url('/')}?k=${KEY}`, headers: {} },
    { body: { k: KEY }, method: 'POST', headers: {} },
    { headers: { a: { b: 1 } } },
  ])
    expect(await run([key(), http('/x', given)], 'scout')).toMatchObject({
      status: 'failed',
      error: { code: 'INVALID_PARAMS' },
    })
  expect(upstream.seen).toHaveLength(before)
})

test('runtime §5.2: only secret.get names secrets: what looks like its output is a value like others', async () => {
  const forged = {
    id: 'key',
    kind: 'transform',
    with: { value: { $secret: 'vault://prod/key' } },
  }
  const ended = await run([forged, http('/x', { headers: { a: KEY } })], 'scout')
  expect(ended).toMatchObject({ status: 'failed', error: { code: 'INVALID_PARAMS' } })
})

test('runtime §5.2: bytes that are no text come in base64, and say so', async () => {
  const ended = await run([http('/binary', { headers: {} })], 'scout')
  expect(ended.result).toMatchObject({ body: '/wCA', body_encoding: 'base64' })
})

test('names that were pasted and are keys come to stand in no record', async () => {
  await node.ask('PUT', `agents/scout/secrets/${PASTED}`, { body: { secret: 'x' } })
  for (const [method, path] of [
    ['GET', `agents/scout/secrets/${PASTED}`],
    ['POST', `agents/${PASTED}/execute`],
    ['POST', `mcp/servers/${PASTED}/connect`],
    ['GET', `workflows/executions/${PASTED}`],
    ['DELETE', `schedules/${PASTED}`],
  ] as const)
    await node.ask(method, path, { ...(method === 'POST' && { body: { input: 'x' } }) })
  await node.ask('POST', 'workflows', { body: { workflow_id: PASTED, parameters: {} } })
  await at.admin.call('secret.get', { agent: 'scout', name: PASTED }).catch(() => undefined)
  await at.admin
    .call('mcp.call', { server: PASTED, tool: PASTED, arguments: {} })
    .catch(() => undefined)
  const lines = at.auditLines().join('\n')
  expect(lines).toContain('[redacted:openai]')
  expect(lines).not.toContain(PASTED)
})
