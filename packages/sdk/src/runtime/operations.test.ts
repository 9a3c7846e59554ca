import { expect, test } from 'vitest'
import { ANSWERS } from './answers.test-kit.ts'
import { FakeRuntime } from './fake-runtime.test-kit.ts'
import { Client, NotFoundError, SymbiontClient } from './index.ts'
import { methodsOf } from './methods.test-kit.ts'

const AGENT = {
  id: 'scout',
  name: 'Scout',
  description: 'Looks around',
  system_prompt: 'Look around.',
  tools: [],
  model: 'gpt-4o-mini',
  temperature: 0.7,
  top_p: 0.9,
  max_tokens: 100,
}
const TOOL = {
  name: 'tide_table',
  description: 'Looks up tide times',
  schema: { type: 'object', properties: { harbour: { type: 'string' } }, required: ['harbour'] },
  provider: { name: 'sea.example' },
}
const DECISION = { decision: 'approve', reviewer_id: 'ada@sea.example' }
const WORKFLOW = { id: 'tally', version: '1', parameters: {}, steps: [{ id: 'a', kind: 'echo' }] }
const SCHEDULE = { name: 'nightly', cron_expression: '30 2 * * *', agent_name: 'scout' }
const MEMORY = {
  agent_id: 'scout',
  content: { text: 'Backups run at 02:30.' },
  memory_type: 'fact',
  memory_level: 'long_term',
} as const
const POINTS = { collection_name: 'notes', points: [{ id: 1, vector: [1, 0] }] }
const INPUT = { agent_id: 'clerk', port: 0 }

interface Row {
  readonly call: (client: SymbiontClient) => Promise<unknown>
  readonly method: string
  readonly path: string
  /** What must come as JSON; absent: no body. */
  readonly body?: unknown
  readonly answer: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** What the method gives, where that is not the answer. */
  readonly gives?: unknown
  readonly mayRepeat?: 'no' | 'with a key' | 'as it is'
}

const get = (path: string, answer: unknown, call: Row['call'], gives?: unknown): Row => ({
  call,
  method: 'GET',
  path,
  answer,
  ...(gives !== undefined && { gives }),
})
const post = (
  path: string,
  answer: unknown,
  call: Row['call'],
  body?: unknown,
  mayRepeat: Row['mayRepeat'] = 'with a key',
): Row => ({ call, method: 'POST', path, answer, mayRepeat, ...(body !== undefined && { body }) })
const put = (path: string, answer: unknown, call: Row['call'], body: unknown): Row => ({
  call,
  method: 'PUT',
  path,
  answer,
  body,
})
const remove = (path: string, call: Row['call'], answer: unknown = ANSWERS.object): Row => ({
  call,
  method: 'DELETE',
  path,
  answer,
})
const freely = 'as it is'

const goodAnswer = ({ answer, headers = {} }: Row) => ({ body: answer, headers })

