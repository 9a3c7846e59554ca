/** A daemon that is killed while its agents work. */
import { readFileSync, writeFileSync } from 'node:fs'
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

test('runtime §20.30: after a kill, what had begun is told as interrupted, what waited is done, and nothing is done twice', async () => {
  await using undo = new AsyncDisposableStack()
  const home = undo.use(temporaryHome())
  const fakes = undo.use(await startFakeProviders())
  const config = {
    egress: { allow_cidrs: ['127.0.0.1/32'] },
    llm: { providers: { openai: { base_url: fakes.openai.url } } },
    runtime: { agent_concurrency: 2 },
  }
  writeFileSync(home.config, stringify(config), { mode: 0o600 })
  const first = undo.use(await DaemonProcess.start(home.dir))
  const admin = await operator(home)
  await putCredential(admin, 'llm/openai', FAKE_KEYS.openai)
  admin.destroy()
  let node = new RuntimeNode(first.ready)
  expect((await node.ask('POST', 'agents', { body: AGENT })).status).toBe(201)
  fakes.openai.script({ delayMs: 60_000 }, { delayMs: 60_000 })
  const ids: string[] = []
  for (let n = 1; n <= 4; n += 1) {
    const { json } = await node.ask('POST', 'agents/worker/execute', {
      body: { input: `Task ${n}` },
    })
    ids.push(json.execution_id)
  }
  await expect.poll(() => fakes.openai.requests.length, { timeout: 20_000 }).toBe(2)
  await first.kill()
  const second = undo.use(await DaemonProcess.start(home.dir))
  node = new RuntimeNode(second.ready)
  const ends = await Promise.all(
    ids.map(async (id) => {
      const path = `agents/worker/executions/${id}?wait_seconds=20`
      const { json } = await node.ask('GET', path)
      return `${json.status} ${json.error?.code ?? json.result?.output}`
    }),
  )
  expect(ends.slice(0, 2)).toEqual(Array(2).fill('failed INTERRUPTED'))
  expect(ends.slice(2).every((end) => end.startsWith('completed '))).toBe(true)
  const asked = fakes.openai.requests.map(({ text }) => /Task \d/.exec(text)?.[0]).sort()
  expect(asked).toEqual(['Task 1', 'Task 2', 'Task 3', 'Task 4'])
  const { json: metrics } = await node.ask('GET', 'agents/worker/metrics')
  expect(metrics).toMatchObject({ tasks_completed: 2, tasks_failed: 2 })
  // The runs of the killed ones are closed, so that nothing can go on in their name.
  const again = await operator(home)
  const { runs } = (await again.call('admin.run.list', { agent: 'worker' })) as { runs: unknown[] }
  expect(runs).toEqual([])
  again.destroy()
  expect(readFileSync(home.store).includes('Task 1')).toBe(false)
}, 120_000)
