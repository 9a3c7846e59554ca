import { expect, test } from 'vitest'
import { FailureLock } from './failure-lock.ts'
import { Lockout, PAIR_POLICY } from './lockout.ts'

const MINUTE = 60_000

function setUp(options: { mode?: 'source' | 'agent'; maxKeys?: number } = {}) {
  const clock = { ms: 5 * MINUTE }
  const alerts: { agent: string; failures: number }[] = []
  const lockout = new Lockout({
    now: () => clock.ms,
    onAlert: (alert) => alerts.push(alert),
    ...options,
  })
  const fail = (times: number, source = 'uid:1', agent = 'scout') => {
    for (let n = 0; n < times; n += 1) lockout.fail(source, agent)
  }
  /** 0 when the pair may try, else the announced waiting time. */
  const waitMs = (source = 'uid:1', agent = 'scout'): unknown => {
    try {
      lockout.check(source, agent)
      return 0
    } catch (error) {
      expect(error).toMatchObject({ code: 'RATE_LIMITED' })
      return (error as { context: Record<string, unknown> }).context['retry_after_ms']
    }
  }
  return { clock, alerts, lockout, fail, waitMs }
}

test('vault §28.26: five failures within 15 minutes refuse the pair for 60 seconds, four do not', () => {
  const { fail, waitMs, clock } = setUp()
  fail(4)
  expect(waitMs()).toBe(0)
  fail(1)
  expect(waitMs()).toBe(MINUTE)
  clock.ms += MINUTE - 1
  expect(waitMs()).toBe(1)
  clock.ms += 1
  expect(waitMs()).toBe(0)
})

test('vault §28.26: failures spread over more than 15 minutes do not lock', () => {
  const { fail, waitMs, clock } = setUp()
  for (let n = 0; n < 12; n += 1) {
    fail(1)
    expect(waitMs()).toBe(0)
    clock.ms += 4 * MINUTE
  }
})

test('vault §28.26: each further failure doubles the delay, up to 15 minutes', () => {
  const { fail, waitMs, clock } = setUp()
  fail(5)
  const delays: unknown[] = []
  for (let n = 0; n < 7; n += 1) {
    const delay = waitMs()
    delays.push(delay)
    clock.ms += Number(delay)
    fail(1)
  }
  expect(delays).toEqual([1, 2, 4, 8, 15, 15, 15].map((minutes) => minutes * MINUTE))
})

test('vault §28.26: a lock of one source does not touch another, nor another agent of the same one', () => {
  const { fail, waitMs } = setUp()
  fail(5)
  expect(waitMs('uid:2', 'scout')).toBe(0)
  expect(waitMs('uid:1', 'ranger')).toBe(0)
})

test('vault §28.26: a success resets the pair', () => {
  const { fail, waitMs, lockout, clock } = setUp()
  fail(5)
  clock.ms += MINUTE
  lockout.succeed('uid:1', 'scout')
  fail(4)
  expect(waitMs()).toBe(0)
  fail(1)
  expect(waitMs()).toBe(MINUTE)
})

test('vault §28.26: 15 quiet minutes after the lock reset the pair, less do not', () => {
  const { fail, waitMs, clock } = setUp()
  fail(5)
  clock.ms += MINUTE + 15 * MINUTE - 1
  fail(1)
  expect(waitMs()).toBe(2 * MINUTE)
  clock.ms += 2 * MINUTE + 15 * MINUTE
  fail(4)
  expect(waitMs()).toBe(0)
})

test('vault §28.26: thirty failures over all agents refuse the source until the oldest is 15 minutes old', () => {
  const { lockout, waitMs, clock } = setUp()
  for (let n = 0; n < 30; n += 1) {
    expect(waitMs('10.0.0.1', `agent-${n}`)).toBe(0)
    lockout.fail('10.0.0.1', `agent-${n}`)
    clock.ms += 1_000
  }
  expect(waitMs('10.0.0.1', 'never-tried')).toBe(15 * MINUTE - 30_000)
  expect(waitMs('10.0.0.2', 'never-tried')).toBe(0)
  lockout.succeed('10.0.0.1', 'agent-1') // one good key does not clear the source
  expect(waitMs('10.0.0.1', 'agent-1')).toBeGreaterThan(0)
  clock.ms += 15 * MINUTE - 30_000
  expect(waitMs('10.0.0.1', 'never-tried')).toBe(0)
})

test('vault §28.26: failures of one agent over many sources raise an alert and lock nobody out', () => {
  const { lockout, alerts, waitMs } = setUp()
  for (let n = 0; n < 59; n += 1) lockout.fail(`10.0.0.${n}`, 'scout')
  expect(alerts).toEqual([{ agent: 'scout', failures: 30 }])
  expect(waitMs('10.0.1.1', 'scout')).toBe(0)
  lockout.fail('10.0.1.2', 'scout')
  expect(alerts).toHaveLength(2)
})

test('mode agent locks the name over all sources', () => {
  const { lockout, waitMs } = setUp({ mode: 'agent' })
  for (let n = 0; n < 5; n += 1) lockout.fail(`10.0.0.${n}`, 'scout')
  expect(waitMs('10.9.9.9', 'scout')).toBe(MINUTE)
  expect(waitMs('10.9.9.9', 'ranger')).toBe(0)
})

test('a source and an agent cannot be joined into the key of another pair', () => {
  const { fail, waitMs } = setUp()
  fail(5, 'a', 'b:c')
  expect(waitMs('a:b', 'c')).toBe(0)
})

test('memory is bounded however many names are tried, and quiet keys leave first', () => {
  const locks = new FailureLock(PAIR_POLICY, 100)
  for (let n = 0; n < 1_000; n += 1) locks.fail(`k${n}`, n)
  expect(locks.size).toBe(100)
  for (let n = 0; n < 5; n += 1) locks.fail('locked', 1_000)
  locks.fail('later', 1_000 + 16 * MINUTE)
  expect(locks.size).toBeLessThanOrEqual(2)
})
