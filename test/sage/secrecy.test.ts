/**
 * What opens a door is told nowhere: an agent of ours, a real daemon and providers that repeat whatever they are sent,
 * and everything that people or machines might read of it afterwards.
 */
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { AgentContext, configureLogging, SpiffeGatewayClient } from '@vestry/sdk/agent'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startChild } from '../../packages/sdk/src/agent/process.test-kit.ts'
import { GatewayChatModel } from '../../packages/sdk/src/llm/chat-model.ts'
import { GatewayEmbeddings } from '../../packages/sdk/src/llm/embeddings.ts'
import type { Daemon } from '../../packages/server/src/app/daemon.ts'
import type { Home } from '../../packages/server/src/app/home.ts'
import { boot, operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { FAKE_KEYS, type FakeProviders, startFakeProviders } from '../harness/fake-providers.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { leaksIn } from '../harness/needles.ts'

const PROGRAM = join(import.meta.dirname, '../../packages/sdk/src/agent/gateway-agent.test-kit.ts')
/** As much of a token as its masked form may show. */
const SHOWN = 8
const PROMPT = 'marker-of-a-prompt-Zq7x0Wm5'
const ANSWER = 'marker-of-an-answer-fRk2Ld9s'
const MODELS = {
  triage: ['openai:gpt-4o-mini'],
  analysis: ['openai:gpt-4o', 'anthropic:claude-sonnet-4-5', 'google:gemini-2.5-flash'],
  embeddings: ['openai:text-embedding-3-small'],
}

const undo = new AsyncDisposableStack()
const warnings: string[] = []
const logged: string[] = []
let providers: FakeProviders
let home: Home
let daemon: Daemon
let env: Record<string, string>

beforeAll(async () => {
  configureLogging({ format: 'json', level: 'debug', write: (line) => logged.push(line) })
  undo.defer(() => configureLogging())
  providers = await startFakeProviders()
  const urls = Object.keys(FAKE_KEYS).map((name) => [
    name,
    { base_url: providers[name as keyof typeof FAKE_KEYS].url },
  ])
  home = undo.use(temporaryHome())
  const config = {
    egress: { allow_cidrs: ['127.0.0.1/32'] },
    llm: { providers: Object.fromEntries(urls) },
  }
  daemon = undo.use(await boot(home, { config, warn: (line) => void warnings.push(line) }))
  undo.use(providers)
  const admin = await operator(home)
  undo.defer(() => admin.destroy())
  for (const [name, key] of Object.entries(FAKE_KEYS))
    await putCredential(admin, `llm/${name}`, key)
  await admin.call('admin.agent.add', {
    name: 'scanner',
    public_key: newAgentKeys('scanner').publicKeyHex,
  })
  const run = { agent: 'scanner', org_id: '1', allowed_models: MODELS }
  env = (await admin.call('admin.run.register', run)).env
})
afterAll(() => undo.disposeAsync())

function tokens(): string[] {
  return ['SPIFFE_JWT_PATH', 'TRAT_FILE'].map((name) =>
    readFileSync(env[name] ?? '', 'utf8').trim(),
  )
}

function expectSilent(what: string, text: string): void {
  for (const token of tokens())
    for (const part of token.split('.').slice(1))
      for (const piece of [part.slice(SHOWN), part.slice(0, SHOWN + 9), part.slice(-24)])
        expect(text.includes(piece), `${what} tells a token`).toBe(false)
  for (const [name, key] of Object.entries(FAKE_KEYS))
    expect(leaksIn(text, key), `${what} tells the key of ${name}`).toEqual([])
}

/** Everything that a thrown error can be made to say. */
function wordsOf(error: unknown): string {
  const shown = inspect(error, { depth: 20, showHidden: true, getters: true })
  const { stack = '', cause } = error as Error
  return [String(error), stack, shown, JSON.stringify(error), cause ? wordsOf(cause) : ''].join(
    '\n',
  )
}

function filesUnder(dir: string, skip: RegExp): string {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => !skip.test(path) && statSync(path).isFile())
    .map((path) => readFileSync(path, 'latin1'))
    .join('\n')
}

