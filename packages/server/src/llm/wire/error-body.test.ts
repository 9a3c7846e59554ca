import { ERRORS, type ErrorCode, VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { errorHeaders, errorText, wireError } from './error-body.ts'

test.each([
  ['IDENTITY_EXPIRED', 401, 'authentication_error', 'identity_expired'],
  ['RUN_CLOSED', 403, 'permission_error', 'run_closed'],
  ['BUDGET_EXHAUSTED', 403, 'permission_error', 'budget_exhausted'],
  ['BAD_REQUEST', 400, 'invalid_request_error', 'invalid_request'],
  ['UNSUPPORTED_MEDIA_TYPE', 415, 'invalid_request_error', 'unsupported_media_type'],
  ['ROUTE_NOT_FOUND', 404, 'not_found_error', 'route_not_found'],
  ['REQUEST_TOO_LARGE', 413, 'request_too_large', 'request_too_large'],
  ['RATE_LIMITED', 429, 'rate_limit_error', 'rate_limited'],
  ['PROVIDER_AUTH_FAILED', 500, 'api_error', 'provider_auth_failed'],
  ['PROVIDER_ERROR', 502, 'api_error', 'provider_error'],
  ['VAULT_LOCKED', 503, 'overloaded_error', 'gateway_overloaded'],
  ['AUDIT_UNAVAILABLE', 503, 'overloaded_error', 'gateway_overloaded'],
  ['SHUTTING_DOWN', 503, 'overloaded_error', 'shutting_down'],
  ['PROVIDER_TIMEOUT', 504, 'timeout_error', 'provider_timeout'],
] as const)('%s is told as %i %s %s', (code, status, type, told) => {
  expect(wireError(new VestryError(code))).toMatchObject({ status, type, code: told })
})

test('every code of ours becomes one of this wire', () => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const { status, code: told } = wireError(new VestryError(code))
    expect(told, code).toMatch(/^[a-z_]+$/)
    expect(status, code).toBeGreaterThanOrEqual(400)
    if (told === 'internal_error') expect(status, code).toBe(500)
  }
})

test.each([
  [0.2, 1],
  [1, 1],
  [1_001, 2],
  [59_001, 60],
  [3_600_000, 60],
])('a wait of %d ms is told as %i s', (ms, seconds) => {
  const error = new VestryError('RATE_LIMITED', 'x', { context: { retry_after_ms: ms } })
  expect(errorHeaders(wireError(error))).toEqual({ 'Retry-After': String(seconds) })
})

test('a wait that nobody knows is the longest of ours, and none of a provider that told none', () => {
  const ours = new VestryError('RATE_LIMITED', 'x', { context: { retry_after_ms: null } })
  expect(errorHeaders(wireError(ours))).toEqual({ 'Retry-After': '60' })
  const theirs = new VestryError('PROVIDER_RATE_LIMITED', 'x', {
    context: { retry_after_unknown: true },
  })
  expect(errorHeaders(wireError(theirs))).toEqual({})
})

test('what is unexpected is told without its words', () => {
  const error = wireError(new Error('password is hunter2'))
  expect(error).toMatchObject({
    status: 500,
    code: 'internal_error',
    message: 'Unexpected failure',
  })
})

test('both envelopes are JSON on one line', () => {
  const error = wireError(
    new VestryError('MODEL_NOT_ALLOWED', 'a\nb', { context: { param: 'model' } }),
  )
  const openai = errorText(error, 'openai', 'r-1')
  expect(openai).not.toContain('\n')
  expect(JSON.parse(openai)).toEqual({
    error: {
      message: 'a\nb',
      type: 'permission_error',
      code: 'model_not_allowed',
      param: 'model',
      request_id: 'r-1',
    },
  })
  expect(JSON.parse(errorText(error, 'anthropic', 'r-1'))).toEqual({
    type: 'error',
    error: { type: 'permission_error', message: 'a\nb' },
    request_id: 'r-1',
  })
})
