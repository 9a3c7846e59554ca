/** Agents that are deployed, on a whole daemon: asked at their address, stopped, and there again after a restart. */
import { createHmac } from 'node:crypto'
import { AgentDeployResponse } from '@vestry/contract/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { FAKE_KEYS, type FakeProviders, startFakeProviders } from '../harness/fake-providers.ts'
import { RuntimeNode } from './node.ts'

let at: TestDaemon
let node: RuntimeNode
let fakes: FakeProviders

const AGENT = {
  id: 'sorter',
  name: 'Sorter',
  description: '',
  system_prompt: 'You sort.',
  tools: [],
  model: 'gpt-4o',
  temperature: 1,
  top_p: 1,
  max_tokens: 100,
}

beforeAll(async () => {
  fakes = await startFakeProviders()
  at = await startTestDaemon({
    config: {
      egress: { allow_cidrs: ['127.0.0.1/32'] },
      llm: { providers: { openai: { base_url: fakes.openai.url } } },
    },
  })
  node = new RuntimeNode(at.daemon.ready)
  await at.addCredential('llm/openai', FAKE_KEYS.openai)
  expect((await node.ask('POST', 'agents', { body: AGENT })).status).toBe(201)
})
afterAll(async () => {
  await at.stop()
  await fakes.close()
})

async function deploy(config_overrides: object = {}, environment = 'production') {
  const body = { agent_id: 'sorter', environment, config_overrides }
  const { status, json } = await node.ask('POST', 'agents/deploy', { body })
  expect(status).toBe(201)
  AgentDeployResponse.parse(json)
  return json
}

async function stateOf(): Promise<string> {
  return (await node.ask('GET', 'agents/sorter/status')).json.state
}

async function lastAsked(): Promise<unknown> {
  const request = fakes.openai.requests.at(-1)
  return request?.body
}

async function stop(id: string): Promise<void> {
  await node.ask('POST', `agents/deployments/${id}/stop`)
}

test('runtime §12, B.6: deployed, asked at its address, looked at, and stopped', async () => {
  expect(await stateOf()).toBe('idle')
  const made = await deploy({ max_concurrent_tasks: 10, colour: 'red' })
  expect(made).toMatchObject({
    deployment_id: expect.stringMatching(/^dep_/),
    agent_id: 'sorter',
    status: 'running',
    environment: 'production',
    endpoint_url: `${node.url.replace(/\/$/, '')}/api/v1/invoke/${made.deployment_id}`,
    config: { max_concurrent_tasks: 10, colour: 'red' },
    warnings: [expect.stringContaining('colour')],
  })
  expect(await stateOf()).toBe('active')
  fakes.openai.script({ text: 'Sorted.' })
  const { pathname } = new URL(made.endpoint_url)
  const told = await node.ask('POST', pathname, { body: { ticket: 7 } })
  expect([told.status, told.json]).toEqual([
    200,
    {
      status: 'completed',
      execution_id: expect.stringMatching(/^exe_/),
      output: { output: 'Sorted.' },
      latency_ms: expect.any(Number),
    },
  ])
  const one = await node.ask('GET', `agents/deployments/${made.deployment_id}`)
  expect(one.json.status).toBe('running')
  const { json: listed } = await node.ask('GET', 'agents/deployments?agent_id=sorter')
  expect(listed).toHaveLength(1)
  expect((await node.ask('GET', 'agents/deployments?agent_id=nobody')).json).toEqual([])
  for (let time = 0; time < 2; time += 1) {
    const { status, json } = await node.ask('POST', `agents/deployments/${made.deployment_id}/stop`)
    expect([status, json]).toEqual([
      200,
      {
        deployment_id: made.deployment_id,
        status: 'stopped',
        stopped_at: expect.stringMatching(/Z$/),
      },
    ])
  }
  expect(await stateOf()).toBe('stopped')
  expect((await node.ask('POST', pathname, { body: {} })).status).toBe(409)
  const { json: metrics } = await node.ask('GET', 'agents/sorter/metrics')
  expect([metrics.tasks_completed, metrics.tasks_failed]).toEqual([1, 0])
})

test('runtime §12, §1.7: what is unknown or wrong is told with its code', async () => {
  const asked = async (body: object) => {
    const { status, json } = await node.ask('POST', 'agents/deploy', { body })
    return [status, json.code]
  }
  expect(await asked({ agent_id: 'nobody' })).toEqual([404, 'AGENT_NOT_FOUND'])
  expect(await asked({ agent_id: 7 })).toEqual([400, 'VALIDATION_ERROR'])
  const wrong = { agent_id: 'sorter', config_overrides: { max_concurrent_tasks: 'ten' } }
  expect(await asked(wrong)).toEqual([400, 'VALIDATION_ERROR'])
  expect((await node.ask('GET', 'agents/deployments/dep_x')).json.code).toBe('DEPLOYMENT_NOT_FOUND')
  expect((await node.ask('POST', 'invoke/dep_x', { body: {} })).status).toBe(404)
  expect((await node.ask('POST', 'invoke/dep_x', { body: {}, key: null })).status).toBe(401)
  // Nobody learns by asking which triggers there are.
  expect((await node.ask('POST', 'hooks/sorter/push', { body: {}, key: null })).status).toBe(401)
  const asks = { tools: ['nowhere'], id: 'toolless' }
  await node.ask('POST', 'agents', { body: { ...AGENT, ...asks } })
  const blocked = await node.ask('POST', 'agents/deploy', {
    body: { agent_id: 'toolless', environment: 'production' },
  })
  expect([blocked.status, blocked.json.details.blockers]).toEqual([
    409,
    [{ code: 'TOOL_NOT_VERIFIED', message: expect.stringContaining('nowhere') }],
  ])
})

