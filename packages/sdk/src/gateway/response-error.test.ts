import { expect, test } from 'vitest'
import {
  GatewayAuthError,
  GatewayError,
  GatewayPolicyError,
  GatewayRateLimitError,
  GatewayUpstreamError,
} from './errors.ts'
import { createErrorFromResponse } from './response-error.ts'

test.each([
  [401, 'Token expired', GatewayAuthError, 'AUTH_ERROR'],
  [403, 'Token has been revoked', GatewayAuthError, 'AUTH_ERROR'],
  [429, 'Rate limit exceeded', GatewayRateLimitError, 'RATE_LIMIT_ERROR'],
  [400, 'Policy denied: policy violation (PII)', GatewayPolicyError, 'POLICY_ERROR'],
  [400, 'Scope is not allowed', GatewayPolicyError, 'POLICY_ERROR'],
  [400, 'Parameter validation failed', GatewayError, undefined],
  [404, 'Job not found', GatewayError, undefined],
  [301, 'Moved', GatewayError, undefined],
  [424, 'Upstream service error', GatewayError, undefined],
  [500, 'Internal error', GatewayError, undefined],
  [502, 'Upstream service error', GatewayUpstreamError, 'UPSTREAM_ERROR'],
  [503, 'Tool is not configured', GatewayUpstreamError, 'UPSTREAM_ERROR'],
  [504, 'Upstream service error', GatewayUpstreamError, 'UPSTREAM_ERROR'],
])('status %i "%s" becomes its class', (status, message, Class, code) => {
  const error = createErrorFromResponse(status, { error: message })
  expect(error.constructor).toBe(Class)
  expect(error).toMatchObject({ statusCode: status, message, code })
  expect(error).toBeInstanceOf(GatewayError)
})

test('a denial with 403 is a policy error where the gateway says so in its code', () => {
  const body = { error: 'Policy denied', code: 'POLICY_SCOPE_NOT_ALLOWED' }
  expect(createErrorFromResponse(403, body)).toBeInstanceOf(GatewayPolicyError)
})

test('the fields of the body and the headers are kept', () => {
  const body = {
    error: 'Rate limit exceeded',
    code: 'RATE_LIMITED',
    reason: '5 requests per 60 s',
    details: ['q: missing', 7],
    retry_after: 99,
    correlation_id: 'req_1',
  }
  const error = createErrorFromResponse(429, body, new Headers({ 'Retry-After': '12' }))
  expect(JSON.parse(JSON.stringify(error))).toEqual({
    name: 'GatewayRateLimitError',
    message: 'Rate limit exceeded',
    statusCode: 429,
    code: 'RATE_LIMIT_ERROR',
    errorCode: 'RATE_LIMITED',
    reason: '5 requests per 60 s',
    details: ['q: missing'],
    retryAfter: 12,
    correlationId: 'req_1',
  })
})

test('a waiting time that is no whole number falls back to the body’s', () => {
  const date = { 'Retry-After': 'Wed, 21 Oct 2030 07:28:00 GMT' }
  expect(createErrorFromResponse(429, { retry_after: 3 }, date).retryAfter).toBe(3)
  expect(createErrorFromResponse(429, {}, date).retryAfter).toBeUndefined()
  expect(createErrorFromResponse(503, {}, { 'retry-after': '0' }).retryAfter).toBe(0)
})

test('a body that is no object still makes an error with a message', () => {
  expect(createErrorFromResponse(502).message).toBe('The gateway answered with status 502')
  expect(createErrorFromResponse(401, 'Unauthorized')).toMatchObject({ message: 'Unauthorized' })
  expect(createErrorFromResponse(500, { error: { nested: true } }).message).toMatch(/status 500/)
})
