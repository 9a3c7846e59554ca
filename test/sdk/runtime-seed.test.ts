/** The samples of the published manual, re-typed for our client, and everything else under examples/runtime. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withContext } from '@vestry/coat'
import { Client, type Tool } from '@vestry/sdk/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { look, makeAgent, monitor, run } from '../../examples/runtime/agents.ts'
import { reviewOrExplain } from '../../examples/runtime/errors.ts'
import { openEndpoint, openInput } from '../../examples/runtime/inputs.ts'
import { add, addFile, context, search } from '../../examples/runtime/knowledge.ts'
import { callTool, filesystem, offers } from '../../examples/runtime/mcp.ts'
import { compile, deploy, invoke, webhookHandler } from '../../examples/runtime/programs.ts'
import { connect, quickStart } from '../../examples/runtime/quick-start.ts'
import { forget, keep, useFile, useVault } from '../../examples/runtime/secrets.ts'
import {
  batch,
  calculator,
  decide,
  inspectFindings,
  list,
  progress,
  sign,
  submit,
  verify,
  wait,
} from '../../examples/runtime/tool-review.ts'
import { analyse } from '../../examples/runtime/workflows.ts'
import { commandOf } from '../../packages/server/src/mcp/testing/hub.test-kit.ts'
import { KvServer } from '../../packages/server/src/secrets/testing/kv-server.test-kit.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from '../runtime/node.ts'

let at: TestDaemon
let node: RuntimeNode
let client: Client

beforeAll(async () => {
  at = await startTestDaemon({ config: { egress: { allow_cidrs: ['127.0.0.1/32'] } } })
  node = new RuntimeNode(at.daemon.ready)
  client = connect(node.adminKey, `${node.url}/api/v1`)
})
afterAll(() => at.stop())

const model = 'anthropic:claude-sonnet-4-5'
const clerk = { name: 'Clerk', description: '', system_prompt: 'You answer.', tools: [], model }
const LIMITS = { temperature: 0, top_p: 1, max_tokens: 100 }

async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let looks = 0; looks < 500; looks += 1) {
    const found = await look()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('it does not come')
}

test('the quick start finds its server in a file .env', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'project-'))
  const here = process.cwd()
  process.chdir(folder)
  try {
    writeFileSync(
      '.env',
      `SYMBIONT_API_KEY=${node.adminKey}\nSYMBIONT_BASE_URL=${node.url}/api/v1\n\nSYMBIONT_TIMEOUT=30\n`,
    )
    expect(await quickStart(new Client())).toEqual([
      'Status: healthy',
      expect.stringMatching(/^Uptime: \d+ seconds$/),
      expect.stringMatching(/^Version: \d/),
    ])
    expect(await new Client().listAgents()).toEqual([])
  } finally {
    process.chdir(here)
    rmSync(folder, { recursive: true, force: true })
  }
})

test('agents are made, listed, looked at, run and measured', async () => {
  const { result, agents } = await makeAgent(client)
  expect(result).toMatchObject({ id: 'my-agent', status: 'created' })
  expect(agents).toEqual(['my-agent'])
  expect(await look(client, 'my-agent')).toEqual([
    'Agent my-agent is idle',
    expect.stringMatching(/^Memory usage: \d+ bytes$/),
    expect.stringMatching(/^CPU usage: [\d.]+%$/),
    'It has nothing to do.',
  ])
  await client.createAgent({ id: 'clerk', ...clerk, ...LIMITS })
  const execution = await run(client, 'clerk', 'Say hello.')
  expect(execution).toMatchObject({ status: 'completed', result: { output: expect.any(String) } })
  expect((await client.getAgentHistory('clerk')).history).toHaveLength(1)
  const lines = await monitor(client, 'clerk')
  expect(lines).toContain('Tasks completed: 1')
  expect(lines).toContain('Active agents: 0')
  expect(await client.deleteAgent('my-agent')).toMatchObject({ status: 'deleted' })
})

test('a tool is submitted, watched, listed, waited for, decided, signed and verified', async () => {
  const reviewId = await submit(client, calculator)
  const lines = await until(() => progress(client, reviewId))
  expect(lines.slice(0, 2)).toEqual([
    'Review status: pending_review',
    'Submitted by: developer@example.com',
  ])
  expect(await list(client)).toEqual([
    'Found 1 sessions',
    `- ${reviewId}: example-calculator (pending_review)`,
  ])
  expect(await wait(client, reviewId, 0)).toBe('Review did not complete within timeout period')
  expect((await client.getReviewQueue()).queue).toHaveLength(1)
  expect(await inspectFindings(client, reviewId)).toEqual({
    submitted: expect.any(Date),
    found: [],
  })
  await client.claimReview(reviewId, 'reviewer@example.com')
  expect(await decide(client, reviewId)).toMatchObject({ status: 'approved' })
  expect(await wait(client, reviewId)).toBe('Tool approved for signing!')
  await client.createSigningKey({
    key_id: 'key-456',
    domain: 'example.com',
    developer_name: 'Example',
  })
  const signed = await sign(client, reviewId, 'key-456')
  expect(signed).toMatchObject({ tool: calculator, signature_algorithm: 'ECDSA_P256' })
  expect(await verify(client, signed)).toBe('valid')
  const changed = { ...signed, tool: { ...signed.tool, description: 'Another one' } }
  expect(await verify(client, changed)).toBe('not valid: SIGNATURE_INVALID')
  const { entries, intact } = await client.getReviewAudit(reviewId)
  expect(intact).toBe(true)
  expect(entries.at(-1)?.to).toBe('signed')
})

test('a rejected tool ends the wait as well, and a batch is submitted in one go', async () => {
  const shell: Tool = {
    ...calculator,
    name: 'run',
    schema: { properties: { cmd: { type: 'string' } }, required: ['cmd'] },
  }
  const reviewId = await submit(client, shell)
  await until(() => progress(client, reviewId))
  const { found } = await inspectFindings(client, reviewId)
  expect(found).toContainEqual(expect.objectContaining({ severity: 'critical' }))
  await client.submitHumanReviewDecision(reviewId, { decision: 'reject', reviewer_id: 'ada' })
  expect(await wait(client, reviewId)).toBe('Tool rejected. Check review comments.')
  const names = ['add', 'subtract', 'multiply']
  const lines = await batch(
    client,
    names.map((name) => ({ ...calculator, name })),
  )
  expect(lines.map((line) => line.replace(/: \w+$/, ''))).toEqual(
    names.map((name) => `Tool ${name}`),
  )
})

test('secrets are kept in Vault and in a file, and go with the back end when that is asked', async () => {
  await using vault = await KvServer.start()
  await useVault(client, vault.url, vault.rootToken)
  expect(await keep(client)).toEqual({
    stored: 'api_key',
    value: 'secret_value_here',
    secrets: ['api_key'],
  })
  await useFile(client, Buffer.alloc(32, 1).toString('base64'))
  expect(await client.getSecret('agent-123', 'api_key')).toBe('secret_value_here')
  expect(await client.getSecretBackend()).toMatchObject({ backend_type: 'encrypted_file' })
  await forget(client)
  await expect(client.getSecret('agent-123', 'api_key')).rejects.toMatchObject({
    name: 'NotFoundError',
    code: 'SECRET_NOT_FOUND',
  })
})

test('the published filesystem server is connected and asked', async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'files-')))
  try {
    writeFileSync(join(folder, 'note.txt'), 'hello from a file')
    const program = fileURLToPath(
      import.meta.resolve('@modelcontextprotocol/server-filesystem/dist/index.js'),
    )
    expect(filesystem.command[1]).toBe('@modelcontextprotocol/server-filesystem')
    const config = { ...filesystem, command: [process.execPath, program, folder] }
    const { counted, tools, resources } = await offers(client, config)
    expect(counted).toEqual([tools.length, resources.length])
    expect(tools).toContain('read_text_file')
    const permit = `@id("files") permit (principal, action == Action::"mcp:call", resource);`
    await at.admin.call('admin.policy.put', { files: [{ name: 'files.cedar', text: permit }] })
    const path = join(folder, 'note.txt')
    const read = await callTool(client, 'filesystem-server', 'read_text_file', { path })
    expect(JSON.stringify(read.content)).toContain('hello from a file')
    await client.disconnectMcpServer('filesystem-server')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a workflow analyses a table, as an agent and as the administrator', async () => {
  await client.createAgent({ id: 'agent-123', ...clerk, ...LIMITS })
  mkdirSync(join(at.home.dir, 'data', 'path', 'to'), { recursive: true })
  writeFileSync(join(at.home.dir, 'data', 'path', 'to', 'data.csv'), 'price\n1\n2\n3\n')
  expect(await analyse(client, 'path/to/data.csv')).toMatchObject({
    status: 'completed',
    result: { rows: 3, columns: { price: { count: 3, mean: 2 } } },
  })
  // The administrator may start it, in whose name it may be.
  expect(await analyse(client, 'path/to/data.csv', 'agent-123')).toMatchObject({
    status: 'completed',
    agent_id: 'agent-123',
  })
  expect(await analyse(client, 'missing.csv')).toMatchObject({
    status: 'failed',
    error: { code: 'NOT_FOUND' },
  })
})

test('knowledge is added, searched, made into a context, and deleted', async () => {
  const text =
    'To configure the system, edit config.yaml and restart it. Authentication needs a key.'
  await add(client, text, 'agent-123')
  await addFile(client, 'backups.md', '# Backups\n\nBackups run at 02:30 and are kept for 35 days.')
  const found = await search(client, 'How do I configure the system?', 'agent-123')
  expect(found).toEqual([{ score: expect.any(Number), content: text }])
  expect(found[0]?.score).toBeGreaterThanOrEqual(0.7)
  const lines = await context(client, 'How do I set up authentication?', 'agent-123')
  expect(lines[0]).toBe('Retrieved 1 context items')
  expect(lines[1]).toBe('Sources: documentation.md')
  expect(await search(client, 'How do I configure the system?', 'clerk')).toEqual([])
  expect(await client.getKnowledgeItem('backups.md')).toMatchObject({
    metadata: { source: 'backups.md', labels: ['internal'] },
  })
  expect(await monitor(client, 'clerk')).toContain('Vector DB items: 2')
  for (const id of ['doc-001', 'backups.md'])
    expect(await client.deleteKnowledgeItem(id)).toMatchObject({ status: 'deleted' })
  expect(await monitor(client, 'clerk')).toContain('Vector DB items: 0')
})

test('a program is compiled, deployed, invoked at its address, and measured', async () => {
  const broken = webhookHandler.replace('parse_payload()', 'parse_payload(')
  await expect(compile(client, broken, 'webhook_handler')).rejects.toThrow(
    /^Compilation errors: \d+:/,
  )
  const agentId = await compile(client, webhookHandler, 'webhook_handler')
  const { deployment_id: id, endpoint_url: url } = await deploy(client, agentId)
  expect(await monitor(client, agentId)).toContain('Active agents: 1')
  expect(await invoke(url ?? '', node.adminKey, { ref: 'refs/heads/main' })).toMatchObject({
    status: 'completed',
  })
  expect(await client.invokeDeployment(id, {})).toMatchObject({ status: 'completed' })
  expect(await client.listAgentDeployments(agentId)).toHaveLength(1)
  expect(await client.stopAgentDeployment(id)).toMatchObject({ status: 'stopped' })
  expect(await client.getAgentDeployment(id)).toMatchObject({ status: 'stopped' })
  const lines = await monitor(client, agentId)
  expect(lines).toContain('Active agents: 0')
  expect(lines).toContain('Tasks completed: 2')
})

test('inputs and endpoints lead to agents', async () => {
  await client.createAgent({ id: 'sms_handler', ...clerk, ...LIMITS })
  expect(await openInput(client, 'clerk', 'sms_handler')).toMatchObject({
    response_code: 200,
    agent_id: 'sms_handler',
  })
  expect(await openEndpoint(client, 'clerk')).toMatchObject({ status: 'active', rate_limit: 60 })
})

test('what the published client does not know is read from a real server as well', async () => {
  await client.createAgent({ id: 'desk', ...clerk, ...LIMITS })
  expect(await client.updateAgent('desk', { max_tokens: 50 })).toMatchObject({ id: 'desk' })
  await client.sendAgentHeartbeat('desk', { state: 'Waiting', metadata: { n: 1 } })
  await client.sendAgentEvent('desk', { event_type: 'RunStarted', payload: { n: 1 } })
  expect(await client.listAgentEvents('desk')).toMatchObject({
    events: [{ event_type: 'RunStarted' }],
  })
  const sent = await client.sendMessage('desk', { sender: 'scout', payload: 'hello' })
  const { messages } = await client.receiveMessages('desk')
  expect(messages).toMatchObject([{ message_id: sent['message_id'], payload: 'hello' }])
  expect(await client.getMessageStatus(String(sent['message_id']))).toMatchObject({
    status: 'delivered',
  })
  const { execution_id: first } = await client.executeAgent('desk', { parameters: { n: 1 } })
  await client.getAgentExecution('desk', first, { waitSeconds: 20 })
  const { execution_id: second } = await client.reExecuteAgent('desk')
  const ended = await client.getAgentExecution('desk', second, { waitSeconds: 20 })
  expect(ended.status).toBe('completed')
  await expect(client.cancelAgentExecution('desk', second)).rejects.toMatchObject({
    code: 'INVALID_STATE_TRANSITION',
  })
  expect(await client.stopAgent('desk')).toMatchObject({ status: 'stopped' })

  await client.addMcpServer({ name: 'notes', command: commandOf({ resources: 2 }) })
  await client.connectMcpServer('notes')
  expect(await client.listMcpPrompts('notes')).toEqual(expect.any(Array))
  const [resource] = await client.listMcpResources('notes')
  expect(await client.readMcpResource('notes', resource?.uri ?? '')).toHaveProperty('contents')
  expect(await client.getMcpServerLogs('notes')).toMatchObject({ server_name: 'notes' })
  expect(await client.listMcpServers()).toContainEqual(
    expect.objectContaining({ server_name: 'notes', status: 'connected' }),
  )
  await client.removeMcpServer('notes')

  expect(await client.listApprovals()).toEqual([])
  await expect(client.approve('apr_none')).rejects.toMatchObject({ statusCode: 404 })
  await expect(client.deny('apr_none')).rejects.toMatchObject({ statusCode: 404 })
  expect(await client.getMetricsSnapshot()).toHaveProperty('task_manager')
  expect(await client.getStatus()).toMatchObject({ healthy: true })
  expect(await client.getReviewStats()).toHaveProperty('by_status')
  expect(await client.getSecretMigration()).toHaveProperty('status')
  const [key] = await client.listSigningKeys()
  expect(key).toMatchObject({
    status: 'active',
    key_fingerprint: expect.stringMatching(/^sha256:/),
  })
  await client.createSigningKey({ key_id: 'old', domain: 'example.com', developer_name: 'Ada' })
  expect(await client.revokeSigningKey('old', 'key_compromise')).toMatchObject({
    status: 'revoked',
  })
  const { endpoint_id: endpoint } = await client.createHttpEndpoint({
    path: 'desk',
    method: 'GET',
    agent_id: 'desk',
  })
  await client.disableHttpEndpoint(endpoint)
  await client.enableHttpEndpoint(endpoint)
  const paused = await client.updateHttpEndpoint({ endpoint_id: endpoint, status: 'maintenance' })
  expect(paused.endpoint_info).toMatchObject({ status: 'maintenance' })
  expect(await client.listHttpEndpoints()).toHaveLength(1)
  expect(await client.getEndpointMetrics(endpoint)).toMatchObject({ total_requests: 0 })
})

test('errors are told apart by a real server', async () => {
  const missing = await reviewOrExplain(client, 'non-existent-review')
  expect(missing).toMatch(/^Resource not found: .*REVIEW_NOT_FOUND/)
  const stranger = connect('wrong', `${node.url}/api/v1`)
  expect(await reviewOrExplain(stranger, 'x')).toBe('Please check your API key')
  await at.addAgent('scoped')
  const { key } = await at.admin.call('admin.key.add', { name: 'scoped', agent: 'scoped' })
  const scoped = connect(key, `${node.url}/api/v1`)
  await expect(scoped.getMetrics()).rejects.toMatchObject({ name: 'PermissionDeniedError' })
  const nowhere = new Client({ baseUrl: 'http://127.0.0.1:9', maxRetries: 0, envFile: false })
  expect(await reviewOrExplain(nowhere, 'x')).toBe('There was no answer at all')
  await expect(client.searchKnowledge({ query: ' ' })).rejects.toMatchObject({
    statusCode: 400,
    code: 'VALIDATION_ERROR',
  })
})

test('what is asked inside a span is recorded below it', async () => {
  const ids = { trace_id: `tr_${'c'.repeat(32)}`, span_id: `sp_${'d'.repeat(16)}` } as const
  const request = { agent_id: 'traced', secret_name: 'a', secret_value: 'x' }
  await withContext(ids, () => client.storeSecret(request))
  const records = at.auditLines().map((line) => JSON.parse(line))
  const below = records.filter(({ span }) => span?.trace_id === 'c'.repeat(32))
  expect(below.length).toBeGreaterThan(0)
  for (const { span, source } of below)
    expect({ source, parent: span.parent_span_id }).toEqual({
      source: 'runtime',
      parent: 'd'.repeat(16),
    })
})
