/** Every operation of the published client once, in an order in which each finds what it needs. */
import { readFileSync } from 'node:fs'
import { commandOf } from '../../../packages/server/src/mcp/testing/hub.test-kit.ts'
import { type Call, given, type Outcome } from './runtime-process.ts'

/** What earlier operations gave to later ones. */
export interface Told {
  review: string
  analysis: string
  input: string
  deployment: string
}

export const nothingTold = (): Told => ({
  review: 'rev_1',
  analysis: 'ana_1',
  input: 'his_1',
  deployment: 'dep_1',
})

type Operation = (call: Call, told: Told, suffix: string) => Promise<Outcome>

export const agent = (id: string) => ({
  id,
  name: 'My Assistant',
  description: 'A helpful AI assistant',
  system_prompt: 'You are a helpful assistant.',
  tools: [],
  model: 'anthropic:claude-sonnet-4-5',
  temperature: 0.7,
  top_p: 0.9,
  max_tokens: 1000,
})

export const calculator = (name: string) => ({
  tool: {
    name,
    description: 'A simple calculator tool',
    schema: {
      type: 'object',
      properties: {
        operation: { type: 'string', enum: ['add', 'subtract', 'multiply', 'divide'] },
        a: { type: 'number' },
        b: { type: 'number' },
      },
      required: ['operation', 'a', 'b'],
    },
    provider: { name: 'example-provider', public_key_url: 'https://example.com/pubkey.pem' },
  },
  submitted_by: 'developer@example.com',
  priority: 'normal',
})

const SEED = readFileSync(
  new URL('../../../examples/dsl/webhook_handler.vestry', import.meta.url),
  'utf8',
)

/** The program of the published manual, under a name of its own for each suffix. */
export function program(suffix: string) {
  const agent_name = `handler_${suffix.replaceAll('.', '_')}`
  const dsl_content = SEED.replace('agent webhook_handler', `agent ${agent_name}`)
  return { dsl_content, agent_name, validate_only: false }
}

/** The one way in for knowledge that this client has. */
export const ingest = (id: string, agent_id: string | null = null) => ({
  workflow_id: 'knowledge-ingest',
  parameters: {
    items: [
      {
        id,
        content: 'Backups run at 02:30 and are kept for 35 days.',
        metadata: {
          source: 'runbook.md',
          source_type: 'document',
          timestamp: '2031-04-05T07:20:00Z',
          agent_id,
        },
      },
    ],
  },
})

export const QUESTION = 'how long are backups kept'

export const DECISION = {
  decision: 'approve',
  comments: 'Tool looks safe after manual review',
  reviewer_id: 'reviewer@example.com',
}

