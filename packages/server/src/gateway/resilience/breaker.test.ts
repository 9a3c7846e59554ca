import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Breaker, type BreakerPass } from './breaker.ts'

const OPTIONS = { threshold: 5, windowMs: 60_000, openMs: 30_000 }

function fail(breaker: Breaker, nowMs: number): void {
  using pass = breaker.enter(nowMs)
  pass.failed(nowMs)
}

function refusalOf(breaker: Breaker, nowMs: number): unknown {
  try {
    breaker.enter(nowMs)
    return 'admitted'
  } catch (error) {
    return error
  }
}

const refusedFor = (ms: number) =>
  expect.objectContaining({ code: 'CIRCUIT_OPEN', context: { tool: 'crm', retry_after_ms: ms } })

function opened(atMs: number): Breaker {
  const breaker = new Breaker('crm', OPTIONS)
  for (let count = 0; count < 5; count += 1) fail(breaker, atMs)
  return breaker
}

describe('closed', () => {
  test('gateway §19.32: five provider failures within the window open it', () => {
    const breaker = new Breaker('crm', OPTIONS)
    for (const nowMs of [0, 10_000, 20_000, 30_000]) fail(breaker, nowMs)
    expect(breaker.state(30_000)).toBe('closed')
    fail(breaker, 59_999)
    expect(breaker.state(59_999)).toBe('open')
  })

  test('failures that the window has left behind do not count', () => {
    const breaker = new Breaker('crm', OPTIONS)
    for (const nowMs of [0, 10_000, 20_000, 30_000]) fail(breaker, nowMs)
    fail(breaker, 60_000)
    expect(breaker.state(60_000)).toBe('closed')
    for (let nowMs = 100_000; nowMs < 2_000_000; nowMs += 16_000) fail(breaker, nowMs)
    expect(breaker.state(2_000_000)).toBe('closed')
  })

  test('gateway §19.32: neither calls without a verdict nor successes count, and successes erase nothing', () => {
    const breaker = new Breaker('crm', OPTIONS)
    for (let count = 0; count < 100; count += 1) breaker.enter(0)[Symbol.dispose]()
    for (let count = 0; count < 4; count += 1) fail(breaker, 0)
    for (let count = 0; count < 100; count += 1) breaker.enter(1).succeeded(1)
    expect(breaker.state(1)).toBe('closed')
    fail(breaker, 2)
    expect(breaker.state(2)).toBe('open')
  })

  test('one call counts once, whatever is said of it', () => {
    const breaker = new Breaker('crm', OPTIONS)
    const pass = breaker.enter(0)
    for (let count = 0; count < 9; count += 1) pass.failed(0)
    pass.succeeded(0)
    pass[Symbol.dispose]()
    expect(breaker.state(0)).toBe('closed')
  })
})

describe('open', () => {
  test('gateway §19.32: every call is refused with the time that is left', () => {
    const breaker = opened(1_000)
    expect(refusalOf(breaker, 1_000)).toEqual(refusedFor(30_000))
    expect(refusalOf(breaker, 30_999)).toEqual(refusedFor(1))
    expect(breaker.state(30_999)).toBe('open')
    expect(breaker.state(31_000)).toBe('half_open')
  })

  test('calls from before it opened say nothing any more', () => {
    const breaker = new Breaker('crm', OPTIONS)
    const early = Array.from({ length: 8 }, () => breaker.enter(0))
    for (const pass of early.slice(0, 5)) pass.failed(1_000)
    early[5]?.failed(20_000)
    expect(refusalOf(breaker, 20_000)).toEqual(refusedFor(11_000))
    early[6]?.succeeded(20_000)
    expect(breaker.state(20_000)).toBe('open')
    using probe = breaker.enter(31_000)
    early[7]?.failed(31_000)
    expect(breaker.state(31_000)).toBe('half_open')
    probe.succeeded(31_000)
    expect(breaker.state(31_000)).toBe('closed')
  })

  test('a clock that was set back keeps it open for its time and no longer', () => {
    const breaker = opened(10_000_000)
    expect(refusalOf(breaker, 5_000)).toEqual(refusedFor(30_000))
    expect(breaker.state(35_000)).toBe('half_open')
  })
})

