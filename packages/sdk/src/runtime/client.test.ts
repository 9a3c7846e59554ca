import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { withContext } from '@vestry/coat'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ANSWERS } from './answers.test-kit.ts'
import { FakeRuntime, type Scripted } from './fake-runtime.test-kit.ts'
import {
  APIError,
  AuthenticationError,
  AuthenticationExpiredError,
  ConnectionError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  SymbiontClient,
  type SymbiontClientOptions,
  SymbiontError,
  TimeoutError,
  toDate,
} from './index.ts'
import { parseEnvFile, resolveOptions } from './options.ts'

const KEY = 'key-1.a-secret-that-is-nowhere-else'

let server: FakeRuntime
beforeAll(async () => {
  server = await new FakeRuntime().start()
})
afterAll(() => server[Symbol.asyncDispose]())

const clientWith = (options: SymbiontClientOptions = {}) =>
  new SymbiontClient({
    baseUrl: server.baseUrl,
    apiKey: KEY,
    envFile: false,
    maxRetries: 0,
    ...options,
  })

async function failureOf(answer: Scripted, options?: SymbiontClientOptions) {
  server.answer(answer)
  const failed = await clientWith(options)
    .getReviewSession('rev_1')
    .catch((error: unknown) => error)
  expect(failed).toBeInstanceOf(SymbiontError)
  return failed as SymbiontError
}

test.each([
  [401, AuthenticationError, 'Authentication failed - check your API key'],
  [403, PermissionDeniedError, 'API request failed with status 403'],
  [404, NotFoundError, 'Resource not found'],
  [429, RateLimitError, 'Rate limit exceeded - too many requests'],
  [400, APIError, 'API request failed with status 400'],
  [409, APIError, 'API request failed with status 409'],
  [500, APIError, 'API request failed with status 500'],
  [501, APIError, 'API request failed with status 501'],
])('status %i is a %o', async (status, type, message) => {
  const body = {
    error: 'Review rev_1 does not exist',
    code: 'SOME_CODE',
    details: { fields: [{ path: 'tool.name', problem: 'required' }] },
    request_id: 'req_1',
  }
  const error = await failureOf({ status, body })
  expect(error.constructor).toBe(type)
  expect(error.message).toBe(`${message}: ${body.error}`)
  expect(error).toMatchObject({
    name: type.name,
    statusCode: status,
    responseText: JSON.stringify(body),
    code: 'SOME_CODE',
    details: body.details,
    requestId: 'req_1',
  })
})

test('the five kinds are siblings: a 404 is no APIError', async () => {
  const kinds = [APIError, AuthenticationError, NotFoundError, RateLimitError]
  for (const kind of kinds) {
    const error = new kind('x')
    expect(error).toBeInstanceOf(SymbiontError)
    expect(kinds.filter((other) => error instanceof other)).toEqual([kind])
  }
  expect(new TimeoutError('x')).toBeInstanceOf(SymbiontError)
  expect(new ConnectionError('x')).toBeInstanceOf(SymbiontError)
  expect(new PermissionDeniedError('x')).toBeInstanceOf(APIError)
})

test('a token that is past its time is told from a key that is wrong', async () => {
  const error = await failureOf({ status: 401, body: { error: 'The token has Expired' } })
  expect(error.constructor).toBe(AuthenticationExpiredError)
  expect(error).toBeInstanceOf(AuthenticationError)
})

test('an error without the usual body is still one of its kind', async () => {
  const page = await failureOf({
    status: 502,
    headers: { 'x-request-id': 'req_7' },
    body: '<html>Bad gateway</html>',
  })
  expect(page).toMatchObject({
    message: 'API request failed with status 502',
    responseText: '<html>Bad gateway</html>',
    code: undefined,
    details: undefined,
    requestId: 'req_7',
  })
  const odd = await failureOf({ status: 400, body: { error: 7, code: {}, details: null } })
  expect(odd).toMatchObject({ message: 'API request failed with status 400', code: undefined })
  const long = await failureOf({ status: 400, body: { error: 'x'.repeat(100_000) } })
  expect(long.message.length).toBeLessThan(1_100)
})

test('a server that repeats the key does not get it into an error', async () => {
  const error = await failureOf({ status: 401, body: { error: `${KEY} is no key` } })
  expect(inspect(error, { depth: 9 })).not.toContain(KEY)
  expect(error.message).toContain('[secret] is no key')
})

