/** Programs that would do more than what serves, on a live daemon that asks an operator first. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from './node.ts'

const ON = { runtime: { require_widening_approval: true } }
const mayCall = (...tools: string[]): string => {
  const rules = tools.map((tool) => `allow: "${tool}"`).join('\n')
  const calls = tools.map((tool) => `call_tool("${tool}")`).join('; ')
  return `agent a { action b { ${calls} } policy p { ${rules} } }`
}
const NARROW = mayCall('notes:append')
const WIDE = mayCall('notes:append', 'mail:send')

let at: TestDaemon
let node: RuntimeNode

beforeAll(async () => {
  at = await startTestDaemon()
  node = new RuntimeNode(at.daemon.ready)
})
afterAll(() => at.stop())

async function compile(agent: string, source: string): Promise<void> {
  const body = { dsl_content: source.replace('agent a ', `agent ${agent} `), agent_name: agent }
  const { json } = await node.ask('POST', 'dsl/compile', { body })
  expect(json.success, JSON.stringify(json)).toBe(true)
}

const deploy = (agent_id: string, more: object = {}) =>
  node.ask('POST', 'agents/deploy', { body: { agent_id, environment: 'staging', ...more } })

/** Refused for want of a yes. @returns The body of the refusal. */
async function refused(asked: ReturnType<typeof deploy>) {
  const { status, json } = await asked
  expect([status, json.code]).toEqual([403, 'APPROVAL_REQUIRED'])
  expect(json.details.approval_id).toMatch(/^appr_/)
  return json
}

async function vestry(argv: readonly string[]) {
  const terminal = fakeTerminal({ env: { VESTRY_HOME: at.home.dir } })
  const exitCode = await runProgram(argv, terminal, new AbortController().signal)
  return { exitCode, out: terminal.out(), err: terminal.err() }
}

const decide = (id: string, word = 'approve') => node.ask('POST', `approvals/${id}/${word}`)

/** With a yes where one is asked for. */
async function deployed(agent: string): Promise<string> {
  const first = await deploy(agent)
  if (first.status === 201) return first.json.deployment_id
  await decide(first.json.details.approval_id)
  const { status, json } = await deploy(agent)
  expect(status, JSON.stringify(json)).toBe(201)
  return json.deployment_id
}

test('runtime §11: unless the setting is on, the operator’s key is the approval', async () => {
  await compile('free', NARROW)
  expect((await deploy('free')).status).toBe(201)
  await compile('free', WIDE)
  expect((await deploy('free')).status).toBe(201)
  expect((await node.ask('GET', 'approvals')).json).toEqual([])
  await at.restart(ON)
  node = new RuntimeNode(at.daemon.ready)
})

test('runtime §11: a wider version waits for a yes, which is spent once', async () => {
  await compile('wide', NARROW)
  await deployed('wide')
  // The same again, and less, are no more than before.
  expect((await deploy('wide')).status).toBe(201)
  await compile('wide', WIDE)
  const told = await refused(deploy('wide'))
  expect(told.error).toContain('may now call tool mail:send')
  expect(told.hint).toContain(`vestry approval allow ${told.details.approval_id}`)
  expect(told.details).toMatchObject({
    agent: 'wide',
    version: 2,
    environment: 'staging',
    changes: [{ direction: 'wider', text: 'may now call tool mail:send' }],
  })
  // Asked again it is the same question.
  expect((await refused(deploy('wide'))).details.approval_id).toBe(told.details.approval_id)
  const { json: open } = await node.ask('GET', 'approvals?state=pending')
  expect(open).toMatchObject([
    {
      id: told.details.approval_id,
      agent: 'wide',
      resource: 'staging',
      policy_id: 'runtime.require_widening_approval',
      summary: `deploy version 2 of wide (source ${told.details.source_hash}) to staging: may now call tool mail:send`,
    },
  ])
  await decide(told.details.approval_id)
  const { status, json } = await deploy('wide')
  expect(status, JSON.stringify(json)).toBe(201)
  await node.ask('POST', `agents/deployments/${json.deployment_id}/stop`)
  // Only the narrow ones serve there now, so that the spent yes would be needed once more.
  const again = await refused(deploy('wide'))
  expect(again.details.approval_id).not.toBe(told.details.approval_id)
})

