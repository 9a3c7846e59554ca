/** A daemon that is killed while an agent is deployed on it. */
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { openStore } from '../../packages/server/src/store/store.ts'
import { operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'
import { FAKE_KEYS, startFakeProviders } from '../harness/fake-providers.ts'
import { RuntimeNode } from './node.ts'

const AGENT = {
  id: 'worker',
  name: 'Worker',
  description: '',
  system_prompt: 'You work.',
  tools: [],
  model: 'gpt-4o',
  temperature: 1,
  top_p: 1,
  max_tokens: 100,
}

test('runtime §20.25: after a kill, what was deployed serves and what was stopped does not', async () => {
  await using undo = new AsyncDisposableStack()
  const home = undo.use(temporaryHome())
  const fakes = undo.use(await startFakeProviders())
  const config = {
    egress: { allow_cidrs: ['127.0.0.1/32'] },
    llm: { providers: { openai: { base_url: fakes.openai.url } } },
  }
  writeFileSync(home.config, stringify(config), { mode: 0o600 })
  const first = undo.use(await DaemonProcess.start(home.dir))
  const admin = await operator(home)
  await putCredential(admin, 'llm/openai', FAKE_KEYS.openai)
  admin.destroy()
  let node = new RuntimeNode(first.ready)
  expect((await node.ask('POST', 'agents', { body: AGENT })).status).toBe(201)
  const deploy = async (): Promise<string> => {
    const body = { agent_id: 'worker', environment: 'production' }
    return (await node.ask('POST', 'agents/deploy', { body })).json.deployment_id
  }
  const [stays, ends] = [await deploy(), await deploy()]
  await node.ask('POST', `agents/deployments/${ends}/stop`)
  fakes.openai.script({ delayMs: 60_000 })
  const { length } = fakes.openai.requests
  node.ask('POST', `invoke/${stays}`, { body: {} }).catch(() => undefined)
  await expect.poll(() => fakes.openai.requests.length, { timeout: 20_000 }).toBe(length + 1)
  await first.kill()
  const second = undo.use(await DaemonProcess.start(home.dir))
  node = new RuntimeNode(second.ready)
  expect((await node.ask('GET', 'agents/worker')).json.state).toBe('active')
  fakes.openai.script({ text: 'Done.' })
  expect((await node.ask('POST', `invoke/${stays}`, { body: {} })).json.status).toBe('completed')
  expect((await node.ask('POST', `invoke/${ends}`, { body: {} })).status).toBe(409)
})

const WATCHER = `
agent watcher {
    capabilities: ["publish", "http"]
    trigger github_pushes { on_push: main  run: note }
    action note { publish("pushes", 1); return { noted: true } }
    action look { let seen = http_request("ORIGIN/slow"); return { status: seen.status } }
}
`

test('runtime §20.25: a killed program goes on within its places and grants, and stop waits for it', async () => {
  await using undo = new AsyncDisposableStack()
  const home = undo.use(temporaryHome())
  const held: ServerResponse[] = []
  const slow = createServer((_, response) => void held.push(response)).listen(0, '127.0.0.1')
  undo.defer(() => void slow.close())
  undo.defer(() => slow.closeAllConnections())
  await once(slow, 'listening')
  const origin = `http://127.0.0.1:${(slow.address() as AddressInfo).port}`
  const config = { egress: { allow_cidrs: ['127.0.0.1/32'] } }
  writeFileSync(home.config, stringify(config), { mode: 0o600 })
  const first = undo.use(await DaemonProcess.start(home.dir))
  let node = new RuntimeNode(first.ready)
  const source = WATCHER.replace('ORIGIN', origin)
  const compiled = await node.ask('POST', 'dsl/compile', {
    body: { dsl_content: source, agent_name: 'watcher' },
  })
  expect(compiled.json.errors).toEqual([])
  const made = await node.ask('POST', 'agents/deploy', {
    body: { agent_id: 'watcher', config_overrides: { max_concurrent_tasks: 1 } },
  })
  expect(made.status, made.text).toBe(201)
  const id: string = made.json.deployment_id
  node.ask('POST', `invoke/${id}`, { body: {} }).catch(() => undefined)
  await expect.poll(() => held.length, { timeout: 20_000 }).toBe(1)
  await first.kill()
  const second = undo.use(await DaemonProcess.start(home.dir))
  node = new RuntimeNode(second.ready)
  // It asks again: what it may do is in force.
  await expect.poll(() => held.length, { timeout: 20_000 }).toBe(2)
  expect((await node.ask('POST', `invoke/${id}`, { body: {} })).status).toBe(429)
  const stopped = node.ask('POST', `agents/deployments/${id}/stop`)
  const state = async () => (await node.ask('GET', `agents/deployments/${id}`)).json.status
  await expect.poll(state).toBe('stopping')
  const admin = await operator(home)
  undo.defer(() => admin.destroy())
  const policies = async () => JSON.stringify(await admin.call('admin.policy.list', {}))
  expect(await policies()).toContain(`dsl:${id}#`)
  for (const response of held) response.end('seen')
  expect((await stopped).json.status).toBe('stopped')
  expect(await policies()).not.toContain(`dsl:${id}#`)
  const { json } = await node.ask('GET', 'agents/watcher/history')
  expect(json.history[0].status).toBe('completed')
})

test('runtime §20.22: an event that a kill lost before it was accepted runs when it comes again, once', async () => {
  await using undo = new AsyncDisposableStack()
  const home = undo.use(temporaryHome())
  const first = undo.use(await DaemonProcess.start(home.dir))
  let node = new RuntimeNode(first.ready)
  await node.ask('POST', 'dsl/compile', { body: { dsl_content: WATCHER, agent_name: 'watcher' } })
  await node.ask('POST', 'agents/deploy', { body: { agent_id: 'watcher' } })
  const secret = { agent_id: 'watcher', secret_name: 'webhook/github_pushes', secret_value: 'k' }
  await node.ask('POST', 'secrets', { body: secret })
  const body = JSON.stringify({ ref: 'refs/heads/main' })
  const push = () =>
    node.ask('POST', 'hooks/watcher/github_pushes', {
      key: null,
      body,
      headers: {
        'content-type': 'application/json',
        'x-github-event': 'push',
        'x-hub-signature-256': `sha256=${createHmac('sha256', 'k').update(body).digest('hex')}`,
      },
    })
  const accepted = await push()
  expect(accepted.status, accepted.text).toBe(202)
  const lost: string = accepted.json.execution_id
  await first.kill()
  // As a kill between the two writes of its acceptance leaves it.
  const store = await openStore(`sqlite:${home.store}`)
  await store.write(async (trx) => {
    const before = { status: 'pending', started_at: null, finished_at: null }
    await trx.updateTable('agent_run').set(before).where('id', '=', lost).execute()
    await trx.deleteFrom('execution').where('id', '=', lost).execute()
  })
  await store.close()
  const second = undo.use(await DaemonProcess.start(home.dir))
  node = new RuntimeNode(second.ready)
  const again = await push()
  expect([again.status, again.json.execution_id === lost]).toEqual([202, false])
  const found = `agents/watcher/executions/${again.json.execution_id}?wait_seconds=10`
  expect((await node.ask('GET', found)).json.status).toBe('completed')
  expect((await push()).json).toMatchObject({
    status: 'already_accepted',
    execution_id: again.json.execution_id,
  })
})