describe('half-open', () => {
  test('gateway §19.32: admits one probe, and its success closes', () => {
    const breaker = opened(0)
    using probe = breaker.enter(30_000)
    for (let count = 0; count < 20; count += 1) {
      expect(refusalOf(breaker, 30_001)).toEqual(refusedFor(1_000))
    }
    probe.succeeded(30_500)
    expect(breaker.state(30_500)).toBe('closed')
    for (let count = 0; count < 4; count += 1) fail(breaker, 30_501)
    expect(breaker.state(30_501)).toBe('closed')
  })

  test('a failed probe opens it for the whole time again', () => {
    const breaker = opened(0)
    fail(breaker, 30_000)
    expect(refusalOf(breaker, 30_000)).toEqual(refusedFor(30_000))
  })

  test('a probe that never came to a verdict leaves its place to the next call', () => {
    const breaker = opened(0)
    breaker.enter(30_000)[Symbol.dispose]()
    expect(breaker.state(30_000)).toBe('half_open')
    breaker.enter(30_001).succeeded(30_001)
    expect(breaker.state(30_001)).toBe('closed')
  })
})

type Step =
  | { kind: 'wait'; ms: number }
  | { kind: 'enter' }
  | { kind: 'end'; which: number; how: 'succeeded' | 'failed' | 'dropped' }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40 }) }),
    fc.record({ kind: fc.constant('enter' as const) }),
    fc.record({
      kind: fc.constant('end' as const),
      which: fc.nat(8),
      how: fc.constantFrom('succeeded', 'failed', 'failed', 'failed', 'dropped'),
    }),
  ),
  { maxLength: 120 },
)

test('in any order of calls: it opens exactly at the threshold, stays open its time, and probes one by one', () => {
  const options = { threshold: 3, windowMs: 100, openMs: 50 }
  fc.assert(
    fc.property(steps, (script) => {
      const breaker = new Breaker('crm', options)
      let nowMs = 0
      let openedAtMs = Number.NEGATIVE_INFINITY
      let closedPhase = 0
      let faultsAtMs: number[] = []
      const open: { pass: BreakerPass; probe: boolean; phase: number }[] = []
      for (const step of script) {
        const before = breaker.state(nowMs)
        if (step.kind === 'wait') {
          nowMs += step.ms
          const ended = before === 'open' && nowMs >= openedAtMs + options.openMs
          expect(breaker.state(nowMs)).toBe(ended ? 'half_open' : before)
        } else if (step.kind === 'enter') {
          const probing = open.some(({ probe }) => probe)
          if (before === 'open') {
            expect(refusalOf(breaker, nowMs)).toEqual(
              refusedFor(openedAtMs + options.openMs - nowMs),
            )
          } else if (before === 'half_open' && probing) {
            expect(refusalOf(breaker, nowMs)).toEqual(refusedFor(1_000))
          } else {
            const probe = before === 'half_open'
            open.push({ pass: breaker.enter(nowMs), probe, phase: closedPhase })
          }
        } else {
          const [ended] = open.splice(step.which, 1)
          if (ended === undefined) continue
          if (step.how === 'dropped') ended.pass[Symbol.dispose]()
          else ended.pass[step.how](nowMs)
          let expected = before
          if (ended.probe) {
            if (step.how === 'succeeded') expected = 'closed'
            if (step.how === 'failed') expected = 'open'
          } else if (before === 'closed' && step.how === 'failed' && ended.phase === closedPhase) {
            faultsAtMs.push(nowMs)
            const recent = faultsAtMs.filter((atMs) => nowMs - atMs < options.windowMs)
            if (recent.length >= options.threshold) expected = 'open'
          }
          expect(breaker.state(nowMs)).toBe(expected)
          if (expected === 'open' && before !== 'open') openedAtMs = nowMs
          if (expected !== before) {
            closedPhase += 1
            faultsAtMs = []
          }
        }
      }
    }),
    { numRuns: 2_000 },
  )
})