/** Every method that sends something. */
const ROWS: Readonly<Record<string, Row>> = {
  healthCheck: get('health', ANSWERS.health, (c) => c.healthCheck()),
  getMetrics: get('metrics', ANSWERS.metrics, (c) => c.getMetrics()),
  getMetricsSnapshot: get('metrics/snapshot', ANSWERS.object, (c) => c.getMetricsSnapshot()),
  getStatus: get('status', ANSWERS.object, (c) => c.getStatus()),
  getAgentMetrics: get('agents/scout/metrics', ANSWERS.agentMetrics, (c) =>
    c.getAgentMetrics('scout'),
  ),
  listAgents: get('agents', ANSWERS.texts, (c) => c.listAgents()),
  getAgentStatus: get('agents/scout', ANSWERS.agentStatus, (c) => c.getAgentStatus('scout')),
  createAgent: post('agents', ANSWERS.object, (c) => c.createAgent(AGENT), AGENT),
  updateAgent: put(
    'agents/scout',
    ANSWERS.object,
    (c) => c.updateAgent('scout', { model: 'gpt-4o' }),
    { model: 'gpt-4o' },
  ),
  deleteAgent: remove('agents/scout', (c) => c.deleteAgent('scout')),
  executeAgent: post(
    'agents/scout/execute',
    ANSWERS.started,
    (c) => c.executeAgent('scout', { input: 'Look.' }),
    { input: 'Look.' },
  ),
  reExecuteAgent: post(
    'agents/scout/re-execute',
    ANSWERS.started,
    (c) => c.reExecuteAgent('scout'),
    {},
  ),
  getAgentExecution: get('agents/scout/executions/exe_1?wait_seconds=5', ANSWERS.execution, (c) =>
    c.getAgentExecution('scout', 'exe_1', { waitSeconds: 5 }),
  ),
  cancelAgentExecution: remove(
    'agents/scout/executions/exe_1',
    (c) => c.cancelAgentExecution('scout', 'exe_1'),
    ANSWERS.execution,
  ),
  getAgentHistory: get('agents/scout/history?limit=3', ANSWERS.history, (c) =>
    c.getAgentHistory('scout', { limit: 3 }),
  ),
  stopAgent: post(
    'agents/scout/stop',
    ANSWERS.object,
    (c) => c.stopAgent('scout'),
    undefined,
    freely,
  ),
  sendAgentHeartbeat: post(
    'agents/scout/heartbeat',
    ANSWERS.object,
    (c) => c.sendAgentHeartbeat('scout', { state: 'Running' }),
    { state: 'Running' },
    freely,
  ),
  sendAgentEvent: post(
    'agents/scout/events',
    ANSWERS.object,
    (c) => c.sendAgentEvent('scout', { event_type: 'RunStarted', payload: { n: 1 } }),
    { event_type: 'RunStarted', payload: { n: 1 } },
  ),
  listAgentEvents: get('agents/scout/events', ANSWERS.object, (c) => c.listAgentEvents('scout')),
  sendMessage: post(
    'agents/scout/messages',
    ANSWERS.object,
    (c) => c.sendMessage('scout', { sender: 'clerk', payload: 'hello' }),
    { sender: 'clerk', payload: 'hello' },
  ),
  receiveMessages: {
    ...get('agents/scout/messages', ANSWERS.messages, (c) => c.receiveMessages('scout')),
    mayRepeat: 'no',
  },
  getMessageStatus: get('messages/msg_1/status', ANSWERS.object, (c) =>
    c.getMessageStatus('msg_1'),
  ),
  executeWorkflow: post(
    'workflows',
    ANSWERS.workflow,
    (c) => c.executeWorkflow({ workflow_id: 'echo', parameters: { a: 1 } }),
    { workflow_id: 'echo', parameters: { a: 1 } },
  ),
  submitToolForReview: post(
    'tool-review/sessions',
    ANSWERS.submitted,
    (c) => c.submitToolForReview({ tool: TOOL, submitted_by: 'dana@sea.example' }),
    { tool: TOOL, submitted_by: 'dana@sea.example' },
  ),
  getReviewSession: get('tool-review/sessions/rev_1', ANSWERS.review, (c) =>
    c.getReviewSession('rev_1'),
  ),
  listReviewSessions: get(
    'tool-review/sessions?page=2&limit=10&status=pending_review&author=ada',
    ANSWERS.reviews,
    (c) => c.listReviewSessions({ page: 2, limit: 10, status: 'pending_review', author: 'ada' }),
  ),
  getAnalysisResults: get('tool-review/analysis/ana_1', ANSWERS.analysis, (c) =>
    c.getAnalysisResults('ana_1'),
  ),
  waitForReviewCompletion: get(
    'tool-review/sessions/rev_1',
    { ...ANSWERS.review, status: 'signed' },
    (c) => c.waitForReviewCompletion('rev_1'),
  ),
  submitHumanReviewDecision: post(
    'tool-review/sessions/rev_1/decisions',
    ANSWERS.object,
    (c) => c.submitHumanReviewDecision('rev_1', DECISION),
    DECISION,
  ),
  claimReview: post(
    'tool-review/sessions/rev_1/claim',
    ANSWERS.object,
    (c) => c.claimReview('rev_1', 'ada'),
    { reviewer_id: 'ada' },
  ),
  reanalyzeTool: post('tool-review/sessions/rev_1/reanalyze', ANSWERS.object, (c) =>
    c.reanalyzeTool('rev_1'),
  ),
  getReviewQueue: get('tool-review/queue', ANSWERS.queue, (c) => c.getReviewQueue()),
  getReviewStats: get('tool-review/stats', ANSWERS.object, (c) => c.getReviewStats()),
  getReviewAudit: get('tool-review/sessions/rev_1/audit', ANSWERS.audit, (c) =>
    c.getReviewAudit('rev_1'),
  ),
  signApprovedTool: post(
    'tool-review/sign',
    ANSWERS.signature,
    (c) => c.signApprovedTool({ review_id: 'rev_1', signing_key_id: 'default' }),
    { review_id: 'rev_1', signing_key_id: 'default' },
    freely,
  ),
  getSignedTool: get('tool-review/signed/rev_1', ANSWERS.signed, (c) => c.getSignedTool('rev_1')),
  verifyTool: post(
    'tool-review/verify',
    ANSWERS.verified,
    (c) => c.verifyTool({ tool: TOOL, signature: 'MEUC', domain: 'sea.example' }),
    { tool: TOOL, signature: 'MEUC', domain: 'sea.example' },
    freely,
  ),
  listSigningKeys: get('signing-keys', ANSWERS.signingKeys, (c) => c.listSigningKeys()),
  createSigningKey: post(
    'signing-keys',
    ANSWERS.signingKey,
    (c) => c.createSigningKey({ key_id: 'release', domain: 'sea.example', developer_name: 'Ada' }),
    { key_id: 'release', domain: 'sea.example', developer_name: 'Ada' },
  ),
  revokeSigningKey: post(
    'signing-keys/release/revoke',
    ANSWERS.object,
    (c) => c.revokeSigningKey('release', 'lost'),
    { reason: 'lost' },
  ),
  configureSecretBackend: post(
    'secrets/config?migrate=true',
    ANSWERS.object,
    (c) =>
      c.configureSecretBackend(
        { backend_type: 'encrypted_file', encryption_key: 'a passphrase' },
        { migrate: true },
      ),
    { backend_type: 'encrypted_file', encryption_key: 'a passphrase' },
  ),
  getSecretBackend: get('secrets/config', ANSWERS.object, (c) => c.getSecretBackend()),
  getSecretMigration: get('secrets/config/migration', ANSWERS.object, (c) =>
    c.getSecretMigration(),
  ),
  storeSecret: post(
    'secrets',
    ANSWERS.secret,
    (c) => c.storeSecret({ agent_id: 'scout', secret_name: 'db/password', secret_value: 'x' }),
    { agent_id: 'scout', secret_name: 'db/password', secret_value: 'x' },
  ),
  getSecret: get(
    'secrets/scout/db/password',
    ANSWERS.secretValue,
    (c) => c.getSecret('scout', 'db/password'),
    'correct horse',
  ),
  listSecrets: get('secrets/scout', ANSWERS.secrets, (c) => c.listSecrets('scout')),
  deleteSecret: remove('secrets/scout/db/password', (c) => c.deleteSecret('scout', 'db/password')),
  addMcpServer: post(
    'mcp/servers?replace=true',
    ANSWERS.object,
    (c) => c.addMcpServer({ name: 'notes', command: ['node', 'notes.js'] }, { replace: true }),
    { name: 'notes', command: ['node', 'notes.js'] },
  ),
  listMcpServers: get('mcp/servers', ANSWERS.connections, (c) => c.listMcpServers()),
  getMcpServer: get('mcp/servers/notes', ANSWERS.connection, (c) => c.getMcpServer('notes')),
  removeMcpServer: remove('mcp/servers/notes', (c) => c.removeMcpServer('notes')),
  connectMcpServer: post(
    'mcp/servers/notes/connect',
    ANSWERS.object,
    (c) => c.connectMcpServer('notes'),
    undefined,
    freely,
  ),
  disconnectMcpServer: post(
    'mcp/servers/notes/disconnect',
    ANSWERS.object,
    (c) => c.disconnectMcpServer('notes'),
    undefined,
    freely,
  ),
  listMcpTools: get('mcp/tools?server=notes', ANSWERS.tools, (c) => c.listMcpTools('notes')),
  listMcpResources: get('mcp/resources', ANSWERS.resources, (c) => c.listMcpResources()),
  callMcpTool: post(
    'mcp/servers/notes/tools/append_note/call',
    ANSWERS.toolResult,
    (c) => c.callMcpTool('notes', 'append_note', { text: 'hi' }),
    { arguments: { text: 'hi' } },
  ),
  listMcpPrompts: get('mcp/servers/notes/prompts', ANSWERS.objects, (c) =>
    c.listMcpPrompts('notes'),
  ),
  readMcpResource: get(
    'mcp/servers/notes/resources/read?uri=note%3A%2F%2Finbox%2F1',
    ANSWERS.object,
    (c) => c.readMcpResource('notes', 'note://inbox/1'),
  ),
  getMcpServerLogs: get('mcp/servers/notes/logs', ANSWERS.object, (c) =>
    c.getMcpServerLogs('notes'),
  ),
  listApprovals: get('approvals?state=waiting', ANSWERS.objects, (c) =>
    c.listApprovals({ state: 'waiting' }),
  ),
  approve: post('approvals/apr_1/approve', ANSWERS.object, (c) => c.approve('apr_1')),
  deny: post('approvals/apr_1/deny', ANSWERS.object, (c) => c.deny('apr_1')),
  addKnowledgeDocument: post(
    'knowledge/documents',
    ANSWERS.object,
    (c) => c.addKnowledgeDocument({ name: 'runbook.md', text: 'Backups run at 02:30.' }),
    { name: 'runbook.md', text: 'Backups run at 02:30.' },
  ),
  addKnowledgeItem: post(
    'knowledge',
    ANSWERS.object,
    (c) =>
      c.addKnowledgeItem({
        id: 'kb-7',
        content: 'Backups run at 02:30.',
        metadata: {
          source: 'runbook.md',
          source_type: 'document',
          timestamp: new Date('2031-04-05T07:20:00Z'),
        },
      }),
    {
      id: 'kb-7',
      content: 'Backups run at 02:30.',
      metadata: {
        source: 'runbook.md',
        source_type: 'document',
        timestamp: '2031-04-05T07:20:00.000Z',
      },
    },
  ),
  searchKnowledge: post(
    'knowledge/search',
    ANSWERS.found,
    (c) => c.searchKnowledge({ query: 'backups' }),
    { query: 'backups' },
    freely,
  ),
  getContext: post(
    'rag/context',
    ANSWERS.context,
    (c) => c.getContext({ query: 'backups' }),
    { query: 'backups' },
    freely,
  ),
  deleteKnowledgeItem: remove('knowledge/kb-7', (c) => c.deleteKnowledgeItem('kb-7')),
  compileDsl: post(
    'dsl/compile',
    ANSWERS.compiled,
    (c) => c.compileDsl({ dsl_content: 'agent a {}', agent_name: 'a' }),
    { dsl_content: 'agent a {}', agent_name: 'a' },
  ),
  deployAgent: post(
    'agents/deploy',
    ANSWERS.deployment,
    (c) => c.deployAgent({ agent_id: 'webhook_handler', environment: 'production' }),
    { agent_id: 'webhook_handler', environment: 'production' },
  ),
  getAgentDeployment: get('agents/deployments/dep_1', ANSWERS.deployment, (c) =>
    c.getAgentDeployment('dep_1'),
  ),
  listAgentDeployments: get('agents/deployments?agent_id=scout', ANSWERS.deployments, (c) =>
    c.listAgentDeployments('scout'),
  ),
  stopAgentDeployment: post(
    'agents/deployments/dep_1/stop',
    ANSWERS.object,
    (c) => c.stopAgentDeployment('dep_1'),
    undefined,
    freely,
  ),
  createHttpInputServer: post(
    'http-input/servers',
    ANSWERS.input,
    (c) => c.createHttpInputServer({ config: INPUT }),
    { config: INPUT },
  ),
  listHttpInputServers: get('http-input/servers', ANSWERS.inputs, (c) => c.listHttpInputServers()),
  getHttpInputServer: get('http-input/servers/his_1', ANSWERS.input, (c) =>
    c.getHttpInputServer('his_1'),
  ),
  updateHttpInputServer: put(
    'http-input/servers/his_1',
    ANSWERS.input,
    (c) => c.updateHttpInputServer({ server_id: 'his_1', config: INPUT }),
    { server_id: 'his_1', config: INPUT },
  ),
  startHttpInputServer: post('http-input/servers/his_1/start', ANSWERS.object, (c) =>
    c.startHttpInputServer('his_1'),
  ),
  stopHttpInputServer: post(
    'http-input/servers/his_1/stop',
    ANSWERS.object,
    (c) => c.stopHttpInputServer('his_1'),
    undefined,
    freely,
  ),
  deleteHttpInputServer: remove('http-input/servers/his_1', (c) =>
    c.deleteHttpInputServer('his_1'),
  ),
  triggerWebhook: post(
    'http-input/servers/his_1/trigger',
    ANSWERS.triggered,
    (c) => c.triggerWebhook({ server_id: 'his_1', payload: { a: 1 } }),
    { server_id: 'his_1', payload: { a: 1 } },
  ),
  getHttpInputMetrics: get('http-input/servers/his_1/metrics', ANSWERS.object, (c) =>
    c.getHttpInputMetrics('his_1'),
  ),
  createHttpEndpoint: post(
    'endpoints',
    ANSWERS.endpointChange,
    (c) => c.createHttpEndpoint({ path: 'orders/{id}', method: 'POST', agent_id: 'clerk' }),
    { path: 'orders/{id}', method: 'POST', agent_id: 'clerk' },
  ),
  listHttpEndpoints: get('endpoints', ANSWERS.endpoints, (c) => c.listHttpEndpoints()),
  getHttpEndpoint: get('endpoints/ep_1', ANSWERS.endpoint, (c) => c.getHttpEndpoint('ep_1')),
  updateHttpEndpoint: put(
    'endpoints/ep_1',
    ANSWERS.endpointChange,
    (c) => c.updateHttpEndpoint({ endpoint_id: 'ep_1', status: 'maintenance' }),
    { status: 'maintenance' },
  ),
  deleteHttpEndpoint: remove('endpoints/ep_1', (c) => c.deleteHttpEndpoint('ep_1')),
  getEndpointMetrics: get('endpoints/ep_1/metrics', ANSWERS.endpointMetrics, (c) =>
    c.getEndpointMetrics('ep_1'),
  ),
  enableHttpEndpoint: post('endpoints/ep_1/enable', ANSWERS.object, (c) =>
    c.enableHttpEndpoint('ep_1'),
  ),
  disableHttpEndpoint: post('endpoints/ep_1/disable', ANSWERS.object, (c) =>
    c.disableHttpEndpoint('ep_1'),
  ),
  getWorkflowExecution: get('workflows/executions/exe_1', ANSWERS.workflow, (c) =>
    c.getWorkflowExecution('exe_1'),
  ),
  waitForWorkflow: get('workflows/executions/exe_1', ANSWERS.workflow, (c) =>
    c.waitForWorkflow('exe_1'),
  ),
  watchWorkflowExecution: {
    method: 'GET',
    path: 'workflows/executions/exe_1/events',
    call: (c) => all(c.watchWorkflowExecution('exe_1')),
    headers: { 'content-type': 'text/event-stream' },
    answer: `id: 7\nevent: end\ndata: ${JSON.stringify(ANSWERS.workflow)}\n\n`,
    gives: [{ id: '7', event: 'end', data: ANSWERS.workflow }],
  },
  listWorkflowExecutions: get(
    'workflows/executions?workflow_id=echo&status=running',
    ANSWERS.workflowList,
    (c) => c.listWorkflowExecutions({ workflow_id: 'echo', status: 'running' }),
  ),
  signalWorkflow: post(
    'workflows/executions/exe_1/signals/approved',
    ANSWERS.object,
    (c) => c.signalWorkflow('exe_1', 'approved', { by: 'ada' }),
    { by: 'ada' },
  ),
  cancelWorkflowExecution: remove(
    'workflows/executions/exe_1',
    (c) => c.cancelWorkflowExecution('exe_1'),
    ANSWERS.workflow,
  ),
  createWorkflowDefinition: post(
    'workflows/definitions',
    ANSWERS.object,
    (c) => c.createWorkflowDefinition(WORKFLOW),
    WORKFLOW,
  ),
  listWorkflowDefinitions: get('workflows/definitions', ANSWERS.object, (c) =>
    c.listWorkflowDefinitions(),
  ),
  getWorkflowDefinition: get('workflows/definitions/tally', ANSWERS.object, (c) =>
    c.getWorkflowDefinition('tally'),
  ),
  updateWorkflowDefinition: put(
    'workflows/definitions/tally',
    ANSWERS.object,
    (c) => c.updateWorkflowDefinition('tally', WORKFLOW),
    WORKFLOW,
  ),
  deleteWorkflowDefinition: remove('workflows/definitions/tally', (c) =>
    c.deleteWorkflowDefinition('tally'),
  ),
  rollbackAgentDeployment: post('agents/deployments/dep_1/rollback', ANSWERS.deployment, (c) =>
    c.rollbackAgentDeployment('dep_1'),
  ),
  invokeDeployment: post(
    'invoke/dep_1',
    ANSWERS.invoked,
    (c) => c.invokeDeployment('dep_1', { a: 1 }),
    { a: 1 },
  ),
  createSchedule: post(
    'schedules',
    ANSWERS.scheduleCreated,
    (c) => c.createSchedule(SCHEDULE),
    SCHEDULE,
  ),
  listSchedules: get('schedules', ANSWERS.schedules, (c) => c.listSchedules()),
  getSchedule: get('schedules/sch_1', ANSWERS.schedule, (c) => c.getSchedule('sch_1')),
  updateSchedule: put(
    'schedules/sch_1',
    ANSWERS.schedule,
    (c) => c.updateSchedule('sch_1', { name: 'early' }),
    { name: 'early' },
  ),
  deleteSchedule: remove(
    'schedules/sch_1',
    (c) => c.deleteSchedule('sch_1'),
    ANSWERS.scheduleDeleted,
  ),
  pauseSchedule: post(
    'schedules/sch_1/pause',
    ANSWERS.scheduleAction,
    (c) => c.pauseSchedule('sch_1'),
    undefined,
    freely,
  ),
  resumeSchedule: post(
    'schedules/sch_1/resume',
    ANSWERS.scheduleAction,
    (c) => c.resumeSchedule('sch_1'),
    undefined,
    freely,
  ),
  triggerSchedule: post('schedules/sch_1/trigger', ANSWERS.scheduleAction, (c) =>
    c.triggerSchedule('sch_1'),
  ),
  getScheduleHistory: get('schedules/sch_1/history?limit=5', ANSWERS.scheduleHistory, (c) =>
    c.getScheduleHistory('sch_1', { limit: 5 }),
  ),
  getNextRuns: get('schedules/sch_1/next-runs?count=3', ANSWERS.nextRuns, (c) =>
    c.getNextRuns('sch_1', { count: 3 }),
  ),
  getSchedulerHealth: get('health/scheduler', ANSWERS.schedulerHealth, (c) =>
    c.getSchedulerHealth(),
  ),
  getSchedulerMetrics: get('metrics/scheduler', ANSWERS.object, (c) => c.getSchedulerMetrics()),
  getSystemMetrics: get('metrics/system', ANSWERS.object, (c) => c.getSystemMetrics()),
  exportMetrics: post(
    'metrics/export',
    ANSWERS.object,
    (c) => c.exportMetrics({ format: 'prometheus' }),
    { format: 'prometheus' },
    freely,
  ),
  listKnowledgeItems: get('knowledge?agent_id=scout&page=2', ANSWERS.object, (c) =>
    c.listKnowledgeItems({ agent_id: 'scout', page: 2 }),
  ),
  getKnowledgeItem: get('knowledge/kb-7', ANSWERS.item, (c) => c.getKnowledgeItem('kb-7')),
  addMemory: post('memory', ANSWERS.memory, (c) => c.addMemory(MEMORY), MEMORY),
  getMemory: get('memory?agent_id=scout&memory_type=fact', ANSWERS.memory, (c) =>
    c.getMemory({ agent_id: 'scout', memory_type: 'fact', memory_id: null }),
  ),
  searchMemory: post(
    'memory/search',
    ANSWERS.memories,
    (c) => c.searchMemory({ agent_id: 'scout', query: { text: 'backups' } }),
    { agent_id: 'scout', query: { text: 'backups' } },
    freely,
  ),
  consolidateMemory: post(
    'memory/consolidate/scout',
    ANSWERS.consolidated,
    (c) => c.consolidateMemory('scout'),
    undefined,
    freely,
  ),
  getConversationContext: get(
    'memory/conversation?conversation_id=c-1&agent_id=scout',
    ANSWERS.conversation,
    (c) => c.getConversationContext('c-1', 'scout'),
  ),
  deleteMemory: remove('memory/mem_1', (c) => c.deleteMemory('mem_1')),
  listAgentMemories: get('memory/agent?agent_id=scout&limit=5', ANSWERS.memories, (c) =>
    c.listAgentMemories('scout', { limit: 5 }),
  ),
  createVectorCollection: post(
    'vectors/collections',
    ANSWERS.collection,
    (c) => c.createVectorCollection({ name: 'notes', vector_size: 2 }),
    { name: 'notes', vector_size: 2 },
  ),
  deleteVectorCollection: remove('vectors/collections/notes', (c) =>
    c.deleteVectorCollection('notes'),
  ),
  getCollectionInfo: get('vectors/collections/notes', ANSWERS.collectionInfo, (c) =>
    c.getCollectionInfo('notes'),
  ),
  listVectorCollections: get('vectors/collections', ANSWERS.texts, (c) =>
    c.listVectorCollections(),
  ),
  addVectors: post('vectors/upsert', ANSWERS.upserted, (c) => c.addVectors(POINTS), POINTS, freely),
  getVectors: get('vectors/retrieve?collection_name=notes&ids=1&ids=b', ANSWERS.points, (c) =>
    c.getVectors('notes', [1, 'b']),
  ),
  searchVectors: post(
    'vectors/search',
    ANSWERS.found,
    (c) => c.searchVectors({ query: 'backups' }),
    { query: 'backups' },
    freely,
  ),
  searchPoints: post(
    'vectors/search',
    ANSWERS.pointsFound,
    (c) => c.searchPoints({ collection_name: 'notes', vector: [1, 0] }),
    { collection_name: 'notes', vector: [1, 0] },
    freely,
  ),
  deleteVectors: {
    ...remove('vectors/delete', (c) => c.deleteVectors({ collection_name: 'notes', ids: [1] })),
    body: { collection_name: 'notes', ids: [1] },
  },
  countVectors: get('vectors/collections/notes/count', ANSWERS.count, (c) =>
    c.countVectors('notes'),
  ),
}

