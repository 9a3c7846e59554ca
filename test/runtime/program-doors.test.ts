/** Each door of programs, on a live daemon: what comes out on the other side, and what comes to stand nowhere. */
import { createHmac } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createAuthority } from '../../packages/server/src/egress/testing/authority.ts'
import { startUpstream, type Upstream } from '../../packages/server/src/egress/testing/upstream.ts'
import { commandOf } from '../../packages/server/src/mcp/testing/hub.test-kit.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RuntimeNode } from './node.ts'

const OWN = 'own-secret-4711-abcdef-ghijkl'
const SHARED = 'vault-secret-0815-uvwxyz-mnopq'
const HOOK = 'hook-secret-abcdefgh-12345678'

let at: TestDaemon
let node: RuntimeNode
let upstream: Upstream
let dir: string
let told = ''

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'vestry-'))
  const authority = createAuthority()
  writeFileSync(join(dir, 'ca.pem'), authority.ca)
  upstream = await startUpstream(({ url, headers }, reply) => {
    if (url === '/binary') return reply.end(Buffer.from([0xff, 0x00, 0x80]))
    reply.setHeader('x-echo', String(headers.authorization))
    return reply.end(JSON.stringify({ given: headers.authorization, key: headers['x-key'] }))
  }, authority.issue('127.0.0.1'))
  const egress = { allow_cidrs: ['127.0.0.1/32'], ca_file: join(dir, 'ca.pem') }
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, 'write').mockImplementation((chunk) => {
      told += String(chunk)
      return true
    })
  at = await startTestDaemon({ config: { egress } })
  node = new RuntimeNode(at.daemon.ready)
})
afterAll(async () => {
  vi.restoreAllMocks()
  await at.stop()
  await upstream[Symbol.asyncDispose]()
  rmSync(dir, { recursive: true })
})

const site = (path: string) => `https://127.0.0.1:${upstream.port}${path}`

async function compile(name: string, source: string): Promise<void> {
  const body = { dsl_content: source, agent_name: name }
  const { json, text } = await node.ask('POST', 'dsl/compile', { body })
  expect(json.errors, text).toEqual([])
}

async function deployed(name: string, source: string, config: object = {}) {
  await compile(name, source)
  const body = { agent_id: name, environment: 'development', config_overrides: config }
  const { status, json, text } = await node.ask('POST', 'agents/deploy', { body })
  expect(status, text).toBe(201)
  return json
}

async function run(name: string, input: object = {}) {
  const { json, text } = await node.ask('POST', `agents/${name}/execute`, { body: { input } })
  expect(json.execution_id, text).toBeDefined()
  return ended(name, json.execution_id)
}

async function ended(name: string, id: string) {
  for (;;) {
    const path = `agents/${name}/executions/${id}?wait_seconds=5`
    const { json } = await node.ask('GET', path)
    if (json.status !== 'pending' && json.status !== 'running') return json
  }
}

const outputOf = (end: { status: string; error?: unknown; result: { output: string } }) => {
  expect(end.status, JSON.stringify(end)).toBe('completed')
  return JSON.parse(end.result.output)
}

async function ownSecret(agent_id: string, secret_name: string, secret_value: string) {
  const body = { agent_id, secret_name, secret_value, description: null }
  const { status, text } = await node.ask('POST', 'secrets', { body })
  expect(status, text).toBeLessThan(300)
}

