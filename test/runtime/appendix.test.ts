/** What raw requests are answered, member by member: bodies as clients in other languages read them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { commandOf } from '../../packages/server/src/mcp/testing/hub.test-kit.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from './node.ts'

let at: TestDaemon
let node: RuntimeNode

beforeAll(async () => {
  at = await startTestDaemon()
  node = new RuntimeNode(at.daemon.ready)
})
afterAll(() => at.stop())

const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
const WHOLE = expect.toSatisfy(Number.isSafeInteger)
const NUMBER = expect.any(Number)
const TEXT = expect.any(String)
const DIGEST = expect.stringMatching(/^sha256:[0-9a-f]{64}$/)

const AGENT = {
  id: 'ticket_sorter',
  name: 'Ticket sorter',
  description: 'Sorts tickets',
  system_prompt: 'Sort.',
  tools: [],
  model: 'anthropic:claude-sonnet-4-5',
  temperature: 1.0,
  top_p: 1.0,
  max_tokens: 256,
}

/** As that client writes it, byte by byte: spaces, escapes, nulls, and a number with a point. */
const SUBMISSION =
  '{"tool": {"name": "tide_table", "description": "Tide times \\u2013 by harbour \\ud83d\\udd27", "tool_schema": {"type": "object", "properties": {"harbour": {"type": "string", "enum": ["north", "south"]}, "days": {"type": "integer", "minimum": 1.0, "maximum": 14}}, "required": ["harbour"]}, "provider": {"name": "sea.example", "public_key_url": null}}, "submitted_by": "dana@sea.example", "priority": "normal"}'
const TOOL = {
  name: 'tide_table',
  description: 'Tide times – by harbour 🔧',
  schema: {
    type: 'object',
    properties: {
      harbour: { type: 'string', enum: ['north', 'south'] },
      days: { type: 'integer', minimum: 1, maximum: 14 },
    },
    required: ['harbour'],
  },
  provider: { name: 'sea.example', public_key_url: null },
}

async function answer(method: string, path: string, body?: unknown, status = 200) {
  const given = await node.ask(method, path, body === undefined ? {} : { body })
  expect(given.status, given.text).toBe(status)
  return given.json
}

test('runtime §20.7: the system and an agent that has done nothing', async () => {
  expect(await answer('GET', 'health')).toMatchObject({
    status: 'healthy',
    uptime_seconds: WHOLE,
    timestamp: TIME,
    version: TEXT,
    checks: { storage: { status: 'healthy', latency_ms: NUMBER } },
  })
  expect(await answer('GET', 'metrics')).toMatchObject({
    uptime_seconds: WHOLE,
    memory_usage_bytes: WHOLE,
    memory_usage_percent: NUMBER,
    cpu_usage_percent: NUMBER,
    disk_usage_bytes: WHOLE,
    disk_usage_percent: NUMBER,
    active_agents: 0,
    total_agents: 0,
    secrets_count: 0,
    mcp_connections: 0,
    vector_db_items: 0,
  })
  expect(await answer('GET', 'agents')).toEqual([])
  expect(await answer('POST', 'agents', AGENT, 201)).toMatchObject({
    id: 'ticket_sorter',
    status: 'created',
    created_at: TIME,
  })
  for (const path of ['agents/ticket_sorter', 'agents/ticket_sorter/status'])
    expect(await answer('GET', path)).toMatchObject({
      agent_id: 'ticket_sorter',
      state: 'idle',
      last_activity: TIME,
      resource_usage: { memory_bytes: WHOLE, cpu_percent: NUMBER, active_tasks: 0 },
      lifecycle_state: TEXT,
    })
  expect(await answer('GET', 'agents/ticket_sorter/metrics')).toMatchObject({
    agent_id: 'ticket_sorter',
    tasks_completed: 0,
    tasks_failed: 0,
    average_response_time_ms: 0,
    memory_usage_bytes: WHOLE,
    cpu_usage_percent: NUMBER,
    last_activity: TIME,
    uptime_seconds: WHOLE,
  })
})

