/** Deployments from outside, on a live daemon: providers and their signatures, the clock, rollback, and the record. */
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { advance, reset } from '../harness/clock.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type Answer, RuntimeNode } from './node.ts'

const SOURCE = readFileSync(new URL('../../examples/dsl/on_call.vestry', import.meta.url), 'utf8')
const SECRET = 's3cret-of-the-hook'
const PUBLIC = 'https://agents.example.org/'

let at: TestDaemon
let node: RuntimeNode
let deployed: string

beforeAll(async () => {
  at = await startTestDaemon({ config: { runtime: { public_url: PUBLIC } } })
  node = new RuntimeNode(at.daemon.ready)
  await compile(SOURCE, 'on_call')
  for (const name of ['github_pushes', 'slack_messages', 'stripe_invoices']) await hookSecret(name)
  await at.addCredential('alarms/signing', SECRET)
  deployed = (await deploy('on_call', { response: 'wait' })).deployment_id
})
afterAll(async () => {
  reset()
  await at.stop()
})

async function compile(source: string, name: string): Promise<void> {
  const body = { dsl_content: source, agent_name: name }
  const { json } = await node.ask('POST', 'dsl/compile', { body })
  expect(json.errors).toEqual([])
}

async function hookSecret(trigger: string, agent_id = 'on_call'): Promise<void> {
  const body = { agent_id, secret_name: `webhook/${trigger}`, secret_value: SECRET }
  expect((await node.ask('POST', 'secrets', { body })).status).toBeLessThan(300)
}

async function deploy(agent_id: string, config_overrides: object = {}, environment = 'production') {
  const body = { agent_id, environment, config_overrides }
  const { status, json, text } = await node.ask('POST', 'agents/deploy', { body })
  expect(status, text).toBe(201)
  return json
}

const hmac = (text: string, key = SECRET) => createHmac('sha256', key).update(text).digest('hex')

function send(path: string, body: string, headers: Record<string, string>): Promise<Answer> {
  const type = body.startsWith('{') ? 'application/json' : 'application/x-www-form-urlencoded'
  return node.ask('POST', `hooks/${path}`, {
    key: null,
    body,
    headers: { 'content-type': type, ...headers },
  })
}

const github = (event: string, body: string, more: Record<string, string> = {}) =>
  send('on_call/github_pushes', body, {
    'x-github-event': event,
    'x-hub-signature-256': `sha256=${hmac(body)}`,
    ...more,
  })

let pushes = 0
const push = (more: Record<string, string> = {}) => {
  pushes += 1
  return github('push', JSON.stringify({ ref: 'refs/heads/main', after: String(pushes) }), more)
}

function slack(body: string, seconds = Math.floor(Date.now() / 1_000)): Promise<Answer> {
  return send('on_call/slack_messages', body, {
    'x-slack-request-timestamp': String(seconds),
    'x-slack-signature': `v0=${hmac(`v0:${seconds}:${body}`)}`,
  })
}

const records = (action: string) =>
  at
    .auditLines()
    .map((line) => JSON.parse(line))
    .filter((one) => one.action === action)

const cli = async (...argv: string[]) => {
  const terminal = fakeTerminal()
  const { signal } = new AbortController()
  const exitCode = await runProgram([...argv, '--home', at.home.dir], terminal, signal)
  return { exitCode, out: terminal.out(), err: terminal.err() }
}

const execution = async (id: string, agent = 'on_call') =>
  (await node.ask('GET', `agents/${agent}/executions/${id}?wait_seconds=5`)).json

test('runtime §11.6: with response "wait" the sender gets the end of the run; GitHub’s ping fires nothing', async () => {
  const told = await push()
  expect([told.status, told.json], told.text).toEqual([
    200,
    {
      status: 'completed',
      output: { noted: true },
      execution_id: expect.stringMatching(/^exe_/),
    },
  ])
  const ping = await github('ping', '{"zen":"Keep it logically awesome."}')
  expect([ping.status, ping.json]).toEqual([200, { status: 'pong' }])
})

test('runtime §12: public_url is the base of every address that is told', async () => {
  const { json } = await node.ask('GET', `agents/deployments/${deployed}`)
  expect(json.endpoint_url).toBe(`https://agents.example.org/api/v1/invoke/${deployed}`)
  expect(json.hooks).toContainEqual({
    name: 'alarms',
    url: 'https://agents.example.org/api/v1/hooks/alarms',
  })
})

test('runtime §11.6: Slack’s challenge is answered, and one event_id runs once, however it is signed', async () => {
  const challenge = await slack('{"type":"url_verification","challenge":"abc"}')
  expect([challenge.status, challenge.json]).toEqual([200, { challenge: 'abc' }])
  const event = '{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}'
  const seconds = Math.floor(Date.now() / 1_000)
  const [first, again] = [await slack(event, seconds), await slack(event, seconds - 1)]
  expect([first.json.status, again.json.status]).toEqual(['completed', 'already_accepted'])
  expect((await slack('{"type":"event_callback"}', seconds - 301)).status).toBe(401)
})