export const OPERATIONS: Readonly<Record<string, Operation>> = {
  health_check: (call) => call('health_check'),
  get_metrics: (call) => call('get_metrics'),
  create_agent: (call, _, suffix) => call('create_agent', agent(`agent-${suffix}`)),
  list_agents: (call) => call('list_agents'),
  get_agent_status: (call, _, suffix) => call('get_agent_status', `agent-${suffix}`),
  get_agent_metrics: (call, _, suffix) => call('get_agent_metrics', `agent-${suffix}`),
  execute_workflow: (call, _, suffix) => call('execute_workflow', ingest(`kb-${suffix}`)),

  submit_tool_for_review: async (call, told, suffix) => {
    const outcome = await call('submit_tool_for_review', calculator(`calculator-${suffix}`))
    told.review = outcome.ok?.review_id ?? told.review
    return outcome
  },
  get_review_session: async (call, told) => {
    const outcome = await analysed(call, told.review)
    told.analysis = outcome.ok?.state.analysis_id ?? told.analysis
    return outcome
  },
  list_review_sessions: (call) => call('list_review_sessions', 1, 10, 'pending_review'),
  get_analysis_results: (call, told) => call('get_analysis_results', told.analysis),
  submit_human_review_decision: (call, told) =>
    call('submit_human_review_decision', told.review, DECISION),
  sign_approved_tool: (call, told) =>
    call('sign_approved_tool', { review_id: told.review, signing_key_id: 'default' }),
  get_signed_tool: (call, told) => call('get_signed_tool', told.review),

  configure_secret_backend: (call, _, suffix) =>
    call('configure_secret_backend', {
      backend_type: 'encrypted_file',
      file_path: `secrets-${suffix}.json`,
      encryption_key: Buffer.alloc(32, suffix).toString('base64'),
    }),
  store_secret: (call, _, suffix) =>
    call('store_secret', {
      agent_id: `agent-${suffix}`,
      secret_name: 'db/password',
      secret_value: 'correct horse',
      description: 'API key for external service',
    }),
  get_secret: (call, _, suffix) => call('get_secret', `agent-${suffix}`, 'db/password'),
  list_secrets: (call, _, suffix) => call('list_secrets', `agent-${suffix}`),
  delete_secret: (call, _, suffix) => call('delete_secret', `agent-${suffix}`, 'db/password'),

  add_mcp_server: (call, _, suffix) =>
    call('add_mcp_server', {
      name: `notes-${suffix}`,
      command: commandOf({ resources: 2 }),
      env: { NODE_ENV: 'production' },
    }),
  connect_mcp_server: (call, _, suffix) => call('connect_mcp_server', `notes-${suffix}`),
  list_mcp_servers: (call) => call('list_mcp_servers'),
  get_mcp_server: (call, _, suffix) => call('get_mcp_server', `notes-${suffix}`),
  list_mcp_tools: (call, _, suffix) => call('list_mcp_tools', `notes-${suffix}`),
  list_mcp_resources: (call, _, suffix) => call('list_mcp_resources', `notes-${suffix}`),
  disconnect_mcp_server: (call, _, suffix) => call('disconnect_mcp_server', `notes-${suffix}`),

  add_knowledge_item: (call) => call('add_knowledge_item', { id: 'kb-7' }),
  search_knowledge: (call) => call('search_knowledge', { query: QUESTION }),
  get_context: (call) => call('get_context', { query: QUESTION }),
  delete_knowledge_item: (call, _, suffix) => call('delete_knowledge_item', `kb-${suffix}`),

  compile_dsl: (call, _, suffix) => call('compile_dsl', program(suffix)),
  deploy_agent: async (call, told, suffix) => {
    const outcome = await call('deploy_agent', {
      agent_id: program(suffix).agent_name,
      environment: 'production',
      config_overrides: { max_concurrent_tasks: 10 },
    })
    told.deployment = outcome.ok?.deployment_id ?? told.deployment
    return outcome
  },
  get_agent_deployment: (call, told) => call('get_agent_deployment', told.deployment),
  list_agent_deployments: (call, _, suffix) =>
    call('list_agent_deployments', program(suffix).agent_name),
  stop_agent_deployment: (call, told) => call('stop_agent_deployment', told.deployment),

  create_http_input_server: async (call, told, suffix) => {
    const config = { agent_id: `agent-${suffix}`, bind_address: '127.0.0.1', port: 0 }
    const outcome = await call('create_http_input_server', { config })
    told.input = outcome.ok?.server_id ?? told.input
    return outcome
  },
  list_http_input_servers: (call) => call('list_http_input_servers'),
  get_http_input_server: (call, told) => call('get_http_input_server', told.input),
  update_http_input_server: (call, told, suffix) =>
    call('update_http_input_server', {
      server_id: told.input,
      config: { agent_id: `agent-${suffix}`, bind_address: '127.0.0.1', port: 0, concurrency: 3 },
    }),
  stop_http_input_server: (call, told) => call('stop_http_input_server', told.input),
  start_http_input_server: (call, told) => call('start_http_input_server', told.input),
  trigger_webhook: (call, told) =>
    call('trigger_webhook', { server_id: told.input, payload: { source: 'sms' } }),
  get_http_input_metrics: (call, told) => call('get_http_input_metrics', told.input),
  delete_http_input_server: (call, told) => call('delete_http_input_server', told.input),
}

/** With an id that nobody has; those that take none, or list what it has, are absent. */
export const BY_ID: Readonly<Record<string, (id: string) => readonly unknown[]>> = {
  get_agent_metrics: (id) => [id],
  get_agent_status: (id) => [id],
  get_review_session: (id) => [id],
  get_analysis_results: (id) => [id],
  submit_human_review_decision: (id) => [id, DECISION],
  sign_approved_tool: (id) => [{ review_id: id, signing_key_id: 'default' }],
  get_signed_tool: (id) => [id],
  get_secret: (id) => ['scout', id],
  delete_secret: (id) => ['scout', id],
  get_mcp_server: (id) => [id],
  connect_mcp_server: (id) => [id],
  disconnect_mcp_server: (id) => [id],
  list_mcp_tools: (id) => [id],
  list_mcp_resources: (id) => [id],
  execute_workflow: (id) => [{ workflow_id: id, parameters: {} }],
  delete_knowledge_item: (id) => [id],
  deploy_agent: (id) => [{ agent_id: id }],
  get_agent_deployment: (id) => [id],
  stop_agent_deployment: (id) => [id],
  create_http_input_server: (id) => [{ config: { agent_id: id, port: 0 } }],
  get_http_input_server: (id) => [id],
  update_http_input_server: (id) => [{ server_id: id, config: { agent_id: 'scout' } }],
  start_http_input_server: (id) => [id],
  stop_http_input_server: (id) => [id],
  delete_http_input_server: (id) => [id],
  trigger_webhook: (id) => [{ server_id: id, payload: {} }],
  get_http_input_metrics: (id) => [id],
}

const LOOKS = 200

/** As the seed's sample does: looks again until the analysis has ended. */
export async function analysed(call: Call, review: string): Promise<Outcome> {
  for (let look = 0; look < LOOKS; look += 1) {
    const outcome = await call('get_review_session', review)
    const { status } = await given(Promise.resolve(outcome))
    if (status === 'pending_review') return outcome
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the analysis does not end')
}
