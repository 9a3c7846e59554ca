/** Anthropic’s own API by every way a tool may take: the bridge, the forwarder, both, and against the provider itself. */
import { mkdtempSync, rmSync } from 'node:fs'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Bridge, configureLogging, startBridge } from '@vestry/sdk/agent'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { dialer } from '../../packages/server/src/egress/dial.ts'
import { Forwarder } from '../../packages/server/src/forward/forwarder.ts'
import { startTestDaemon } from '../harness/daemon.ts'
import { FAKE_KEYS, type FakeProviders, startFakeProviders } from '../harness/fake-providers.ts'

const undo = new AsyncDisposableStack()
let providers: FakeProviders
let direct: Bridge
let forwarded: Bridge

beforeAll(async () => {
  configureLogging({ write: () => undefined })
  providers = await startFakeProviders()
  const vestry = undo.use(
    await startTestDaemon({
      config: {
        egress: { allow_cidrs: ['127.0.0.1/32'] },
        llm: {
          providers: {
            anthropic: { base_url: providers.anthropic.url },
          },
        },
      },
    }),
  )
  undo.use(providers)
  await vestry.addCredential('llm/anthropic', FAKE_KEYS.anthropic)
  await vestry.addAgent('scanner')
  const { env } = await vestry.admin.call('admin.run.register', {
    agent: 'scanner',
    org_id: '90210',
    allowed_models: { analysis: ['anthropic:claude-sonnet-4-5'] },
  })
  const { hostname: host, port } = new URL(vestry.daemon.ready.http)
  const dial = dialer({ host, port: Number(port), tls: false }, { timeoutMs: 2_000 })
  const forwarder = new Forwarder({ dial })
  const place = undo.adopt(mkdtempSync(join(tmpdir(), 'native-')), (dir) =>
    rmSync(dir, { recursive: true, force: true }),
  )
  await forwarder.listen(join(place, 'fw.sock'), 0o600)
  undo.defer(() => forwarder.close(0))
  const bridge = async (more: object): Promise<Bridge> => {
    const made = await startBridge({ ...env, SAGE_BRIDGE_LISTEN: '127.0.0.1:0', ...more })
    undo.defer(() => made.close())
    return made
  }
  direct = await bridge({})
  forwarded = await bridge({ LLM_GATEWAY_SOCKET: join(place, 'fw.sock') })
})
afterAll(async () => {
  configureLogging()
  await undo.disposeAsync()
})

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** As the tool sends it: with the key it was given, or, to the provider, with the real one. */
function send(
  url: string,
  body: object,
  key = 'gateway-injected',
  path = '/v1/messages',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'anthropic-version': '2023-06-01',
      'x-api-key': key,
      authorization: 'Bearer of-the-tool',
    }
    const call = request(`${url}${path}`, { method: 'POST', headers, agent: false }, (reply) => {
      text(reply).then(
        (got) => resolve({ status: reply.statusCode, headers: reply.headers, body: got }),
        reject,
      )
    })
    call.once('error', reject)
    call.end(JSON.stringify(body))
  })
}

const ASK = {
  model: 'claude-sonnet-4-5',
  max_tokens: 64,
  messages: [{ role: 'user', content: 'Is it safe?' }],
}

test.each([
  ['the bridge', () => direct.url],
  ['the bridge and a forwarder', () => forwarded.url],
])('sage §21.31: by %s an answer is the provider’s own, whole and streamed', async (_way, url) => {
  const fake = providers.anthropic
  for (const body of [ASK, { ...ASK, stream: true }]) {
    fake.script({ text: 'Größtenteils ✓', pieceBytes: 7 })
    const theirs = await send(fake.url, body, FAKE_KEYS.anthropic)
    fake.script({ text: 'Größtenteils ✓', pieceBytes: 7 })
    const ours = await send(url(), body)
    expect(ours.body).toBe(theirs.body)
    expect(ours.status).toBe(200)
    expect(ours.headers['content-type']).toContain(theirs.headers['content-type'])
    const seen = fake.requests.at(-1)
    expect(seen?.body).toEqual(body)
    expect(seen?.headers).toMatchObject({ 'x-api-key': FAKE_KEYS.anthropic })
    for (const name of ['txn-token', 'authorization'])
      expect(seen?.headers).not.toHaveProperty(name)
  }
  const counted = await send(
    url(),
    { model: ASK.model, messages: ASK.messages },
    undefined,
    '/v1/messages/count_tokens',
  )
  expect(JSON.parse(counted.body)).toHaveProperty('input_tokens')
})

test('sage §21.31: a model outside the run is refused in Anthropic’s words', async () => {
  const { status, body } = await send(forwarded.url, { ...ASK, model: 'claude-opus-4-1' })
  expect(status).toBe(403)
  expect(JSON.parse(body)).toMatchObject({ type: 'error', error: { type: 'permission_error' } })
})
