/** What programs reach on a live daemon, and by whose leave. */
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from './node.ts'

const SECRET = 'program-secret-4711-abcdef'

let at: TestDaemon
let node: RuntimeNode
let url: string
const seen: IncomingMessage[] = []
const outside = createServer((request, response) => {
  seen.push(request)
  response.end('ok')
})

beforeAll(async () => {
  outside.listen(0, '127.0.0.1')
  await once(outside, 'listening')
  url = `http://127.0.0.1:${(outside.address() as AddressInfo).port}`
  at = await startTestDaemon({ config: { egress: { allow_cidrs: ['127.0.0.1/32'] } } })
  node = new RuntimeNode(at.daemon.ready)
})
afterAll(async () => {
  outside.closeAllConnections()
  outside.close()
  await at.stop()
})

async function compile(name: string, source: string): Promise<void> {
  const body = { dsl_content: source, agent_name: name }
  const { json, text } = await node.ask('POST', 'dsl/compile', { body })
  expect(json.errors, text).toEqual([])
}

async function deploy(name: string, config: object = {}, environment = 'development') {
  const body = { agent_id: name, environment, config_overrides: config }
  const { status, json, text } = await node.ask('POST', 'agents/deploy', { body })
  expect(status, text).toBe(201)
  return json
}

async function run(name: string, input: object = {}) {
  const { json } = await node.ask('POST', `agents/${name}/execute`, { body: { input } })
  for (;;) {
    const path = `agents/${name}/executions/${json.execution_id}?wait_seconds=5`
    const { json: end } = await node.ask('GET', path)
    if (end.status !== 'pending' && end.status !== 'running') return end
  }
}

const invoke = async (id: string, input: object) =>
  (await node.ask('POST', `invoke/${id}`, { body: input })).json

test('runtime §11.5: what a program asks for is in force while its version is deployed, over a restart, and no longer', async () => {
  await compile(
    'getter',
    `agent getter {\n hosts: ["${url}"]\n action go { return http_request("${url}/x").status } }`,
  )
  expect((await run('getter')).error.code).toBe('ACCESS_DENIED')
  const { deployment_id: id } = await deploy('getter')
  expect((await run('getter')).result.output).toBe('200')
  await at.restart()
  node = new RuntimeNode(at.daemon.ready)
  expect((await run('getter')).result.output).toBe('200')
  // A newer version that nobody deployed has nothing of it.
  await compile(
    'getter',
    `agent getter {\n hosts: ["${url}"]\n action go { return http_request("${url}/y").status } }`,
  )
  expect((await run('getter')).error.code).toBe('ACCESS_DENIED')
  await node.ask('POST', `agents/deployments/${id}/stop`)
  expect((await run('getter')).error.code).toBe('ACCESS_DENIED')
  expect(seen.filter(({ url: path }) => path === '/y')).toEqual([])
})

test('runtime §11.5: what one deployment was given is of no use to the runs of another of the same version', async () => {
  await compile('starter', 'agent starter { action go { return trigger_workflow(input.id) } }')
  const given = await deploy('starter', { workflow_id: 'echo' }, 'staging')
  const bare = await deploy('starter')
  expect(await invoke(given.deployment_id, { id: 'echo' })).toMatchObject({ status: 'completed' })
  expect(await invoke(bare.deployment_id, { id: 'echo' })).toMatchObject({
    status: 'failed',
    error: { code: 'ACCESS_DENIED' },
  })
})

test('runtime §12: settings that change nothing are told in the answer', async () => {
  await compile('quiet', 'agent quiet { action go { return 1 } }')
  const config = { memory_mb: 64, env: { A: 'b' }, log_level: 'debug', timeout_seconds: 5 }
  const { warnings } = await deploy('quiet', config)
  expect(warnings.map((line: string) => /"(\w+)"/.exec(line)?.[1])).toEqual([
    'memory_mb',
    'env',
    'log_level',
  ])
})

test('runtime §11.4: a secret checks a signature, is sent to nobody without encryption, and told to nobody', async () => {
  await compile(
    'keeper',
    `agent keeper {
      secrets: ["api"]
      hosts: ["${url}"]
      action go {
        let sent = "sent"
        try {
          http_request("${url}/secret", headers: { authorization: secret("api") })
        } catch (e) {
          sent = e.code
        }
        return {
          sent: sent,
          right: verify_hmac_sha256("text", secret("api"), input.sig),
          wrong: verify_hmac_sha256("texts", secret("api"), input.sig)
        }
      }
    }`,
  )
  const stored = await node.ask('POST', 'secrets', {
    body: { agent_id: 'keeper', secret_name: 'api', secret_value: SECRET, description: null },
  })
  expect(stored.status, stored.text).toBeLessThan(300)
  await deploy('keeper')
  const sig = createHmac('sha256', SECRET).update('text').digest('hex')
  const end = await run('keeper', { sig })
  expect(end.status, JSON.stringify(end.error)).toBe('completed')
  const wanted = { sent: 'ACCESS_DENIED', right: true, wrong: false }
  expect(JSON.parse(end.result.output)).toEqual(wanted)
  expect(seen.filter(({ url: path }) => path === '/secret')).toEqual([])
  for (const text of [JSON.stringify(end), at.auditLines().join('\n')])
    expect(text).not.toContain(SECRET)
})

test('runtime §11.4: options in the place of a body are refused, and not sent with a GET', async () => {
  await compile(
    'fetcher',
    `agent fetcher {\n hosts: ["${url}"]\n action go { return http_request("${url}/body", { method: "POST" }) } }`,
  )
  await deploy('fetcher')
  const { error } = await run('fetcher')
  expect(error).toMatchObject({ code: 'DSL_RUNTIME_ERROR' })
  expect(error.message).toContain('a GET has no body')
  expect(seen.filter(({ url: path }) => path === '/body')).toEqual([])
})

test('runtime §11.4: a tool that the program does not list is refused; names of prototypes are names', async () => {
  await compile(
    'odd',
    `agent odd {
      action go {
        let code = "none"
        try { call_tool(input.tool, { a: 1 }) } catch (e) { code = e.code }
        return { code: code, back: parse_payload() }
      }
    }`,
  )
  await deploy('odd')
  const input = '{"tool":"constructor","hasOwnProperty":{"polluted":true},"toString":1}'
  const end = await run('odd', JSON.parse(input))
  expect(JSON.parse(end.result.output)).toEqual({
    code: 'DSL_POLICY_DENIED',
    back: JSON.parse(input),
  })
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
})