test('runtime §20.7: a review from an empty list to a signature', async () => {
  expect(await answer('GET', 'tool-review/sessions?page=1&limit=20')).toEqual({
    sessions: [],
    pagination: { page: 1, limit: 20, total: 0, has_next: false, total_pages: 0 },
  })
  const made = await answer('POST', 'tool-review/sessions', SUBMISSION, 201)
  expect(made).toMatchObject({
    review_id: expect.stringMatching(/^rev_[0-9a-z]{26}$/),
    status: expect.stringMatching(/^(?:submitted|pending_analysis)$/),
    submitted_at: TIME,
    estimated_completion: null,
  })
  const at = `tool-review/sessions/${made.review_id}`
  await expect
    .poll(async () => (await node.ask('GET', at)).json.status, { timeout: 10_000 })
    .toBe('pending_review')
  const review = await answer('GET', at)
  expect(review).toMatchObject({
    review_id: made.review_id,
    tool: TOOL,
    status: 'pending_review',
    state: {
      type: 'awaiting_human_review',
      analysis_id: expect.stringMatching(/^ana_[0-9a-z]{26}$/),
      analysis_completed_at: TIME,
      critical_findings: [],
      human_reviewer_id: null,
      review_started_at: null,
    },
    submitted_by: 'dana@sea.example',
    submitted_at: TIME,
    priority: 'normal',
  })
  expect(review.tool).not.toHaveProperty('tool_schema')
  expect(await answer('GET', `tool-review/analysis/${review.state.analysis_id}`)).toMatchObject({
    analysis_id: review.state.analysis_id,
    risk_score: WHOLE,
    findings: expect.any(Array),
    recommendations: expect.any(Array),
    completed_at: TIME,
  })
  const decision = { decision: 'approve', comments: null, reviewer_id: 'ada@sea.example' }
  expect(await answer('POST', `${at}/decisions`, decision)).toMatchObject({
    decision_id: expect.stringMatching(/^dec_[0-9a-z]{26}$/),
    status: 'approved',
    next_action: 'signing',
    decided_at: TIME,
  })
  const request = { review_id: made.review_id, signing_key_id: 'default' }
  const signature = await answer('POST', 'tool-review/sign', request)
  expect(signature).toMatchObject({
    signature: expect.stringMatching(/^[A-Za-z0-9+/]+=*$/),
    signed_at: TIME,
    signer_id: TEXT,
    signature_algorithm: 'ECDSA_P256',
    signing_key_id: 'default',
    key_fingerprint: DIGEST,
    schema_hash: DIGEST,
    canonicalization: 'schemapin-v1',
    signature_profile: 'A',
  })
  const signed = await node.ask('GET', `tool-review/signed/${made.review_id}`)
  expect(signed.json).toMatchObject({ tool: TOOL, review_id: made.review_id })
  // A number that was written with a point is shown with it: it is part of what is signed.
  expect(signed.text).toContain('"minimum":1.0')
  expect(signed.json.canonical_json).toContain('"minimum":1.0')
})

test('runtime §20.7: secrets', async () => {
  const at = 'secrets/ticket_sorter'
  expect(await answer('GET', at)).toEqual({ secrets: [], agent_id: 'ticket_sorter' })
  const body = {
    agent_id: 'ticket_sorter',
    secret_name: 'db/password',
    secret_value: 'correct horse',
    description: null,
  }
  const facts = { secret_name: 'db/password', agent_id: 'ticket_sorter', created_at: TIME }
  expect(await answer('POST', 'secrets', body, 201)).toMatchObject({ ...facts, updated_at: null })
  expect(await answer('POST', 'secrets', body)).toMatchObject({ ...facts, updated_at: TIME })
  expect(await answer('GET', `${at}/db/password`)).toMatchObject({
    ...facts,
    value: 'correct horse',
    version: 2,
  })
  expect(await answer('GET', at)).toEqual({ secrets: ['db/password'], agent_id: 'ticket_sorter' })
  expect(await answer('DELETE', `${at}/db/password`)).toMatchObject({
    status: 'deleted',
    secret_name: 'db/password',
    agent_id: 'ticket_sorter',
    deleted_at: TIME,
  })
})

