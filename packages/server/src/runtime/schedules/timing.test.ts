import { expect, test } from 'vitest'
import { readTiming } from './timing.ts'

const times = (cron: string, zone: string, from: string, count = 3) => {
  const { next } = readTiming(cron, zone)
  const found: string[] = []
  for (let at = next(Date.parse(from)); at !== undefined && found.length < count; at = next(at))
    found.push(new Date(at).toISOString())
  return found
}
const failing = (path: string) =>
  expect.objectContaining({
    code: 'VALIDATION_ERROR',
    context: { details: { fields: [expect.objectContaining({ path })] } },
  })

test('runtime §18.20: cron has 5, 6 or 7 fields, and Sunday is 0 or 7', () => {
  const from = '2031-01-01T00:00:00Z'
  expect(times('30 2 * * *', 'UTC', from, 1)).toEqual(['2031-01-01T02:30:00.000Z'])
  expect(times('15 30 2 * * *', 'UTC', from, 1)).toEqual(['2031-01-01T02:30:15.000Z'])
  expect(times('0 0 0 1 1 * 2032', 'UTC', from)).toEqual(['2032-01-01T00:00:00.000Z'])
  expect(times('0 0 * * 7', 'UTC', from)).toEqual(times('0 0 * * 0', 'UTC', from))
  expect(times('0 0 * * 0', 'UTC', from, 1)).toEqual(['2031-01-05T00:00:00.000Z'])
})

test('runtime §15.3: a time that the clock jumps over comes once, and one that it has twice comes once', () => {
  expect(times('30 2 * * *', 'Europe/Berlin', '2031-03-29T00:00:00Z')).toEqual([
    '2031-03-29T01:30:00.000Z',
    '2031-03-30T01:00:00.000Z',
    '2031-03-31T00:30:00.000Z',
  ])
  expect(times('30 2 * * *', 'Europe/Berlin', '2031-10-25T00:00:00Z')).toEqual([
    '2031-10-25T00:30:00.000Z',
    '2031-10-26T00:30:00.000Z',
    '2031-10-27T01:30:00.000Z',
  ])
})

test('runtime §15.3: one point in time is due once', () => {
  expect(times('2031-04-05T06:07:08Z', 'UTC', '2031-01-01T00:00:00Z')).toEqual([
    '2031-04-05T06:07:08.000Z',
  ])
  expect(times('2031-04-05T06:07:08+02:00', 'UTC', '2031-04-05T04:07:08Z')).toEqual([])
  expect(readTiming('2031-04-05T06:07:08Z', 'UTC').once).toBe(true)
})

test('what is no time says which field is wrong', () => {
  for (const cron of ['', 'soon', '* * * *', '61 * * * *', '* * * * * * * *', 'x'.repeat(300)])
    expect(() => readTiming(cron, 'UTC'), cron).toThrow(failing('cron_expression'))
  expect(() => readTiming('2031-13-45T06:07:08Z', 'UTC')).toThrow(failing('cron_expression'))
  expect(() => readTiming('* * * * *', 'Mars/Olympus')).toThrow(failing('timezone'))
})
