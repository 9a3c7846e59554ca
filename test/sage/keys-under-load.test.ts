/** Tokens and keys that are replaced while agents of ours keep asking models through a real daemon. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { GatewayChatModel } from '../../packages/sdk/src/llm/chat-model.ts'
import { configureLogging } from '../../packages/sdk/src/sage/log.ts'
import { SpiffeGatewayClient } from '../../packages/sdk/src/sage/spiffe-gateway-client.ts'
import { parseJws } from '../../packages/server/src/identity/runs/jws.ts'
import { advance } from '../harness/clock.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { FAKE_KEYS, type FakeProviders, startFakeProviders } from '../harness/fake-providers.ts'
import { rawRequest, requestBytes } from './raw-http.ts'

const MODEL = 'openai:gpt-4o'

let vestry: TestDaemon
let providers: FakeProviders
beforeAll(async () => {
  configureLogging({ write: () => undefined })
  providers = await startFakeProviders()
  vestry = await startTestDaemon({
    config: {
      egress: { allow_cidrs: ['127.0.0.1/32'] },
      llm: { providers: { openai: { base_url: providers.openai.url } } },
    },
  })
  await vestry.addCredential('llm/openai', FAKE_KEYS.openai)
})
afterAll(async () => {
  await providers.close()
  await vestry.stop()
  configureLogging()
})

async function newRun(name: string): Promise<Record<string, string>> {
  await vestry.addAgent(name)
  const { env } = await vestry.admin.call('admin.run.register', {
    agent: name,
    org_id: '1',
    run_id: `run_${name}`,
    allowed_models: { analysis: [MODEL] },
  })
  return env
}

/** @param now What the agent takes for the time; by default the daemon's. */
function modelOf(env: Record<string, string>, now = () => Date.now()): GatewayChatModel {
  const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
  const client = SpiffeGatewayClient.fromEnvironment(env, { clock: { now, sleep }, maxRetries: 0 })
  return new GatewayChatModel({ client, model: MODEL, category: 'analysis' })
}

const tratOf = async (env: Record<string, string>): Promise<string> => {
  const path = env['AUTH_SIDECAR_SOCKET'] ?? ''
  return (await rawRequest({ path }, requestBytes('GET', '/trat', {}))).body
}

const records = (action: string) =>
  vestry
    .auditLines()
    .map((line) => JSON.parse(line))
    .filter((record) => record.action === action)

test('sage §21.15: eight agents ask without a pause while keys are rotated, and none is refused', async () => {
  const envs = [await newRun('one'), await newRun('two')]
  const kids = new Set<unknown>()
  const failures: unknown[] = []
  const asked = Array.from({ length: 8 }, () => 0)
  let stopping = false
  const ask = async (worker: number): Promise<void> => {
    const model = modelOf(envs[worker % envs.length] ?? {})
    while (!stopping) {
      const answer = worker % 4 === 0 ? model.stream('x').final() : model.invoke('x')
      await answer.catch((error: unknown) => failures.push(error))
      asked[worker] = (asked[worker] ?? 0) + 1
    }
  }
  const working = asked.map((_, worker) => ask(worker))
  for (let step = 0; step < 30; step += 1) {
    if (step === 3) await vestry.admin.call('admin.run.rotate_keys')
    const before = [...asked]
    await expect
      .poll(() => asked.every((count, at) => count > (before[at] ?? 0)), { interval: 2 })
      .toBe(true)
    for (const env of envs) kids.add(parseJws(await tratOf(env))?.header['kid'])
    advance(30_000)
  }
  stopping = true
  await Promise.all(working)
  expect(failures).toEqual([])
  expect(kids.size).toBe(2)
  expect(Math.min(...asked)).toBeGreaterThanOrEqual(30)
  expect(records('llm.chat').filter(({ success }) => !success)).toEqual([])
})

test('sage §21.18: an agent whose clock is behind is refused once, asks again with a new token, and never notices', async () => {
  const env = await newRun('slow')
  const model = modelOf(env, () => began)
  const began = Date.now()
  expect((await model.invoke('x')).content).not.toBe('')
  advance(400_000)
  expect((await model.invoke('x')).content).not.toBe('')
  const codes = records('llm.chat')
    .filter(({ outcome }) => outcome !== undefined)
    .slice(-2)
    .map(({ outcome }) => outcome.code)
  expect(codes).toEqual(['TXN_EXPIRED', 'OK'])
})

test('sage §21.12: fifty requests for a token that has grown old cost one exchange', async () => {
  const env = await newRun('many')
  const old = await tratOf(env)
  const before = records('trat.issue').filter(({ txn }) => txn === 'run_many').length
  advance(200_000)
  const tokens = await Promise.all(Array.from({ length: 50 }, () => tratOf(env)))
  expect(new Set(tokens).size).toBeLessThanOrEqual(2)
  const { exp } = parseJws(tokens[0] ?? '')?.payload ?? {}
  expect(Number(exp) * 1_000 - Date.now()).toBeGreaterThanOrEqual(60_000)
  await expect.poll(() => tratOf(env)).not.toBe(old)
  const after = records('trat.issue').filter(({ txn }) => txn === 'run_many').length
  expect(after - before).toBe(1)
})
