/** When a schedule is due: cron with 5, 6 or 7 fields in a time zone, or one point in time. Pure. */
import { VestryError } from '@vestry/contract/errors'
import { Cron } from 'croner'

export interface Timing {
  /** Strictly after `afterMs`; undefined: never again. All epoch ms. */
  next(afterMs: number): number | undefined
  /** Due a single time by what it says. */
  readonly once: boolean
}

/** A date, a time and where from UTC it is meant. */
const POINT = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})$/
const MAX_CRON = 256
const MIN_FIELDS = 5
const MAX_FIELDS = 7

/**
 * @param text `30 2 * * 1-5`; with seconds before and a year behind: `0 30 2 * * 1-5 2032`; or RFC 3339.
 * @throws VestryError VALIDATION_ERROR that names `cron_expression` or `timezone`.
 */
export function readTiming(text: string, timezone: string): Timing {
  assertZone(timezone)
  const given = text.trim()
  if (POINT.test(given)) return pointIn(given)
  if (given.length > MAX_CRON)
    throw wrong('cron_expression', `takes at most ${MAX_CRON} characters`)
  const fields = given.split(/\s+/)
  if (!given.startsWith('@') && (fields.length < MIN_FIELDS || fields.length > MAX_FIELDS))
    throw wrong('cron_expression', 'must have 5, 6 or 7 fields, or be a time in RFC 3339')
  const cron = parsed(given, timezone)
  return { once: false, next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() }
}

function pointIn(text: string): Timing {
  const atMs = Date.parse(text.replace(' ', 'T').toUpperCase())
  if (!Number.isFinite(atMs)) throw wrong('cron_expression', 'is no time that exists')
  return { once: true, next: (afterMs) => (atMs > afterMs ? atMs : undefined) }
}

function parsed(text: string, timezone: string): Cron {
  try {
    return new Cron(text, { timezone, paused: true })
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^Cron\w+: /, '') : 'is not cron'
    throw wrong('cron_expression', why.slice(0, MAX_CRON))
  }
}

function assertZone(timezone: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone })
  } catch {
    throw wrong('timezone', 'must be a time zone such as UTC or Europe/Berlin')
  }
}

function wrong(path: string, problem: string): VestryError {
  return new VestryError('VALIDATION_ERROR', `${path}: ${problem}`, {
    context: { details: { fields: [{ path, problem }] } },
  })
}
