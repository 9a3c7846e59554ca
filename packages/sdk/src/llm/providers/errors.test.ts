import { expect, test } from 'vitest'
import { anthropic, google, openai, type Provider, ProviderFault } from './index.ts'
import { redacted } from './redact.ts'
import { retryAfterOf } from './retry-after.ts'

const KEY = 'sk-proj-abcdefghijklmnop'
const openAi = (message: string, code: string | null = null) => ({
  error: { message, type: 'invalid_request_error', code },
})
const claude = (type: string, message = 'words') => ({ type: 'error', error: { type, message } })
const gemini = (status: string, details: unknown[] = [], message = 'words') => ({
  error: { code: 0, message, status, details },
})
const reason = (name: string) => [{ '@type': 'x/google.rpc.ErrorInfo', reason: name }]

const rows: [Provider, number, unknown, string, number][] = [
  [openai, 400, openAi('words'), 'invalid_request', 400],
  [openai, 422, openAi('words'), 'invalid_request', 400],
  [openai, 400, openAi('words', 'context_length_exceeded'), 'context_length_exceeded', 400],
  [openai, 400, openAi('the maximum context length is 8'), 'context_length_exceeded', 400],
  [openai, 400, openAi('words', 'content_policy_violation'), 'content_filter', 400],
  [openai, 400, openAi('words', 'invalid_api_key'), 'provider_auth_failed', 500],
  [openai, 401, openAi('words', 'invalid_api_key'), 'provider_auth_failed', 500],
  [openai, 403, openAi('words'), 'provider_auth_failed', 500],
  [openai, 429, openAi('words', 'insufficient_quota'), 'provider_auth_failed', 500],
  [openai, 404, openAi('words', 'model_not_found'), 'model_not_found', 404],
  [openai, 408, openAi('words'), 'provider_timeout', 504],
  [openai, 413, openAi('words'), 'request_too_large', 413],
  [openai, 429, openAi('words', 'rate_limit_exceeded'), 'provider_rate_limited', 429],
  [openai, 500, openAi('words', 'server_error'), 'provider_error', 502],
  [openai, 502, '<html>bad gateway</html>', 'provider_error', 502],
  [openai, 503, openAi('words', 'server_error'), 'provider_overloaded', 503],
  [openai, 504, '', 'provider_timeout', 504],
  [openai, 302, '', 'provider_error', 502],
  [anthropic, 400, claude('invalid_request_error'), 'invalid_request', 400],
  [
    anthropic,
    400,
    claude('invalid_request_error', 'prompt is too long: 9 tokens > 8 maximum'),
    'context_length_exceeded',
    400,
  ],
  [
    anthropic,
    400,
    claude('invalid_request_error', 'Your credit balance is too low'),
    'provider_auth_failed',
    500,
  ],
  [anthropic, 401, claude('authentication_error'), 'provider_auth_failed', 500],
  [anthropic, 402, claude('billing_error'), 'provider_auth_failed', 500],
  [anthropic, 403, claude('permission_error'), 'provider_auth_failed', 500],
  [anthropic, 404, claude('not_found_error'), 'model_not_found', 404],
  [anthropic, 413, claude('request_too_large'), 'request_too_large', 413],
  [anthropic, 429, claude('rate_limit_error'), 'provider_rate_limited', 429],
  [anthropic, 500, claude('api_error'), 'provider_error', 502],
  [anthropic, 503, claude('api_error'), 'provider_overloaded', 503],
  [anthropic, 504, claude('timeout_error'), 'provider_timeout', 504],
  [anthropic, 529, claude('overloaded_error'), 'provider_overloaded', 503],
  [google, 400, gemini('INVALID_ARGUMENT'), 'invalid_request', 400],
  [
    google,
    400,
    gemini('INVALID_ARGUMENT', [], 'The input token count (9) exceeds the maximum (8)'),
    'context_length_exceeded',
    400,
  ],
  [google, 400, gemini('INVALID_ARGUMENT', reason('API_KEY_INVALID')), 'provider_auth_failed', 500],
  [google, 400, gemini('INVALID_ARGUMENT', [], 'API key not valid.'), 'provider_auth_failed', 500],
  [google, 400, gemini('FAILED_PRECONDITION', [], 'enable billing'), 'provider_auth_failed', 500],
  [
    google,
    400,
    gemini('INVALID_ARGUMENT', [], 'Unknown name "api_key" at tools[0].billing'),
    'invalid_request',
    400,
  ],
  [
    anthropic,
    400,
    claude('invalid_request_error', 'tools.0.name: "billing_lookup" is taken'),
    'invalid_request',
    400,
  ],
  [google, 413, gemini('INVALID_ARGUMENT'), 'request_too_large', 413],
  [anthropic, 413, claude('invalid_request_error'), 'request_too_large', 413],
  [google, 401, gemini('UNAUTHENTICATED'), 'provider_auth_failed', 500],
  [google, 403, gemini('PERMISSION_DENIED'), 'provider_auth_failed', 500],
  [google, 404, gemini('NOT_FOUND'), 'model_not_found', 404],
  [
    google,
    429,
    gemini('RESOURCE_EXHAUSTED', [], 'check your plan and billing details'),
    'provider_rate_limited',
    429,
  ],
  [google, 429, [gemini('RESOURCE_EXHAUSTED')], 'provider_rate_limited', 429],
  [google, 500, gemini('INTERNAL'), 'provider_error', 502],
  [google, 503, gemini('UNAVAILABLE'), 'provider_overloaded', 503],
  [google, 504, gemini('DEADLINE_EXCEEDED'), 'provider_timeout', 504],
]

