/** The published client against one live daemon: every operation, the sequences it is made for, and its errors. */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { commandOf } from '../../../packages/server/src/mcp/testing/hub.test-kit.ts'
import { startTestDaemon, type TestDaemon } from '../../harness/daemon.ts'
import { RuntimeNode } from '../../runtime/node.ts'
import { noPython } from '../client-process.ts'
import {
  agent,
  analysed,
  BY_ID,
  calculator,
  DECISION,
  ingest,
  nothingTold,
  OPERATIONS,
  program,
  QUESTION,
} from './operations.ts'
import { type Attempt, type Call, given, type On, RuntimeProcess } from './runtime-process.ts'

const JWT_SECRET = 'a secret that clients sign tokens with'
/** Requests at once of one key, before it is told to wait. */
const BURST = 250

let at: TestDaemon
let node: RuntimeNode
let python: RuntimeProcess
let call: Call
let scoutKey: string
/** Of other administrators: limits are counted for each key. */
let secondKey: string
let thirdKey: string

beforeAll(async () => {
  at = await startTestDaemon({
    config: {
      runtime: { jwt_secret: 'runtime/jwt', rate_limit_per_minute: 1, rate_limit_burst: BURST },
    },
  })
  node = new RuntimeNode(at.daemon.ready)
  await at.addCredential('runtime/jwt', JWT_SECRET)
  await at.addAgent('scout')
  scoutKey = (await at.admin.call('admin.key.add', { name: 'scout', agent: 'scout' })).key
  const keyOf = async (name: string): Promise<string> =>
    (await at.admin.call('admin.key.add', { name, role: 'operator' })).key
  secondKey = await keyOf('second')
  thirdKey = await keyOf('third')
  python = new RuntimeProcess({
    SYMBIONT_API_KEY: node.adminKey,
    SYMBIONT_BASE_URL: `${node.url}/api/v1/`,
    SYMBIONT_AUTH_JWT_SECRET_KEY: 'whatever that client wants one for',
  })
  call = python.as({})
}, 30_000)
afterAll(async () => {
  await python?.[Symbol.asyncDispose]()
  await at?.stop()
})

const absent = noPython !== undefined

/** What no answer of this API may be, whoever reads it. */
function assertPlain({ status = 0, headers = {}, text = '', ms }: Attempt): void {
  expect(status >= 300 && status < 400, text).toBe(false)
  expect(headers['content-type']).toMatch(/^application\/json/)
  expect(JSON.parse(text)).toBeTypeOf('object')
  expect(ms).toBeLessThan(25_000)
}

test.skipIf(absent)(
  'runtime §20.1: what the client can do is counted by itself, and nothing of it is left out',
  async () => {
    const names: string[] = await given(call('operations'))
    expect(names).toHaveLength(44)
    expect(Object.keys(OPERATIONS).sort()).toEqual(names)
  },
)

test.skipIf(absent)(
  'runtime §20.7: before there is anything, what lists and counts is empty and still of its kind',
  async () => {
    expect(await given(call('get_metrics'))).toMatchObject({ vector_db_items: 0, secrets_count: 0 })
    expect(await given(call('list_review_sessions'))).toMatchObject({ sessions: [] })
    expect(await given(call('search_knowledge', { query: QUESTION }))).toEqual({
      results: [],
      query: QUESTION,
      total_results: 0,
    })
    expect(await given(call('get_context', { query: QUESTION }))).toMatchObject({
      context_items: [],
      sources: [],
      relevance_scores: [],
    })
    for (const name of [
      'list_mcp_servers',
      'list_mcp_tools',
      'list_mcp_resources',
      'list_agent_deployments',
      'list_http_input_servers',
    ])
      expect(await given(call(name)), name).toEqual([])
  },
)

