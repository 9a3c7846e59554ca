import { describe, expect, it, test } from 'vitest'
import { serpapi } from './serpapi.ts'
import { actionOf, CONTEXT, problemsOf, reply } from './test-context.ts'
import type { JsonObject } from './tool.ts'

const tool = serpapi()
const search = actionOf(tool, 'search')

test('the seed’s call is taken as it is, with defaults filled in', () => {
  expect(search.normalise({ q: 'openai canada', engine: 'google' })).toEqual({
    q: 'openai canada',
    engine: 'google',
    num: 10,
    start: 0,
  })
})

test('query is another word for q, and intents and idempotency keys are removed', () => {
  expect(
    search.normalise({ query: 'a', intent: 'x', idempotency_key: 'k', idempotencyKey: 'k' }),
  ).toEqual({ q: 'a', engine: 'google', num: 10, start: 0 })
})

test('safe is sent only when it was given', () => {
  expect(search.normalise({ q: 'a', safe: 'off' })).toHaveProperty('safe', 'off')
})

test.each<[string, JsonObject, string]>([
  ['no q', {}, 'q: is required'],
  ['an empty q', { q: '' }, 'q: must not be empty'],
  ['a long q', { q: 'x'.repeat(501) }, 'q: must have at most 500 characters'],
  ['a long query', { query: 'x'.repeat(501) }, 'query: must have at most 500 characters'],
  ['a q of another type', { q: 5 }, 'q: must be text'],
  [
    'an engine outside its alphabet',
    { q: 'a', engine: 'Google' },
    'engine: does not have the required form',
  ],
  ['num 0', { q: 'a', num: 0 }, 'num: must be at least 1'],
  ['num 101', { q: 'a', num: 101 }, 'num: must be at most 100'],
  ['a fraction', { q: 'a', num: 1.5 }, 'num: must be a whole number'],
  ['a negative start', { q: 'a', start: -1 }, 'start: must be at least 0'],
  ['another safe', { q: 'a', safe: 'strict' }, 'safe: must be one of active, off'],
  ['a location of another type', { q: 'a', location: 7 }, 'location: must be text'],
])('%s is refused', (_name, params, problem) => {
  expect(problemsOf(search, params)).toEqual([problem])
})

test('all problems are told at once', () => {
  expect(problemsOf(search, { num: 0, start: -1 })).toEqual([
    'q: is required',
    'num: must be at least 1',
    'start: must be at least 0',
  ])
})

describe('other keys', () => {
  it('are forwarded if they are scalar, but for those that change who pays or what comes back', () => {
    const params = search.normalise({
      q: 'a',
      gl: 'ca',
      page: 2,
      as_dt: true,
      api_key: 'stolen',
      API_KEY: 'stolen',
      'api_key[]': 'stolen',
      ' api_key': 'stolen',
      no_cache: true,
      async: true,
      output: 'html',
      list: ['x'],
      nothing: null,
      object: { a: 1 },
    })
    expect(params).toEqual({
      q: 'a',
      engine: 'google',
      num: 10,
      start: 0,
      gl: 'ca',
      page: 2,
      as_dt: true,
    })
  })

  it('with the names of prototypes do nothing', () => {
    const given = JSON.parse('{"q":"a","__proto__":{"num":99},"constructor":"x"}') as JsonObject
    const params = search.normalise(given)
    expect(Object.keys(params)).toEqual(['q', 'engine', 'num', 'start'])
    expect(params['num']).toBe(10)
  })
})

test('gateway §19.7: hostile names and values leave no word of a denial in the problems', () => {
  expect(problemsOf(search, { q: 'scope '.repeat(200), engine: 'policy!', safe: 'scope' })).toEqual(
    [
      'q: must have at most 500 characters',
      'engine: does not have the required form',
      'safe: must be one of active, off',
    ],
  )
})

test('the provider is asked with every param and without the credential', () => {
  const request = search.request(search.normalise({ q: 'a b&c', start: 10, gl: 'ca' }), CONTEXT)
  expect(request).toEqual({
    url: 'https://serpapi.com/search?q=a+b%26c&start=10&gl=ca&engine=google&num=10',
    method: 'GET',
    headers: [['Accept', 'application/json']],
    timeoutMs: 30_000,
    maxResponseBytes: 1_048_576,
    followRedirects: false,
  })
  expect(tool.credential).toEqual({ path: 'tools/serpapi', inject: { query: 'api_key' } })
  expect([search.permission, search.repeatable, search.cacheMs]).toEqual(['read', true, 60_000])
})

test('base URL and credential can be elsewhere, which makes it another tool', () => {
  const local = serpapi({ baseUrl: 'http://127.0.0.1:9/', credentialPath: 'other/key' })
  expect(actionOf(local, 'search').request({ q: 'a' }, CONTEXT).url).toBe(
    'http://127.0.0.1:9/search?q=a',
  )
  expect(local.credential?.path).toBe('other/key')
  expect(local.digest).not.toBe(tool.digest)
  expect(serpapi().digest).toBe(tool.digest)
  expect(tool.digest).toMatch(/^sha256:[0-9a-f]{64}$/)
})

test('the result is the provider’s JSON; errors and unreadable answers are failures', () => {
  const body = { organic_results: [{ title: 'x' }], search_metadata: { status: 'Success' } }
  expect(search.result(reply(200, body), {}, CONTEXT)).toEqual(body)
  const failure = (status: number, text: string, headers = {}) => {
    try {
      search.result(reply(status, text, headers), {}, CONTEXT)
    } catch (error) {
      return error
    }
  }
  expect(failure(200, '<html>')).toMatchObject({ kind: 'failed', upstreamStatus: 200 })
  expect(failure(200, '['.repeat(300) + ']'.repeat(300))).toMatchObject({ kind: 'failed' })
  expect(failure(302, '')).toMatchObject({ kind: 'rejected', upstreamStatus: 302 })
  expect(failure(401, '{"error":"bad key"}')).toMatchObject({ kind: 'auth' })
  expect(failure(429, '', { 'retry-after': '7' })).toMatchObject({
    kind: 'rate_limited',
    retryAfter: 7,
  })
  expect(failure(503, '')).toMatchObject({ kind: 'failed', upstreamStatus: 503 })
  expect(String(failure(401, '{"error":"bad key"}'))).not.toContain('bad key')
})

test('the mock answers as many results as asked for, at most ten', () => {
  const params = search.normalise({ q: 'a b', num: 2 })
  expect(search.mock(params, CONTEXT)).toEqual({
    source: 'serpapi-mock',
    query: 'a b',
    results: [
      { title: 'Result 1 for a b', url: 'https://example.com/a%20b/1' },
      { title: 'Result 2 for a b', url: 'https://example.com/a%20b/2' },
    ],
    organic_results: [
      {
        position: 1,
        title: 'Result 1 for a b',
        link: 'https://example.com/a%20b/1',
        snippet: 'mock',
      },
      {
        position: 2,
        title: 'Result 2 for a b',
        link: 'https://example.com/a%20b/2',
        snippet: 'mock',
      },
    ],
    search_metadata: { status: 'Success' },
    ts: CONTEXT.nowMs,
  })
  const many = search.mock(search.normalise({ q: 'a', num: 50 }), CONTEXT) as { results: unknown[] }
  expect(many.results).toHaveLength(10)
})
