/** The sequences that the published manual implies, from end to end through our client on one daemon. */
import { Client } from '@vestry/sdk/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { webhookHandler } from '../../examples/runtime/programs.ts'
import { calculator } from '../../examples/runtime/tool-review.ts'
import { commandOf } from '../../packages/server/src/mcp/testing/hub.test-kit.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from './node.ts'

let at: TestDaemon
let node: RuntimeNode
let client: Client

beforeAll(async () => {
  at = await startTestDaemon()
  node = new RuntimeNode(at.daemon.ready)
  client = new Client({ apiKey: node.adminKey, baseUrl: `${node.url}/api/v1`, envFile: false })
})
afterAll(() => at.stop())

const AGENT = {
  id: 'clerk',
  name: 'Clerk',
  description: 'Answers',
  system_prompt: 'You answer.',
  tools: [],
  model: 'anthropic:claude-sonnet-4-5',
  temperature: 0.7,
  top_p: 0.9,
  max_tokens: 100,
}
/** Of the process, not of what was done. */
const MOVING = { memory_usage_bytes: 0, cpu_usage_percent: 0, uptime_seconds: 0 }
const QUICK = { intervalSeconds: 0.02, timeoutSeconds: 20 }

/** By how much each count of the system has changed. */
async function moved(act: () => Promise<unknown>): Promise<Record<string, number>> {
  const counts = async () => {
    const { active_agents, total_agents, secrets_count, mcp_connections, vector_db_items } =
      await client.getMetrics()
    return { active_agents, total_agents, secrets_count, mcp_connections, vector_db_items }
  }
  const before: Record<string, number> = await counts()
  await act()
  const after = Object.entries(await counts())
  return Object.fromEntries(
    after
      .map(([name, value]) => [name, value - (before[name] ?? 0)] as const)
      .filter(([, by]) => by !== 0),
  )
}

test('runtime Appendix B.1, B.8: an agent is made, listed, idle, has done nothing, and is counted', async () => {
  expect((await client.healthCheck()).status).toBe('healthy')
  const by = await moved(() => client.createAgent(AGENT))
  expect(by).toEqual({ total_agents: 1 })
  expect(await client.listAgents()).toContain('clerk')
  expect((await client.getAgentStatus('clerk')).state).toBe('idle')
  expect(await client.getAgentMetrics('clerk')).toMatchObject({
    tasks_completed: 0,
    tasks_failed: 0,
    average_response_time_ms: 0,
    uptime_seconds: 0,
  })
})

test('runtime Appendix B.2: a tool goes from its submission to its signature', async () => {
  const { review_id: id } = await client.submitToolForReview({
    tool: calculator,
    submitted_by: 'developer@example.com',
  })
  await expect
    .poll(async () => (await client.getReviewSession(id)).status, { timeout: 10_000 })
    .toBe('pending_review')
  const { state } = await client.getReviewSession(id)
  const analysis = await client.getAnalysisResults(state.analysis_id ?? '')
  expect(analysis.risk_score).toBeLessThanOrEqual(10)
  const waiting = client.waitForReviewCompletion(id, QUICK)
  await client.submitHumanReviewDecision(id, { decision: 'approve', reviewer_id: 'ada' })
  expect((await waiting).status).toBe('approved')
  const { signature } = await client.signApprovedTool({ review_id: id, signing_key_id: 'default' })
  expect(await client.getSignedTool(id)).toMatchObject({ tool: calculator, signature })
  expect((await client.getReviewSession(id)).status).toBe('signed')
})

test('runtime Appendix B.3, B.8: a secret is kept in a file, read, listed, counted and forgotten', async () => {
  await client.configureSecretBackend({
    backend_type: 'encrypted_file',
    file_path: 'sequences.json',
    encryption_key: Buffer.alloc(32, 3).toString('base64'),
  })
  const secret = { agent_id: 'clerk', secret_name: 'db/password', secret_value: 'grüße 🔧' }
  expect(await moved(() => client.storeSecret(secret))).toEqual({ secrets_count: 1 })
  expect(await moved(() => client.storeSecret(secret))).toEqual({})
  expect(await client.getSecret('clerk', 'db/password')).toBe('grüße 🔧')
  expect((await client.listSecrets('clerk')).secrets).toEqual(['db/password'])
  expect(await moved(() => client.deleteSecret('clerk', 'db/password'))).toEqual({
    secrets_count: -1,
  })
  await expect(client.getSecret('clerk', 'db/password')).rejects.toMatchObject({
    name: 'NotFoundError',
  })
})