describe.each<[string, On]>([
  ['v0.3.0', {}],
  ['v0.3.1', { later: true }],
])('%s', (version, on) => {
  test.skipIf(absent)(
    'runtime §20.1, §20.3 and §20.5: every operation is answered in a shape that the client reads, in time and without a redirect',
    async () => {
      const told = nothingTold()
      const asked = python.as({ ...on, ...('later' in on && { key: secondKey }) })
      for (const [name, operation] of Object.entries(OPERATIONS)) {
        const { ok, raised, attempts } = await operation(asked, told, version)
        for (const attempt of attempts) assertPlain(attempt)
        if (name === 'add_knowledge_item') {
          expect(raised?.bases).toContain('TypeError')
          expect(attempts).toEqual([])
        } else {
          expect(raised, `${name}: ${attempts.at(-1)?.text}`).toBeUndefined()
          expect(ok, name).toBeTruthy()
        }
      }
    },
  )

  test.skipIf(absent)(
    'runtime §20.5: what belongs to others is not found with the key of an agent',
    async () => {
      const scout = python.as({ ...on, key: scoutKey })
      const found = (await given(call('list_review_sessions'))).sessions[0].review_id
      const agent_id = program(version).agent_name
      const [deployed] = await given(call('list_agent_deployments', agent_id))
      await given(call('execute_workflow', ingest(`theirs-${version}`, agent_id)))
      for (const [name, ...args] of [
        ['get_agent_deployment', deployed.deployment_id],
        ['delete_knowledge_item', `theirs-${version}`],
        ['get_agent_status', `agent-${version}`],
        ['get_agent_metrics', `agent-${version}`],
        ['get_review_session', found],
        ['get_signed_tool', found],
        ['list_secrets', `agent-${version}`],
        ['get_secret', `agent-${version}`, 'x'],
        ['delete_secret', `agent-${version}`, 'x'],
      ] as const) {
        const { raised } = await scout(name, ...args)
        expect(raised, name).toMatchObject({ class: 'NotFoundError', status: 404 })
      }
      await given(call('delete_knowledge_item', `theirs-${version}`))
      expect(await given(scout('list_agents'))).toEqual(['scout'])
      expect(await given(scout('list_agent_deployments'))).toEqual([])
    },
  )
})

test.skipIf(absent)(
  'runtime §20.4: without a key and with a wrong one everything but health is refused',
  async () => {
    for (const on of [{ anonymous: true }, { key: 'wrong' }]) {
      const nobody = python.as(on)
      expect(await given(nobody('health_check'))).toMatchObject({ status: 'healthy' })
      const told = nothingTold()
      for (const [name, operation] of Object.entries(OPERATIONS)) {
        if (name === 'health_check' || name === 'add_knowledge_item') continue
        if (name === 'get_review_session') continue // looks until there is something to see
        const { raised } = await operation(nobody, told, 'nobody')
        expect(raised, name).toMatchObject({ class: 'AuthenticationError', status: 401 })
        expect(raised?.text).not.toMatch(/expired/i)
      }
      const { raised } = await nobody('get_review_session', 'rev_1')
      expect(raised).toMatchObject({ class: 'AuthenticationError', status: 401 })
    }
  },
)

test.skipIf(absent)(
  'runtime §20.4: an id that nobody has is a NotFoundError, whichever method asks',
  async () => {
    for (const [name, args] of Object.entries(BY_ID)) {
      const { raised } = await call(name, ...args('no-such'))
      expect(raised, name).toMatchObject({
        class: 'NotFoundError',
        status: 404,
        message: expect.stringMatching(/^Resource not found/),
      })
      expect(JSON.parse(raised?.text ?? '')).toMatchObject({
        error: expect.any(String),
        code: expect.stringMatching(/_FOUND$|^NOT_/),
        request_id: expect.any(String),
      })
    }
  },
)

test.skipIf(absent)(
  'runtime §20.6: ids that are paths reach nothing else, as this client writes them',
  async () => {
    const asked = python.as({ key: thirdKey })
    const plain = Object.entries(BY_ID).filter(([, args]) => typeof args('x')[0] === 'string')
    for (const id of ['%2e%2e', '..%2Fmetrics', 'a%2Fb', 'x'.repeat(2_000)]) {
      for (const [name, args] of plain) {
        const { raised } = await asked(name, ...args(id))
        expect(raised, `${name} ${id}`).toMatchObject({ status: expect.toSatisfy(isRefusal) })
      }
    }
    for (const name of ['get_agent_status', 'get_mcp_server', 'get_http_input_server']) {
      for (const id of ['', '.', '..']) {
        const { raised, attempts } = await asked(name, id)
        expect(raised, `${name} ${attempts[0]?.target}`).toMatchObject({ class: 'NotFoundError' })
      }
    }
  },
)
const isRefusal = (status: number) => status === 404 || status === 400

