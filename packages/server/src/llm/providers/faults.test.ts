import { VestryError } from '@vestry/contract/errors'
import { FAULTS, type FaultCode, ProviderFault } from '@vestry/sdk/llm/providers'
import { expect, test } from 'vitest'
import { wireError } from '../wire/error-body.ts'
import { asLlmError } from './faults.ts'

test('every fault keeps its status and its code', () => {
  for (const [code, status] of Object.entries(FAULTS)) {
    const told = wireError(
      asLlmError(new ProviderFault(code as FaultCode, 'because', { param: 'model' })),
    )
    expect(told, code).toMatchObject({ status, code, param: 'model' })
  }
})

test('waiting times are those of the provider, or none', () => {
  const told = (retryAfterSeconds?: number) =>
    wireError(asLlmError(new ProviderFault('provider_rate_limited', 'x', { retryAfterSeconds })))
      .retryAfter
  expect([told(7), told()]).toEqual([7, undefined])
})

test.each([
  ['UPSTREAM_ERROR', 'provider_error', 502],
  ['UPSTREAM_TIMEOUT', 'provider_timeout', 504],
  ['SSRF_BLOCKED', 'provider_error', 502],
  ['RESPONSE_TOO_LARGE', 'provider_error', 502],
] as const)('%s on the way is told as %s, without the name of a host', (code, told, status) => {
  const error = wireError(asLlmError(new VestryError(code, 'Host "10.0.0.7" is private')))
  expect(error).toMatchObject({ status, code: told })
  expect(error.message).not.toContain('10.0.0.7')
})

test('whatever else it is stays as it is', () => {
  const own = new VestryError('RUN_CLOSED')
  const other = new TypeError('x')
  expect([asLlmError(own), asLlmError(other)]).toEqual([own, other])
})
