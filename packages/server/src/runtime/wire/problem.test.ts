import { accept } from '@vestry/contract/accept'
import { ERRORS, type ErrorCode, VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { problemOf } from './problem.ts'

const of = (
  code: ErrorCode,
  message?: string,
  options?: ConstructorParameters<typeof VestryError>[2],
) => problemOf(new VestryError(code, message, options), 'r-1')

test('errors are one flat object with code, details and the id of the request', () => {
  expect(of('REVIEW_NOT_FOUND', 'Review rev_x does not exist')).toEqual({
    status: 404,
    headers: {},
    body: {
      error: 'Review rev_x does not exist',
      code: 'REVIEW_NOT_FOUND',
      details: null,
      request_id: 'r-1',
    },
  })
  const fields = [{ path: 'tool.name', problem: 'required' }]
  const { body } = of('VALIDATION_ERROR', 'tool.name: required', {
    context: { details: { fields } },
  })
  expect(body['details']).toEqual({ fields })
  expect(of('VALIDATION_ERROR', 'x', { context: { fields } }).body['details']).toEqual({ fields })
})

test('problems of parameters are told field by field', () => {
  const given = { tool: { name: 1 } }
  let thrown: unknown
  try {
    accept(z.object({ tool: z.object({ name: z.string() }), by: z.string() }), given)
  } catch (error) {
    thrown = error
  }
  expect(problemOf(thrown, 'r-1')).toMatchObject({
    status: 400,
    body: {
      code: 'VALIDATION_ERROR',
      details: {
        fields: [
          { path: 'tool.name', problem: 'expected string, received number' },
          { path: 'by', problem: 'is required' },
        ],
      },
    },
  })
})

test('what is no error of ours keeps its text to itself', () => {
  const { status, body } = problemOf(new Error('password=1234 at /home/ada'), 'r-1')
  expect(status).toBe(500)
  expect(body).toMatchObject({ code: 'INTERNAL_ERROR', error: 'Internal error' })
  expect(JSON.stringify(body)).not.toContain('1234')
  for (const code of ['STORE_CORRUPT', 'SEAL_BROKEN', 'INTERNAL_ERROR'] as const) {
    const { body: told } = of(code, 'row agent/ada of /home/ada', {
      hint: 'Restore the store',
      context: { table: 'agent' },
    })
    expect(told).toEqual({
      error: 'Internal error',
      code: 'INTERNAL_ERROR',
      details: null,
      request_id: 'r-1',
    })
  }
})

test('only a wrong key of the client itself is a 401, and only what ran out says so', () => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const { status, body } = of(code)
    if (status === 401) expect(['UNAUTHORIZED', 'TOKEN_EXPIRED']).toContain(body['code'])
  }
  expect(JSON.stringify(of('UNAUTHORIZED').body)).not.toMatch(/expired/i)
  expect(JSON.stringify(of('TOKEN_EXPIRED').body)).toMatch(/expired/i)
})

test('failures of somebody else are no refusal of ours, and 422 is not used', () => {
  for (const code of [
    'UPSTREAM_AUTH',
    'UPSTREAM_RATE_LIMITED',
    'PROVIDER_RATE_LIMITED',
    'PROVIDER_AUTH_FAILED',
    'SSRF_BLOCKED',
    'REDIRECT_BLOCKED',
    'BACKEND_AUTH_FAILED',
    'MCP_PROTOCOL_ERROR',
    'AUTH_FAILED',
    'IDENTITY_EXPIRED',
    'UPSTREAM_REJECTED',
  ] as const)
    expect(of(code).status, code).toBeGreaterThanOrEqual(500)
  for (const code of Object.keys(ERRORS) as ErrorCode[]) expect(of(code).status, code).not.toBe(422)
})

test('who has to wait is told how long, and what else is allowed', () => {
  const limited = of('RATE_LIMITED', 'Too many', { context: { retry_after_ms: 1_200 } })
  expect(limited.headers).toEqual({ 'retry-after': '2' })
  expect(limited.body['details']).toBeNull()
  expect(of('VAULT_LOCKED')).toMatchObject({
    status: 503,
    headers: { 'retry-after': '1' },
    body: { code: 'NOT_READY' },
  })
  const allow = of('METHOD_NOT_ALLOWED', undefined, { context: { allow: 'GET' } })
  expect(allow).toMatchObject({ status: 405, headers: { allow: 'GET' }, body: { details: null } })
})