test.skipIf(absent)(
  'runtime §20.7: numbers are whole and lists are lists, whatever was put in',
  async () => {
    const many = python.as({ key: secondKey })
    const someText = fc
      .string({ unit: 'binary', maxLength: 40 })
      .filter((text) => text.isWellFormed())
    const someName = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    const definitions = fc.sample(
      fc.record({
        name: someName.map((text) => `n${text}`),
        description: someText,
        system_prompt: someText,
        temperature: fc.constantFrom(0, 1, 0.3, 2),
        top_p: fc.constantFrom(0, 1, 0.5),
        max_tokens: fc.integer({ min: 1, max: 4_096 }),
      }),
      { numRuns: 8, seed: 46 },
    )
    for (const [index, more] of definitions.entries()) {
      const id = `random-${index}`
      const { raised, attempts } = await many('create_agent', { ...agent(id), ...more })
      // Some text is refused; then it is for this reason, and in this shape.
      if (raised !== undefined) {
        expect(raised, attempts[0]?.text).toMatchObject({ class: 'APIError', status: 400 })
        continue
      }
      await given(many('get_agent_status', id))
      await given(many('get_agent_metrics', id))
    }
    const schemas = fc.sample(
      fc.dictionary(someText, fc.record({ type: fc.constant('string'), description: someText })),
      { numRuns: 6, seed: 7 },
    )
    for (const [index, properties] of schemas.entries()) {
      const request = calculator(`random-${index}`)
      request.tool.schema = { type: 'object', properties, required: [] } as never
      const { raised, ok, attempts } = await many('submit_tool_for_review', request)
      expect(raised, attempts[0]?.text).toBeUndefined()
      const { tool, state } = await given(analysed(many, ok.review_id))
      expect(tool.schema.properties).toEqual(properties)
      expect(await given(many('get_analysis_results', state.analysis_id))).toBeTruthy()
    }
    const { sessions, pagination } = await given(many('list_review_sessions', 1, 100))
    expect(sessions.length).toBe(pagination.total)
    expect((await given(many('list_agents'))).length).toBeGreaterThan(6)
    expect(await given(many('get_metrics'))).toBeTruthy()
  },
)

test.skipIf(absent)(
  'runtime Appendix B.1: an agent is made, is listed, is idle, and has done nothing',
  async () => {
    await given(call('health_check'))
    const made = await given(call('create_agent', agent('fresh')))
    expect(made).toMatchObject({ id: 'fresh', status: 'created' })
    expect(await given(call('list_agents'))).toContain('fresh')
    expect(await given(call('get_agent_status', 'fresh'))).toMatchObject({
      state: 'idle',
      resource_usage: { active_tasks: 0 },
    })
    expect(await given(call('get_agent_metrics', 'fresh'))).toMatchObject({
      tasks_completed: 0,
      tasks_failed: 0,
      average_response_time_ms: 0,
    })
    const { raised } = await call('create_agent', agent('fresh'))
    expect(raised).toMatchObject({ class: 'APIError', status: 409 })
  },
)

test.skipIf(absent)(
  'runtime §20.8, runtime Appendix B.2: a tool is submitted, analysed, decided by somebody else, signed and read',
  async () => {
    const { review_id, status } = await given(
      call('submit_tool_for_review', calculator('example-calculator')),
    )
    expect(['submitted', 'pending_analysis', 'analyzing', 'pending_review']).toContain(status)
    const { state } = await given(analysed(call, review_id))
    const analysis = await given(call('get_analysis_results', state.analysis_id))
    expect(analysis.risk_score).toBeLessThanOrEqual(10)
    const late = await python.call({}, 'wait_for_review_completion', [review_id], {
      timeout: 0.05,
      interval: 0.05,
    })
    expect(late.raised?.class).toBe('TimeoutError')
    const decided = node.ask('POST', `tool-review/sessions/${review_id}/decisions`, {
      body: DECISION,
    })
    const waited = await given(
      python.call({}, 'wait_for_review_completion', [review_id], { timeout: 20, interval: 0.05 }),
    )
    expect((await decided).status).toBe(200)
    expect(waited.status).toBe('approved')
    const request = { review_id, signing_key_id: 'default' }
    const signature = await given(call('sign_approved_tool', request))
    expect(signature).toMatchObject({ signature_algorithm: 'ECDSA_P256' })
    const signed = await given(call('get_signed_tool', review_id))
    expect(signed).toMatchObject({ review_id, signature: signature.signature })
    expect(signed.tool).toEqual(calculator('example-calculator').tool)
    expect((await given(call('get_review_session', review_id))).status).toBe('signed')
    const { raised } = await call('submit_human_review_decision', review_id, DECISION)
    expect(raised).toMatchObject({ class: 'APIError', status: 409 })
  },
)

