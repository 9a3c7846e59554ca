import { VestryError } from '@vestry/contract/errors'
import { VaultError } from '@vestry/sdk/vault'
import { expect, test } from 'vitest'
import { exitCodeFor } from './exit-code.ts'
import { failureLine, failureOf } from './failure.ts'

test('an error reads CODE: message → hint', () => {
  const error = new VestryError('NOT_FOUND', 'no agent is named "x"', { hint: 'See --help' })
  expect(failureLine(failureOf(error))).toBe('NOT_FOUND: no agent is named "x" → See --help\n')
  expect(failureLine(failureOf(new VestryError('NOT_FOUND')))).toBe('NOT_FOUND: Object not found\n')
})

test('what the daemon answered is told with its detail and its request id', () => {
  const error = new VaultError('Access denied by policy', {
    code: 'ACCESS_DENIED',
    detail: 'operator "ada" may not admin:write',
    suggestion: 'Ask an owner',
    context: { request_id: 'r-1' },
  })
  expect(failureOf(error)).toEqual({
    code: 'ACCESS_DENIED',
    message: 'operator "ada" may not admin:write',
    hint: 'Ask an owner',
    context: { request_id: 'r-1' },
  })
})

test('an error without a code keeps its message', () => {
  expect(failureOf(new TypeError('cannot'))).toMatchObject({
    code: 'INTERNAL_ERROR',
    message: 'cannot',
    hint: null,
  })
  expect(failureOf('text')).toMatchObject({ message: 'text' })
})

test('an error line is one line, whatever the daemon says', () => {
  const line = failureLine({ code: 'X', message: 'a\nb\u001b[2J', hint: 'c\nd', context: {} })
  expect(line).toBe('X: a; b\\x1b[2J → c; d\n')
})

test.each([
  ['USAGE', 2],
  ['INVALID_PARAMS', 2],
  ['ACCESS_DENIED', 3],
  ['APPROVAL_REQUIRED', 3],
  ['WIDER_PERMISSIONS', 3],
  ['DAEMON_UNREACHABLE', 4],
  ['CONNECTION_CLOSED', 4],
  ['VAULT_LOCKED', 1],
  ['NOT_FOUND', 1],
  ['SOMETHING_NEW', 1],
  ['constructor', 1],
])('%s ends with exit code %i', (code, exitCode) => {
  expect(exitCodeFor(code)).toBe(exitCode)
})