test('redirects are errors and nobody else is shown the key', async () => {
  await using other = await new FakeRuntime().start()
  for (const status of [301, 302, 303, 307, 308]) {
    const error = await failureOf({ status, headers: { location: `${other.baseUrl}/health` } })
    expect(error.constructor).toBe(APIError)
    expect(error).toMatchObject({ statusCode: status, code: 'REDIRECTED' })
  }
  expect(other.seen).toEqual([])
})

test('what is not JSON is an error that does not quote it', async () => {
  const error = await failureOf({ body: 'hvs.not-for-logs' })
  expect(error).toMatchObject({ name: 'APIError', code: 'UNEXPECTED_ANSWER', statusCode: 200 })
  expect(inspect(error, { depth: 9 })).not.toContain('hvs.')
  expect(await failureOf({ body: '' })).toMatchObject({ code: 'UNEXPECTED_ANSWER' })
})

test('an answer above 32 MiB is an error', async () => {
  const error = await failureOf({ body: Buffer.alloc(33_554_433, ' ') })
  expect(error).toMatchObject({ name: 'APIError', code: 'ANSWER_TOO_LARGE' })
})

test('an attempt that takes too long is a TimeoutError, and is not repeated', async () => {
  server.seen.length = 0
  const error = await failureOf({ silent: true }, { timeoutSeconds: 0.0501, maxRetries: 3 })
  expect(error).toMatchObject({ name: 'TimeoutError', code: 'TIMEOUT', statusCode: undefined })
  expect(server.seen).toHaveLength(1)
})

