/** A daemon of its own process under two hundred streams: it is killed and comes back, and its sockets are counted. */
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { configureLogging, SpiffeGatewayClient } from '@vestry/sdk/agent'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { GatewayChatModel } from '../../packages/sdk/src/llm/chat-model.ts'
import { operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'
import { FAKE_KEYS, type FakeProviders, startFakeProviders } from '../harness/fake-providers.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { rawRequest, requestBytes } from '../sage/raw-http.ts'

const STREAMS = 200
const MODEL = 'openai:gpt-4o'
const TOKENS = 100_000_000

const undo = new AsyncDisposableStack()
let home: ReturnType<typeof temporaryHome>
let providers: FakeProviders
beforeAll(async () => {
  configureLogging({ write: () => undefined })
  undo.defer(() => configureLogging())
  home = undo.use(temporaryHome())
  providers = undo.use(await startFakeProviders())
  const config = {
    egress: { allow_cidrs: ['127.0.0.1/32'] },
    llm: {
      providers: { openai: { base_url: providers.openai.url } },
      in_flight_per_run: 1_024,
      budgets: { run: { tokens: TOKENS } },
    },
  }
  writeFileSync(home.config, stringify(config), { mode: 0o600 })
})
afterAll(() => undo.disposeAsync())

async function newRun(run_id: string): Promise<Record<string, string>> {
  const admin = await operator(home)
  const keys = newAgentKeys(`agent-${run_id}`)
  await admin.call('admin.agent.add', { name: keys.name, public_key: keys.publicKeyHex })
  await putCredential(admin, 'llm/openai', FAKE_KEYS.openai)
  const { env } = await admin.call('admin.run.register', {
    agent: keys.name,
    org_id: '1',
    run_id,
    allowed_models: { analysis: [MODEL] },
  })
  admin.destroy()
  return env
}

function modelOf(env: Record<string, string>): GatewayChatModel {
  const client = SpiffeGatewayClient.fromEnvironment(env)
  return new GatewayChatModel({ client, model: MODEL, category: 'analysis' })
}

/** Sockets that a process has open. */
function socketsOf(pid: number | undefined): number {
  const dir = `/proc/${pid}/fd`
  const targets = readdirSync(dir).map((fd) => {
    try {
      return readlinkSync(join(dir, fd))
    } catch {
      return '' // closed meanwhile
    }
  })
  return targets.filter((target) => target.startsWith('socket:')).length
}

const trat = (env: Record<string, string>) =>
  rawRequest({ path: env['AUTH_SIDECAR_SOCKET'] ?? '' }, requestBytes('GET', '/trat', {}))

const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: { name: string; exitCode: number; message: string }) => error,
  )

test('sage §21.42: two hundred streams, complete, cut by their provider or left by their clients, leave no socket open', async () => {
  await using daemon = await DaemonProcess.start(home.dir)
  const model = modelOf(await newRun('sockets'))
  await model.invoke('warm')
  const before = socketsOf(daemon.child.pid)
  providers.openai.script(
    ...Array.from({ length: STREAMS }, (_, at) => ({
      text: 'word '.repeat(40),
      pauseMs: 5,
      ...(at % 4 === 1 && { cutAfter: 10 }),
      ...(at % 4 === 2 && { stallAfter: 10 }),
    })),
  )
  const leaving = new AbortController()
  const asked = providers.openai.requests.length
  const ends = Promise.all(
    Array.from({ length: STREAMS }, () =>
      failureOf(model.stream('x', { signal: leaving.signal }).final()),
    ),
  )
  await expect
    .poll(() => providers.openai.requests.length, { timeout: 30_000 })
    .toBe(asked + STREAMS)
  await expect.poll(() => providers.openai.inFlight, { timeout: 30_000 }).toBe(STREAMS / 4)
  leaving.abort(new Error('enough'))
  const errors = await ends
  expect(errors.filter((error) => error === undefined)).toHaveLength(STREAMS / 2)
  expect(errors.filter((error) => error?.name === 'GatewayError')).toHaveLength(STREAMS / 4)
  expect(errors.filter((error) => error?.message === 'enough')).toHaveLength(STREAMS / 4)
  // What is kept for the next call is kept once, not for every stream.
  await expect
    .poll(() => socketsOf(daemon.child.pid), { timeout: 20_000 })
    .toBeLessThanOrEqual(before + 8)
  expect(daemon.child.exitCode).toBeNull()
})

test('sage §21.42: a daemon that is killed under load and comes back serves the same agents with the same tokens', async () => {
  let env: Record<string, string>
  let cut: Promise<unknown>[]
  {
    await using daemon = await DaemonProcess.start(home.dir)
    env = await newRun('killed')
    const model = modelOf(env)
    providers.openai.script(
      ...Array.from({ length: STREAMS }, () => ({ text: 'word '.repeat(4_000), pauseMs: 20 })),
    )
    cut = Array.from({ length: STREAMS }, () => failureOf(model.stream('x').final()))
    await expect.poll(() => providers.openai.inFlight, { timeout: 30_000 }).toBe(STREAMS)
    await daemon.kill()
  }
  for (const error of await Promise.all(cut))
    expect(error).toMatchObject({ name: 'GatewayError', exitCode: 30 })
  await expect.poll(() => providers.openai.inFlight, { timeout: 10_000 }).toBe(0)

  // Agents that ask while nobody is there wait, as their transport does, and are served.
  const patient = Array.from({ length: 20 }, () => modelOf(env).invoke('still there?'))
  patient.forEach((each) => void each.catch(() => undefined))
  await using daemon = await DaemonProcess.start(home.dir)
  for (const answer of await Promise.all(patient)) expect(answer.content).not.toBe('')
  expect((await trat(env)).status).toBe(200)
  const ask = Array.from({ length: STREAMS }, () => modelOf(env).stream('x').final())
  for (const { content, finishReason } of await Promise.all(ask))
    expect([content.length > 0, finishReason]).toEqual([true, 'stop'])

  const admin = await operator(home)
  expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
  const records = readFileSync(join(home.audit, 'audit.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ action, txn }) => action === 'llm.chat' && txn === 'killed')
  const intents = records.filter(({ phase }) => phase === 'intent')
  const outcomes = records.filter(({ phase }) => phase === 'outcome')
  expect(outcomes).toHaveLength(intents.length)
  expect(outcomes.filter(({ outcome }) => outcome.code === 'INTERRUPTED')).toHaveLength(STREAMS)
  const { budgets } = await admin.call('admin.llm.usage', { run: 'killed' })
  // What the killed calls might have used stays held until it counts as spent; there is room for others.
  const [budget] = budgets.filter(({ owner }: { owner: string }) => owner === 'run')
  expect(budget.spent).toBeGreaterThan(0)
  expect(budget.left).toBeGreaterThan(TOKENS / 2)
  admin.destroy()
  expect(daemon.child.exitCode).toBeNull()
})
