/** Every way a provider says no, each provider in its own words, and how the gateway tells it. */
import { connect, createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { budgetUse } from '../../packages/server/src/limits/budget.ts'
import { type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import { dataLines, type RawReply, requestBytes } from './raw-http.ts'

const CHAT = '/v1/chat/completions'
const MODELS = {
  openai: 'gpt-4o',
  anthropic: 'claude-sonnet-4-5',
  google: 'gemini-2.5-flash',
} as const
type Name = keyof typeof MODELS
const NAMES = Object.keys(MODELS) as Name[]
const SECRET = 'org-markerOfTheirs'

let world: LlmWorld
let run: RunHeaders
beforeAll(async () => {
  world = await startLlmWorld({
    llm: {
      requests_per_run_minute: 100_000,
      requests_per_org_minute: 100_000,
      requests_per_model_minute: 100_000,
      budgets: { run: { tokens: 100_000_000 } },
    },
  })
  run = await world.run()
})
afterAll(() => world[Symbol.asyncDispose]())

const ask = (name: Name, more: object = {}, at = world, owner = run) =>
  at.post(
    CHAT,
    { model: MODELS[name], messages: [{ role: 'user', content: 'hi' }], ...more },
    { ...tokens(owner), 'X-Provider': name },
  )

function told(reply: RawReply): readonly [status: number, code: unknown] {
  expect(reply.headers).toMatchObject({
    'content-length': String(Buffer.byteLength(reply.body)),
    'content-type': 'application/json',
    connection: 'close',
  })
  for (const name of ['transfer-encoding', 'content-encoding', 'trailer'])
    expect(reply.headers).not.toHaveProperty(name)
  const { error } = JSON.parse(reply.body) as { error: Record<string, unknown> }
  expect(error).toMatchObject({ message: expect.any(String), type: expect.any(String) })
  expect(error['request_id']).toBe(reply.headers['x-request-id'])
  return [reply.status, error['code']]
}

const openai = (message: string, code: string | null = null) => ({
  error: { message, type: 'invalid_request_error', code },
})
const anthropic = (type: string, message = SECRET) => ({ type: 'error', error: { type, message } })
const google = (status: string, message: string = SECRET, details: object[] = []) => ({
  error: { code: 0, message, status, details },
})
const KEY_INVALID = [
  { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' },
]
const delay = (retryDelay: string) => [
  { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay },
]

const ROWS: [name: Name, status: number, body: unknown, told: number, code: string][] = [
  ['openai', 400, openai('a bad value'), 400, 'invalid_request'],
  ['anthropic', 400, anthropic('invalid_request_error'), 400, 'invalid_request'],
  ['google', 400, google('INVALID_ARGUMENT'), 400, 'invalid_request'],
  ['openai', 401, openai(SECRET, 'invalid_api_key'), 500, 'provider_auth_failed'],
  ['openai', 403, openai(SECRET), 500, 'provider_auth_failed'],
  ['openai', 429, openai(SECRET, 'insufficient_quota'), 500, 'provider_auth_failed'],
  [
    'anthropic',
    400,
    anthropic('invalid_request_error', `Your credit balance is too low ${SECRET}`),
    500,
    'provider_auth_failed',
  ],
  ['anthropic', 401, anthropic('authentication_error'), 500, 'provider_auth_failed'],
  ['anthropic', 403, anthropic('permission_error'), 500, 'provider_auth_failed'],
  ['google', 400, google('INVALID_ARGUMENT', SECRET, KEY_INVALID), 500, 'provider_auth_failed'],
  [
    'google',
    400,
    google('FAILED_PRECONDITION', `enable billing ${SECRET}`),
    500,
    'provider_auth_failed',
  ],
  ['google', 403, google('PERMISSION_DENIED'), 500, 'provider_auth_failed'],
  ['openai', 404, openai('no such model', 'model_not_found'), 404, 'model_not_found'],
  ['anthropic', 404, anthropic('not_found_error'), 404, 'model_not_found'],
  ['google', 404, google('NOT_FOUND'), 404, 'model_not_found'],
  ['openai', 413, openai('too large'), 413, 'request_too_large'],
  ['anthropic', 413, anthropic('request_too_large'), 413, 'request_too_large'],
  ['google', 413, google('INVALID_ARGUMENT'), 413, 'request_too_large'],
  ['openai', 408, openai('timeout'), 504, 'provider_timeout'],
  ['anthropic', 408, anthropic('timeout_error'), 504, 'provider_timeout'],
  ['google', 408, google('DEADLINE_EXCEEDED'), 504, 'provider_timeout'],
  ['openai', 429, openai('slow down', 'rate_limit_exceeded'), 429, 'provider_rate_limited'],
  ['anthropic', 429, anthropic('rate_limit_error'), 429, 'provider_rate_limited'],
  ['google', 429, google('RESOURCE_EXHAUSTED'), 429, 'provider_rate_limited'],
  ['openai', 500, openai('oops', 'server_error'), 502, 'provider_error'],
  ['anthropic', 500, anthropic('api_error'), 502, 'provider_error'],
  ['google', 500, google('INTERNAL'), 502, 'provider_error'],
  ['openai', 503, openai('busy'), 503, 'provider_overloaded'],
  ['anthropic', 503, anthropic('overloaded_error'), 503, 'provider_overloaded'],
  ['anthropic', 529, anthropic('overloaded_error'), 503, 'provider_overloaded'],
  ['google', 503, google('UNAVAILABLE'), 503, 'provider_overloaded'],
  ['openai', 504, openai('late'), 504, 'provider_timeout'],
  ['anthropic', 504, anthropic('timeout_error'), 504, 'provider_timeout'],
  ['google', 504, google('DEADLINE_EXCEEDED'), 504, 'provider_timeout'],
]

/** What the log calls what this wire calls otherwise. */
const RECORDED: Readonly<Record<string, string>> = { invalid_request: 'BAD_REQUEST' }

describe.each([
  ['whole', false],
  ['streamed', true],
])('%s', (_how, stream) => {
  test.each(ROWS)(
    'sage §21.30: %s answering %i %j is told as %i %s',
    async (name, status, body, code, word) => {
      world.fakes[name].script({ status, body })
      const reply = await ask(name, { stream })
      expect(told(reply)).toEqual([code, word])
      expect(reply.headers).not.toHaveProperty('retry-after', '0')
      const record = (await world.audit()).findLast(({ phase }) => phase === 'outcome')
      expect(record).toMatchObject({
        success: false,
        outcome: {
          code: RECORDED[word] ?? word.toUpperCase(),
          status: code,
          provider_status: status,
        },
      })
      if (word !== 'provider_auth_failed') return
      expect(reply.body).not.toContain(SECRET)
      expect(JSON.stringify(record)).not.toContain(SECRET)
      expect(record?.outcome).toMatchObject({ alert: 'provider_key' })
    },
  )

  test.each(NAMES)('sage §21.30: a redirect of %s is followed by nobody', async (name) => {
    const location = `${world.fakes.openai.origin}/elsewhere`
    world.fakes[name].script({ status: 307, body: '', headers: { location } })
    expect(told(await ask(name, { stream }))).toEqual([502, 'provider_error'])
    expect(world.fakes.openai.requests.some(({ path }) => path === '/elsewhere')).toBe(false)
  })
})

test.each([
  ['7', '7'],
  ['0', '1'],
  ['0.2', '1'],
  ['3600', '60'],
  ['-5', undefined],
  ['soon', undefined],
  ['1e9', undefined],
  ['', undefined],
  ['Fri, 20 Nov 2099 11:00:00 GMT', '60'],
  ['Fri, 20 Nov 2020 11:00:00 GMT', '1'],
])('sage §21.30: a Retry-After of %j is told as %j', async (given, wait) => {
  world.fakes.openai.script({ status: 429, headers: { 'retry-after': given }, body: openai('x') })
  const reply = await ask('openai')
  expect(told(reply)).toEqual([429, 'provider_rate_limited'])
  expect(reply.headers['retry-after']).toBe(wait)
})

test.each([
  ['17.5s', '18'],
  ['900s', '60'],
  ['-1s', undefined],
])('sage §21.30: Google’s delay of %s is told as %j', async (given, wait) => {
  const body = google('RESOURCE_EXHAUSTED', 'slow', delay(given))
  world.fakes.google.script({ status: 429, body })
  expect((await ask('google')).headers['retry-after']).toBe(wait)
})

describe('sage §21.30: nobody there', () => {
  test('a port that refuses, a server that speaks no HTTP and a name that does not exist are bad gateways', async () => {
    const noise = createServer((socket) => socket.resume().end('220 mail.example ESMTP\r\n'))
    await new Promise<void>((resolve) => noise.listen(0, '127.0.0.1', resolve))
    const { port } = noise.address() as { port: number }
    const gone = world.fakes.google.url.replace(/\d+$/, '1')
    await using lost = await startLlmWorld({
      llm: {
        providers: {
          openai: { base_url: `http://127.0.0.1:${port}` },
          anthropic: { base_url: 'http://no-such-host.invalid' },
          google: { base_url: gone },
        },
      },
    })
    const owner = await lost.run()
    for (const name of NAMES)
      for (const stream of [false, true]) {
        const reply = await ask(name, { stream }, lost, owner)
        expect([name, ...told(reply)]).toEqual([name, 502, 'provider_error'])
      }
    await new Promise((resolve) => noise.close(resolve))
  })

  test('a server without TLS where TLS is expected is a bad gateway', async () => {
    const url = world.fakes.openai.url.replace('http:', 'https:')
    await using lost = await startLlmWorld({ llm: { providers: { openai: { base_url: url } } } })
    expect(told(await ask('openai', {}, lost, await lost.run()))).toEqual([502, 'provider_error'])
  })
})

describe('answers that are too large', () => {
  test('in one piece are given up', async () => {
    world.fakes.openai.script({ body: `"${'x'.repeat(65 * 1_024 * 1_024)}"` })
    expect(told(await ask('openai'))).toEqual([502, 'provider_error'])
    await expect.poll(() => world.fakes.openai.inFlight).toBe(0)
  })

  test.each(NAMES)('a line of a stream of %s that does not end is given up', async (name) => {
    world.fakes[name].script({
      body: `data: {"huge":"${'x'.repeat(40 * 1_024 * 1_024)}`,
      headers: { 'content-type': 'text/event-stream' },
    })
    const reply = await ask(name, { stream: true })
    const error = reply.status === 200 ? dataLines(reply.body).at(-1) : reply.body
    expect(JSON.parse(error ?? '')).toMatchObject({ error: { code: 'provider_error' } })
    expect(reply.body.length).toBeLessThan(1_048_576)
    await expect.poll(() => world.fakes[name].inFlight).toBe(0)
    expect((await world.get('/health')).status).toBe(200)
  })
})

test('a client that leaves in the middle pays for what it got, and holds nothing', async () => {
  const owner = await world.run()
  const key = `llm:run:${owner.run.id}:tokens`
  world.fakes.openai.script({ text: 'word '.repeat(400), pauseMs: 5 })
  const body = { model: MODELS.openai, messages: [{ role: 'user', content: 'hi' }], stream: true }
  const bytes = requestBytes('POST', CHAT, { ...tokens(owner), 'X-Provider': 'openai' }, body)
  const socket = connect(world.socket, () => socket.write(bytes))
  await new Promise((resolve) => socket.once('data', resolve))
  expect((await budgetUse(world.parts.store.db, key)).reserved).toBeGreaterThan(0)
  socket.destroy()
  await expect.poll(async () => (await budgetUse(world.parts.store.db, key)).reserved).toBe(0)
  const { spent } = await budgetUse(world.parts.store.db, key)
  expect(spent).toBeGreaterThan(0)
  expect(spent).toBeLessThan(1_000)
})

test('whatever went wrong, no budget is held for it any more', async () => {
  const use = await budgetUse(world.parts.store.db, `llm:run:${run.run.id}:tokens`)
  expect(use.reserved).toBe(0)
})