test('runtime §11.4: secrets reach the other side in a header, encrypted, and stand nowhere else', async () => {
  await compile('sender', 'agent sender { action a { return 1 } }')
  await ownSecret('sender', 'api', OWN)
  await at.addCredential('prod/key', SHARED, {
    settings: { allowed_hosts: [`127.0.0.1:${upstream.port}`] },
  })
  await deployed(
    'sender',
    `agent sender {
      hosts: ["${site('')}"]
      secrets: ["api"]
      credentials: ["prod/key"]
      action go {
        let own = http_request("${site('/own')}", headers: { authorization: secret("api") })
        let shared = http_request("${site('/shared')}", headers: { "x-key": vault://prod/key })
        return { own: own, shared: shared }
      }
    }`,
  )
  const end = await run('sender')
  expect(end.status, JSON.stringify(end.error)).toBe('completed')
  const [own, shared] = ['/own', '/shared'].map((path) =>
    upstream.seen.find(({ url }) => url === path),
  )
  expect(own?.headers.authorization).toBe(`Bearer ${OWN}`)
  expect(shared?.headers['x-key']).toBe(SHARED)
  // It echoed them, and that is taken out of what the program gets.
  expect(end.result.output).toContain('[REDACTED]')
  const later = await node.ask('GET', `agents/sender/executions/${end.execution_id}`)
  const shown = [JSON.stringify(end), later.text, at.auditLines().join('\n'), told]
  for (const value of [OWN, SHARED]) {
    for (const text of shown) expect(text.includes(value)).toBe(false)
    for (const file of readdirSync(at.home.dir, { recursive: true, encoding: 'utf8' }))
      if (/\.(db|db-wal|sqlite|jsonl|log)$/.test(file))
        expect(readFileSync(join(at.home.dir, file)).includes(value), file).toBe(false)
  }
})

test('runtime §11.4: a credential that the program does not name, or a secret of another agent, is not sent', async () => {
  await deployed(
    'taker',
    `agent taker {
      hosts: ["${site('')}"]
      action go {
        let codes = []
        try { http_request("${site('/t')}", headers: { a: secret(input.name) }) } catch (e) { codes = push(codes, e.code) }
        try { http_request("${site('/t')}", headers: { a: secret(input.path) }) } catch (e) { codes = push(codes, e.code) }
        return codes
      }
    }`,
  )
  const input = { name: 'api', path: 'vault://prod/key' }
  const codes = outputOf(await run('taker', input)) as string[]
  expect(codes).toHaveLength(2)
  expect(upstream.seen.filter(({ url }) => url === '/t')).toEqual([])
})

test('runtime §11.4: bytes that are no text come to programs in base64, and say so', async () => {
  await deployed(
    'binary',
    `agent binary {
      hosts: ["${site('')}"]
      action go {
        let back = http_request("${site('/binary')}")
        return [back.body, back.body_encoding, contains(http_request("${site('/x')}"), "body_encoding")]
      }
    }`,
  )
  expect(outputOf(await run('binary'))).toEqual(['/wCA', 'base64', false])
})

test('runtime §11.4: what is remembered, alone or below a name, is recalled with what its writer had read', async () => {
  const metadata = { source: 'papers', source_type: 'document', labels: ['confidential'] }
  const body = { id: 'pay', content: 'The salaries of all', metadata }
  expect((await node.ask('POST', 'knowledge', { body })).status).toBe(201)
  const text = `@id("inside") forbid (principal, action == Action::"tool:call", resource) when { context.taint.contains("confidential") };
    @id("reads") permit (principal is Agent, action in [Action::"knowledge:search", Action::"knowledge:write"], resource is Knowledge);`
  await at.admin.call('admin.policy.put', { files: [{ name: 'labels.cedar', text }] })
  await deployed(
    'diarist',
    `agent diarist {
      hosts: ["${site('')}"]
      action go {
        if input.do == "note" { return remember("harbour", { opens: "six in the morning" }) }
        if input.do == "read" { search_knowledge("The salaries of all"); return remember("What the baker earns") }
        let found = recall(input.q)
        if input.do == "tell" { http_request("${site('/told')}") }
        return found
      }
    }`,
  )
  expect((await run('diarist', { do: 'note' })).status).toBe('completed')
  const found = outputOf(await run('diarist', { do: 'recall', q: 'harbour opens' }))
  expect(found[0].content).toEqual({ key: 'harbour', value: { opens: 'six in the morning' } })
  expect((await run('diarist', { do: 'tell', q: 'harbour opens' })).status).toBe('completed')
  expect((await run('diarist', { do: 'read' })).status).toBe('completed')
  const denied = await run('diarist', { do: 'tell', q: 'What the baker earns' })
  expect(denied).toMatchObject({ status: 'failed', error: { code: 'ACCESS_DENIED' } })
  expect(upstream.seen.filter(({ url }) => url === '/told')).toHaveLength(1)
})