/** The published client's names (runtime contract §2), in its order. */
const PUBLISHED =
  `health_check get_metrics get_agent_metrics list_agents get_agent_status create_agent
  execute_workflow submit_tool_for_review get_review_session list_review_sessions get_analysis_results
  submit_human_review_decision sign_approved_tool get_signed_tool configure_secret_backend store_secret get_secret
  list_secrets delete_secret add_mcp_server list_mcp_servers get_mcp_server connect_mcp_server disconnect_mcp_server
  list_mcp_tools list_mcp_resources add_knowledge_item search_knowledge get_context delete_knowledge_item compile_dsl
  deploy_agent get_agent_deployment list_agent_deployments stop_agent_deployment create_http_input_server
  list_http_input_servers get_http_input_server update_http_input_server start_http_input_server
  stop_http_input_server delete_http_input_server trigger_webhook get_http_input_metrics`.split(
    /\s+/,
  )

const methods = methodsOf(SymbiontClient.prototype).filter((name) => name !== 'toJSON')

test('every operation of the published client has a method of its name, and every method is tried here', () => {
  expect(PUBLISHED).toHaveLength(44)
  const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase())
  expect(PUBLISHED.map(camel).filter((name) => !methods.includes(name))).toEqual([])
  expect(Object.keys(ROWS).sort()).toEqual(methods.toSorted())
  expect(Client).toBe(SymbiontClient)
})

