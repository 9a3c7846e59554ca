/** Cedar's `datetime`: an i64 of milliseconds since the epoch, in five exact written forms. */
import { Duration } from './duration.ts'
import { addLongs, divideLong, multiplyLongs, subtractLongs } from './long.ts'
import { CedarError, ExtValue, type Long } from './value.ts'

const DAY_MS = 86_400_000

export class Datetime extends ExtValue {
  readonly typeName = 'datetime'
  readonly epochMs: Long

  /** @param epochMs Milliseconds since 1970-01-01T00:00Z. */
  constructor(epochMs: Long) {
    super()
    this.epochMs = epochMs
  }

  get key(): string {
    return `T${this.epochMs};`
  }

  offset(by: Duration): Datetime | CedarError {
    const moved = addLongs(this.epochMs, by.ms)
    return moved instanceof CedarError ? moved : new Datetime(moved)
  }

  durationSince(start: Datetime): Duration | CedarError {
    const ms = subtractLongs(this.epochMs, start.epochMs)
    return ms instanceof CedarError ? ms : new Duration(ms)
  }

  /** Midnight UTC at or before; overflows within a day of the earliest datetime. */
  toDate(): Datetime | CedarError {
    const midnight = multiplyLongs(floorDays(this.epochMs), DAY_MS)
    return midnight instanceof CedarError ? midnight : new Datetime(midnight)
  }

  toTime(): Duration {
    const rest = Number(BigInt(this.epochMs) % BigInt(DAY_MS))
    return new Duration(rest < 0 ? rest + DAY_MS : rest)
  }
}

function floorDays(ms: Long): Long {
  const days = divideLong(ms, DAY_MS)
  const whole = BigInt(days) * BigInt(DAY_MS) === BigInt(ms)
  return whole || ms > 0 ? days : Number(days) - 1 // at most 1.07e11 days: a safe integer
}

const FORM =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{3}))?(?:Z|([+-])([0-9]{2})([0-9]{2})))?$/

export function parseDatetime(text: string): Datetime | CedarError {
  const match = FORM.exec(text)
  if (match === null) return new CedarError('datetime: not an accepted form of date and time')
  const field = (index: number): number => Number(match[index] ?? 0)
  const [year, month, day] = [field(1), field(2), field(3)]
  const [hour, minute, second] = [field(4), field(5), field(6)]
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) {
    return new CedarError('datetime: no such date')
  }
  if (hour > 23 || minute > 59 || second > 59) return new CedarError('datetime: no such time')
  const [offsetHours, offsetMinutes] = [field(9), field(10)]
  if (offsetHours > 23 || offsetMinutes > 59) return new CedarError('datetime: no such offset')
  const offset = (offsetHours * 60 + offsetMinutes) * 60_000 * (match[8] === '-' ? -1 : 1)
  // setUTCFullYear, because Date.UTC reads years below 100 as 19xx.
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  date.setUTCHours(hour, minute, second, field(7))
  return new Datetime(date.getTime() - offset)
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}