test('sage §21.39: nothing of a run is told by agent, daemon, log, report or printed object', async () => {
  const context = await AgentContext.fromEnvironment({ env })
  const client = SpiffeGatewayClient.fromEnvironment(env, { maxRetries: 0 })
  const told: string[] = []
  const attempt = async (work: () => Promise<unknown>): Promise<void> => {
    await work().then(
      (value) => told.push(inspect(value, { depth: 9, showHidden: true })),
      (error: unknown) => told.push(wordsOf(error)),
    )
  }
  const failures = [
    (key: string) => ({ status: 401, body: { error: { message: `Incorrect API key: ${key}` } } }),
    (key: string) => ({ status: 400, body: { error: { message: `you sent ${key}` } } }),
    (key: string) => ({ status: 404, body: key, headers: { 'x-request-id': key } }),
    (key: string) => ({ status: 500, body: `<html>${key}</html>` }),
    (key: string) => ({ status: 200, body: `no JSON but ${key}` }),
    (key: string) => ({ status: 429, headers: { 'retry-after': key }, body: key }),
    () => ({ errorAfter: { events: 3, type: 'overloaded_error' } }),
    () => ({ cutAfter: 3 }),
  ]
  for (const ref of MODELS.analysis) {
    const name = ref.split(':')[0] as keyof typeof FAKE_KEYS
    const model = new GatewayChatModel({ client, model: ref, category: 'analysis' })
    for (const failure of failures)
      for (const stream of [false, true]) {
        providers[name].script(failure(FAKE_KEYS[name]))
        await attempt(() => (stream ? model.stream(PROMPT).final() : model.invoke(PROMPT)))
      }
    await attempt(() => model.invoke(`${PROMPT}: my key is ${FAKE_KEYS[name]}`))
    await attempt(() => model.invoke(`${PROMPT}: my token is ${tokens()[1]}`))
    providers[name].script({ text: ANSWER })
    await attempt(async () => (await model.invoke(PROMPT)).usage)
    told.push(inspect(model, { depth: 20, showHidden: true }))
  }
  expect(told.filter((text) => /Error/.test(text)).length).toBeGreaterThan(25)
  const trat = await context.gatewayClient?.getTrat()
  const credentials = await context.gatewayClient?.getCredentials()
  for (const held of [context, context.gatewayClient, client, trat, credentials])
    told.push(inspect(held, { depth: 20, showHidden: true }), String(held), JSON.stringify(held))
  expectSilent('an error or a printed object', told.join('\n'))
  expect(logged.length).toBeGreaterThan(1)
  expectSilent('the agent’s log', logged.join('\n'))

  writeFileSync(join(env['WORK_DIR'] ?? '', 'a.py'), PROMPT)
  providers.openai.script({ status: 401, body: FAKE_KEYS.openai })
  for (const expected of [30, 0]) {
    const child = startChild(process.execPath, ['--conditions=source', '--no-warnings', PROGRAM], {
      ...env,
      REPO_PATH: env['WORK_DIR'] ?? '',
      SAGE_LOG_FORMAT: 'json',
      SAGE_LOG_LEVEL: 'debug',
    })
    const { code, stdout, stderr } = await child.ended
    expect([code, stderr.length > 0]).toEqual([expected, true])
    expectSilent('the agent’s output', stdout + stderr)
  }
  expect(readdirSync(env['OUTPUT_PATH'] ?? '').sort()).toEqual(['results.sarif', 'run.json'])
  expectSilent('the report', filesUnder(env['OUTPUT_PATH'] ?? '', /^$/))
  rmSync(join(env['WORK_DIR'] ?? '', 'a.py'))

  const metrics = await (await fetch(`${daemon.ready.http}/metrics`)).text()
  const log = readFileSync(join(home.audit, 'audit.jsonl'), 'utf8')
  expect(log).toContain('PROVIDER_AUTH_FAILED')
  // The files of the run are where its tokens belong.
  const files = filesUnder(home.dir, /\.jwt$/)
  expectSilent('the daemon', [metrics, warnings.join('\n'), log, files].join('\n'))
  for (const words of [PROMPT, ANSWER])
    expect([log, metrics, warnings.join()].join().includes(words)).toBe(false)
})

describe('a gateway that repeats everything', () => {
  type Echo = (given: { svid: string; trat: string }) => {
    status?: number
    type?: string
    headers?: Record<string, string>
    body: string
  }
  const error = (message: string, code = message, request_id = message) =>
    JSON.stringify({ error: { message, type: message, code, param: message, request_id } })
  const ECHOES: [name: string, echo: Echo][] = [
    [
      'both tokens as a message',
      ({ svid, trat }) => ({ status: 403, body: error(`${svid} ${trat}`) }),
    ],
    ['a whole header', ({ svid }) => ({ status: 401, body: `Authorization: Bearer ${svid}` })],
    ['a signature alone', ({ trat }) => ({ status: 400, body: error(trat.split('.')[2] ?? '') })],
    ['a payload alone', ({ svid }) => ({ status: 500, body: svid.split('.')[1] ?? '' })],
    ['half a token', ({ svid }) => ({ status: 502, body: `near ${svid.slice(svid.length / 2)}` })],
    ['an answer that is no JSON', ({ trat }) => ({ body: `<p>${trat}` })],
    ['an answer of the wrong shape', ({ trat }) => ({ body: JSON.stringify({ choices: trat }) })],
    [
      'a header',
      ({ trat }) => ({
        status: 429,
        headers: { 'retry-after': trat, 'x-request-id': trat },
        body: '',
      }),
    ],
    ['an event', ({ trat }) => ({ type: 'text/event-stream', body: `data: ${error(trat)}\n\n` })],
    [
      'an event that is no JSON',
      ({ trat }) => ({ type: 'text/event-stream', body: `data: {${trat}\n\n` }),
    ],
  ]
  let server: Server
  let path: string
  let echo: Echo = () => ({ body: '' })
  beforeAll(async () => {
    path = join(home.dir, 'echo.sock')
    server = createServer((request, response) => {
      const svid = (request.headers.authorization ?? '').slice(7)
      const {
        status = 200,
        type = 'application/json',
        headers,
        body,
      } = echo({
        svid,
        trat: String(request.headers['txn-token']),
      })
      response.writeHead(status, { 'content-type': type, connection: 'close', ...headers })
      response.end(body)
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
  })
  afterAll(() => new Promise((resolve) => server.close(resolve)))

  test.each(ECHOES)('sage §21.39: %s: no error and no log tells it', async (_name, one) => {
    echo = one
    const client = SpiffeGatewayClient.fromEnvironment(
      { ...env, LLM_GATEWAY_SOCKET: path },
      { maxRetries: 0 },
    )
    const model = new GatewayChatModel({ client, model: 'openai:gpt-4o', category: 'analysis' })
    const embeddings = new GatewayEmbeddings({ client, model: 'text-embedding-3-small' })
    const told: string[] = []
    for (const work of [
      () => model.invoke('x'),
      () => model.stream('x').final(),
      () => embeddings.embedQuery('x'),
    ])
      await work().then(
        () => undefined,
        (thrown: unknown) => told.push(wordsOf(thrown)),
      )
    expect(told.length).toBeGreaterThan(1)
    expectSilent('an error', told.join('\n'))
    expectSilent('the log', logged.join('\n'))
  })
})