test('runtime §11.6: bodies may be forms; JSON in a field "payload" is what the program sees', async () => {
  const body = new URLSearchParams({ payload: '{"ref":"refs/heads/release"}' }).toString()
  const told = await github('push', body)
  expect(told.json.status, told.text).toBe('completed')
  const { steps } = await execution(told.json.execution_id)
  expect(steps.map(({ id }: { id: string }) => id)).toContain('note_event/parse_payload')
})

test('runtime §11.6: a secret of the vault signs a path of its own; without it nothing is accepted', async () => {
  const body = '{"event":"alarm"}'
  const told = await send('alarms', body, { 'x-signature': hmac(body), 'x-delivery-id': 'a-1' })
  expect(told.json.status, told.text).toBe('completed')
  const wrong = await send('alarms', body, { 'x-signature': hmac(body, 'guess') })
  expect(wrong.status).toBe(401)
})

test('runtime §11.6: Stripe signs the time, and names its events with dots', async () => {
  await compile(
    `agent biller {
      trigger stripe_invoices { on_invoice_paid: "*" }
      action book { validate_signature(); return { booked: true } }
    }`,
    'biller',
  )
  await hookSecret('stripe_invoices', 'biller')
  const { deployment_id: id } = await deploy('biller')
  const body = '{"id":"evt_1","type":"invoice.paid"}'
  const pay = (seconds: number) =>
    send('biller/stripe_invoices', body, {
      'stripe-signature': `t=${seconds},v1=${hmac(`${seconds}.${body}`)}`,
    })
  const nowSeconds = Math.floor(Date.now() / 1_000)
  const told = await pay(nowSeconds)
  expect([told.status, told.json.status]).toEqual([202, 'accepted'])
  expect((await pay(nowSeconds - 1)).json.status).toBe('already_accepted')
  expect((await pay(nowSeconds - 301)).status).toBe(401)
  expect((await execution(told.json.execution_id, 'biller')).status).toBe('completed')
  await node.ask('POST', `agents/deployments/${id}/stop`)
})

test('runtime §1.2: a path that nobody serves is answered as an unsigned request is', async () => {
  const plain = ({ status, json }: Answer) => [status, json.code, json.message, json.hint]
  const known = await send('on_call/github_pushes', '{}', {})
  expect(known.status).toBe(401)
  for (const path of ['on_call/nothing', 'nobody/github_pushes', `${deployed}/nothing`])
    expect(plain(await send(path, '{}', {}))).toEqual(plain(known))
})

test('runtime §20.22: knocking without a secret fills no log', async () => {
  const before = at.auditLines().length
  for (let n = 0; n < 60; n += 1) {
    const signed = { 'x-hub-signature-256': `sha256=${hmac(String(n), 'guess')}` }
    await send('nobody/nothing', '{}', n % 2 === 0 ? {} : signed)
  }
  for (let n = 0; n < 60; n += 1) await send('on_call/github_pushes', '{}', {})
  // Each of the two buckets lets through 20, and opening a secret takes two records.
  expect(at.auditLines().length - before).toBeLessThan(70)
})

test('runtime §11.6: one path has one agent', async () => {
  await compile(
    'agent thief { trigger mine { on_alarm: "*"  path: "/hooks/alarms/" } action a { now() } }',
    'thief',
  )
  const body = { agent_id: 'thief' }
  const { status, json } = await node.ask('POST', 'agents/deploy', { body })
  expect([status, json.code, json.hint]).toEqual([409, 'ALREADY_EXISTS', expect.any(String)])
})

test('runtime §11.6: events, refusals and changes of deployments are in the record, without secrets', async () => {
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  const told = await push({ traceparent: `00-${traceId}-00f067aa0ba902b7-01` })
  const fired = records('trigger.fire').find(({ txn }) => txn === told.json.execution_id)
  expect(fired).toMatchObject({
    agent: 'on_call',
    span: { trace_id: traceId, parent_span_id: '00f067aa0ba902b7' },
    data: { deployment: deployed, trigger: 'github_pushes', provider: 'github', event: 'push' },
  })
  await expect.poll(() => records('trigger.refuse').length).toBeGreaterThan(0)
  expect(records('deployment.start').map(({ outcome }) => outcome)).toContainEqual(
    expect.objectContaining({ deployment: deployed, environment: 'production', version: 1 }),
  )
  expect(records('deployment.stop').length).toBeGreaterThan(0)
  expect(at.auditLines().join('\n')).not.toContain(SECRET)
  const { exitCode, out, err } = await cli('trace', told.json.execution_id, '--json')
  expect([exitCode, err]).toEqual([0, ''])
  for (const one of ['trigger.fire', 'agent.start', 'agent.run', 'agent.publish'])
    expect(out).toContain(one)
  const traces = new Set(
    at
      .auditLines()
      .map((line) => JSON.parse(line))
      .filter(({ txn }) => txn === told.json.execution_id)
      .map(({ span }) => span?.trace_id),
  )
  expect([...traces]).toEqual([traceId])
})