test('runtime Appendix B.4, B.8: a server is added, connected, counted and disconnected', async () => {
  await client.addMcpServer({ name: 'notes', command: commandOf({ resources: 3 }) })
  expect((await client.getMcpServer('notes')).status).toBe('disconnected')
  expect(await moved(() => client.connectMcpServer('notes'))).toEqual({ mcp_connections: 1 })
  const info = await client.getMcpServer('notes')
  expect(info.status).toBe('connected')
  expect([info.tools_count, info.resources_count]).toEqual([
    (await client.listMcpTools('notes')).length,
    (await client.listMcpResources('notes')).length,
  ])
  expect(await moved(() => client.disconnectMcpServer('notes'))).toEqual({ mcp_connections: -1 })
})

test('runtime §20.20, runtime Appendix B.5, B.8: knowledge comes in by the workflow and raw, is found, and goes', async () => {
  const item = (id: string, content: string) => ({
    id,
    content,
    metadata: { source: `${id}.md`, source_type: 'document', timestamp: '2031-04-05T07:20:00Z' },
  })
  const backups = item('by-workflow', 'Backups run at 02:30 and are kept for 35 days.')
  const parking = item('raw', 'Visitors park behind the warehouse, on the left.')
  const asked = { workflow_id: 'knowledge-ingest', parameters: { items: [backups] } }
  expect(await moved(() => client.executeWorkflow(asked))).toEqual({ vector_db_items: 1 })
  const added = () => node.ask('POST', 'knowledge', { body: parking })
  expect(await moved(added)).toEqual({ vector_db_items: 1 })
  for (const [query, { id, content }] of [
    ['how long are backups kept', backups],
    ['where do visitors park', parking],
  ] as const) {
    const { results, total_results: total } = await client.searchKnowledge({ query })
    expect([total, results[0]?.item.id]).toEqual([1, id])
    expect(results[0]?.similarity_score).toBeGreaterThanOrEqual(0.7)
    const context = await client.getContext({ query, max_context_items: 1 })
    expect(context).toMatchObject({ context_items: [content], sources: [`${id}.md`] })
    expect(context.relevance_scores).toHaveLength(1)
    expect(await moved(() => client.deleteKnowledgeItem(id))).toEqual({ vector_db_items: -1 })
    await expect(client.deleteKnowledgeItem(id)).rejects.toMatchObject({
      code: 'KNOWLEDGE_NOT_FOUND',
    })
  }
  expect((await client.searchKnowledge({ query: 'backups' })).results).toEqual([])
})

test('runtime §20.22, §20.25, runtime Appendix B.6, B.8: the program of the manual is compiled, deployed, invoked, counted and stopped', async () => {
  const compiled = await client.compileDsl({
    dsl_content: webhookHandler,
    agent_name: 'webhook_handler',
  })
  expect(compiled).toMatchObject({ success: true, agent_id: 'webhook_handler', errors: [] })
  const deploy = (more: object = {}) =>
    client.deployAgent({
      agent_id: 'webhook_handler',
      environment: 'production',
      config_overrides: { max_concurrent_tasks: 10, ...more },
    })
  const made: Awaited<ReturnType<typeof deploy>>[] = []
  expect(await moved(async () => made.push(await deploy({ workflow_id: 'echo' })))).toEqual({
    active_agents: 1,
  })
  expect(await moved(async () => made.push(await deploy()))).toEqual({})
  expect((await client.getAgentStatus('webhook_handler')).state).toBe('active')
  const [whole, bare] = made.map(({ deployment_id: id }) => id)
  const { pathname } = new URL(made[0]?.endpoint_url ?? '')
  const invoked = await node.ask('POST', pathname, { body: { ref: 'refs/heads/main' } })
  expect(invoked.json, invoked.text).toMatchObject({ status: 'completed' })
  expect(await client.invokeDeployment(bare ?? '')).toMatchObject({
    status: 'failed',
    error: { code: 'NO_WORKFLOW' },
  })
  expect(await client.getAgentMetrics('webhook_handler')).toMatchObject({
    tasks_completed: 1,
    tasks_failed: 1,
  })
  expect((await client.getAgentDeployment(whole ?? '')).status).toBe('running')
  expect(
    (await client.listAgentDeployments('webhook_handler')).map(({ deployment_id: id }) => id),
  ).toEqual([bare, whole])
  expect(await moved(() => client.stopAgentDeployment(whole ?? ''))).toEqual({})
  expect(await moved(() => client.stopAgentDeployment(bare ?? ''))).toEqual({ active_agents: -1 })
  expect((await client.getAgentStatus('webhook_handler')).state).toBe('stopped')
})

