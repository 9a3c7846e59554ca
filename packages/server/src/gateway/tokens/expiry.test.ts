import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ExpiryRules, resolveExpiry } from './expiry.ts'
import { instantsOf, isZone } from './zone.ts'

const MINUTE = 60_000
const NOW = Date.parse('2030-01-01T08:29:11.782Z')
const rules = (over: Partial<ExpiryRules> = {}): ExpiryRules => ({
  nowMs: NOW,
  serverZone: 'UTC',
  naiveMaxMinutes: 60,
  maxTtlMinutes: 1440,
  ...over,
})
const lifetime = (text: string, over: Partial<ExpiryRules> = {}) =>
  (resolveExpiry(text, rules(over)) - (over.nowMs ?? NOW)) / MINUTE
const invalid = expect.objectContaining({ code: 'INVALID_EXPIRY' })
const refusing = (text: string, over: Partial<ExpiryRules> = {}) =>
  expect(() => resolveExpiry(text, rules(over)), text)

/** What a client in `zone` writes for the time `ms`: local, no zone, six digits that vanish when zero. */
function localText(zone: string, ms: number): string {
  const parts = new Intl.DateTimeFormat('sv-SE', {
    timeZone: zone,
    dateStyle: 'short',
    timeStyle: 'medium',
  }).format(ms)
  const rest = ms % 1000
  const fraction = rest === 0 ? '' : `.${String(rest).padStart(3, '0')}000`
  return `${parts.replace(' ', 'T')}${fraction}`
}

test('a text with a zone designator means that instant', () => {
  expect(resolveExpiry('2030-01-01T08:39:11.804Z', rules())).toBe(
    Date.parse('2030-01-01T08:39:11.804Z'),
  )
  const spellings = [
    '2030-01-01T10:00:00+01:00',
    '2030-01-01T10:00:00+0100',
    '2030-01-01T10:00+01',
    '2030-01-01 10:00:00.000+01:00',
    '2030-01-01t09:00z',
    '2030-01-01T09:00:00.0Z',
    '2030-01-01T09:00:00,000000000Z',
    '2029-12-31T23:30:00-09:30',
  ]
  for (const text of spellings) {
    expect(resolveExpiry(text, rules()), text).toBe(Date.parse('2030-01-01T09:00:00Z'))
  }
})

test('fractions of any length are read to the millisecond', () => {
  for (let digits = 1; digits <= 9; digits += 1) {
    const fraction = '123456789'.slice(0, digits)
    const text = `2030-01-01T08:30:00.${fraction}Z`
    const ms = Number(fraction.slice(0, 3).padEnd(3, '0'))
    expect(resolveExpiry(text, rules()) % 1000, text).toBe(ms)
  }
})

test('what is no date and time is refused, and shown to nobody', () => {
  const texts = [
    '',
    'tomorrow',
    '2030-01-02',
    '20300102T000000Z',
    '2030-02-30T00:00:00Z',
    '2030-13-01T00:00:00Z',
    '2030-01-01T24:00:00Z',
    '2030-01-01T08:60:00Z',
    '2030-01-01T08:59:60Z',
    '2030-01-01T09Z',
    '2030-01-01T09:00:00.Z',
    '2030-01-01T09:00:00.1234567890Z',
    '2030-01-01T09:00:00+24:00',
    '2030-01-01T09:00:00+01:60',
    '2030-01-01T09:00:00 UTC',
    '1893488400000',
    ' 2030-01-01T09:00:00Z',
    '２030-01-01T09:00:00Z',
  ]
  for (const text of texts) refusing(text).toThrow(invalid)
  try {
    resolveExpiry('policy scope', rules())
    expect.unreachable()
  } catch (error) {
    expect(String(error)).not.toMatch(/policy|scope/i)
  }
})

test('what is past is refused, from the very millisecond on', () => {
  refusing('2030-01-01T08:29:11.782Z').toThrow(invalid)
  expect(lifetime('2030-01-01T08:29:11.783Z')).toBe(1 / MINUTE)
  refusing('2029-12-31T20:29:11.781').toThrow(invalid) // 12 h and a millisecond ago
  refusing('0000-01-01T00:00:00').toThrow(invalid)
})

test('no lifetime exceeds the cap', () => {
  expect(lifetime('2031-01-01T00:00:00Z')).toBe(1440)
  expect(lifetime('9999-12-31T23:59:59Z')).toBe(1440)
  expect(lifetime('2030-01-01T12:00:00Z', { maxTtlMinutes: 5 })).toBe(5)
  expect(lifetime('2030-01-01T09:00:00', { maxTtlMinutes: 5 })).toBe(5)
})

