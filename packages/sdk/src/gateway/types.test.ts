import { expect, expectTypeOf, test } from 'vitest'
import type {
  GatewayClientOptions,
  JobResponse,
  ProxyResponse,
  RetryOptions,
  TokenOptions,
} from './index.ts'
import * as door from './index.ts'

test('gateway §19.35: every name of the JavaScript client is there', () => {
  const names = [
    'GatewayClient',
    'GatewayError',
    'GatewayAuthError',
    'GatewayPolicyError',
    'GatewayRateLimitError',
    'GatewayUpstreamError',
    'GatewayNetworkError',
    'GatewayTokenError',
    'createErrorFromResponse',
    'generateCorrelationId',
    'extractCorrelationId',
    'withRetry',
    'isRetryableError',
    'calculateDelay',
    'sleep',
    'generateIdempotencyKey',
    'generateIdempotencyKeyFromData',
  ] as const satisfies (keyof typeof door)[]
  expect(Object.keys(door).sort()).toEqual([...names].sort())
})

test('options and results have the JavaScript client’s types', () => {
  expectTypeOf({
    baseUrl: '',
    agentId: '',
    agentPrivateKeyPem: '',
  }).toExtend<GatewayClientOptions>()
  expectTypeOf<{
    baseUrl: string
    agentId: string
    agentPrivateKeyPem: string
    defaultIntent: string
    timeoutMs: number
  }>().toExtend<GatewayClientOptions>()
  expectTypeOf<{
    tools: string[]
    permissions: string[]
    ttlMinutes: number
  }>().toExtend<TokenOptions>()
  expectTypeOf<{
    tools: string[]
    permissions: string[]
    ttl_minutes: number
  }>().toExtend<TokenOptions>()
  expectTypeOf<ProxyResponse['success']>().toEqualTypeOf<boolean>()
  expectTypeOf<JobResponse['status']>().toEqualTypeOf<'queued' | 'running' | 'done' | 'failed'>()
  expectTypeOf<RetryOptions['maxRetries']>().toEqualTypeOf<number | undefined>()

  type Client = door.GatewayClient
  expectTypeOf<Client['setIntent']>().parameters.toEqualTypeOf<[intent: string]>()
  expectTypeOf<Client['getToken']>().returns.toEqualTypeOf<Promise<string>>()
  expectTypeOf<Client['proxyAsync']>().returns.resolves.toExtend<{
    jobId: string
    job_id: string
  }>()
  expectTypeOf<Client['close']>().returns.toEqualTypeOf<Promise<void>>()
  expectTypeOf<Client>().toExtend<AsyncDisposable>()
})

test('errors are one family', () => {
  for (const Class of [
    door.GatewayAuthError,
    door.GatewayPolicyError,
    door.GatewayRateLimitError,
    door.GatewayUpstreamError,
    door.GatewayNetworkError,
    door.GatewayTokenError,
  ]) {
    const error = new Class('no', { statusCode: 418 })
    expect(error).toBeInstanceOf(door.GatewayError)
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ name: Class.name, message: 'no', statusCode: 418 })
  }
})