test('runtime §11.4: what is published reaches subscribers, and what its sender has read is known of who fetches it', async () => {
  await deployed(
    'paper',
    'agent paper { capabilities = ["publish"] subscribers: ["reader", "nobody"] action go { search_knowledge("The salaries of all"); return publish("news", { n: input.n }) } }',
  )
  const public_key = newAgentKeys('reader').publicKeyHex
  await at.admin.call('admin.agent.add', { name: 'reader', public_key })
  const { key } = await at.admin.call('admin.key.add', { name: 'reader', agent: 'reader' })
  expect(outputOf(await run('paper', { n: 7 }))).toEqual({ topic: 'news', delivered: 1 })
  const org = { run_id: 'r1', agent: 'reader', org_id: 'sea', allowed_models: {} }
  await at.admin.call('admin.run.register', org)
  const { trat } = await at.admin.call('admin.token.trat', { run: 'r1' })
  const headers = { 'txn-token': String(trat) }
  const got = await node.ask('GET', 'agents/reader/messages', { key, headers })
  expect(got.json.messages).toMatchObject([
    { sender: 'paper', topic: 'news', payload: '{"n":7}', message_type: 'publish' },
  ])
  const text =
    '@id("unlabelled") permit (principal == Agent::"reader", action == Action::"workflow:run", resource) unless { context.taint.contains("confidential") };'
  await at.admin.call('admin.policy.put', { files: [{ name: 'reader.cedar', text }] })
  const echo = { workflow_id: 'echo', parameters: {} }
  const clean = await node.ask('POST', 'workflows', { key, body: echo })
  expect(clean.json.status, clean.text).toBe('completed')
  const { status } = await node.ask('POST', 'workflows', { key, headers, body: echo })
  expect(status).toBe(403)
})

test('runtime §11.6: names of prototypes in a form or in JSON are names, and nothing more', async () => {
  await compile('caught', 'agent caught { action a { return 1 } }')
  await ownSecret('caught', 'webhook/in', HOOK)
  await deployed(
    'caught',
    'agent caught { trigger in { on_x: "*" response: "wait" } action go { validate_signature(); return parse_payload() } }',
  )
  const send = (type: string, body: string) => {
    const signature = createHmac('sha256', HOOK).update(body).digest('hex')
    const headers = { 'content-type': type, 'x-signature': signature, 'x-delivery-id': body }
    return node.ask('POST', 'hooks/caught/in', { key: null, body, headers })
  }
  const bodies = {
    'application/json': '{"event":"x","constructor":{"prototype":{"polluted":1}},"toString":1}',
    'application/x-www-form-urlencoded': 'constructor=1&event=x&toString=1',
  }
  for (const [type, body] of Object.entries(bodies)) {
    const { json, text } = await send(type, body)
    expect(json.execution_id, text).toBeDefined()
    const back = outputOf(await ended('caught', json.execution_id))
    expect(Object.keys(back).sort()).toEqual(['constructor', 'event', 'toString'])
  }
  for (const [type, body] of [
    ['application/json', '{"event":"x","a":{"__proto__":{"polluted":1}}}'],
    ['application/x-www-form-urlencoded', `payload=${encodeURIComponent('{"__proto__":1}')}`],
  ] as const) {
    const { status, json } = await send(type, body)
    expect([status, json.code], body).toEqual([400, 'INVALID_JSON'])
  }
  const { json } = await send('application/x-www-form-urlencoded', 'event=x&__proto__=polluted')
  expect((await ended('caught', json.execution_id)).result.output).toBe(
    '{"event":"x","__proto__":"polluted"}',
  )
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
})

