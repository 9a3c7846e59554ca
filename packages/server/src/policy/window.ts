/**
 * Weekly hours in a named zone, and absolute spans. Pure: the caller brings the time. The text form is
 * the id of a `Window` entity:
 *
 *     mon-fri 07:00-19:00 Europe/Berlin      weekly; the end is excluded
 *     mon,sat 22:00-06:00 UTC                past midnight: belongs to the day it began
 *     mon-fri 09:00-17:00 UTC inclusive      the end minute is included
 *     2026-01-01T00:00:00Z/2026-07-01T00:00:00Z   absolute; the end is excluded
 *
 * Hours are wall-clock hours: an hour that a clock change skips never comes, one that it repeats comes
 * twice.
 */
import { VestryError } from '@vestry/contract/errors'

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Day = (typeof DAYS)[number]

export type Window = WeeklyWindow | SpanWindow

export interface WeeklyWindow {
  kind: 'weekly'
  /** Indexed by day, Monday first. */
  days: readonly boolean[]
  /** Minutes since midnight; `to` is 1–1440. `from` above `to` runs past midnight. */
  from: number
  to: number
  zone: string
  inclusive: boolean
}

export interface SpanWindow {
  kind: 'span'
  fromMs: number
  toMs: number
}

const WEEKLY = /^(\S+) (\d\d:\d\d)-(\d\d:\d\d) (\S+)( inclusive)?$/
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/

/** @throws VestryError `POLICY_INVALID` for a text that is no window, or a window that never opens. */
export function parseWindow(text: string): Window {
  const slash = text.indexOf('/')
  if (slash > 0 && text[0] !== undefined && text[0] >= '0' && text[0] <= '9') {
    const fromMs = parseInstant(text.slice(0, slash))
    const toMs = parseInstant(text.slice(slash + 1))
    if (fromMs >= toMs) throw invalid(`Window "${text}" ends before it begins`)
    return { kind: 'span', fromMs, toMs }
  }
  const match = WEEKLY.exec(text)
  if (match === null) {
    throw invalid(`"${text}" is not a time window`, 'Write "mon-fri 07:00-19:00 Europe/Berlin".')
  }
  const [, days = '', from = '', to = '', zone = '', inclusive] = match
  return weekly(parseDays(days), from, to, zone, inclusive !== undefined)
}

/** Builds a checked weekly window from its parts. */
export function weekly(
  days: readonly Day[],
  from: string,
  to: string,
  zone: string,
  inclusive = false,
): WeeklyWindow {
  const window: WeeklyWindow = {
    kind: 'weekly',
    days: DAYS.map((day) => days.includes(day)),
    from: parseClock(from),
    to: parseClock(to),
    zone: checkZone(zone),
    inclusive,
  }
  if (window.from === 1440) throw invalid('A window cannot begin at 24:00', 'Begin at 00:00.')
  if (window.from === window.to && !inclusive) {
    throw invalid(
      `A window from ${from} to ${to} never opens`,
      'For the whole day write 00:00 to 24:00.',
    )
  }
  if (!window.days.includes(true)) throw invalid('A window without a day never opens')
  return window
}

/** The text form {@link parseWindow} reads; equal windows have equal texts. */
export function formatWindow(window: Window): string {
  if (window.kind === 'span') {
    return `${new Date(window.fromMs).toISOString()}/${new Date(window.toMs).toISOString()}`
  }
  const hours = `${formatClock(window.from)}-${formatClock(window.to)}`
  const end = window.inclusive ? ' inclusive' : ''
  return `${formatDays(window.days)} ${hours} ${window.zone}${end}`
}

/** @param nowMs Epoch milliseconds. */
export function windowIsOpen(window: Window, nowMs: number): boolean {
  if (window.kind === 'span') return nowMs >= window.fromMs && nowMs < window.toMs
  const { day, minute } = localTime(window.zone, nowMs)
  const end = window.inclusive ? window.to + 1 : window.to
  const today = window.days[day] === true
  if (window.from < end) return today && minute >= window.from && minute < end
  // The early-morning half belongs to the window that began the day before.
  const yesterday = window.days[(day + 6) % 7] === true
  return (today && minute >= window.from) || (yesterday && minute < end)
}

