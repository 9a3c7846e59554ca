import { describe, expect, test } from 'vitest'
import { formatWindow, parseInstant, parseWindow, windowIsOpen } from './window.ts'

const open = (text: string, at: string) => windowIsOpen(parseWindow(text), Date.parse(at))

describe('vault §28.28: time windows', () => {
  test('the start is inside and the end is not', () => {
    const hours = 'mon-fri 07:00-19:00 UTC'
    expect(open(hours, '2026-03-02T06:59:59.999Z')).toBe(false)
    expect(open(hours, '2026-03-02T07:00:00Z')).toBe(true)
    expect(open(hours, '2026-03-02T18:59:59.999Z')).toBe(true)
    expect(open(hours, '2026-03-02T19:00:00Z')).toBe(false)
    expect(open(hours, '2026-03-07T12:00:00Z')).toBe(false)
  })

  test('an inclusive window holds through its last minute', () => {
    const hours = 'mon-sun 09:00-17:00 UTC inclusive'
    expect(open(hours, '2026-03-02T17:00:59Z')).toBe(true)
    expect(open(hours, '2026-03-02T17:01:00Z')).toBe(false)
  })

  test('a window past midnight belongs to the day it began', () => {
    const night = 'fri 22:00-06:00 UTC'
    expect(open(night, '2026-03-06T23:00:00Z')).toBe(true)
    expect(open(night, '2026-03-07T05:59:00Z')).toBe(true)
    expect(open(night, '2026-03-07T06:00:00Z')).toBe(false)
    expect(open(night, '2026-03-06T05:00:00Z')).toBe(false)
    expect(open(night, '2026-03-07T23:00:00Z')).toBe(false)
  })

  test('hours follow the wall clock across a change in spring', () => {
    const hours = 'mon-sun 07:00-08:00 Europe/Berlin'
    expect(open(hours, '2026-03-28T06:30:00Z')).toBe(true) // winter, +1
    expect(open(hours, '2026-03-29T05:30:00Z')).toBe(true) // summer, +2
    expect(open(hours, '2026-03-29T06:30:00Z')).toBe(false)
  })

  test('an hour the clock skips never comes', () => {
    const skipped = 'sun 02:00-03:00 Europe/Berlin'
    for (let minute = 0; minute < 24 * 60; minute += 10) {
      const at = Date.parse('2026-03-28T23:00:00Z') + minute * 60_000
      expect(windowIsOpen(parseWindow(skipped), at)).toBe(false)
    }
  })

  test('an hour the clock repeats comes twice', () => {
    const repeated = 'sun 02:00-03:00 Europe/Berlin'
    expect(open(repeated, '2026-10-25T00:30:00Z')).toBe(true)
    expect(open(repeated, '2026-10-25T01:30:00Z')).toBe(true)
    expect(open(repeated, '2026-10-25T02:30:00Z')).toBe(false)
  })

  test('a night that loses an hour still ends by the wall clock', () => {
    const night = 'sat 23:00-04:00 America/New_York'
    expect(open(night, '2026-03-08T07:59:00Z')).toBe(true) // 03:59 EDT
    expect(open(night, '2026-03-08T08:00:00Z')).toBe(false)
  })

  test('zones with half hours and the date line', () => {
    expect(open('mon 09:00-10:00 Asia/Kolkata', '2026-03-02T03:30:00Z')).toBe(true)
    expect(open('mon 00:00-01:00 Pacific/Kiritimati', '2026-03-01T10:30:00Z')).toBe(true)
  })

  test('an absolute span excludes its end', () => {
    const span = '2026-01-01T00:00:00Z/2026-02-01T00:00:00+01:00'
    expect(open(span, '2025-12-31T23:59:59.999Z')).toBe(false)
    expect(open(span, '2026-01-01T00:00:00Z')).toBe(true)
    expect(open(span, '2026-01-31T22:59:59.999Z')).toBe(true)
    expect(open(span, '2026-01-31T23:00:00Z')).toBe(false)
  })
})

test.each([
  ['mon,tue,wed,thu,fri 07:00-19:00 Europe/Berlin', 'mon-fri 07:00-19:00 Europe/Berlin'],
  ['fri-mon 22:00-06:00 UTC', 'mon,fri-sun 22:00-06:00 UTC'],
  ['sat,mon 00:00-24:00 UTC inclusive', 'mon,sat 00:00-24:00 UTC inclusive'],
])('%s is written %s, and reads back the same', (text, written) => {
  expect(formatWindow(parseWindow(text))).toBe(written)
  expect(parseWindow(written)).toEqual(parseWindow(text))
})

test.each([
  'mon-fri 07:00-19:00',
  'mon-fri 07:00-19:00 Europe/Atlantis',
  'mon-fri 07:00-19:00 +02:00',
  'mon-fri 7:00-19:00 UTC',
  'mon-fri 07:00-25:00 UTC',
  'mon-fri 07:60-08:00 UTC',
  'mon-fri 07:00-07:00 UTC',
  'mon-fri 24:00-07:00 UTC',
  'monday 07:00-08:00 UTC',
  '2026-02-01T00:00:00Z/2026-01-01T00:00:00Z',
  '2026-02-30T00:00:00Z/2026-04-01T00:00:00Z',
])('%s is refused', (text) => {
  expect(() => parseWindow(text)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }))
})

test('a time without a zone or on a day that does not exist is refused', () => {
  for (const text of ['2026-01-01', '2026-01-01T00:00:00', '2026-02-29T00:00:00Z', 'tomorrow']) {
    expect(() => parseInstant(text)).toThrow('is not a time')
  }
  expect(parseInstant('2028-02-29T01:00:00+01:00')).toBe(Date.UTC(2028, 1, 29))
})
