/** Agents that are programs, on a live daemon: compiled, deployed, run, resumed; what they may and may not do. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from './node.ts'

const SEED = readFileSync(
  new URL('../../examples/dsl/webhook_handler.vestry', import.meta.url),
  'utf8',
)

let at: TestDaemon
let node: RuntimeNode

beforeAll(async () => {
  at = await startTestDaemon()
  node = new RuntimeNode(at.daemon.ready)
})
afterAll(() => at.stop())

const compile = (source: string, agentName: string, more: object = {}) =>
  node.ask('POST', 'dsl/compile', {
    body: { dsl_content: source, agent_name: agentName, ...more },
  })

async function ended(agent: string, id: string) {
  for (;;) {
    const { json } = await node.ask('GET', `agents/${agent}/executions/${id}?wait_seconds=5`)
    if (json.status !== 'pending' && json.status !== 'running') return json
  }
}

async function run(agent: string, input: unknown = {}) {
  const { status, json } = await node.ask('POST', `agents/${agent}/execute`, { body: { input } })
  expect(status, JSON.stringify(json)).toBe(200)
  return ended(agent, json.execution_id)
}

test('runtime §11.8: the seed’s example compiles, and is an agent that is idle', async () => {
  const { status, json } = await compile(SEED, 'webhook_handler')
  expect(status).toBe(200)
  expect(json).toMatchObject({ success: true, agent_id: 'webhook_handler', errors: [] })
  expect(json.agent_definition.triggers).toMatchObject([
    { provider: 'github', events: [{ event: 'push', filter: 'main' }] },
  ])
  expect(json.agent_definition.actions[0].statements).toHaveLength(3)
  expect((await node.ask('GET', 'agents')).json).toContain('webhook_handler')
  expect((await node.ask('GET', 'agents/webhook_handler/status')).json.state).toBe('idle')
})

test('runtime §11.1: compile errors are no HTTP errors; a malformed request and a large source are', async () => {
  const broken = SEED.replace(/\}\s*\}\s*$/, '}')
  const { status, json } = await compile(broken, 'webhook_handler')
  expect(status).toBe(200)
  expect(json).toMatchObject({ success: false, agent_id: null, agent_definition: null })
  expect(json.errors[0]).toMatch(/^\d+:\d+ E_\w+: /)
  expect((await compile(7 as never, 'x')).status).toBe(400)
  expect((await compile(' '.repeat(262_145), 'x')).status).toBe(413)
})

test('runtime §11.1: validate_only stores nothing', async () => {
  const { json } = await compile('agent ghost { action a { now() } }', 'ghost', {
    validate_only: true,
  })
  expect(json).toMatchObject({ success: true, agent_id: null })
  expect((await node.ask('GET', 'agents')).json).not.toContain('ghost')
})

test('runtime §11.1: a name of an agent that was made otherwise is E_AGENT_EXISTS', async () => {
  const made = await node.ask('POST', 'agents', {
    body: {
      id: 'plain',
      name: 'Plain',
      description: '',
      system_prompt: 'x',
      tools: [],
      model: 'openai:gpt-4o',
      temperature: 0,
      top_p: 1,
      max_tokens: 10,
    },
  })
  expect(made.status).toBe(201)
  const { json } = await compile('agent plain { action a { now() } }', 'plain')
  expect(json.success).toBe(false)
  expect(json.errors[0]).toContain('E_AGENT_EXISTS')
})

test('runtime §20.22: without a workflow the run fails with NO_WORKFLOW after two finished calls', async () => {
  const end = await run('webhook_handler', { ref: 'refs/heads/main' })
  expect(end).toMatchObject({ status: 'failed', error: { code: 'NO_WORKFLOW' } })
  const calls = end.steps.filter(({ id }: { id: string }) => id.includes('/'))
  expect(calls).toMatchObject([
    {
      id: 'process_webhook/validate_signature',
      status: 'completed',
      note: 'nothing to check: it was invoked directly',
    },
    { id: 'process_webhook/parse_payload', status: 'completed' },
    { id: 'process_webhook/trigger_workflow', status: 'failed', code: 'NO_WORKFLOW' },
  ])
  const { json } = await node.ask('GET', 'agents/webhook_handler/metrics')
  expect(json.tasks_failed).toBe(1)
})

test('runtime §20.22: deployed with workflow_id, its endpoint runs the action to its end', async () => {
  const made = await node.ask('POST', 'agents/deploy', {
    body: {
      agent_id: 'webhook_handler',
      environment: 'production',
      config_overrides: { workflow_id: 'echo' },
    },
  })
  expect(made.status, made.text).toBe(201)
  const { endpoint_url: url, deployment_id: id } = made.json
  const path = new URL(url).pathname
  const invoked = await node.ask('POST', path, { body: { ref: 'main' } })
  expect(invoked.json, invoked.text).toMatchObject({ status: 'completed' })
  const policies = () => at.admin.call('admin.policy.list', {}) as Promise<unknown>
  expect(JSON.stringify(await policies())).toContain(`dsl:${id}#1`)
  await node.ask('POST', `agents/deployments/${id}/stop`)
  expect(JSON.stringify(await policies())).not.toContain(`dsl:${id}#`)
})

test('runtime §11.6: a deny of the program wins, may be caught, and is in the record', async () => {
  const source = `agent guarded {
    policy rules { allow: any  deny: publish("secret_topic") }
    action go {
      try { publish("secret_topic", 1) } catch (e) { log("warn", "kept from it") }
      publish("open_topic", { n: 1 })
      return { done: true }
    }
  }`
  const compiled = await compile(source, 'guarded')
  expect(compiled.json.errors).toEqual([])
  const end = await run('guarded')
  expect(end.result, JSON.stringify(end)).toEqual({ output: '{"done":true}' })
  expect(end.log).toEqual(['warn: kept from it'])
  expect(at.auditLines().some((line) => line.includes('DSL_POLICY_DENIED'))).toBe(true)
  const published = at.auditLines().filter((line) => line.includes('"agent.publish"'))
  expect(published).toHaveLength(1)
  expect(published[0]).toContain('open_topic')
})

test('runtime §20.24: a sandbox that is not there ends the run; a loop without end meets its limit', async () => {
  await compile('agent boxed { with sandbox = "tier1", timeout = 20s { return 1; } }', 'boxed')
  expect((await run('boxed')).error.code).toBe('SANDBOX_UNAVAILABLE')
  await compile('agent looper { action go { let i = 0\n while true { i += 1 } } }', 'looper')
  expect((await run('looper')).error.code).toBe('DSL_LIMIT')
})

test('runtime §4.2: an agent that is a program is changed by its source alone; its text may be posted', async () => {
  const put = await node.ask('PUT', 'agents/webhook_handler', { body: { description: 'x' } })
  expect(put.status).toBe(409)
  expect(put.text).toContain('dsl/compile')
  const made = await node.ask('POST', 'agents', {
    body: { name: 'posted', dsl: 'agent posted { action a { return "hi" } }' },
  })
  expect(made.json).toMatchObject({ id: 'posted', status: 'created' })
  expect((await run('posted')).result).toEqual({ output: 'hi' })
  const bad = await node.ask('POST', 'agents', { body: { name: 'bad', dsl: 'agent {' } })
  expect(bad.status).toBe(400)
})

test('an agent asks another one, and gets what it answered', async () => {
  await compile('agent inner { action a { return { got: input.n } } }', 'inner')
  const outer = `agent outer {
    agents: ["inner"]
    action a {
      let r = ask("inner", { n: 7 })
      return r.got
    }
  }`
  expect((await compile(outer, 'outer')).json.errors).toEqual([])
  const end = await run('outer')
  // Nobody deployed it, so nothing that it asks for is in force.
  expect(end.error.code).toBe('ACCESS_DENIED')
  const made = await node.ask('POST', 'agents/deploy', { body: { agent_id: 'outer' } })
  expect(made.status, made.text).toBe(201)
  expect((await run('outer')).result).toEqual({ output: '7' })
})