test('runtime §12: who asked for a run is its actor in the record; the agent acts', async () => {
  const invoked = await node.ask('POST', `invoke/${deployed}`, { body: { ref: 'x' } })
  const { actor } = await execution(invoked.json.execution_id)
  expect(actor).toMatch(/^operator:/)
  const start = records('agent.start').find(({ txn }) => txn === invoked.json.execution_id)
  expect([start.actor, start.data.asked_by]).toEqual(['agent:on_call', actor])
  const { out, exitCode } = await cli('deployment', 'invoke', deployed, '--input', '{}', '--json')
  expect(exitCode).toBe(0)
  expect((await execution(JSON.parse(out).execution_id)).actor).toBe('operator:owner')
})

test('runtime §15.3: what is due runs the deployed version, as its schedule and its trigger say', async () => {
  const source = (n: number) => `agent clock {
    trigger minutely { on_schedule: "* * * * *"  run: tick }
    action tick { return { ticked: ${n} } }
    action other { error("not asked for") }
  }
  schedule every { cron: "* * * * *", agent: "clock", audit: all_operations }`
  await compile(source(1), 'clock')
  const { deployment_id: id } = await deploy('clock')
  await compile(source(2), 'clock') // what is deployed stays as it was
  advance(60_000)
  const body = { name: 'wakes', cron_expression: '0 0 1 1 *', agent_name: 'clock' }
  await node.ask('POST', 'schedules', { body })
  type Entry = { trigger: string; execution_id: string; status: string }
  const history = async (): Promise<Entry[]> =>
    (await node.ask('GET', 'agents/clock/history')).json.history
  await expect
    .poll(async () => (await history()).map(({ status }) => status).sort(), { timeout: 5_000 })
    .toEqual(['completed', 'failed'])
  const ran = await Promise.all(
    (await history()).map(async (one) => ({
      ...one,
      ...(await execution(one.execution_id, 'clock')),
    })),
  )
  for (const one of ran)
    expect(one).toMatchObject({
      trigger: expect.stringMatching(/^schedule:sch_/),
      program_version: 1,
      deployment_id: id,
    })
  const tick = ran.find(({ status }) => status === 'completed')
  expect(tick.result.output).toBe('{"ticked":1}')
  const fired = records('trigger.fire').filter(({ data }) => data.deployment === id)
  expect(fired.map(({ data }) => data.trigger).sort()).toEqual(['every', 'minutely'])
  expect(records('trigger.fail').find(({ data }) => data.deployment === id)).toMatchObject({
    success: false,
    data: { trigger: 'every', schedule: expect.stringMatching(/^sch_/) },
  })
  await node.ask('POST', `agents/deployments/${id}/stop`)
  const { json: left } = await node.ask('GET', 'schedules')
  expect(left.map(({ name }: { name: string }) => name)).not.toContain('minutely')
})

test('runtime §12: a program is rolled back to the version before, with its grants', async () => {
  const source = (n: number) => `agent twice {
    capabilities: ["publish"]
    action a { publish("t", ${n}); return { n: ${n} } }
  }`
  await compile(source(1), 'twice')
  const first = (await deploy('twice')).deployment_id
  await compile(source(2), 'twice')
  const second = (await deploy('twice', { replace_previous: true })).deployment_id
  await expect
    .poll(async () => (await node.ask('GET', `agents/deployments/${first}`)).json.status)
    .toBe('stopped')
  const back = await node.ask('POST', `agents/deployments/${second}/rollback`)
  expect(back.json).toMatchObject({ agent_version: '1', status: 'running', rollback_of: second })
  const ran = await node.ask('POST', `invoke/${back.json.deployment_id}`, { body: {} })
  expect(ran.json.output).toEqual({ n: 1 })
  await expect
    .poll(async () => (await node.ask('GET', `agents/deployments/${second}`)).json.status)
    .toBe('stopped')
  const none = await node.ask('POST', `agents/deployments/${back.json.deployment_id}/rollback`)
  expect(none.json.code).toBe('INVALID_STATE_TRANSITION')
  expect(records('deployment.rollback').length).toBeGreaterThan(0)
})