test.each(
  rows.map(([provider, status, body, code, ours]) => ({
    provider,
    id: provider.id,
    status,
    body,
    code,
    ours,
  })),
)('sage §21.30: $id $status $body is $code', ({ provider, status, body, code, ours }) => {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const fault = provider.readError(status, {}, text)
  expect(fault).toBeInstanceOf(ProviderFault)
  expect(fault).toMatchObject({ code, status: ours, retryAfterSeconds: undefined })
})

test('sage §21.30: what a provider says about our key is not passed on', () => {
  const said = `Incorrect API key provided: ${KEY}, org-secret`
  const faults = [
    openai.readError(401, {}, JSON.stringify(openAi(said, 'invalid_api_key'))),
    anthropic.readError(401, {}, JSON.stringify(claude('authentication_error', said))),
    google.readError(
      400,
      {},
      JSON.stringify(gemini('INVALID_ARGUMENT', reason('API_KEY_INVALID'), said)),
    ),
  ]
  for (const fault of faults) {
    expect(fault.code).toBe('provider_auth_failed')
    expect(fault.message).not.toMatch(/Incorrect|sk-|org-/)
  }
})

test('a complaint about the request is quoted, without secrets and not at length', () => {
  const said = `bad value near ${KEY} and Bearer abc.def ${'é'.repeat(4000)}`
  const { message } = openai.readError(400, {}, JSON.stringify(openAi(said)))
  expect(message).toContain('bad value near [redacted] and [redacted]')
  expect(new TextEncoder().encode(message).length).toBeLessThan(2100)
})

test('a cut text ends with a whole character', () => {
  for (const lead of ['', 'a', 'ab', 'abc']) {
    const shown = redacted(lead + '🦜'.repeat(2000))
    expect(shown).toMatch(/^[abc]*(?:🦜)+…$/u)
    expect(new TextEncoder().encode(shown).length).toBeLessThanOrEqual(2048)
  }
})

test('page-long answers that are no JSON are cut, also for servers with OpenAI’s API', () => {
  expect(openai.readError(400, {}, 'x'.repeat(1e6)).message.length).toBeLessThan(2100)
  expect(openai.readError(400, {}, '{"error":"no such thing"}').message).toContain('no such thing')
  expect(openai.readError(400, {}, '{"message":"no such thing"}').message).toContain(
    'no such thing',
  )
})

test.each([
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln',
  'Bearer abcdef',
  'sk-ant-api03-abcdefgh',
  'sk-proj-****************abcd',
  'AIzaSyA1234567890abcdefg',
  'ghp_abcdefghijklmnop',
  'AKIAIOSFODNN7EXAMPLE',
])('%s is not shown', (secret) => {
  expect(redacted(`a "${secret}" b`)).toBe('a "[redacted]" b')
})

test('a key in an address loses its value only', () => {
  expect(redacted('GET https://e.org/x?key=abc&y=1')).toBe('GET https://e.org/x?key=[redacted]&y=1')
})

const date = 'Fri, 20 Nov 2026 12:00:00 GMT'
test.each<[string, number | undefined]>([
  ['7', 7],
  ['0.2', 1],
  ['2.1', 3],
  ['0', 1],
  ['3600', 60],
  ['Fri, 20 Nov 2026 12:00:05 GMT', 5],
  ['Fri, 20 Nov 2026 11:00:00 GMT', 1],
  ['Fri, 20 Nov 2027 11:00:00 GMT', 60],
  ['-5', undefined],
  ['', undefined],
  ['soon', undefined],
  ['1e9', undefined],
  ['7 s', undefined],
  ['NaN', undefined],
])('Retry-After "%s" is %s', (given, seconds) => {
  expect(retryAfterOf({ 'retry-after': given, date })).toBe(seconds)
})

test('a wait is told for throttling and overload only', () => {
  const headers = { 'retry-after': '7' }
  expect(openai.readError(429, headers, '{}').retryAfterSeconds).toBe(7)
  expect(anthropic.readError(529, headers, '{}').retryAfterSeconds).toBe(7)
  expect(openai.readError(500, headers, '{}').retryAfterSeconds).toBeUndefined()
  expect(openai.readError(400, headers, '{}').retryAfterSeconds).toBeUndefined()
})

test('Google’s own delay counts when there is no header', () => {
  const body = (retryDelay: unknown) =>
    JSON.stringify(
      gemini('RESOURCE_EXHAUSTED', [{ '@type': 'x/google.rpc.RetryInfo', retryDelay }]),
    )
  const wait = (delay: unknown, headers = {}) =>
    google.readError(429, headers, body(delay)).retryAfterSeconds
  expect(wait('17.5s')).toBe(18)
  expect(wait('900s')).toBe(60)
  expect(wait('0s')).toBe(1)
  expect(wait('-1s')).toBeUndefined()
  expect(wait(5)).toBeUndefined()
  expect(wait('17.5s', { 'retry-after': '3' })).toBe(3)
})
