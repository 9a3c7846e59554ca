/** A daemon that is killed while an agent is deployed on it. */
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
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