test('runtime Appendix B.7, B.8: an input is asked over its own port and through the API, counted and removed', async () => {
  const config = { agent_id: 'clerk', bind_address: '127.0.0.1', port: 0 }
  const { server_id: id, bound_port: port } = await client.createHttpInputServer({ config })
  const real = await fetch(`http://127.0.0.1:${port}/webhook`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"source":"sms"}',
  })
  expect(real.status).toBe(200)
  const triggered = await client.triggerWebhook({ server_id: id, payload: { source: 'sms' } })
  expect(triggered).toMatchObject({ response_code: 200, agent_id: 'clerk' })
  expect(await client.getHttpInputMetrics(id)).toMatchObject({
    requests_total: 2,
    requests_succeeded: 2,
  })
  expect((await client.getAgentMetrics('clerk')).tasks_completed).toBe(2)
  await client.deleteHttpInputServer(id)
  await expect(client.getHttpInputServer(id)).rejects.toMatchObject({ name: 'NotFoundError' })
})

test('runtime Appendix B.8, runtime §3.2: what works off tasks and schedules is measured, and so are requests', async () => {
  const before = await client.getMetricsSnapshot()
  const { execution_id: execution } = await client.executeAgent('clerk', { input: 'hello' })
  await client.getAgentExecution('clerk', execution, { waitSeconds: 20 })
  const { job_id: job } = await client.createSchedule({
    name: 'yearly',
    cron_expression: '0 0 1 1 *',
    agent_name: 'clerk',
  })
  await client.triggerSchedule(job)
  await expect
    .poll(async () => (await client.getScheduleHistory(job)).history[0]?.completed_at ?? null)
    .not.toBeNull()
  const after = await client.getMetricsSnapshot()
  const by = (part: string) =>
    Object.fromEntries(
      Object.entries(after[part] as Record<string, number>)
        .map(([name, value]) => [name, value - ((before[part] as typeof after)[name] as number)])
        .filter(([, change]) => change !== 0),
    )
  expect(by('task_manager')).toEqual({ tasks_completed: 2 })
  expect(by('scheduler')).toEqual({
    jobs_total: 1,
    jobs_active: 1,
    runs_total: 1,
    runs_succeeded: 1,
  })
  await client.pauseSchedule(job)
  expect(await client.getSchedulerMetrics()).toMatchObject({ jobs_active: 0, jobs_paused: 1 })
  // At least those that this test has sent.
  expect(by('load_balancer')['total_requests']).toBeGreaterThanOrEqual(5)
  expect(after['load_balancer']).toMatchObject({ active_connections: 1, backends_healthy: 1 })
  await client.deleteSchedule(job)
})

test('runtime §20.21, §20.25, runtime §1.8: a restart loses nothing of it, and no count', async () => {
  await client.addKnowledgeItem({
    id: 'kept',
    content: 'Backups run at 02:30 and are kept for 35 days.',
    metadata: { source: 'kept.md', source_type: 'document', timestamp: new Date() },
  })
  await client.createWorkflowDefinition({
    id: 'kept',
    version: '1',
    parameters: {},
    steps: [{ id: 'answer', kind: 'transform', with: { expression: '6 * 7' } }],
  })
  const ran = await client.executeWorkflow({ workflow_id: 'kept', parameters: {} })
  const { deployment_id: deployment } = await client.deployAgent({ agent_id: 'clerk' })
  const { job_id: job } = await client.createSchedule({
    name: 'kept',
    cron_expression: '0 0 1 1 *',
    agent_name: 'clerk',
  })
  await client.addMemory({
    agent_id: 'clerk',
    content: { text: 'The key is under the mat.' },
    memory_type: 'fact',
    memory_level: 'long_term',
  })
  const seen = async () => {
    const { total_agents, active_agents, secrets_count, vector_db_items } =
      await client.getMetrics()
    const { task_manager: tasks, scheduler } = await client.getMetricsSnapshot()
    return {
      counts: { total_agents, active_agents, secrets_count, vector_db_items },
      tasks,
      scheduler,
      metrics: { ...(await client.getAgentMetrics('webhook_handler')), ...MOVING },
      agents: await client.listAgents(),
      found: await client.searchKnowledge({ query: 'how long are backups kept' }),
      run: await client.getWorkflowExecution(ran.execution_id),
      deployment: (await client.getAgentDeployment(deployment)).status,
      schedule: await client.getSchedule(job),
      memories: (await client.listAgentMemories('clerk')).memories.map(({ content }) => content),
    }
  }
  const before = await seen()
  expect(before.found.total_results).toBe(1)
  await at.restart()
  node = new RuntimeNode(at.daemon.ready)
  client = new Client({ apiKey: node.adminKey, baseUrl: `${node.url}/api/v1`, envFile: false })
  expect(await seen()).toEqual(before)
})
