import { expect, test } from 'vitest'
import {
  afterInterruption,
  type Execution,
  isForgotten,
  withoutResult,
  yieldsKey,
} from './execution.ts'

const failed: Execution = {
  id: 'ex',
  kind: 'gateway',
  key: 'k',
  fingerprint: 'f',
  agentId: 'agent-1',
  subject: 'gmail_send:send',
  mode: 'inline',
  repeatable: false,
  state: 'failed',
  owned: false,
  reached: false,
  errorCode: 'UPSTREAM_FAILED',
  attempts: 1,
  createdAtMs: 0,
  startedAtMs: 0,
  finishedAtMs: 10,
  expiresAtMs: 100,
}

test('an execution is forgotten from the very millisecond it expires', () => {
  expect(isForgotten(failed, 99)).toBe(false)
  expect(isForgotten(failed, 100)).toBe(true)
  expect(isForgotten({ expiresAtMs: undefined }, Number.MAX_SAFE_INTEGER)).toBe(false)
})

test('a key is yielded by a failure that never arrived, or that may be repeated', () => {
  expect(yieldsKey(failed, 'f', 50)).toBe(true)
  expect(yieldsKey({ ...failed, reached: true }, 'f', 50)).toBe(false)
  expect(yieldsKey({ ...failed, reached: true, repeatable: true }, 'f', 50)).toBe(true)
})

test('a key is not yielded to another request, nor by what runs, is done or is unknown', () => {
  expect(yieldsKey(failed, 'g', 50)).toBe(false)
  expect(yieldsKey(failed, undefined, 50)).toBe(false)
  for (const state of ['reserved', 'sent', 'done', 'unknown'] as const)
    expect(yieldsKey({ ...failed, state, repeatable: true }, 'f', 50)).toBe(false)
})

test('a forgotten execution yields its key to any request', () => {
  expect(yieldsKey({ ...failed, state: 'done' }, 'g', 100)).toBe(true)
})

test('what was sent and must not repeat has an unknown outcome, however it was interrupted', () => {
  for (const mode of ['inline', 'queued'] as const) {
    expect(afterInterruption({ mode, state: 'sent', repeatable: false }).state).toBe('unknown')
    const lost = { mode, sent: true, repeatable: false }
    expect(withoutResult(lost, 'VAULT_LOCKED').state).toBe('unknown')
  }
})

test('a result that cannot be kept may be fetched again where that does no harm', () => {
  expect(withoutResult({ mode: 'inline', sent: true, repeatable: true }, 'VAULT_LOCKED')).toEqual({
    state: 'failed',
    reached: true,
    errorCode: 'VAULT_LOCKED',
  })
  expect(
    withoutResult({ mode: 'inline', sent: false, repeatable: false }, 'VAULT_LOCKED'),
  ).toMatchObject({
    state: 'failed',
    reached: false,
  })
})

test('one that a worker ran while the vault was sealed waits until it is open', () => {
  const run = { mode: 'queued', sent: true, repeatable: true } as const
  expect(withoutResult(run, 'VAULT_LOCKED')).toEqual({ state: 'reserved' })
  expect(withoutResult(run, 'RESPONSE_TOO_LARGE')).toMatchObject({ state: 'failed', reached: true })
})