test.skipIf(absent)(
  'runtime Appendix B.3: a back end is chosen, a secret is kept, read, listed and forgotten',
  async () => {
    const configured = await given(
      call('configure_secret_backend', {
        backend_type: 'encrypted_file',
        file_path: 'b3.json',
        encryption_key: Buffer.alloc(32, 3).toString('base64'),
      }),
    )
    expect(configured).toMatchObject({ status: 'configured', backend_type: 'encrypted_file' })
    expect(JSON.stringify(configured)).not.toContain(Buffer.alloc(32, 3).toString('base64'))
    const secret = { agent_id: 'agent-123', secret_name: 'api_key', secret_value: 'grüße 🔧' }
    expect(await given(call('store_secret', secret))).toMatchObject({ secret_name: 'api_key' })
    expect(await given(call('get_secret', 'agent-123', 'api_key'))).toBe('grüße 🔧')
    expect((await given(call('list_secrets', 'agent-123'))).secrets).toEqual(['api_key'])
    await given(call('delete_secret', 'agent-123', 'api_key'))
    const { raised } = await call('get_secret', 'agent-123', 'api_key')
    expect(raised?.class).toBe('NotFoundError')
    expect((await given(call('list_secrets', 'agent-123'))).secrets).toEqual([])
  },
)

test.skipIf(absent)(
  'runtime Appendix B.4: a server is added, connected, counted and disconnected',
  async () => {
    const config = { name: 'b4', command: commandOf({ resources: 3 }), timeout_seconds: 20 }
    expect(await given(call('add_mcp_server', config))).toMatchObject({ status: 'added' })
    expect(await given(call('get_mcp_server', 'b4'))).toMatchObject({
      status: 'disconnected',
      pid: null,
    })
    expect(await given(call('connect_mcp_server', 'b4'))).toMatchObject({ status: 'connected' })
    const tools = await given(call('list_mcp_tools', 'b4'))
    const resources = await given(call('list_mcp_resources', 'b4'))
    const info = await given(call('get_mcp_server', 'b4'))
    expect(info).toMatchObject({
      status: 'connected',
      pid: expect.any(Number),
      tools_count: tools.length,
      resources_count: resources.length,
    })
    expect((await given(call('get_metrics'))).mcp_connections).toBe(1)
    expect(await given(call('disconnect_mcp_server', 'b4'))).toMatchObject({
      status: 'disconnected',
    })
    expect(await given(call('list_mcp_tools', 'b4'))).toEqual([])
  },
)

test.skipIf(absent)(
  'runtime §20.20, runtime Appendix B.5: knowledge comes in by the workflow, since the method of this client cannot send it, is found, and goes',
  async () => {
    const { raised, attempts } = await call('add_knowledge_item', { id: 'b5' })
    expect([raised?.bases.includes('TypeError'), attempts]).toEqual([true, []])
    const stored = await given(call('execute_workflow', ingest('b5')))
    expect(stored).toMatchObject({ status: 'completed', result: { stored: 1 } })
    const asked = { query: QUESTION, source_types: ['document'], limit: 5 }
    const { results } = await given(call('search_knowledge', asked))
    expect(results[0].item).toMatchObject({ id: 'b5', metadata: { source: 'runbook.md' } })
    expect(results[0].similarity_score).toBeGreaterThanOrEqual(0.7)
    const context = await given(call('get_context', { query: QUESTION, max_context_items: 3 }))
    expect(context.context_items).toEqual([results[0].item.content])
    expect(context.sources).toEqual(['runbook.md'])
    expect(context.relevance_scores).toHaveLength(1)
    await given(call('delete_knowledge_item', 'b5'))
    expect((await call('delete_knowledge_item', 'b5')).raised?.class).toBe('NotFoundError')
    expect((await given(call('search_knowledge', asked))).results).toEqual([])
  },
)