test('runtime §11: a yes is for one source, one environment and one set of permissions', async () => {
  await compile('bound', NARROW)
  await deployed('bound')
  await compile('bound', WIDE)
  const { details } = await refused(deploy('bound'))
  await decide(details.approval_id)
  const ids = new Set([details.approval_id])
  await compile('bound', WIDE.replaceAll('mail:send', 'mail:delete'))
  ids.add((await refused(deploy('bound'))).details.approval_id)
  await compile('bound', WIDE)
  ids.add((await refused(deploy('bound', { environment: 'qa' }))).details.approval_id)
  for (const config_overrides of [{ workflow_id: 'wf_other' }, { timeout_seconds: 86_400 }])
    ids.add((await refused(deploy('bound', { config_overrides }))).details.approval_id)
  expect(ids.size).toBe(5)
  expect((await deploy('bound')).status).toBe(201)
})

test('runtime §11: a yes is for the changes that were told, whatever else serves by then', async () => {
  await compile('moved', NARROW)
  const narrow = await deployed('moved')
  await compile('moved', WIDE)
  const { details } = await refused(deploy('moved'))
  await node.ask('POST', `agents/deployments/${narrow}/stop`)
  await decide(details.approval_id)
  const more = await refused(deploy('moved'))
  expect(more.details.changes).toHaveLength(2)
  await decide(more.details.approval_id)
  expect((await deploy('moved')).status).toBe(201)
})

test('runtime §11: a no stays a no, and an agent without a program needs no yes', async () => {
  await compile('never', WIDE)
  const { details } = await refused(deploy('never'))
  await decide(details.approval_id, 'deny')
  const { status, json } = await deploy('never')
  expect([status, json.code]).toEqual([403, 'ACCESS_DENIED'])
  const sorter = { id: 'sorter', name: 'Sorter', system_prompt: 'You sort.', model: 'gpt-4o' }
  const rest = { description: '', tools: [], temperature: 1, top_p: 1, max_tokens: 100 }
  expect((await node.ask('POST', 'agents', { body: { ...sorter, ...rest } })).status).toBe(201)
  expect((await deploy('sorter')).status).toBe(201)
})

test('runtime §11: rolling back to a wider version waits for a yes too', async () => {
  await compile('back', WIDE)
  const wide = await deployed('back')
  await compile('back', NARROW)
  const narrow = await deployed('back')
  await node.ask('POST', `agents/deployments/${wide}/stop`)
  const rollback = () => node.ask('POST', `agents/deployments/${narrow}/rollback`)
  const { details } = await refused(rollback())
  expect(details).toMatchObject({ agent: 'back', version: 1 })
  expect((await node.ask('GET', `agents/deployments/${narrow}`)).json.status).toBe('running')
  await decide(details.approval_id)
  expect((await rollback()).json).toMatchObject({ agent_version: '1', rollback_of: narrow })
})

test('runtime §11: dsl deploy says how to get the yes, and goes through after it', async () => {
  const file = join(at.home.dir, 'mailer.vestry')
  writeFileSync(file, WIDE.replace('agent a ', 'agent mailer '))
  const deploy = ['dsl', 'deploy', file, '--env', 'staging']
  const told = await vestry(deploy)
  expect([told.exitCode, told.out]).toEqual([3, ''])
  expect(told.err).toContain('APPROVAL_REQUIRED: An operator must allow version 1 of mailer')
  const [, id = ''] = /vestry approval allow (appr_[0-9a-f]+)/.exec(told.err) ?? []
  const listed = await vestry(['approval', 'list', '--state', 'pending'])
  expect(listed.out).toContain(id)
  expect(listed.out).toContain('mailer')
  expect((await vestry(['approval', 'allow', id])).exitCode).toBe(0)
  const done = await vestry(deploy)
  expect([done.exitCode, done.out]).toEqual([0, expect.stringContaining('to staging: dep_')])
})