test('each method sends what the contract says, and gives the whole answer', async () => {
  await using server = await new FakeRuntime().start()
  const client = new SymbiontClient({ baseUrl: server.baseUrl, apiKey: 'k.s', envFile: false })
  for (const [name, row] of Object.entries(ROWS)) {
    server.answer(goodAnswer(row))
    const given = await row.call(client)
    expect(given, name).toMatchObject(
      (row.gives ?? row.answer) as object, // toMatchObject compares texts and lists as well
    )
    const { method, path, headers, text } = server.last
    expect({ method, path }, name).toEqual({ method: row.method, path: row.path })
    expect(text === '' ? undefined : JSON.parse(text), name).toEqual(row.body)
    expect(headers['content-type'], name).toBe(
      row.body === undefined ? undefined : 'application/json',
    )
    expect(headers.authorization).toBe('Bearer k.s')
    const isKeyed = row.method === 'POST' && row.mayRepeat === 'with a key'
    expect(headers['idempotency-key'] !== undefined, name).toBe(isKeyed)
  }
})

test('each method is repeated only where a second arrival does no harm', async () => {
  await using server = await new FakeRuntime().start()
  const options = { baseUrl: server.baseUrl, envFile: false, maxRetries: 1 } as const
  const busy = { status: 503, headers: { 'retry-after': '0' } }
  for (const [name, row] of Object.entries(ROWS)) {
    server.seen.length = 0
    const client = new SymbiontClient(options)
    if (row.mayRepeat === 'no') {
      server.answer(busy)
      await expect(row.call(client), name).rejects.toMatchObject({ statusCode: 503 })
      expect(server.seen, name).toHaveLength(1)
      continue
    }
    server.answer(busy, goodAnswer(row))
    await row.call(client)
    const [first, second] = server.seen
    expect(server.seen, name).toHaveLength(2)
    expect(second?.text, name).toBe(first?.text)
    expect(second?.headers['idempotency-key'], name).toBe(first?.headers['idempotency-key'])
  }
})

test('unknown ids are not found, whichever method asks', async () => {
  await using server = await new FakeRuntime().start()
  const client = new SymbiontClient({ baseUrl: server.baseUrl, envFile: false })
  for (const [name, row] of Object.entries(ROWS)) {
    server.answer({ status: 404, body: { error: 'There is none', code: 'X_NOT_FOUND' } })
    await expect(row.call(client), name).rejects.toBeInstanceOf(NotFoundError)
  }
})

test('an answer of another shape is an error, whichever method asked', async () => {
  await using server = await new FakeRuntime().start()
  const client = new SymbiontClient({ baseUrl: server.baseUrl, envFile: false })
  for (const [name, row] of Object.entries(ROWS)) {
    const wrong = Array.isArray(row.answer) ? { no: 'list' } : ['no object']
    server.answer({ body: wrong })
    await expect(row.call(client), name).rejects.toMatchObject({
      name: 'APIError',
      code: 'UNEXPECTED_ANSWER',
    })
  }
})

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}
