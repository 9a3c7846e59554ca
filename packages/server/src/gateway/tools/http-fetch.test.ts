import { describe, expect, it, test } from 'vitest'
import { httpFetch } from './http-fetch.ts'
import { actionOf, CONTEXT, problemsOf, reply } from './test-context.ts'
import type { JsonObject, UpstreamReply } from './tool.ts'

const tool = httpFetch()
const get = actionOf(tool, 'get')
const head = actionOf(tool, 'head')
const url = 'https://example.com/page'

test('the seed’s call is taken as it is, with defaults filled in', () => {
  expect(get.normalise({ url: 'https://example.com' })).toEqual({
    url: 'https://example.com',
    timeout: 10_000,
    maxSize: 1_048_576,
  })
})

test('timeoutMs is another word for timeout; unknown keys are ignored', () => {
  expect(get.normalise({ url, timeoutMs: 2_000, method: 'POST', intent: 'x' })).toEqual({
    url,
    timeout: 2_000,
    maxSize: 1_048_576,
  })
})

test.each<[string, JsonObject, string]>([
  ['no url', {}, 'url: is required'],
  ['an empty url', { url: '' }, 'url: must not be empty'],
  ['a url of another type', { url: 1 }, 'url: must be text'],
  ['a timeout too short', { url, timeout: 999 }, 'timeout: must be at least 1000'],
  ['a timeout too long', { url, timeoutMs: 30_001 }, 'timeoutMs: must be at most 30000'],
  ['a size too big', { url, maxSize: 5_242_881 }, 'maxSize: must be at most 5242880'],
  ['no size', { url, maxSize: 0 }, 'maxSize: must be at least 1'],
  ['headers that are no map', { url, headers: ['a'] }, 'headers: must be an object'],
  ['a header of another type', { url, headers: { accept: 1 } }, 'headers.accept: must be text'],
  [
    'an ignored header of another type',
    { url, headers: { cookie: 1 } },
    'headers: must hold text only',
  ],
  [
    'a line break',
    { url, headers: { range: 'a\r\nx: y' } },
    'headers.range: does not have the required form',
  ],
  [
    'a header beyond Latin-1',
    { url, headers: { accept: '€' } },
    'headers.accept: does not have the required form',
  ],
  [
    'two spellings',
    { url, headers: { Accept: 'a', accept: 'b' } },
    'headers.accept: is given twice',
  ],
])('%s is refused', (_name, params, problem) => {
  expect(problemsOf(get, params)).toEqual([problem])
  expect(problemsOf(head, params)).toEqual([problem])
})

test.each([
  '/relative',
  'example.com',
  'ftp://example.com/',
  'file:///etc/passwd',
  'javascript:alert(1)',
  'https://user:pw@example.com/',
  'https://@example.com/',
  'https://exa mple.com/',
  'https://example.com/\r\n',
  'https://',
])('%j is no URL to fetch', (bad) => {
  expect(problemsOf(get, { url: bad })).toEqual([
    'url: must be an absolute http or https URL without user info',
  ])
})

test('only five of the caller’s headers are forwarded', () => {
  const params = get.normalise({
    url,
    headers: {
      Accept: 'text/html',
      'Accept-Language': 'fr',
      'If-None-Match': '"x"',
      'If-Modified-Since': 'Tue, 01 Jan 2030 00:00:00 GMT',
      Range: 'bytes=0-9',
      Authorization: 'Bearer stolen',
      Cookie: 'a=b',
      Host: 'evil.example',
      'X-Forwarded-For': '127.0.0.1',
      'User-Agent': 'me',
    },
    timeout: 3_000,
    maxSize: 99,
  })
  expect(get.request(params, CONTEXT)).toEqual({
    url,
    method: 'GET',
    headers: [
      ['User-Agent', '4Runr-Gateway/1.0'],
      ['accept', 'text/html'],
      ['accept-language', 'fr'],
      ['if-none-match', '"x"'],
      ['if-modified-since', 'Tue, 01 Jan 2030 00:00:00 GMT'],
      ['range', 'bytes=0-9'],
    ],
    timeoutMs: 3_000,
    maxResponseBytes: 99,
    followRedirects: true,
  })
  expect(head.request(params, CONTEXT).method).toBe('HEAD')
})

test('policy is told where the caller wants to go', () => {
  expect(tool.opensTarget).toBe(true)
  expect(tool.credential).toBeUndefined()
  expect(get.facts({ url })).toMatchObject({ url })
  for (const action of [get, head]) {
    expect([action.permission, action.repeatable, action.cacheMs]).toEqual(['read', true, 30_000])
  }
})

