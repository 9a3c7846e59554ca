import { inspect } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { symbolOf } from './async-dispose.ts'
import {
  AccessDenied,
  AuthError,
  CredentialNotFound,
  LeaseExpired,
  RateLimited,
  SessionExpired,
  VaultError,
  VaultLocked,
} from './errors.ts'
import { LeaseBook } from './leases.ts'
import { backoffMs, type Failure, nextStep, worthRedialling } from './retry.ts'
import { sleep, within } from './wait.ts'
import { errorFromWire, raiseOnError } from './wire-error.ts'

const RULES = { autoReauth: true, reconnect: true, rateLimitRetries: 0 }
const failure = (members: Partial<Failure>): Failure => ({
  code: 'CONNECTION_CLOSED',
  method: 'use',
  idempotent: false,
  maybeExecuted: true,
  retryAfterMs: undefined,
  reauthenticated: false,
  repeated: false,
  rateLimited: 0,
  ...members,
})

test.each(['use', 'retrieve', 'renew_lease', 'list', 'anything'])(
  'vault §28.53: an expired session is renewed once for %s, as the daemon executed nothing',
  (method) => {
    const expired = failure({ code: 'SESSION_EXPIRED', method })
    expect(nextStep(expired, RULES)).toEqual({ do: 'reauthenticate' })
    expect(nextStep({ ...expired, reauthenticated: true }, RULES)).toEqual({ do: 'fail' })
    expect(nextStep(expired, { ...RULES, autoReauth: false })).toEqual({ do: 'fail' })
  },
)

test.each([
  ['list', 'reconnect'],
  ['whoami', 'reconnect'],
  ['status', 'reconnect'],
  ['check_access', 'reconnect'],
  ['lease_status', 'reconnect'],
  ['release_lease', 'reconnect'],
  ['retrieve', 'reconnect'],
  ['use', 'fail'],
  ['renew_lease', 'fail'],
  ['logout', 'fail'],
])('vault §28.53: a connection lost during %s leads to: %s', (method, outcome) => {
  expect(nextStep(failure({ method }), RULES).do).toBe(outcome)
  expect(nextStep(failure({ method, repeated: true }), RULES).do).toBe('fail')
  expect(nextStep(failure({ method }), { ...RULES, reconnect: false }).do).toBe('fail')
  expect(nextStep(failure({ method, idempotent: true }), RULES).do).toBe('reconnect')
  expect(nextStep(failure({ method, maybeExecuted: false }), RULES).do).toBe('reconnect')
})

test('vault §28.53: a rate limit is waited out only when asked for, as long as the daemon says', () => {
  const limited = failure({ code: 'RATE_LIMITED', retryAfterMs: 250 })
  expect(nextStep(limited, RULES)).toEqual({ do: 'fail' })
  const patient = { ...RULES, rateLimitRetries: 2 }
  expect(nextStep(limited, patient)).toEqual({ do: 'wait', ms: 250 })
  expect(nextStep({ ...limited, rateLimited: 2 }, patient)).toEqual({ do: 'fail' })
})

test('vault §28.53: a locked vault and every other refusal are never retried', () => {
  for (const code of ['VAULT_LOCKED', 'ACCESS_DENIED', 'TIMEOUT', 'AUTH_FAILED', 'UNKNOWN']) {
    const step = nextStep(failure({ code, method: 'list', idempotent: true }), {
      ...RULES,
      rateLimitRetries: 9,
    })
    expect(step).toEqual({ do: 'fail' })
  }
  expect(worthRedialling('VAULT_LOCKED')).toBe(false)
  expect(worthRedialling('AUTH_FAILED')).toBe(false)
  expect(worthRedialling('DAEMON_UNREACHABLE')).toBe(true)
})

test('the delay before a reconnect lies between 0 and a doubling, bounded ceiling', () => {
  const policy = { retries: 9, minMs: 100, maxMs: 2_000 }
  expect([0, 1, 2, 5, 500].map((attempt) => backoffMs(attempt, policy, 1))).toEqual([
    100, 200, 400, 2_000, 2_000,
  ])
  const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  fc.assert(
    fc.property(fc.nat(), unit, (attempt, random) => {
      const ms = backoffMs(attempt, policy, random)
      return ms >= 0 && ms < policy.maxMs
    }),
  )
})

