import type { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { Buckets } from '../../limits/bucket.ts'
import { rateLimited } from '../../limits/refusal.ts'
import { Denials } from './denials.ts'
import { InFlight } from './in-flight.ts'

function world() {
  const clock = { ms: 0 }
  const buckets = new Buckets({ now: () => clock.ms })
  const limits: ConstructorParameters<typeof Denials>[0]['limits'] = {
    take: (limit) => {
      const retryAfterMs = buckets.take(limit)
      if (retryAfterMs > 0) throw rateLimited({ scope: limit.scope, limit: '', retryAfterMs })
    },
  }
  return { clock, denials: new Denials({ limits, now: () => clock.ms }) }
}

const limited = expect.objectContaining({ code: 'RATE_LIMITED' }) as VestryError

test('a few refusals are free, a flood is told to wait, and then it may go on', () => {
  const { clock, denials } = world()
  for (let i = 0; i < 120; i += 1) denials.count('run_1')
  denials.assertOpen('run_1')
  expect(() => denials.count('run_1')).toThrow(limited)
  expect(() => denials.assertOpen('run_1')).toThrow(limited)
  clock.ms += 500
  denials.assertOpen('run_1')
  denials.count('run_1')
})

test('nobody waits for the refusals of others', () => {
  const { denials } = world()
  for (let i = 0; i < 120; i += 1) denials.count('run_1')
  expect(() => denials.count('run_1')).toThrow(limited)
  denials.assertOpen('run_2')
  denials.count('run_2')
})

test('places of a run are given back, once each', () => {
  const places = new InFlight(2)
  const [one, two] = [places.enter('a'), places.enter('a')]
  expect(() => places.enter('a')).toThrow(limited)
  places.enter('b')[Symbol.dispose]()
  one[Symbol.dispose]()
  const three = places.enter('a')
  expect(() => places.enter('a')).toThrow(limited)
  for (const place of [two, three]) place[Symbol.dispose]()
  expect(places.size).toBe(0)
})