test('a signal ends a call, and the pause before the next attempt, with its own reason', async () => {
  const reason = new Error('enough')
  server.answer({ silent: true })
  const asked = clientWith().healthCheck({ signal: AbortSignal.timeout(50) })
  await expect(asked).rejects.toMatchObject({ name: 'TimeoutError', code: 23 }) // the platform's own
  server.answer({ status: 503, headers: { 'retry-after': '30' } })
  const controller = new AbortController()
  const waiting = clientWith({ maxRetries: 1 }).healthCheck({ signal: controller.signal })
  setTimeout(() => controller.abort(reason), 50)
  await expect(waiting).rejects.toBe(reason)
  const before = server.seen.length
  await expect(clientWith().healthCheck({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  expect(server.seen).toHaveLength(before)
})

test('a connection that fails before there is an answer is tried again', async () => {
  server.seen.length = 0
  server.answer({ drop: 'before' }, { body: ANSWERS.health })
  expect(await clientWith({ maxRetries: 1 }).healthCheck()).toMatchObject({ status: 'healthy' })
  expect(server.seen).toHaveLength(2)
  const error = await failureOf({ drop: 'before' })
  expect(error.constructor).toBe(ConnectionError)
  expect(error.code).toBe('NO_ANSWER')
})

test('an answer that breaks off is an error, and is not asked for again', async () => {
  server.seen.length = 0
  const error = await failureOf({ drop: 'within' }, { maxRetries: 3 })
  expect(error).toMatchObject({ name: 'ConnectionError', code: 'ANSWER_BROKE_OFF' })
  expect(server.seen).toHaveLength(1)
})

test('what passes is tried again as often as it may be, and the last failure is told', async () => {
  server.seen.length = 0
  const soon = { 'retry-after': '0' }
  server.answer(
    { status: 429, headers: soon },
    { status: 502, headers: soon },
    { status: 503, headers: soon },
    { status: 504, headers: { 'retry-after': new Date(0).toUTCString() }, body: { code: 'LAST' } },
  )
  await expect(clientWith({ maxRetries: 3 }).healthCheck()).rejects.toMatchObject({
    statusCode: 504,
    code: 'LAST',
    retryAfter: 0,
  })
  expect(server.seen).toHaveLength(4)
  for (const status of [400, 401, 403, 404, 409, 500, 501]) {
    server.seen.length = 0
    await failureOf({ status, headers: soon }, { maxRetries: 3 })
    expect(server.seen, `${status}`).toHaveLength(1)
  }
})

test('keys for repetition differ from call to call, and are not sent by who never repeats', async () => {
  const request = { agent_id: 'scout', secret_name: 'a', secret_value: 'x' }
  const keys: unknown[] = []
  for (const maxRetries of [1, 1, 0]) {
    server.answer({ body: ANSWERS.secret })
    await clientWith({ maxRetries }).storeSecret(request)
    keys.push(server.last.headers['idempotency-key'])
  }
  expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/)
  expect(keys[1]).not.toBe(keys[0])
  expect(keys[2]).toBeUndefined()
})

test.each([
  ['a/b', 'agents/a%2Fb'],
  ['../health', 'agents/..%2Fhealth'],
  ['a?b#c', 'agents/a%3Fb%23c'],
  ['%2e%2e', 'agents/%252e%252e'],
  ['ü 1', 'agents/%C3%BC%201'],
])('the id %j is one segment of the path', async (agentId, path) => {
  server.answer({ body: ANSWERS.agentStatus })
  await clientWith().getAgentStatus(agentId)
  expect(server.last.path).toBe(path)
})

test('ids that no path can carry are refused before anything is sent', async () => {
  const before = server.seen.length
  const client = clientWith()
  for (const wrong of ['', '.', '..', '\ud800', undefined, 7] as string[]) {
    const refused = client.getAgentStatus(wrong)
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await expect(client.getSecret('scout', wrong)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    })
  }
  await expect(client.getSecret('scout', 'a/../b')).rejects.toBeInstanceOf(SymbiontError)
  await expect(client.getSecret('scout', 'a//b')).rejects.toBeInstanceOf(SymbiontError)
  expect(server.seen).toHaveLength(before)
})

test('what JSON cannot hold is refused instead of dropped', async () => {
  const before = server.seen.length
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  for (const input of [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1n,
    () => 1,
    new Date('never'),
    circle,
  ]) {
    const asked = clientWith().executeAgent('scout', { input: { deep: input } })
    await expect(asked, inspect(input)).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  }
  expect(server.seen).toHaveLength(before)
})

test('times are sent as RFC 3339 and come back as text that becomes a date', async () => {
  server.answer({ body: ANSWERS.health })
  const { timestamp } = await clientWith().healthCheck()
  expect(timestamp).toBe('2031-04-05T06:07:08.090Z')
  expect(toDate(timestamp).getTime()).toBe(Date.parse(timestamp))
})

test('a tool is read under either name of its schema, and nothing of it gets lost', async () => {
  const { schema, ...tool } = ANSWERS.signed.tool
  const odd = JSON.parse(
    '{"type":"object","properties":{"__proto__":{"type":"string"},"10":{},"9":{}},"$defs":{"a":{}}}',
  )
  server.answer({ body: { ...ANSWERS.signed, tool: { ...tool, tool_schema: odd } } })
  const signed = await clientWith().getSignedTool('rev_1')
  expect(Object.keys(signed.tool.schema.properties)).toEqual(['9', '10', '__proto__'])
  expect(signed.tool.schema['$defs']).toEqual({ a: {} })
  expect(signed.tool.schema.required).toEqual([])
  server.answer({ body: [{ ...ANSWERS.tools[0], schema: undefined, tool_schema: schema }] })
  expect((await clientWith().listMcpTools())[0]?.schema).toEqual(schema)
})

test('members that a list has by default are lists, and whole numbers are whole', async () => {
  const { critical_findings: _, ...state } = ANSWERS.review.state
  server.answer({ body: { ...ANSWERS.review, state } })
  const review = await clientWith().getReviewSession('rev_1')
  expect(review.state.critical_findings).toEqual([])
  server.answer({ body: { ...ANSWERS.analysis, risk_score: 80.5 } })
  await expect(clientWith().getAnalysisResults('ana_1')).rejects.toMatchObject({
    code: 'UNEXPECTED_ANSWER',
  })
  server.answer({ body: { ...ANSWERS.review, status: 'Approved' } })
  await expect(clientWith().getReviewSession('rev_1')).rejects.toMatchObject({
    message: expect.stringContaining('status'),
  })
})

test('waiting for a review ends with its decision, with the time, and with the signal', async () => {
  const client = clientWith()
  const waiting = { ...ANSWERS.review, status: 'under_review' }
  server.seen.length = 0
  server.answer(
    { body: waiting },
    { body: waiting },
    { body: { ...ANSWERS.review, status: 'rejected' } },
  )
  const done = await client.waitForReviewCompletion('rev_1', { intervalSeconds: 0.01 })
  expect(done.status).toBe('rejected')
  expect(server.seen).toHaveLength(3)

  server.answer({ body: waiting }, { body: waiting })
  const late = client.waitForReviewCompletion('rev_1', { timeoutSeconds: 0.05 })
  await expect(late).rejects.toBeInstanceOf(TimeoutError)

  server.answer({ body: waiting })
  const signal = AbortSignal.timeout(100)
  const ended = await client.waitForReviewCompletion('rev_1', { signal }).catch((error) => error)
  expect(ended).toBe(signal.reason)
  expect(signal.aborted).toBe(true)

  for (const wrong of [
    { timeoutSeconds: Number.NaN },
    { timeoutSeconds: -1 },
    { intervalSeconds: 0 },
    { intervalSeconds: Number.POSITIVE_INFINITY },
  ]) {
    const asked = client.waitForReviewCompletion('rev_1', wrong)
    await expect(asked, inspect(wrong)).rejects.toMatchObject({ code: 'INVALID_OPTION' })
  }
})

test('the key is in no print of the client', () => {
  const client = clientWith()
  for (const shown of [
    inspect(client, { showHidden: true, depth: 9 }),
    JSON.stringify(client),
    String(client),
    JSON.stringify(Object.entries(client)),
  ])
    expect(shown).not.toContain('a-secret')
  expect(inspect(client)).toContain("apiKey: '[secret]'")
  expect(inspect(clientWith({ apiKey: '' }))).not.toContain('apiKey')
})

test('each option comes from the caller, the environment, the file or the default, in this order', () => {
  const none = resolveOptions({ envFile: false }, {})
  expect(none).toMatchObject({
    apiKey: undefined,
    baseUrl: 'http://localhost:8080/api/v1',
    timeoutMs: 30_000,
    maxRetries: 3,
  })
  const env = {
    SYMBIONT_API_KEY: 'from-env',
    SYMBIONT_BASE_URL: 'https://env.example/api/v1///',
    SYMBIONT_TIMEOUT: '1.5',
    SYMBIONT_MAX_RETRIES: '0',
  }
  expect(resolveOptions({ envFile: false }, env)).toMatchObject({
    apiKey: 'from-env',
    baseUrl: 'https://env.example/api/v1',
    timeoutMs: 1_500,
    maxRetries: 0,
  })
  const given = { apiKey: 'given', baseUrl: 'http://127.0.0.1:9/x/', timeoutSeconds: 1.001 }
  expect(resolveOptions({ ...given, maxRetries: 7, envFile: false }, env)).toMatchObject({
    apiKey: 'given',
    baseUrl: 'http://127.0.0.1:9/x',
    timeoutMs: 1_001,
    maxRetries: 7,
  })
  expect(resolveOptions({ apiKey: '', baseUrl: '', envFile: false }, env)).toMatchObject({
    apiKey: 'from-env',
    baseUrl: 'https://env.example/api/v1',
  })
  expect(resolveOptions({ envFile: false }, { SYMBIONT_API_KEY: '' }).apiKey).toBeUndefined()
})

test('a file is read where the environment is silent, and never changes it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'env-'))
  try {
    const envFile = join(folder, 'my.env')
    writeFileSync(envFile, 'SYMBIONT_API_KEY=filed\nSYMBIONT_TIMEOUT=7\nOTHER=1\n')
    const env = { SYMBIONT_TIMEOUT: '2' }
    expect(resolveOptions({ envFile }, env)).toMatchObject({ apiKey: 'filed', timeoutMs: 2_000 })
    expect(env).toEqual({ SYMBIONT_TIMEOUT: '2' })
    expect(process.env['SYMBIONT_API_KEY']).toBeUndefined()
    expect(() => resolveOptions({ envFile: join(folder, 'none') }, {})).toThrow(
      'envFile cannot be read (ENOENT)',
    )
    const here = process.cwd()
    process.chdir(folder)
    try {
      expect(resolveOptions({}, {}).apiKey).toBeUndefined()
      writeFileSync(join(folder, '.env'), 'SYMBIONT_API_KEY=beside')
      expect(resolveOptions({}, {}).apiKey).toBe('beside')
      expect(resolveOptions({ envFile: false }, {}).apiKey).toBeUndefined()
    } finally {
      process.chdir(here)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('lines of the file are read as they are usually written', () => {
  expect(
    parseEnvFile(`
      # a comment
      SYMBIONT_API_KEY = "quoted # not a comment" # one
      export SYMBIONT_BASE_URL='http://a.example/api#v1'
      SYMBIONT_TIMEOUT=5 # seconds
      SYMBIONT_MAX_RETRIES=
      OPENAI_API_KEY=other
      SYMBIONT without a sign
    `),
  ).toEqual({
    SYMBIONT_API_KEY: 'quoted # not a comment',
    SYMBIONT_BASE_URL: 'http://a.example/api#v1',
    SYMBIONT_TIMEOUT: '5',
    SYMBIONT_MAX_RETRIES: '',
  })
  expect(parseEnvFile('SYMBIONT_API_KEY=a#b\r\nSYMBIONT_API_KEY=later')).toEqual({
    SYMBIONT_API_KEY: 'later',
  })
})

test.each<[object, string]>([
  [{ baseUrl: 'localhost' }, 'baseUrl must be a URL'],
  [{ baseUrl: 'ftp://a.example' }, 'baseUrl must begin with http'],
  [{ baseUrl: 'http://ada:secret@a.example' }, 'must not hold a user name'],
  [{ baseUrl: 'http://a.example/?x=1' }, 'neither a query nor a fragment'],
  [{ baseUrl: 7 }, 'baseUrl must be text'],
  [{ apiKey: 'two words' }, 'apiKey must be printable ASCII'],
  [{ apiKey: 'a\r\nx: y' }, 'apiKey must be printable ASCII'],
  [{ apiKey: 7 }, 'apiKey must be text'],
  [{ timeoutSeconds: 0 }, 'timeoutSeconds must be a number'],
  [{ timeoutSeconds: Number.NaN }, 'timeoutSeconds must be a number'],
  [{ timeoutSeconds: true }, 'timeoutSeconds must be a number'],
  [{ maxRetries: -1 }, 'maxRetries must be a whole number'],
  [{ maxRetries: 1.5 }, 'maxRetries must be a whole number'],
  [{ fetch: 'x' }, 'fetch must be a function'],
  [{ api_key: 'x' }, 'api_key is no option; did you mean apiKey?'],
  [{ retries: 1 }, 'retries is no option'],
])('%j is refused before anything is sent', (options, message) => {
  const make = () => new SymbiontClient({ envFile: false, ...options })
  expect(make).toThrow(SymbiontError)
  expect(make).toThrow(message)
  expect(make).not.toThrow(/secret/)
})

test.each([
  ['SYMBIONT_TIMEOUT', 'soon'],
  ['SYMBIONT_TIMEOUT', ' '],
  ['SYMBIONT_MAX_RETRIES', '2.5'],
  ['SYMBIONT_BASE_URL', 'nowhere'],
])('%s=%j is told, not ignored', (name, value) => {
  expect(() => resolveOptions({ envFile: false }, { [name]: value })).toThrow(SymbiontError)
})

test('a fetch of the caller is used, and without a key no Authorization is sent', async () => {
  const asked: { url: unknown; init: RequestInit | undefined }[] = []
  const fetch: typeof globalThis.fetch = async (url, init) => {
    asked.push({ url, init })
    return Response.json(ANSWERS.health)
  }
  await new SymbiontClient({ envFile: false, fetch }).healthCheck()
  expect(asked[0]?.url).toBe('http://localhost:8080/api/v1/health')
  expect(asked[0]?.init).toMatchObject({ method: 'GET', redirect: 'manual' })
  expect(new Headers(asked[0]?.init?.headers).has('authorization')).toBe(false)
})

test('an answer that is a redirect nobody may look into is one too', async () => {
  const hidden = Object.defineProperty(new Response(null), 'type', { value: 'opaqueredirect' })
  const client = new SymbiontClient({ envFile: false, fetch: async () => hidden })
  await expect(client.healthCheck()).rejects.toMatchObject({ code: 'REDIRECTED' })
})

test('a request inside a span carries its trace, and outside of one nothing is added', async () => {
  server.answer({ body: ANSWERS.health }, { body: ANSWERS.health })
  await clientWith().healthCheck()
  expect(server.last.headers['traceparent']).toBeUndefined()
  const ids = { trace_id: `tr_${'a'.repeat(32)}`, span_id: `sp_${'b'.repeat(16)}` } as const
  await withContext(ids, () => clientWith().healthCheck())
  expect(server.last.headers['traceparent']).toBe(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`)
})