test('vault §28.53: a lease is tracked until it is removed or expires', () => {
  let now = 1_000
  const book = new LeaseBook(() => now)
  book.add('short', 1)
  book.add('long', 60)
  book.add('endless', undefined)
  expect([...book.ids()]).toEqual(['short', 'long', 'endless'])
  now = 1_999
  expect(book.ids().has('short')).toBe(true)
  now = 2_000
  expect([...book.ids()]).toEqual(['long', 'endless'])
  book.remove('long')
  now = 1e12
  expect([...book.ids()]).toEqual(['endless'])
})

test('a long-lived client does not pile up leases it never released', () => {
  let now = 0
  const book = new LeaseBook(() => now)
  for (let n = 0; n < 10_000; n += 1) {
    now += 1_000
    book.add(`lease-${n}`, 10)
  }
  expect(book.ids().size).toBe(10)
})

test.each([
  ['AUTH_FAILED', AuthError],
  ['ACCESS_DENIED', AccessDenied],
  ['CREDENTIAL_NOT_FOUND', CredentialNotFound],
  ['VAULT_LOCKED', VaultLocked],
  ['LEASE_EXPIRED', LeaseExpired],
  ['RATE_LIMITED', RateLimited],
  ['SESSION_EXPIRED', SessionExpired],
  ['SSRF_BLOCKED', VaultError],
  ['A_CODE_FROM_THE_FUTURE', VaultError],
])('vault §28.53: a reply with %s is thrown as its own class, every member kept', (code, Class) => {
  const wire = {
    code,
    message: 'short text',
    detail: 'what exactly',
    suggestion: 'what next',
    docs_url: 'https://docs.example/x',
    context: { request_id: 'r-1' },
  }
  const error = errorFromWire(wire)
  expect(error).toBeInstanceOf(Class)
  expect(error).toBeInstanceOf(VaultError)
  expect(error.name).toBe(Class.name)
  expect(error).toMatchObject({
    code,
    message: 'short text',
    detail: 'what exactly',
    suggestion: 'what next',
    docsUrl: 'https://docs.example/x',
    docs_url: 'https://docs.example/x',
    context: { request_id: 'r-1' },
  })
  expect(JSON.parse(JSON.stringify(error))).toEqual({ name: Class.name, ...wire })
})

test('vault §28.53: plain-text and incomplete errors are read as the contract says', () => {
  expect(errorFromWire('it broke')).toMatchObject({ code: 'UNKNOWN', message: 'it broke' })
  for (const wire of [{}, [], 7, true, { code: 5, message: null, context: 'x' }]) {
    expect(errorFromWire(wire)).toMatchObject({
      code: 'INTERNAL_ERROR',
      message: 'Unknown error',
      detail: null,
      suggestion: null,
      docsUrl: null,
      context: {},
    })
  }
  raiseOnError({})
  raiseOnError({ error: null })
  expect(() => raiseOnError({ error: { code: 'VAULT_LOCKED' } })).toThrow(VaultLocked)
})

test('a rate limit tells how long to wait, when the daemon does', () => {
  const limited = (context: Record<string, unknown>) => new RateLimited(undefined, { context })
  expect(limited({ retry_after_ms: 40 }).retryAfterMs).toBe(40)
  for (const retry_after_ms of [-1, '40', null, Number.NaN]) {
    expect(limited({ retry_after_ms }).retryAfterMs).toBeUndefined()
  }
})

test('an error keeps its cause and prints its members', () => {
  const cause = new Error('socket hang up')
  const error = new VaultError('Connection closed', { code: 'CONNECTION_CLOSED', cause })
  expect(error.cause).toBe(cause)
  expect(inspect(error)).toContain('CONNECTION_CLOSED')
})

test('waits are bounded, and a work that fails afterwards is not an unhandled rejection', async () => {
  const late = () => new Error('late')
  const failing = sleep(15).then(() => Promise.reject(new Error('afterwards')))
  await expect(within(failing, { ms: 1, late })).rejects.toThrow('late')
  await sleep(30)
  expect(await within(Promise.resolve(7), { ms: 1, late })).toBe(7)
  const reason = new Error('stop')
  const signal = AbortSignal.abort(reason)
  await expect(within(new Promise(() => {}), { ms: 1_000, signal, late })).rejects.toBe(reason)
  await expect(sleep(1_000, signal)).rejects.toBe(reason)
  const control = new AbortController()
  const sleeping = sleep(1_000, control.signal)
  control.abort(reason)
  await expect(sleeping).rejects.toBe(reason)
})

test('the disposal symbol is the platform’s where there is one, and never undefined', () => {
  expect(symbolOf(Symbol)).toBe(Symbol.asyncDispose)
  expect(symbolOf({})).toBe(Symbol.for('Symbol.asyncDispose'))
})
