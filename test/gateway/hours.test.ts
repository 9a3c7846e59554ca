import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { temporaryHome } from '../harness/boot.ts'
import { advance } from '../harness/clock.ts'
import { type GatewayNode, startNode } from './world.ts'

const home = temporaryHome()
let node: GatewayNode
beforeAll(async () => {
  node = await startNode(home)
})
afterAll(async () => {
  await node[Symbol.asyncDispose]()
  home[Symbol.dispose]()
})

/** An hour the server never is in by accident; the moments of a table only ever go forward. */
const YEAR = new Date(Date.now()).getUTCFullYear() + 2

interface Moments {
  /** UTC, after the year. */
  readonly [utc: string]: boolean
}

async function decisions(spec: object, moments: Moments, reason: string): Promise<void> {
  const id = await node.createAgent()
  await node.allow(id, { scopes: ['serpapi:search'], ...spec })
  for (const [utc, allowed] of Object.entries(moments)) {
    advance(Date.parse(`${utc}Z`) - Date.now())
    const answer = await node.call(await node.token(id), 'serpapi:search', { q: utc })
    expect([utc, answer.status, answer.json.code]).toEqual(
      allowed ? [utc, 200, undefined] : [utc, 400, reason],
    )
  }
}

/** The last Sunday of a month, when Europe changes its clocks. */
function lastSunday(month: number, year = YEAR): Date {
  const end = new Date(Date.UTC(year, month, 0))
  return new Date(end.getTime() - end.getUTCDay() * 86_400_000)
}

const dayText = (date: Date, plusDays = 0): string =>
  new Date(date.getTime() + plusDays * 86_400_000).toISOString().slice(0, 10)

/** A Friday in winter. */
const FRIDAY = (() => {
  const first = new Date(Date.UTC(YEAR, 0, 8))
  return new Date(first.getTime() + ((12 - first.getUTCDay()) % 7) * 86_400_000)
})()

describe('gateway §19.18: hours', () => {
  const inWindow = (timeWindow: object, moments: Moments) =>
    decisions({ guards: { timeWindow } }, moments, 'POLICY_TIME_WINDOW')
  const inSchedule = (schedule: object, moments: Moments) =>
    decisions({ schedule }, moments, 'POLICY_SCHEDULE')

  test('a window is in its zone, both ends included', async () => {
    const day = dayText(FRIDAY)
    await inWindow(
      { start: '09:00', end: '17:00', timezone: 'Asia/Kolkata' }, // 5 h 30 min ahead
      {
        [`${day}T03:29:59.000`]: false,
        [`${day}T03:30:00.000`]: true,
        [`${day}T11:30:59.000`]: true,
        [`${day}T11:31:00.000`]: false,
      },
    )
  })

  test('a window past midnight wraps', async () => {
    const next = dayText(FRIDAY, 2)
    await inWindow(
      { start: '22:00', end: '02:00', timezone: 'America/Toronto' }, // 5 h behind in winter
      {
        [`${next}T02:59:00.000`]: false,
        [`${next}T03:00:00.000`]: true,
        [`${next}T05:00:00.000`]: true,
        [`${next}T07:00:00.000`]: true,
        [`${next}T07:01:00.000`]: false,
      },
    )
  })

  test('a schedule has days and whole hours in its zone; its last hour counts to its end', async () => {
    const [day, next] = [dayText(FRIDAY, 7), dayText(FRIDAY, 8)]
    await inSchedule(
      { timezone: 'Asia/Tokyo', allowedDays: [6], allowedHours: { start: 0, end: 8 } },
      {
        [`${day}T14:59:00.000`]: false, // still Friday there
        [`${day}T15:00:00.000`]: true,
        [`${day}T23:59:59.000`]: true,
        [`${next}T00:00:00.000`]: false,
      },
    )
  })

  test('hours past midnight belong to the day on which they began', async () => {
    const [friday, saturday, sunday] = [0, 1, 2].map((plus) => dayText(FRIDAY, 14 + plus))
    await inSchedule(
      { timezone: 'UTC', allowedDays: [5], allowedHours: { start: 22, end: 1 } },
      {
        [`${friday}T01:30:00.000`]: false,
        [`${friday}T22:00:00.000`]: true,
        [`${saturday}T01:59:00.000`]: true,
        [`${saturday}T02:00:00.000`]: false,
        [`${saturday}T22:00:00.000`]: false,
        [`${sunday}T01:00:00.000`]: false,
      },
    )
  })

  test('a schedule that is off restricts nothing', async () => {
    const day = dayText(FRIDAY, 21)
    await inSchedule(
      { enabled: false, allowedDays: [1], allowedHours: { start: 3, end: 3 } },
      { [`${day}T12:00:00.000`]: true },
    )
  })

  test('clocks that go forward: the window keeps to the wall, a day earlier and later in UTC', async () => {
    const change = lastSunday(3)
    await inWindow(
      { start: '09:00', end: '10:00', timezone: 'Europe/Berlin' },
      {
        [`${dayText(change, -1)}T07:30:00.000`]: false,
        [`${dayText(change, -1)}T08:30:00.000`]: true,
        [`${dayText(change)}T07:30:00.000`]: true,
        [`${dayText(change)}T08:30:00.000`]: false,
      },
    )
  })

  test('a window over the hour that is left out ends after it', async () => {
    const change = lastSunday(3, YEAR + 1)
    await inWindow(
      { start: '01:30', end: '02:30', timezone: 'Europe/Berlin' },
      {
        [`${dayText(change)}T00:29:00.000`]: false,
        [`${dayText(change)}T00:30:00.000`]: true,
        [`${dayText(change)}T00:59:00.000`]: true,
        [`${dayText(change)}T01:00:00.000`]: false, // 03:00 there
      },
    )
  })

  test('clocks that go back: the hour that comes twice counts twice', async () => {
    const change = lastSunday(10, YEAR + 1)
    await inWindow(
      { start: '02:00', end: '02:59', timezone: 'Europe/Berlin' },
      {
        [`${dayText(change)}T00:00:00.000`]: true, // 02:00 in summer time
        [`${dayText(change)}T00:59:00.000`]: true,
        [`${dayText(change)}T01:30:00.000`]: true, // 02:30 again
        [`${dayText(change)}T02:00:00.000`]: false,
      },
    )
  })
})