describe('the result', () => {
  const result = (given: UpstreamReply) => get.result(given, {}, CONTEXT) as JsonObject

  it('has every field that callers of either kind read', () => {
    const headers = { 'content-type': 'text/html; charset=utf-8', 'content-length': '5' }
    expect(result(reply(200, '<é>', headers))).toEqual({
      url: 'https://target.example/final',
      status: 200,
      statusText: 'OK',
      headers,
      data: '<é>',
      body: '<é>',
      bytes: 4,
    })
  })

  it('shows seven headers and never a cookie', () => {
    const shown = {
      'content-type': 'text/plain',
      'content-length': '1',
      'content-language': 'fr',
      etag: '"x"',
      'last-modified': 'Tue, 01 Jan 2030 00:00:00 GMT',
      'cache-control': 'no-store',
      'retry-after': '3',
    }
    const given = reply(200, 'x', { ...shown, 'set-cookie': 'a=b', server: 'x', location: '/' })
    expect(result(given)['headers']).toEqual(shown)
    expect((head.result(given, {}, CONTEXT) as JsonObject)['headers']).toEqual(shown)
  })

  it('has JSON also parsed, if it is JSON', () => {
    const parsed = result(reply(200, '{"a":[1]}', { 'content-type': 'application/problem+json' }))
    expect([parsed['data'], parsed['json']]).toEqual(['{"a":[1]}', { a: [1] }])
    expect(result(reply(200, '{', { 'content-type': 'application/json' }))).not.toHaveProperty(
      'json',
    )
    expect(result(reply(200, '{}', { 'content-type': 'text/plain' }))).not.toHaveProperty('json')
  })

  it('has what is not text as base64', () => {
    const bytes = new Uint8Array([0xff, 0xd8, 0x00])
    const image = result(reply(200, bytes, { 'content-type': 'image/jpeg' }))
    expect(image).toMatchObject({ data: '/9gA', body: '/9gA', bytes: 3, encoding: 'base64' })
    expect(result(reply(200, bytes, {}))).toMatchObject({ encoding: 'base64' })
    expect(result(reply(200, 'plain', {}))).toMatchObject({ data: 'plain' })
  })

  it('is read in the character set the target names, or in UTF-8', () => {
    const latin = new Uint8Array([0xe9])
    const typed = (charset: string) => ({ 'content-type': `text/plain; charset=${charset}` })
    expect(result(reply(200, latin, typed('"ISO-8859-1"')))['data']).toBe('é')
    expect(result(reply(200, 'é', typed('nonsense')))['data']).toBe('é')
  })

  it.each([301, 304, 400, 401, 403, 404, 407, 429, 499])(
    'status %i is a page like any other',
    (status) => {
      expect(result(reply(status, 'x', { 'content-type': 'text/plain' }))).toMatchObject({
        status,
        data: 'x',
      })
    },
  )

  it.each([500, 503, 599])('status %i is a failure', (status) => {
    for (const action of [get, head]) {
      expect(() => action.result(reply(status, 'x'), {}, CONTEXT)).toThrow(
        expect.objectContaining({ kind: 'failed', upstreamStatus: status }),
      )
    }
  })

  it('of head has no body, and the size the target tells', () => {
    const page = head.result(reply(200, '', { 'content-length': '1234' }), {}, CONTEXT)
    expect(page).toEqual({
      url: 'https://target.example/final',
      status: 200,
      statusText: 'OK',
      headers: { 'content-length': '1234' },
      bytes: 1234,
    })
  })
})

test('the mock page is escaped and as long as it says', () => {
  const params = get.normalise({ url: 'https://example.com/?a=<script>"&\'' })
  const page = get.mock(params, CONTEXT) as Record<string, unknown>
  expect(page).toMatchObject({
    url: 'https://example.com/?a=<script>"&\'',
    status: 200,
    statusText: 'OK',
    headers: { 'content-type': 'text/html' },
  })
  expect(page['body']).toBe(page['data'])
  expect(page['body']).toContain('<h1>https://example.com/?a=&#60;script&#62;&#34;&#38;&#39;</h1>')
  expect(page['bytes']).toBe(Buffer.byteLength(String(page['body'])))
  expect(head.mock(params, CONTEXT)).toEqual({
    url: 'https://example.com/?a=<script>"&\'',
    status: 200,
    statusText: 'OK',
    headers: { 'content-type': 'text/html' },
    bytes: 120,
  })
})