describe('a text without a zone', () => {
  test('of a client in the zone of the server means what it says', () => {
    expect(lifetime('2030-01-01T08:44:11.782419')).toBe(15)
    expect(lifetime('2030-01-01T08:30')).toBeCloseTo(48.218 / 60)
    expect(lifetime('2030-01-01T17:44:11.782419', { serverZone: 'Asia/Tokyo' })).toBe(15)
  })

  test('of a client further east is cut to the bound', () => {
    expect(lifetime('2030-01-01T17:44:11.782')).toBe(60)
    expect(lifetime('2030-01-01T09:29:11.782')).toBe(60)
    expect(lifetime('2030-01-01T09:29:11.783')).toBe(60)
    expect(lifetime('2030-01-01T17:44:11.782', { naiveMaxMinutes: 20 })).toBe(20)
  })

  test('of a client further west is what is left of a quarter of an hour', () => {
    for (const minutes of [5, 10, 14]) {
      expect(lifetime(localText('America/Toronto', NOW + minutes * MINUTE))).toBe(minutes)
    }
    // 15 minutes leave no rest, and less than two is of no use: a quarter more.
    expect(lifetime('2030-01-01T03:44:11.782419')).toBe(15)
    expect(lifetime('2030-01-01T03:46:11.781')).toBeCloseTo(17, 3)
    expect(lifetime('2030-01-01T03:46:11.782')).toBe(2)
    expect(lifetime('2030-01-01T08:29:11.782')).toBe(15)
    expect(lifetime('2029-12-31T20:29:11.782')).toBe(15)
    expect(lifetime('2030-01-01T03:44:11.782', { naiveMaxMinutes: 10 })).toBe(10)
  })

  test.each([
    ['UTC', [5, 10, 15]],
    ['America/Toronto', [5, 10, 15]],
    ['Asia/Tokyo', [60, 60, 60]],
    ['Asia/Kathmandu', [60, 60, 60]],
  ])('gateway §19.3: a client in %s asking a UTC server for 5, 10 and 15 minutes', (zone, get) => {
    for (const now of [NOW, Date.parse('2030-07-01T23:59:59.001Z')]) {
      const lives = [5, 10, 15].map((minutes) =>
        lifetime(localText(zone, now + minutes * MINUTE), { nowMs: now }),
      )
      expect(lives).toEqual(get)
    }
  })

  test('gateway §19.3: no zone on earth is locked out, and none gets more than the bound', () => {
    const zones = Intl.supportedValuesOf('timeZone')
    expect(zones.length).toBeGreaterThan(300)
    fc.assert(
      fc.property(
        fc.constantFrom(...zones, 'Etc/GMT+12', 'Etc/GMT-14'),
        fc.integer({ min: Date.parse('2025-01-01'), max: Date.parse('2045-01-01') }),
        fc.integer({ min: 1, max: 1440 }),
        fc.integer({ min: 1, max: 120 }),
        (zone, nowMs, minutes, naiveMaxMinutes) => {
          const text = localText(zone, nowMs + minutes * MINUTE)
          const lives = lifetime(text, { nowMs, naiveMaxMinutes })
          expect(lives).toBeGreaterThan(0)
          expect(lives).toBeLessThanOrEqual(naiveMaxMinutes)
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('a text without a zone, of an agent whose zone is on record', () => {
  test('means exactly that zone, without the bound', () => {
    const agentZone = 'Asia/Tokyo'
    expect(lifetime('2030-01-01T17:39:11.782', { agentZone })).toBe(10)
    expect(lifetime('2030-01-01T20:29:11.782', { agentZone })).toBe(180)
    expect(lifetime('2030-01-02T20:29:11.782', { agentZone })).toBe(1440)
    refusing('2030-01-01T17:29:11.782', { agentZone }).toThrow(invalid)
    refusing('2030-01-01T08:39:11.782', { agentZone }).toThrow(invalid)
  })

  test('gives way to a designator in the text', () => {
    expect(lifetime('2030-01-01T08:39:11.782Z', { agentZone: 'Asia/Tokyo' })).toBe(10)
  })

  test('is refused when nobody knows that zone', () => {
    refusing('2030-01-01T08:39:11', { agentZone: 'Mars/Olympus' }).toThrow(invalid)
  })

  test('lives as long as was asked for across both clock changes', () => {
    const agentZone = 'America/Toronto'
    for (const change of ['2030-03-10T07:00:00Z', '2030-11-03T06:00:00Z']) {
      // A wall clock is added to as wall clocks are: without regard to the change.
      const before = Date.parse(change) - 5 * MINUTE
      const wall = localText(agentZone, before).replace('01:55', '02:05')
      const asked = lifetime(wall, { agentZone, nowMs: before })
      // In autumn 02:05 comes an hour later than the client means; there is no telling.
      expect(asked).toBe(change.includes('-03-') ? 10 : 70)
    }
    const repeated = Date.parse('2030-11-03T06:30:00Z') // the second 01:30
    expect(lifetime('2030-11-03T01:40:00', { agentZone, nowMs: repeated })).toBe(10)
    expect(lifetime('2030-11-03T01:40:00', { agentZone, nowMs: repeated - 3_600_000 })).toBe(10)
  })

  test('every instant of every zone is among those its wall clock means', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Intl.supportedValuesOf('timeZone')),
        fc.integer({ min: Date.parse('1975-01-01') / 1000, max: Date.parse('2045-01-01') / 1000 }),
        (zone, second) => {
          const wall = Date.parse(`${localText(zone, second * 1000)}Z`)
          expect(instantsOf(wall, zone)).toContain(second * 1000)
        },
      ),
      { numRuns: 2000 },
    )
  })
})

test('a zone is an IANA name, not an offset', () => {
  for (const name of ['UTC', 'America/Toronto', 'Asia/Kathmandu']) expect(isZone(name)).toBe(true)
  for (const name of ['+05:00', 'Mars/Olympus', '', 'local time']) expect(isZone(name)).toBe(false)
})