test('runtime §1.6: a key of an agent sees and runs its own deployments only', async () => {
  const { deployment_id: id } = await deploy()
  await node.ask('POST', 'agents', { body: { ...AGENT, id: 'other' } })
  const keyOf = async (agent: string) =>
    String((await at.admin.call('admin.key.add', { name: agent, agent }))['key'])
  const [own, foreign] = [await keyOf('sorter'), await keyOf('other')]
  fakes.openai.script({ text: 'Sorted.' })
  expect((await node.ask('POST', `invoke/${id}`, { body: {}, key: own })).status).toBe(200)
  expect((await node.ask('POST', `invoke/${id}`, { body: {}, key: foreign })).status).toBe(404)
  expect((await node.ask('GET', `agents/deployments/${id}`, { key: foreign })).status).toBe(404)
  expect((await node.ask('GET', 'agents/deployments', { key: foreign })).json).toEqual([])
  expect((await node.ask('POST', `agents/deployments/${id}/stop`, { key: own })).status).toBe(403)
  await stop(id)
})

test('runtime §20.25: too many at once are told when to come again', async () => {
  const { deployment_id: id } = await deploy({ max_concurrent_tasks: 1, timeout_seconds: 1 })
  const { length } = fakes.openai.requests
  fakes.openai.script({ delayMs: 20_000, text: 'Too late.' })
  const slow = node.ask('POST', `invoke/${id}`, { body: {} })
  await expect.poll(() => fakes.openai.requests.length).toBe(length + 1)
  const refused = await node.ask('POST', `invoke/${id}`, { body: {} })
  expect([refused.status, refused.headers['retry-after']]).toEqual([429, '1'])
  const { json } = await slow
  expect([json.status, json.error.code]).toEqual(['failed', 'DEADLINE_EXCEEDED'])
  await stop(id)
})

test('runtime §20.25: what was deployed serves again after a restart', async () => {
  const { deployment_id: id } = await deploy({ model: 'gpt-4o-mini', temperature: 0 })
  await at.restart()
  node = new RuntimeNode(at.daemon.ready)
  fakes.openai.script({ text: 'Sorted.' })
  const { json } = await node.ask('POST', `invoke/${id}`, { body: {} })
  expect(json.status).toBe('completed')
  expect(await lastAsked()).toMatchObject({ model: 'gpt-4o-mini', temperature: 0 })
  await stop(id)
})

test('runtime §12: an agent that is no program is rolled back to what it was deployed with before', async () => {
  await deploy({ model: 'gpt-4o-mini' }, 'staging')
  const { deployment_id: second } = await deploy({ replace_previous: true }, 'staging')
  const back = await node.ask('POST', `agents/deployments/${second}/rollback`)
  expect([back.status, back.json.config]).toEqual([201, { model: 'gpt-4o-mini' }])
  fakes.openai.script({ text: 'Sorted.' })
  const { deployment_id: id } = back.json
  expect((await node.ask('POST', `invoke/${id}`, { body: {} })).json.status).toBe('completed')
  expect(await lastAsked()).toMatchObject({ model: 'gpt-4o-mini' })
  await stop(id)
})

const SEED = `
agent webhook_handler {
    name: "Webhook Handler"
    description: "Handles incoming webhooks"

    trigger github_webhook {
        on_push: main
    }

    action process_webhook {
        validate_signature()
        parse_payload()
        trigger_workflow()
    }
}
`

test('runtime §20.22: the agent of the seed is deployed to production and fired by a signed push alone', async () => {
  const compiled = await node.ask('POST', 'dsl/compile', {
    body: { dsl_content: SEED, agent_name: 'webhook_handler', validate_only: false },
  })
  expect(compiled.json.success).toBe(true)
  const { status, json: made } = await node.ask('POST', 'agents/deploy', {
    body: {
      agent_id: 'webhook_handler',
      environment: 'production',
      config_overrides: { max_concurrent_tasks: 10 },
    },
  })
  expect([status, made.status, made.agent_version]).toEqual([201, 'running', '1'])
  const ran = await node.ask('POST', `invoke/${made.deployment_id}`, { body: {} })
  expect([ran.json.status, ran.json.error.code]).toEqual(['failed', 'NO_WORKFLOW'])
  const secret = await node.ask('POST', 'secrets', {
    body: {
      agent_id: 'webhook_handler',
      secret_name: 'webhook/github_webhook',
      secret_value: 's3cret',
    },
  })
  expect(secret.status).toBeLessThan(300)
  const push = (branch: string, key: string) => {
    const body = JSON.stringify({ ref: `refs/heads/${branch}` })
    const signature = createHmac('sha256', key).update(body).digest('hex')
    return node.ask('POST', new URL(made.hooks[0].url).pathname, {
      key: null,
      body,
      headers: {
        'content-type': 'application/json',
        'x-github-event': 'push',
        'x-github-delivery': `${branch}-${key}`,
        'x-hub-signature-256': `sha256=${signature}`,
      },
    })
  }
  expect((await push('main', 's3cret')).status).toBe(202)
  expect((await push('main', 's3cret')).json.status).toBe('already_accepted')
  expect((await push('other', 's3cret')).json.status).toBe('ignored')
  expect((await push('main', 'guess')).status).toBe(401)
  await stop(made.deployment_id)
})
