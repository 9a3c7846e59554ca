import { describe, expect, test } from 'vitest'
import * as errors from './errors.ts'

/** Class → parent and exit code, as agents and launchers rely on them. */
const TABLE = [
  ['SageSanctumError', 'Error', 1],
  ['AuthError', 'SageSanctumError', 10],
  ['SpiffeAuthError', 'AuthError', 11],
  ['TraTAcquisitionError', 'AuthError', 12],
  ['TraTExpiredError', 'AuthError', 13],
  ['ForbiddenError', 'SageSanctumError', 20],
  ['ModelNotAuthorizedError', 'ForbiddenError', 21],
  ['ScopeNotAuthorizedError', 'ForbiddenError', 22],
  ['GatewayError', 'SageSanctumError', 30],
  ['RateLimitError', 'GatewayError', 31],
  ['GatewayUnavailableError', 'GatewayError', 32],
  ['ValidationError', 'SageSanctumError', 40],
  ['InputValidationError', 'ValidationError', 41],
  ['PathTraversalError', 'ValidationError', 42],
  ['ConfigurationError', 'ValidationError', 43],
  ['OutputError', 'SageSanctumError', 50],
  ['OutputWriteError', 'OutputError', 51],
  ['SarifValidationError', 'OutputError', 52],
  ['ModelError', 'SageSanctumError', 60],
  ['ModelNotAvailableError', 'ModelError', 61],
  ['ModelRefParseError', 'ModelError', 62],
  ['ExternalToolError', 'SageSanctumError', 70],
  ['SubprocessError', 'ExternalToolError', 71],
  ['SubprocessTimeoutError', 'ExternalToolError', 72],
  ['OutputParseError', 'ExternalToolError', 73],
] as const

type ErrorClass = new (message: string, options?: object) => errors.SageSanctumError
const classes = Object.fromEntries(
  Object.entries(errors).filter(([name]) => /Error$/.test(name)),
) as unknown as Record<string, ErrorClass>

describe('sage §21.38: the error classes', () => {
  test.each(TABLE)('%s extends %s and exits with %i', (name, parent, exitCode) => {
    const Class = classes[name]!
    expect(Object.getPrototypeOf(Class).name).toBe(parent)
    const cause = new TypeError('x')
    const error = new Class('what happened', { cause })
    expect(error).toMatchObject({ name, message: 'what happened', exitCode, cause })
    expect(error).toBeInstanceOf(Error)
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({ name, exitCode })
  })

  test('there is no other class, and every exit code is there once', () => {
    expect(Object.keys(classes).sort()).toEqual(TABLE.map(([name]) => name).sort())
    expect(new Set(TABLE.map(([, , code]) => code)).size).toBe(TABLE.length)
  })

  test('an instance may have its own exit code', () => {
    expect(new errors.SageSanctumError('x', { exitCode: 99 }).exitCode).toBe(99)
  })

  test('what may succeed later says so', () => {
    const retryable = TABLE.map(([name]) => name).filter(
      (name) => new classes[name]!('x').retryable,
    )
    expect(retryable).toEqual([
      'TraTExpiredError',
      'RateLimitError',
      'GatewayUnavailableError',
      'SubprocessTimeoutError',
    ])
    const gateway = (status: number) => new errors.GatewayError('x', { status }).retryable
    expect([429, 502, 503, 504].map(gateway)).toEqual([true, true, true, true])
    expect([400, 404, 413, 500].map(gateway)).toEqual([false, false, false, false])
  })

  test('a subprocess error has the child’s code and stderr', () => {
    expect(new errors.SubprocessError('x')).toMatchObject({ returncode: 1, stderr: '' })
    const error = new errors.SubprocessError('x', { returncode: 2, stderr: 'Bearer abcdefgh' })
    expect(error).toMatchObject({ returncode: 2, stderr: 'Bearer [secret]' })
  })

  test('a message never keeps a credential', () => {
    const { message } = new errors.GatewayError('sent Bearer abc.def and sk-ant-REDACTED')
    expect(message).toBe('sent Bearer [secret] and [secret]')
  })
})