test.skipIf(absent)(
  'runtime §20.22, runtime Appendix B.6: the program of the manual is compiled, deployed, invoked at its address, listed and stopped',
  async () => {
    const { agent_name } = program('b6')
    const compiled = await given(call('compile_dsl', program('b6')))
    expect(compiled).toMatchObject({ success: true, agent_id: agent_name, errors: [] })
    const deployment = await given(
      call('deploy_agent', {
        agent_id: agent_name,
        environment: 'production',
        config_overrides: { max_concurrent_tasks: 10, workflow_id: 'echo' },
      }),
    )
    expect(deployment).toMatchObject({ agent_id: agent_name, status: 'running' })
    const { deployment_id } = deployment
    const { pathname } = new URL(deployment.endpoint_url)
    const invoked = await node.ask('POST', pathname, { body: { ref: 'refs/heads/main' } })
    expect(invoked.json).toMatchObject({ status: 'completed' })
    expect(await given(call('get_agent_deployment', deployment_id))).toMatchObject(deployment)
    const listed = await given(call('list_agent_deployments', agent_name))
    expect(listed).toMatchObject([{ deployment_id }])
    expect(await given(call('stop_agent_deployment', deployment_id))).toMatchObject({
      status: 'stopped',
    })
    expect((await given(call('get_agent_metrics', agent_name))).tasks_completed).toBe(1)
    const broken = program('b6').dsl_content.replace(/\}\s*\}\s*$/, '}')
    const refused = await given(
      call('compile_dsl', { ...program('b6'), dsl_content: broken, validate_only: true }),
    )
    expect(refused).toMatchObject({ success: false, agent_id: null })
    expect(refused.errors[0]).toMatch(/^\d+:\d+ E_/)
  },
)

test.skipIf(absent)(
  'runtime Appendix B.7: an input is opened, asked over its own port and through the API, counted and removed',
  async () => {
    await given(call('create_agent', agent('webhook_handler')))
    const config = { agent_id: 'webhook_handler', bind_address: '127.0.0.1', port: 0 }
    const { raised, attempts } = await call('create_http_input_server', { config })
    expect(raised).toBeUndefined()
    const { server_id, bound_port } = JSON.parse(attempts[0]?.text ?? '')
    const real = await fetch(`http://127.0.0.1:${bound_port}/webhook`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source: 'sms' }),
    })
    expect(real.status).toBe(200)
    const body = { server_id, payload: { source: 'sms' } }
    const triggered = await given(call('trigger_webhook', body))
    expect(triggered).toMatchObject({ response_code: 200, agent_id: 'webhook_handler' })
    expect(await given(call('get_http_input_metrics', server_id))).toMatchObject({
      requests_total: 2,
      requests_succeeded: 2,
      requests_failed: 0,
    })
    await given(call('delete_http_input_server', server_id))
    const gone = await call('get_http_input_server', server_id)
    expect(gone.raised?.class).toBe('NotFoundError')
    expect((await given(call('get_agent_metrics', 'webhook_handler'))).tasks_completed).toBe(2)
  },
)

test.skipIf(absent)('runtime Appendix B.8: metrics follow what was done', async () => {
  const before = await given(call('get_metrics'))
  await given(call('create_agent', agent('counted')))
  await given(call('store_secret', { agent_id: 'counted', secret_name: 'a', secret_value: 'x' }))
  await given(call('execute_workflow', ingest('counted')))
  const after = await given(call('get_metrics'))
  expect(after.total_agents).toBe(before.total_agents + 1)
  expect(after.secrets_count).toBe(before.secrets_count + 1)
  expect(after.vector_db_items).toBe(before.vector_db_items + 1)
})

test.skipIf(absent)(
  'runtime §20.5: a token past its time is told from a wrong one by the later version',
  async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const claims = { sub: 'ada', iss: 'symbiont', aud: 'symbiont-api', type: 'access' }
    const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ ...claims, roles: ['admin'], exp: 1 })}`
    const key = `${text}.${createHmac('sha256', JWT_SECRET).update(text).digest('base64url')}`
    const later = await python.as({ key, later: true })('list_agents')
    expect(later.raised?.class).toBe('AuthenticationExpiredError')
    const older = await python.as({ key })('list_agents')
    expect(older.raised?.class).toBe('AuthenticationError')
    const wrong = await python.as({ key: `${key}x`, later: true })('list_agents')
    expect(wrong.raised?.class).toBe('AuthenticationError')
  },
)

test.skipIf(absent)(
  'runtime §20.4: beyond its limit the key of an agent gets a RateLimitError that says when to come again',
  async () => {
    await Promise.all(
      Array.from({ length: BURST }, () => node.ask('GET', 'agents', { key: scoutKey })),
    )
    const { raised, attempts } = await python.as({ key: scoutKey })('list_agents')
    expect(raised).toMatchObject({ class: 'RateLimitError', status: 429 })
    expect(raised?.message).toMatch(/^Rate limit exceeded - too many requests/)
    expect(Number(attempts[0]?.headers?.['retry-after'])).toBeGreaterThanOrEqual(1)
    expect(await given(call('list_agents'))).toContain('scout')
  },
)