test('runtime §20.19: an MCP server, its tools and its resources', async () => {
  const config = { name: 'notes', command: commandOf({ resources: 2 }), env: {}, cwd: null }
  await answer('POST', 'mcp/servers', { ...config, timeout_seconds: 20 }, 201)
  const idle = {
    server_name: 'notes',
    status: 'disconnected',
    pid: null,
    connected_at: null,
    last_error: null,
    tools_count: 0,
    resources_count: 0,
  }
  expect(await answer('GET', 'mcp/servers')).toMatchObject([idle])
  await answer('POST', 'mcp/servers/notes/connect')
  const info = await answer('GET', 'mcp/servers/notes')
  expect(info).toMatchObject({
    server_name: 'notes',
    status: 'connected',
    pid: WHOLE,
    connected_at: TIME,
    last_error: null,
    protocol_version: TEXT,
  })
  const tools = await answer('GET', 'mcp/tools?server=notes')
  const resources = await answer('GET', 'mcp/resources?server=notes')
  expect([info.tools_count, info.resources_count]).toEqual([tools.length, resources.length])
  for (const tool of tools)
    expect(tool).toMatchObject({
      name: TEXT,
      description: TEXT,
      server_name: 'notes',
      schema: expect.any(Object),
      verified: false,
      verification_hash: DIGEST,
    })
  for (const resource of resources) {
    expect(resource).toMatchObject({ uri: TEXT, server_name: 'notes' })
    for (const name of ['name', 'description', 'mime_type']) expect(resource).toHaveProperty(name)
  }
  await answer('POST', 'mcp/servers/notes/disconnect')
})

test('runtime §20.27: an HTTP input as this client asks for it, without authentication, stays on loopback', async () => {
  const config = {
    bind_address: '0.0.0.0',
    port: 0,
    path: '/webhook',
    agent_id: 'ticket_sorter',
    auth_header: null,
    jwt_public_key_path: null,
    max_body_bytes: 65536,
    concurrency: 10,
    routing_rules: null,
    response_control: null,
    forward_headers: [],
    cors_enabled: false,
    audit_enabled: true,
  }
  const made = await answer('POST', 'http-input/servers', { config }, 201)
  expect(made).toMatchObject({
    server_id: expect.stringMatching(/^his_[0-9a-z]{26}$/),
    config,
    status: 'running',
    uptime_seconds: WHOLE,
    requests_processed: 0,
    active_connections: 0,
    last_error: null,
    effective_bind_address: '127.0.0.1',
    bound_port: WHOLE,
    warnings: [TEXT],
  })
  const at = `http-input/servers/${made.server_id}`
  const request = { server_id: made.server_id, payload: { a: 1 }, headers: {} }
  expect(await answer('POST', `${at}/trigger`, request)).toMatchObject({
    status: 'completed',
    response_code: 200,
    response_body: expect.any(Object),
    processing_time_ms: NUMBER,
    agent_id: 'ticket_sorter',
  })
  expect(await answer('DELETE', at)).toMatchObject({
    server_id: made.server_id,
    status: 'deleted',
  })
})

test('runtime §20.7, Appendix A.18 to A.20: knowledge', async () => {
  const item = {
    id: 'kb-7',
    content: 'Backups run at 02:30 and are kept for 35 days.',
    embedding: null,
    metadata: {
      source: 'runbook.md',
      source_type: 'document',
      chunk_index: null,
      timestamp: '2031-04-05T07:20:00Z',
      agent_id: null,
    },
  }
  expect(await answer('POST', 'knowledge', item, 201)).toMatchObject({
    id: 'kb-7',
    status: 'stored',
    chunks: 1,
    embedding_model: TEXT,
    dimension: WHOLE,
  })
  expect(await answer('POST', 'knowledge', item)).toMatchObject({ id: 'kb-7', status: 'stored' })
  const query = 'how long are backups kept'
  const told = { ...item, metadata: { ...item.metadata, timestamp: '2031-04-05T07:20:00.000Z' } }
  const asked = { query, agent_id: null, source_types: [], limit: 10, similarity_threshold: 0.7 }
  expect(await answer('POST', 'knowledge/search', asked)).toMatchObject({
    results: [{ item: told, similarity_score: NUMBER }],
    query,
    total_results: 1,
  })
  expect(await answer('POST', 'rag/context', { query, agent_id: null })).toMatchObject({
    context_items: [item.content],
    sources: ['runbook.md'],
    query,
    relevance_scores: [NUMBER],
  })
  expect(await answer('DELETE', 'knowledge/kb-7')).toEqual({ id: 'kb-7', status: 'deleted' })
})