/** @throws VestryError `POLICY_INVALID` unless the text is a date and time with a zone offset. */
export function parseInstant(text: string): number {
  const ms = INSTANT.test(text) ? Date.parse(text) : Number.NaN
  // Date.parse rolls 2026-02-30 over into March; a rule must not silently mean another day.
  const day = Number(text.slice(8, 10))
  const lastDay = new Date(Date.UTC(Number(text.slice(0, 4)), Number(text.slice(5, 7)), 0))
  if (Number.isNaN(ms) || day > lastDay.getUTCDate()) {
    throw invalid(`"${text}" is not a time`, 'Write it like 2026-01-01T00:00:00Z.')
  }
  return ms
}

/** @throws VestryError `POLICY_INVALID` for a zone this system does not know. */
export function checkZone(zone: string): string {
  // Plain offsets are refused on purpose: they do not follow clock changes.
  if (/^[A-Za-z]/.test(zone)) {
    try {
      clockOf(zone)
      return zone
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause
    }
  }
  throw invalid(`Unknown time zone "${zone}"`, 'Use an IANA name such as Europe/Berlin or UTC.')
}

interface ZoneClock {
  format: Intl.DateTimeFormat
  /** The minute since the epoch that `day` and `minute` were computed for. */
  epochMinute: number
  day: number
  minute: number
}

const clocks = new Map<string, ZoneClock>()

function clockOf(zone: string): ZoneClock {
  let clock = clocks.get(zone)
  if (clock === undefined) {
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    })
    clock = { format, epochMinute: Number.NaN, day: 0, minute: 0 }
    clocks.set(zone, clock)
  }
  return clock
}

/** Formatting costs microseconds, so one answer serves a whole minute: zones shift by whole minutes. */
function localTime(zone: string, nowMs: number): { day: number; minute: number } {
  const clock = clockOf(zone)
  const epochMinute = Math.floor(nowMs / 60_000)
  if (clock.epochMinute !== epochMinute) {
    let hours = 0
    let minutes = 0
    for (const { type, value } of clock.format.formatToParts(epochMinute * 60_000)) {
      if (type === 'weekday') clock.day = DAYS.indexOf(value.toLowerCase() as Day)
      else if (type === 'hour') hours = Number(value)
      else if (type === 'minute') minutes = Number(value)
    }
    clock.minute = hours * 60 + minutes
    clock.epochMinute = epochMinute
  }
  return clock
}

function parseDays(text: string): Day[] {
  const days: Day[] = []
  for (const part of text.split(',')) {
    const [first = '', last = first, ...rest] = part.split('-')
    const start = DAYS.indexOf(first as Day)
    const end = DAYS.indexOf(last as Day)
    if (start < 0 || end < 0 || rest.length > 0) {
      throw invalid(`"${part}" is not a day or a run of days`, 'Use mon tue wed thu fri sat sun.')
    }
    // fri-mon runs over the end of the week.
    for (let i = start; ; i = (i + 1) % 7) {
      const day = DAYS[i]
      if (day !== undefined) days.push(day)
      if (i === end) break
    }
  }
  return days
}

function formatDays(days: readonly boolean[]): string {
  const runs: string[] = []
  for (let i = 0; i < 7; i += 1) {
    if (!days[i]) continue
    let end = i
    while (days[end + 1]) end += 1
    if (end - i >= 2) runs.push(`${DAYS[i]}-${DAYS[end]}`)
    else for (let d = i; d <= end; d += 1) runs.push(String(DAYS[d]))
    i = end
  }
  return runs.join(',')
}

function parseClock(text: string): number {
  const match = /^(\d\d):(\d\d)$/.exec(text)
  const hours = Number(match?.[1] ?? 99)
  const minutes = Number(match?.[2] ?? 99)
  const total = hours * 60 + minutes
  if (minutes > 59 || total > 1440) {
    throw invalid(`"${text}" is not a time of day`, 'Write HH:MM, 00:00 to 24:00.')
  }
  return total
}

function formatClock(minutes: number): string {
  const pad = (n: number) => String(n).padStart(2, '0')
  return `${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`
}

function invalid(message: string, hint?: string): VestryError {
  return new VestryError('POLICY_INVALID', message, hint === undefined ? {} : { hint })
}