test('runtime §12: production takes no lax policy, no unknown tool and no sandbox that is not there', async () => {
  const blockers = async (source: string, config_overrides: object = {}) => {
    await compile(`agent lax { ${source} action a { now() } }`, 'lax')
    const body = { agent_id: 'lax', environment: 'production', config_overrides }
    const { status, json } = await node.ask('POST', 'agents/deploy', { body })
    expect(status).toBe(409)
    return json.details.blockers.map(({ code }: { code: string }) => code)
  }
  expect(await blockers('policy p { allow: any }')).toEqual(['W_PERMISSIVE_POLICY'])
  expect(await blockers('tools: ["nowhere"]')).toEqual(['TOOL_NOT_VERIFIED'])
  expect(await blockers('with sandbox = "tier2" { now(); }')).toEqual(['SANDBOX_UNAVAILABLE'])
  expect(await blockers('', { sandbox: 'docker' })).toEqual(['SANDBOX_UNAVAILABLE'])
})

test('runtime §12: an agent that is disabled runs nothing; one that is revoked is stopped', async () => {
  await compile('agent leaver { action a { return { ok: true } } }', 'leaver')
  const { deployment_id: id } = await deploy('leaver')
  const invoke = () => node.ask('POST', `invoke/${id}`, { body: {} })
  expect((await invoke()).json.status).toBe('completed')
  await at.admin.call('admin.agent.disable', { name: 'leaver' })
  expect((await invoke()).json.code).toBe('INVALID_STATE_TRANSITION')
  await at.admin.call('admin.agent.enable', { name: 'leaver' })
  expect((await invoke()).json.status).toBe('completed')
  await at.admin.call('admin.agent.revoke', { name: 'leaver' })
  await expect
    .poll(async () => (await node.ask('GET', `agents/deployments/${id}`)).json.status)
    .toBe('stopped')
})

test('runtime §12: failures in a row make it degraded, then failed; both go on serving', async () => {
  await compile(
    'agent frail { action a { if input.bad { error("bad") } return { ok: true } } }',
    'frail',
  )
  const { deployment_id: id } = await deploy('frail')
  const invoke = (bad: boolean) => node.ask('POST', `invoke/${id}`, { body: { bad } })
  const state = async () => (await node.ask('GET', `agents/deployments/${id}`)).json
  for (let n = 0; n < 3; n += 1) await invoke(true)
  expect(await state()).toMatchObject({ status: 'degraded', last_error: expect.any(String) })
  for (let n = 0; n < 7; n += 1) await invoke(true)
  expect(await state()).toMatchObject({ status: 'failed', replicas: 1 })
  expect((await invoke(false)).json.status).toBe('completed')
  expect((await state()).status).toBe('running')
})

test('runtime §20.25: events beyond the rate of a deployment are told when to come again', async () => {
  const { deployment_id: id } = await deploy('on_call')
  const ping = '{"zen":"x"}'
  const told = await Promise.all(
    Array.from({ length: 115 }, () =>
      send(`${id}/github_pushes`, ping, {
        'x-github-event': 'ping',
        'x-hub-signature-256': `sha256=${hmac(ping)}`,
      }),
    ),
  )
  const refused = told.filter(({ status }) => status === 429)
  expect(refused.length).toBeGreaterThan(0)
  expect(refused[0]?.headers['retry-after']).toMatch(/^\d+$/)
  await node.ask('POST', `agents/deployments/${id}/stop`)
})

test('runtime §12: the command line deploys, lists, shows, asks, rolls back and stops', async () => {
  await compile('agent typed { action a { return { n: input.n } } }', 'typed')
  const added = await cli('deployment', 'add', 'typed', '--set', 'timeout_seconds=5', '--json')
  expect([added.exitCode, added.err]).toEqual([0, ''])
  const { deployment_id: id, config } = JSON.parse(added.out)
  expect(config).toEqual({ timeout_seconds: 5 })
  expect((await cli('deployment', 'list', '--agent', 'typed')).out).toContain(id)
  expect((await cli('deployment', 'show', id)).out).toContain('running')
  const ran = await cli('deployment', 'invoke', id, '--input', '{"n":7}', '--json')
  expect(JSON.parse(ran.out).output).toEqual({ n: 7 })
  expect((await cli('deployment', 'rollback', id)).err).toContain('INVALID_STATE_TRANSITION')
  expect((await cli('deployment', 'stop', id)).out).toContain('stopped')
  expect((await cli('deployment', 'stop', id)).exitCode).toBe(0)
  for (const argv of [['show'], ['stop'], ['rollback'], ['invoke']]) {
    const { exitCode, err } = await cli('deployment', ...argv, 'dep_nothing')
    expect([exitCode, err]).toEqual([1, expect.stringContaining('DEPLOYMENT_NOT_FOUND')])
  }
  for (const argv of [
    ['show', id, '--colour'],
    ['invoke', id, '--input', '[]'],
    ['add', 'typed', '--set', 'x'],
  ])
    expect((await cli('deployment', ...argv)).exitCode).toBe(2)
})