test('runtime §20.7, Appendix A.5: a workflow that ends and one whose step fails', async () => {
  const asked = (input_data: string) => ({
    workflow_id: 'data-analysis-workflow',
    parameters: { input_data, analysis_type: 'statistical' },
    agent_id: null,
  })
  expect(await answer('POST', 'workflows', asked('price\n18\n21\n'))).toMatchObject({
    execution_id: expect.stringMatching(/^exe_[0-9a-z]{26}$/),
    status: 'completed',
    started_at: TIME,
    completed_at: TIME,
    result: { rows: 2, columns: { price: { count: 2, missing: 0, mean: 19.5 } } },
    steps: [{ id: TEXT, status: 'completed', duration_ms: NUMBER }],
  })
  expect(await answer('POST', 'workflows', asked('missing.csv'))).toMatchObject({
    status: 'failed',
    result: null,
    error: { step: TEXT, code: 'NOT_FOUND', message: TEXT },
  })
})

test('runtime §20.7, Appendix A.21 and A.22: a program that is wrong, and one that is deployed', async () => {
  const dsl_content = 'agent answerer { action a { return "ok" } }'
  const request = { dsl_content, agent_name: 'answerer', validate_only: false }
  const wrong = { ...request, dsl_content: dsl_content.slice(0, -3) }
  expect(await answer('POST', 'dsl/compile', wrong)).toMatchObject({
    success: false,
    agent_id: null,
    errors: [expect.stringMatching(/^\d+:\d+ E_[A-Z_]+: ./)],
    warnings: expect.any(Array),
    compiled_at: TIME,
  })
  expect(await answer('POST', 'dsl/compile', request)).toMatchObject({
    success: true,
    agent_id: 'answerer',
    errors: [],
    compiled_at: TIME,
  })
  const deployed = { agent_id: 'answerer', environment: 'development' }
  const config_overrides = { max_concurrent_tasks: 10 }
  const made = await answer('POST', 'agents/deploy', { ...deployed, config_overrides }, 201)
  expect(made).toMatchObject({
    ...deployed,
    deployment_id: expect.stringMatching(/^dep_[0-9a-z]{26}$/),
    status: 'running',
    deployed_at: TIME,
    endpoint_url: `${node.url.replace(/\/$/, '')}/api/v1/invoke/${made.deployment_id}`,
    config: { max_concurrent_tasks: 10 },
  })
  const at = `agents/deployments/${made.deployment_id}`
  expect(await answer('GET', at)).toMatchObject({ deployment_id: made.deployment_id })
  expect(await answer('GET', 'agents/deployments')).toMatchObject([{ status: 'running' }])
  expect(await answer('POST', `invoke/${made.deployment_id}`, {})).toMatchObject({
    status: 'completed',
    execution_id: TEXT,
    output: expect.anything(),
    latency_ms: NUMBER,
  })
  expect(await answer('POST', `${at}/stop`)).toEqual({
    deployment_id: made.deployment_id,
    status: 'stopped',
    stopped_at: TIME,
  })
})

test('runtime §20.4: an error has its four members, and its id is in the header as well', async () => {
  const { json, headers } = await node.ask('GET', 'tool-review/sessions/rev_x')
  expect(json).toMatchObject({
    error: TEXT,
    code: 'REVIEW_NOT_FOUND',
    details: null,
    request_id: expect.stringMatching(/./),
  })
  expect(headers['x-request-id']).toBe(json.request_id)
  const wrong = await answer('POST', 'agents', { ...AGENT, id: 'x', temperature: 3 }, 400)
  expect(wrong).toMatchObject({
    code: 'VALIDATION_ERROR',
    details: { fields: [{ path: 'temperature', problem: TEXT }] },
  })
})