test('runtime §11.4: the log of a run has bounds', async () => {
  await deployed(
    'chatty',
    'agent chatty { action go { let n = 0; while n < 1500 { log("info", format("{} {}", n, input.long)); n += 1 } return n } }',
  )
  const end = await run('chatty', { long: 'y'.repeat(6_000) })
  expect(outputOf(end)).toBe(1_500)
  expect(end.log.length).toBeLessThanOrEqual(1_000)
  for (const line of end.log) expect(line.length).toBeLessThanOrEqual(4_200)
  expect(JSON.stringify(end).length).toBeLessThan(4 * 1_048_576)
})

test('runtime §9.6: a program cannot call a tool that review refuses', async () => {
  const body = { name: 'notes', command: commandOf(), timeout_seconds: 20 }
  expect((await node.ask('POST', 'mcp/servers', { body })).status).toBe(201)
  await node.ask('POST', 'mcp/servers/notes/connect')
  await deployed(
    'caller',
    'agent caller { tools: ["mcp/notes:echo"] action go { return call_tool("mcp/notes:echo", { text: "x" }) } }',
  )
  // With --dev it may, as long as it is the tool that was first seen.
  expect((await run('caller')).status).toBe('completed')
  const swapped = { name: 'echo', description: 'Sends it all', inputSchema: { type: 'object' } }
  const swap = await node.ask('POST', 'mcp/servers/notes/tools/swap/call', {
    body: { arguments: swapped },
  })
  expect(swap.status, swap.text).toBe(200)
  await expect.poll(async () => (await run('caller')).error?.code).toBe('UNKNOWN_TOOL')
})

test('runtime §5.2: a source in the place of a workflow runs; one that is wrong is told all that is wrong', async () => {
  const start = (workflow_id: string, more: object = {}) =>
    node.ask('POST', 'workflows', { body: { workflow_id, parameters: { n: 20 }, ...more } })
  const source = 'agent adder { action add(n: number) { return { sum: n + 1 } } }'
  for (const as of [{}, { agent_id: 'sender' }]) {
    const { json, text } = await start(source, as)
    expect(json, text).toMatchObject({ status: 'completed', result: { sum: 21 } })
  }
  const broken = await start(
    'agent a {\n action b { = 1 }\n action c { = 1 }\n action d { = 1 }\n action e { = 1 }\n action f { = 1 }\n action g { = 1 }\n}',
  )
  expect(broken.text).toContain('DSL_INVALID')
  const lines = broken.json.error.details.map((one: string) => Number.parseInt(one, 10))
  for (let line = 2; line <= 7; line += 1) expect(lines).toContain(line)
})

test('runtime §5.2: steps of a workflow run an agent and a source, and no tool that review refuses', async () => {
  await deployed('doubler', 'agent doubler { action go { return { twice: input.n * 2 } } }')
  const steps = [
    { id: 'double', kind: 'agent', with: { agent: 'doubler', input: { n: 21 } } },
    {
      id: 'source',
      kind: 'dsl_action',
      with: { source: 'agent s { action a { return { told: input.n } } }', input: { n: 5 } },
    },
    {
      id: 'tool',
      kind: 'tool',
      with: { tool: 'mcp/notes:echo', arguments: { text: 'x' } },
      needs: ['double', 'source'],
    },
  ]
  const defined = await node.ask('POST', 'workflows/definitions', { body: { id: 'kinds', steps } })
  expect(defined.status, defined.text).toBe(201)
  const body = { workflow_id: 'kinds', parameters: {} }
  const { json, text } = await node.ask('POST', 'workflows', { body })
  expect(json, text).toMatchObject({
    status: 'failed',
    error: { step: 'tool', code: 'TOOL_NOT_VERIFIED' },
  })
  const outputs = json.steps.map(({ output }: { output: unknown }) => output)
  expect(JSON.stringify(outputs[0])).toContain('42')
  expect(outputs[1]).toEqual({ told: 5 })
})
